//! Sources: kernel files that are opened once and read with `pread` into one buffer.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// How the kernel hands out a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// In one piece: a short read is the end.
    Whole,
    /// Record by record, at most a page per read: a read is surely the last one
    /// only when half a page was left and no record is that long.
    Records,
}

/// An open kernel file.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    shape: Shape,
}

impl Source {
    /// Opens a file that the kernel prints in one piece.
    pub(crate) fn whole(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, shape: Shape::Whole })
    }

    /// Opens a file that the kernel prints record by record (`net/dev`, `cpuinfo`, `mountinfo`).
    pub(crate) fn records(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, shape: Shape::Records })
    }
}

/// A buffer that all sources are read into, one after the other. It grows to
/// the largest of them and then never again.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

impl Buffer {
    /// Beyond this a file is cut off: no file that we read needs as much, and
    /// the first lines of those that could (`stat`, `cpuinfo`) are what we want.
    const LIMIT: usize = 1 << 20;
    const SMALLEST: usize = 16 << 10;
    const HALF_A_PAGE: usize = 2048;

    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; Self::SMALLEST], filled: 0 }
    }

    /// Reads a source from its beginning.
    pub(crate) fn read(&mut self, source: &Source) -> io::Result<&[u8]> {
        self.read_at_most(source, Self::LIMIT)
    }

    /// Returns what was read last; nothing after a read that failed.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Reads the beginning of a source: the kernel prints no more than is asked for.
    pub(crate) fn read_at_most(&mut self, source: &Source, limit: usize) -> io::Result<&[u8]> {
        self.filled = 0;
        let mut filled = 0_usize;
        loop {
            if filled == self.bytes.len() {
                if filled >= limit {
                    break;
                }
                // From the beginning again: what was printed first and what
                // would be printed now may not fit together.
                self.bytes.resize(filled * 2, 0);
                filled = 0;
            }
            let offset = u64::try_from(filled).unwrap_or(u64::MAX);
            let count = match source.file.read_at(&mut self.bytes[filled..], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            filled += count;
            let is_last = match source.shape {
                Shape::Whole => filled < self.bytes.len(),
                Shape::Records => count < Self::HALF_A_PAGE,
            };
            if count == 0 || is_last {
                break;
            }
        }
        self.filled = filled;
        Ok(self.filled())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_source_longer_than_the_buffer_is_read_whole() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let content = vec![b'x'; 100_000];
        file.write_all(&content).expect("written");
        for source in [Source::whole(file.path()), Source::records(file.path())] {
            let source = source.expect("it exists");
            let mut buffer = Buffer::new();
            assert_eq!(buffer.read(&source).expect("read").len(), content.len());
            assert_eq!(buffer.read(&source).expect("read again").len(), content.len());
        }
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let source = Source::whole("/dev/zero").expect("every Linux has it");
        let mut buffer = Buffer::new();
        assert_eq!(buffer.read_at_most(&source, 64 << 10).expect("read").len(), 64 << 10);
        assert_eq!(buffer.read(&source).expect("read").len(), Buffer::LIMIT);
    }
}
