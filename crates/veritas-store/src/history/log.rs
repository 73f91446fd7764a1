//! The segments on the disk: written frame by frame, bounded, oldest deleted first.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use veritas_model::Timestamp;

use super::{
    HistoryError,
    encoder::Encoder,
    frame::{self, Span},
    head::Position,
    point::{Series, Texts},
    query::Learned,
};

/// A segment that is not written any more.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
    /// `None` until its seal or all of it was read.
    pub(super) span: Option<Span>,
    /// Whether all of it was read, so that damage in it is counted already.
    pub(super) read: bool,
}

/// The segment that is being written.
#[derive(Debug)]
struct Active {
    sequence: u64,
    file: Arc<File>,
    bytes: u64,
    encoder: Encoder,
    span: Span,
    synced_until: Timestamp,
    last_at: Timestamp,
    unsynced: bool,
}

impl Active {
    fn as_closed(&self) -> Closed {
        Closed { sequence: self.sequence, bytes: self.bytes, span: Some(self.span), read: true }
    }
}

/// The directory of segments. It is the only writer.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    max_bytes: u64,
    segment_bytes: u64,
    closed: Vec<Closed>,
    closed_bytes: u64,
    active: Option<Active>,
    next_sequence: u64,
    buffer: Vec<u8>,
    deleted_segments: u64,
}

impl Log {
    /// A segment is closed at this size, or at an eighth of the cap if that is less.
    const SEGMENT_BYTES: u64 = 4 << 20;
    /// The smallest cap; a smaller one is raised to it.
    const SMALLEST_CAP: u64 = 64 << 10;
    /// Most segments: a bound on the number of files when each is small (an
    /// engine that restarts all the time).
    const MOST_SEGMENTS: usize = 4096;

    /// Takes over a directory whose segments are `closed`, by sequence.
    pub(super) fn new(directory: PathBuf, max_bytes: u64, closed: Vec<Closed>) -> Self {
        let max_bytes = max_bytes.max(Self::SMALLEST_CAP);
        let next_sequence = closed.last().map_or(1, |last| last.sequence + 1);
        Self {
            directory,
            max_bytes,
            segment_bytes: (max_bytes / 8).min(Self::SEGMENT_BYTES),
            closed_bytes: closed.iter().map(|segment| segment.bytes).sum(),
            closed,
            active: None,
            next_sequence,
            buffer: Vec::new(),
            deleted_segments: 0,
        }
    }

