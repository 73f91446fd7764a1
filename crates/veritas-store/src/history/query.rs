//! Questions to the history, answered from memory and, before it, from the disk.

use std::{
    collections::VecDeque,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use veritas_model::Timestamp;

use super::{
    HistoryError,
    decoder::{self, Decoded, Tick},
    frame::Span,
    head::Position,
    log::{Closed, Log},
    point::{Point, Series, Texts},
};

/// Which points to return: the newest `limit` that fit, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The earliest time, inclusive; `None`: any.
    pub from: Option<Timestamp>,
    /// The latest time, inclusive; `None`: any.
    pub to: Option<Timestamp>,
    /// One point for each step, the last one of it. Steps are counted from the
    /// Unix epoch, so that the same question later meets the same steps.
    /// `None` or zero: every point.
    pub step: Option<Duration>,
    /// Most points to return.
    pub limit: usize,
}

impl HistoryQuery {
    /// Asks for the newest `limit` points.
    pub const fn newest(limit: usize) -> Self {
        Self { from: None, to: None, step: None, limit }
    }

    pub(super) fn admits(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }

    fn meets(&self, span: Span) -> bool {
        self.from.is_none_or(|from| from <= span.latest)
            && self.to.is_none_or(|to| span.earliest <= to)
            && span.ticks > 0
    }

    /// Returns the step that a time falls into, `None` when there are no steps.
    fn bucket(&self, at: Timestamp) -> Option<i64> {
        let step = i64::try_from(self.step?.as_nanos()).unwrap_or(i64::MAX);
        (step > 0).then(|| at.nanos().div_euclid(step))
    }

    /// Returns whether two neighbours fall into the same step: then only the later one stays.
    fn merges(&self, earlier: Timestamp, later: Timestamp) -> bool {
        self.bucket(earlier).is_some_and(|bucket| self.bucket(later) == Some(bucket))
    }
}

/// The answer while it grows, from the newest point to the oldest.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    query: &'a HistoryQuery,
    /// Newest first.
    points: Vec<Point>,
}

impl<'a> Answer<'a> {
    pub(super) const fn new(query: &'a HistoryQuery) -> Self {
        Self { query, points: Vec::new() }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.points.len() >= self.query.limit
    }

    /// Offers the next older point.
    pub(super) fn offer(&mut self, at: Timestamp, point: impl FnOnce() -> Point) {
        let is_wanted = self.query.admits(at)
            && !self.is_complete()
            && self.points.last().is_none_or(|later| !self.query.merges(at, later.at));
        if is_wanted {
            self.points.push(point());
        }
    }

    /// Returns the points, oldest first.
    pub(super) fn finish(mut self) -> Vec<Point> {
        self.points.reverse();
        self.points
    }
}

/// What reading a segment to its end has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learned {
    pub(super) sequence: u64,
    pub(super) span: Span,
    /// Bytes that could not be read.
    pub(super) broken_bytes: u64,
}

/// What is on the disk before the head.
#[derive(Debug)]
pub(super) struct Older {
    pub(super) directory: PathBuf,
    /// By sequence.
    pub(super) segments: Vec<Closed>,
    /// Where the head begins; `None`: nothing of it is on the disk.
    pub(super) head_begins: Option<Position>,
    pub(super) series: Series,
}

impl Older {
    /// Completes an answer from the segments, newest first, and returns what
    /// was learned on the way.
    pub(super) fn complete(mut self, answer: &mut Answer<'_>) -> Result<Vec<Learned>, HistoryError> {
        let mut learned = Vec::new();
        for segment in self.segments.iter().rev() {
            if answer.is_complete() {
                break;
            }
            let end = match self.head_begins {
                Some(begin) if segment.sequence > begin.segment => 0,
                Some(begin) if segment.sequence == begin.segment => begin.tick,
                _ => u32::MAX,
            };
            if end == 0 || segment.span.is_some_and(|span| !answer.query.meets(span)) {
                continue;
            }
            let path = Log::path(&self.directory, segment.sequence);
            let Some(mut bytes) = read(&path)? else { continue };
            // What has been written since belongs to the head.
            bytes.truncate(usize::try_from(segment.bytes).unwrap_or(usize::MAX));
            let (rows, decoded) = rows(&bytes, end, answer, &mut self.series);
            if !decoded.stopped {
                let broken_bytes = (bytes.len() - decoded.sound_bytes) as u64;
                learned.push(Learned { sequence: segment.sequence, span: decoded.span, broken_bytes });
            }
            let series = Arc::new(self.series.clone());
            for row in rows.into_iter().rev() {
                answer.offer(row.at, || Point {
                    at: row.at,
                    series: Arc::clone(&series),
                    numbers: row.numbers.into(),
                    texts: row.texts,
                });
            }
        }
        Ok(learned)
    }
}

/// Reads a segment; `None` when it was deleted to make room meanwhile.
fn read(path: &Path) -> Result<Option<Vec<u8>>, HistoryError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HistoryError::Read { path: path.to_owned(), source }),
    }
}

struct Row {
    at: Timestamp,
    numbers: Vec<f64>,
    texts: Texts,
}

/// Returns the newest points of a segment that the answer may want, before its
/// tick `end`.
fn rows(segment: &[u8], end: u32, answer: &Answer<'_>, series: &mut Series) -> (VecDeque<Row>, Decoded) {
    let query = answer.query;
    // One more than is missing: the newest may fall into the step of a point
    // that the answer has already.
    let most = (query.limit - answer.points.len()).saturating_add(1);
    let mut rows: VecDeque<Row> = VecDeque::new();
    let decoded = decoder::decode(segment, series, |_, tick: Tick<'_>| {
        if tick.number >= end {
            return ControlFlow::Break(());
        }
        if query.admits(tick.at) {
            let merges = rows.back().is_some_and(|before| query.merges(before.at, tick.at));
            let reused = if merges {
                rows.pop_back()
            } else if rows.len() >= most {
                rows.pop_front()
            } else {
                None
            };
            let mut numbers = reused.map(|row| row.numbers).unwrap_or_default();
            numbers.clear();
            numbers.extend_from_slice(tick.row);
            rows.push_back(Row { at: tick.at, numbers, texts: tick.texts.clone() });
        }
        ControlFlow::Continue(())
    });
    (rows, decoded)
}
