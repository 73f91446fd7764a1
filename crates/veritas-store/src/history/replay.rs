//! Opening a directory of segments: what there is, what is sound, and the newest points.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{
    HistoryError,
    decoder::{self, Decoded},
    frame::{self, FORMAT, HEADER_LENGTH, HeaderError, SEAL_LENGTH, Span},
    head::{Head, HeadPoint, Position},
    log::{Closed, Log},
    point::Series,
    varint::Cursor,
};

/// What was found wrong while opening, and what was done about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repairs {
    /// Bytes cut off the end of the newest segment: a point that was being
    /// written when the process or the machine stopped.
    pub(super) truncated_bytes: u64,
    /// Segments of which a part, or all, cannot be read.
    pub(super) damaged_segments: u64,
    /// Bytes in them that are skipped. They stay as they are.
    pub(super) skipped_bytes: u64,
}

/// Lists the segments of a directory, by sequence, and removes unfinished ones.
fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(sequence) = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()) else {
            continue;
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("wal") if path == Log::path(directory, sequence) => segments.push((sequence, path)),
            Some("tmp") => {
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "failed to remove an unfinished segment");
                }
            }
            _ => {}
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// A segment that was looked at from outside.
struct Seen {
    closed: Closed,
    readable: bool,
}

/// Reads a segment's header, and its seal when it has one.
fn look(sequence: u64, path: &Path) -> Result<Seen, HistoryError> {
    let read = || {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut header = [0; HEADER_LENGTH];
        let header = match file.read_exact_at(&mut header, 0) {
            Ok(()) => frame::read_header(&header),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(HeaderError::Damaged),
            Err(error) => return Err(error),
        };
        let mut seal = [0; SEAL_LENGTH];
        let start = bytes.checked_sub(SEAL_LENGTH as u64).filter(|start| *start >= HEADER_LENGTH as u64);
        let seal = match start.map(|start| file.read_exact_at(&mut seal, start)) {
            Some(Ok(())) => frame::take(&mut Cursor::new(&seal)).and_then(frame::read_seal),
            _ => None,
        };
        Ok((bytes, header, seal))
    };
    let source = match read() {
        Ok((bytes, Ok(found), seal)) if found == sequence => {
            return Ok(Seen { closed: Closed { sequence, bytes, span: seal, read: false }, readable: true });
        }
        Ok((_, Err(HeaderError::UnknownFormat(found)), _)) => {
            return Err(HistoryError::UnknownFormat { path: path.to_owned(), found, supported: FORMAT });
        }
        Ok((bytes, _, _)) => {
            tracing::warn!(path = %path.display(), "a history segment has a damaged header and is skipped");
            let closed = Closed { sequence, bytes, span: Some(Span::EMPTY), read: true };
            return Ok(Seen { closed, readable: false });
        }
        Err(error) => error,
    };
    Err(HistoryError::Read { path: path.to_owned(), source })
}

/// Fills `head` with the newest points of a directory and returns its segments.
pub(super) fn replay(
    directory: &Path,
    series: &mut Series,
    head: &mut Head,
    capacity: usize,
) -> Result<(Vec<Closed>, Repairs), HistoryError> {
    let open_error = |source| HistoryError::Open { path: directory.to_owned(), source };
    let mut repairs = Repairs::default();
    let mut segments = Vec::new();
    for (sequence, path) in list(directory).map_err(open_error)? {
        let seen = look(sequence, &path)?;
        if !seen.readable {
            repairs.damaged_segments += 1;
            repairs.skipped_bytes += seen.closed.bytes;
        }
        segments.push(seen);
    }
    let mut newest: Vec<VecDeque<HeadPoint>> = Vec::new();
    let mut found = 0;
    let last = segments.len().saturating_sub(1);
    for (index, seen) in segments.iter_mut().enumerate().rev() {
        // The last one is always read to its end: it may be torn.
        if !seen.readable || (found >= capacity && index != last) {
            continue;
        }
        let path = Log::path(directory, seen.closed.sequence);
        let bytes = fs::read(&path).map_err(|source| HistoryError::Read { path: path.clone(), source })?;
        let (points, decoded) =
            newest_points(&bytes, seen.closed.sequence, series, capacity - found.min(capacity));
        found += points.len();
        newest.push(points);
        seen.closed.span = Some(decoded.span);
        seen.closed.read = true;
        let broken = (bytes.len() - decoded.sound_bytes) as u64;
        if broken > 0 && index == last {
            repairs.truncated_bytes = broken;
            seen.closed.bytes = truncate(&path, decoded.sound_bytes as u64, seen.closed.bytes);
        } else if broken > 0 {
            tracing::warn!(path = %path.display(), broken, "a history segment is damaged; its rest is skipped");
            repairs.damaged_segments += 1;
            repairs.skipped_bytes += broken;
        }
    }
    for point in newest.iter().rev().flatten() {
        head.push(point.at, &point.numbers, &point.texts, point.position);
    }
    Ok((segments.into_iter().map(|seen| seen.closed).collect(), repairs))
}

/// Cuts a torn frame off the newest segment and returns the segment's length.
/// Where that fails (a directory that cannot be written) readers stop there.
fn truncate(path: &Path, sound_bytes: u64, bytes: u64) -> u64 {
    let cut = || {
        let file = File::options().write(true).open(path)?;
        file.set_len(sound_bytes)?;
        file.sync_all()
    };
    match cut() {
        Ok(()) => {
            let cut_bytes = bytes - sound_bytes;
            tracing::warn!(path = %path.display(), cut_bytes, "cut a torn point off the history");
            sound_bytes
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "failed to cut a torn point off the history");
            bytes
        }
    }
}

fn newest_points(
    segment: &[u8],
    sequence: u64,
    series: &mut Series,
    limit: usize,
) -> (VecDeque<HeadPoint>, Decoded) {
    let mut points: VecDeque<HeadPoint> = VecDeque::new();
    let decoded = decoder::decode(segment, series, |_, tick| {
        if limit > 0 {
            let oldest = if points.len() >= limit { points.pop_front() } else { None };
            let mut numbers = oldest.map(|oldest| oldest.numbers).unwrap_or_default();
            numbers.clear();
            numbers.extend_from_slice(tick.row);
            points.push_back(HeadPoint {
                at: tick.at,
                numbers,
                texts: tick.texts.clone(),
                position: Some(Position { segment: sequence, tick: tick.number }),
            });
        }
        ControlFlow::Continue(())
    });
    (points, decoded)
}