    /// Returns the file of a segment.
    pub(super) fn path(directory: &Path, sequence: u64) -> PathBuf {
        directory.join(format!("{sequence:020}.wal"))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns every segment, by sequence, the one being written as it is now.
    pub(super) fn segments(&self) -> Vec<Closed> {
        let active = self.active.as_ref();
        let active = active.map(Active::as_closed);
        self.closed.iter().cloned().chain(active).collect()
    }

    /// Keeps what was learned of a closed segment; returns whether it was not known yet.
    pub(super) fn learn(&mut self, learned: &Learned) -> bool {
        let found = self.closed.binary_search_by_key(&learned.sequence, |segment| segment.sequence);
        let Ok(index) = found else { return false };
        let segment = &mut self.closed[index];
        let is_new = !segment.read;
        segment.span = Some(learned.span);
        segment.read = true;
        is_new
    }

    pub(super) fn bytes(&self) -> u64 {
        self.closed_bytes + self.active.as_ref().map_or(0, |active| active.bytes)
    }

    pub(super) fn count(&self) -> usize {
        self.closed.len() + usize::from(self.active.is_some())
    }

    pub(super) const fn deleted_segments(&self) -> u64 {
        self.deleted_segments
    }

    /// Writes one point and returns where it stands. After an error nothing of
    /// it is left, and the next point starts a new segment.
    pub(super) fn record(
        &mut self,
        at: Timestamp,
        row: &[f64],
        texts: &Texts,
        series: &Series,
    ) -> Result<Position, HistoryError> {
        let is_due = |active: &Active| active.bytes >= self.segment_bytes || active.encoder.is_full();
        if self.active.as_ref().is_some_and(is_due) {
            self.seal();
        }
        let Some(active) = &mut self.active else { return self.start(at, row, texts, series) };
        self.buffer.clear();
        active.encoder.put(&mut self.buffer, at, row, texts, series);
        let room = self.make_room(self.buffer.len() as u64);
        let Some(active) = &mut self.active else { return self.start(at, row, texts, series) };
        let written = room.and_then(|()| active.file.write_all_at(&self.buffer, active.bytes));
        if let Err(error) = written {
            let path = Self::path(&self.directory, active.sequence);
            self.abandon();
            return Err(HistoryError::of_write(path, error));
        }
        active.bytes += self.buffer.len() as u64;
        active.span.add(at);
        active.last_at = at;
        active.unsynced = true;
        Ok(Position { segment: active.sequence, tick: active.span.ticks - 1 })
    }

    /// Starts a new segment with one point in it: written beside its place,
    /// made durable, then moved there, so that a segment always has a header.
    fn start(
        &mut self,
        at: Timestamp,
        row: &[f64],
        texts: &Texts,
        series: &Series,
    ) -> Result<Position, HistoryError> {
        let sequence = self.next_sequence;
        let path = Self::path(&self.directory, sequence);
        let mut encoder = Encoder::default();
        self.buffer.clear();
        frame::put_header(&mut self.buffer, sequence);
        encoder.put(&mut self.buffer, at, row, texts, series);
        let bytes = self.buffer.len() as u64;
        let created = self.make_room(bytes).and_then(|()| self.create(&path));
        let file = created.map_err(|error| HistoryError::of_write(path, error))?;
        let mut span = Span::EMPTY;
        span.add(at);
        self.next_sequence += 1;
        self.active = Some(Active {
            sequence,
            file: Arc::new(file),
            bytes,
            encoder,
            span,
            synced_until: at,
            last_at: at,
            unsynced: false,
        });
        Ok(Position { segment: sequence, tick: 0 })
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let beside = path.with_extension("tmp");
        let create = || {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&beside)?;
            file.write_all_at(&self.buffer, 0)?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            File::open(&self.directory)?.sync_all()?;
            Ok(file)
        };
        create().inspect_err(|_| {
            // Best effort: a left-over is removed at the next start, a moved
            // segment without its point is one that nobody was told of.
            for left_over in [&*beside, path] {
                if let Err(error) = fs::remove_file(left_over)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %left_over.display(), %error, "failed to remove an unfinished segment");
                }
            }
        })
    }

    /// Deletes the oldest segments until `needed` more bytes are within the cap.
    fn make_room(&mut self, needed: u64) -> io::Result<()> {
        while self.bytes() + needed > self.max_bytes || self.closed.len() >= Self::MOST_SEGMENTS {
            if self.closed.is_empty() {
                // The segment being written is an eighth of the cap at most,
                // so this point alone is too large.
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the point does not fit into the history's cap",
                ));
            }
            match fs::remove_file(Self::path(&self.directory, self.closed[0].sequence)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {
                    self.closed_bytes -= self.closed.remove(0).bytes;
                    self.deleted_segments += 1;
                }
            }
        }
        Ok(())
    }

    /// Closes the segment being written, with its summary at the end. Without
    /// room for the summary the segment is still whole.
    fn seal(&mut self) {
        let Some(active) = &mut self.active else { return };
        self.buffer.clear();
        frame::put_seal(&mut self.buffer, active.span);
        if active.file.write_all_at(&self.buffer, active.bytes).is_ok() {
            active.bytes += self.buffer.len() as u64;
            if let Err(error) = active.file.sync_data() {
                tracing::warn!(segment = active.sequence, %error, "failed to make a closed segment durable");
            }
            self.close();
        } else {
            self.abandon();
        }
    }

    /// Closes the segment being written after a failure, cutting off what may
    /// have been written of a frame. Cutting needs no room on the disk; where
    /// it fails nevertheless, readers stop at the broken frame.
    pub(super) fn abandon(&mut self) {
        if let Some(active) = &self.active
            && let Err(error) = active.file.set_len(active.bytes)
        {
            tracing::warn!(segment = active.sequence, %error, "failed to cut a broken frame off a segment");
        }
        self.close();
    }

    fn close(&mut self) {
        if let Some(active) = self.active.take() {
            self.closed_bytes += active.bytes;
            self.closed.push(active.as_closed());
        }
    }

    /// Returns the file whose newest points are not durable yet, and marks
    /// them as taken care of.
    pub(super) fn take_unsynced(&mut self) -> Option<(u64, Arc<File>)> {
        let active = self.active.as_mut().filter(|active| active.unsynced)?;
        active.unsynced = false;
        active.synced_until = active.last_at;
        Some((active.sequence, Arc::clone(&active.file)))
    }

    /// Returns whether points that are not durable have waited for `every`, by
    /// the points' own times; a clock that jumped back counts as long enough.
    pub(super) fn is_sync_due(&self, every: Duration) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let since = active.synced_until;
            active.unsynced && (active.last_at < since || active.last_at.since(since) >= every)
        })
    }

    /// Abandons segment `sequence` if it is still the one being written.
    pub(super) fn abandon_if_active(&mut self, sequence: u64) {
        if self.active.as_ref().is_some_and(|active| active.sequence == sequence) {
            self.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_made_durable_when_they_have_waited() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::new(directory.path().to_owned(), 1 << 20, Vec::new());
        let every = Duration::from_secs(5);
        let mut check = |second: i64, is_due: bool| {
            let at = Timestamp::from_nanos(second * 1_000_000_000);
            log.record(at, &[], &Arc::from([]), &Series::default()).unwrap();
            assert_eq!(log.is_sync_due(every), is_due, "at {second}");
            if is_due {
                assert!(log.take_unsynced().is_some());
                assert!(log.take_unsynced().is_none());
                assert!(!log.is_sync_due(every));
            }
        };
        // The first point is durable with its segment.
        check(100, false);
        check(104, false);
        check(105, true);
        check(109, false);
        check(110, true);
        // A clock that jumped back cannot tell how long it was.
        check(50, true);
        check(51, false);
    }
}
