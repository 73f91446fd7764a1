//! The history of metrics: the newest points in memory, and behind them
//! checksummed write-ahead segments that survive a restart.
//!
//! A *point* is what was recorded at one tick: a time, numbers by name, and
//! texts by name. Points keep the order in which they arrived, even where the
//! wall clock jumped back between two of them.
//!
//! `docs/reference/history-format.md` describes the files byte by byte.

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use veritas_model::{Bytes, Condition, Health, Timestamp};

mod decoder;
mod encoder;
mod error;
mod frame;
mod head;
mod log;
mod point;
mod query;
mod replay;
mod state;
mod value;
mod varint;

pub use error::HistoryError;
pub use point::Point;
pub use query::HistoryQuery;

use head::Head;
use log::Log;
use query::{Answer, Learned};
use replay::Repairs;
use state::State;

/// How much history is kept, and how durable it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Most bytes on the disk; the oldest segments are deleted to stay below.
    /// At least 64 KiB.
    pub max_bytes: Bytes,
    /// Points held in memory, decoded (8 bytes for each series and point).
    pub head_points: NonZeroUsize,
    /// How much of the newest history a power cut may take. (A crash of the
    /// process takes nothing: every point is handed to the system at once.)
    pub sync_every: Duration,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            max_bytes: Bytes::new(512 << 20),
            head_points: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
            sync_every: Duration::from_secs(5),
        }
    }
}

/// What the history holds and what it lost, for `/metrics` and operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryStatistics {
    /// Points in memory.
    pub points_in_memory: usize,
    /// Segments on the disk.
    pub segments: usize,
    /// Bytes of them.
    pub bytes: Bytes,
    /// Points that are (or were) in memory only, because the disk did not take them.
    pub points_not_recorded: u64,
    /// Values that were left out because there are too many series, or the name is too long.
    pub values_dropped: u64,
    /// Segments deleted to stay below the cap.
    pub segments_deleted: u64,
    /// Bytes cut off the newest segment at the start: a torn point.
    pub truncated_bytes: Bytes,
    /// Segments found damaged, at the start or when a query read them.
    pub segments_damaged: u64,
    /// Bytes in them that cannot be read. They stay on the disk as they are.
    pub skipped_bytes: Bytes,
}

/// The history of an engine.
#[derive(Debug)]
pub struct History {
    // A std mutex: held for one point (a copy and one write to the page
    // cache; a sync of the disk where a segment begins or ends), or while the
    // points of an answer are copied.
    state: Mutex<State>,
    /// Points in memory, to be read without the lock.
    points: AtomicUsize,
    health: Option<Arc<Health>>,
    sync_every: Duration,
}

impl History {
    /// Starts a history that lasts as long as the process and holds `points` points.
    pub fn in_memory(points: NonZeroUsize) -> Self {
        let state = State::new(Arc::default(), Head::new(points), None, Repairs::default());
        Self::of(state, None, Duration::MAX)
    }

    /// Opens the history in a directory, which is created when it does not
    /// exist, and reads its newest points.
    ///
    /// A torn point at the end of the newest segment is cut off. Damage
    /// elsewhere is skipped, counted, and left as it is. A directory that
    /// cannot be written does not stop it: recording is tried again with every
    /// point, and `health` says so (component `history`).
    ///
    /// # Errors
    ///
    /// [`HistoryError::Open`] when the directory cannot be created or listed,
    /// [`HistoryError::Read`] when a segment cannot be read at all,
    /// [`HistoryError::UnknownFormat`] when a segment is of another release.
    pub fn open(
        directory: &Path,
        options: HistoryOptions,
        health: Arc<Health>,
    ) -> Result<Self, HistoryError> {
        let open_error = |source| HistoryError::Open { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(open_error)?;
        let mut series = state::Series::default();
        let mut head = Head::new(options.head_points);
        let (segments, repairs) =
            replay::replay(directory, &mut series, &mut head, options.head_points.get())?;
        let log = Log::new(directory.to_owned(), options.max_bytes.get(), segments);
        health.set("history", Condition::Ready);
        let state = State::new(Arc::new(series), head, Some(log), repairs);
        Ok(Self::of(state, Some(health), options.sync_every))
    }

    fn of(state: State, health: Option<Arc<Health>>, sync_every: Duration) -> Self {
        let points = AtomicUsize::new(state.points());
        Self { state: Mutex::new(state), points, health, sync_every }
    }

    /// Adds a point. A NaN is no value; a name that occurs twice keeps its last value.
    ///
    /// The point is in memory in any case, and in the system's hands when this
    /// returns `Ok`: a crash of the process does not lose it.
    ///
    /// Cost: one `write` of some ten bytes for each changed series; no
    /// allocation once warm, unless texts change.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Full`], [`HistoryError::ReadOnly`] or
    /// [`HistoryError::Write`] when the disk did not take it. That is counted
    /// and shown in the health of `history` until recording works again, so a
    /// caller need not do anything about it.
    pub fn append(
        &self,
        at: Timestamp,
        numbers: &[(&str, f64)],
        texts: &[(&str, &str)],
    ) -> Result<(), HistoryError> {
        let mut state = self.state();
        let was_recording = state.is_recording();
        let recorded = state.append(at, numbers, texts);
        let not_recorded = state.points_not_recorded();
        self.points.store(state.points(), Ordering::Relaxed);
        drop(state);
        if let Some(health) = &self.health {
            match &recorded {
                Ok(()) if was_recording => {}
                Ok(()) => {
                    tracing::info!(not_recorded, "the history is recorded again");
                    health.set("history", Condition::Ready);
                }
                Err(error) => {
                    if was_recording {
                        tracing::warn!(
                            error = error as &dyn std::error::Error,
                            "the history is not recorded"
                        );
                    }
                    let reason = format!("history: {}, {not_recorded} points dropped", error.in_short());
                    health.set("history", Condition::Degraded(reason));
                }
            }
        }
        recorded
    }

    /// Makes every recorded point durable, if some are not. Blocks on the disk
    /// (0.1 ms to some 10 ms) without holding up [`Self::append`] or [`Self::query`].
    pub fn sync(&self) {
        let unsynced = self.state().log_mut().and_then(Log::take_unsynced);
        let Some((sequence, file)) = unsynced else { return };
        if let Err(error) = file.sync_data() {
            // After a failed sync the system may have forgotten the pages: the
            // segment is left alone, and the next point starts a new one.
            tracing::warn!(%error, "failed to make the history durable");
            let mut state = self.state();
            state.stop_recording();
            if let Some(log) = state.log_mut() {
                log.abandon_if_active(sequence);
            }
            drop(state);
            if let Some(health) = &self.health {
                let reason = format!("history: points may not be durable ({})", error.kind());
                health.set("history", Condition::Degraded(reason));
            }
        }
    }

    /// Calls [`Self::sync`] when points have waited for
    /// [`HistoryOptions::sync_every`]; to be called after every tick.
    pub fn sync_if_due(&self) {
        let is_due = self.state().log_mut().is_some_and(|log| log.is_sync_due(self.sync_every));
        if is_due {
            self.sync();
        }
    }

    /// Returns the newest points that a query admits, oldest first.
    ///
    /// Points are taken in the order in which they arrived. Where the wall
    /// clock jumped back, times in the answer do too, and a step that is met
    /// twice has two points.
    ///
    /// Cost: a copy of each returned point. What is older than the memory is
    /// read from the disk, one segment (4 MiB, about 60 ms) after the other;
    /// segments that lie outside `from` and `to` are passed over.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Read`] when a segment cannot be read.
    pub fn query(&self, query: &HistoryQuery) -> Result<Vec<Point>, HistoryError> {
        let mut answer = Answer::new(query);
        let older = self.state().answer(&mut answer);
        if let Some(older) = older.filter(|_| !answer.is_complete()) {
            let learned = older.complete(&mut answer)?;
            self.remember(&learned);
        }
        Ok(answer.finish())
    }

    /// Returns the number of points in memory. Takes no lock, so an executor may ask.
    pub fn len(&self) -> usize {
        self.points.load(Ordering::Relaxed)
    }

    /// Returns whether there is no point in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what the history holds and what it lost. May wait while a point is
    /// recorded: for the disk, now and then.
    pub fn statistics(&self) -> HistoryStatistics {
        self.state().statistics()
    }

    fn remember(&self, learned: &[Learned]) {
        let mut state = self.state();
        for one in learned {
            state.learn(one);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_points_is_known_while_one_is_recorded() {
        let capacity = NonZeroUsize::new(3).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let options = HistoryOptions { head_points: capacity, ..HistoryOptions::default() };
        let open = || History::open(directory.path(), options, Arc::default()).unwrap();
        let history = open();
        for second in 1..=5 {
            history.append(Timestamp::from_nanos(second), &[("a", 1.0)], &[]).unwrap();
            // As while a segment is made durable.
            let recording = history.state();
            assert_eq!(history.len(), usize::try_from(second).unwrap().min(3));
            drop(recording);
        }
        drop(history);
        assert_eq!(open().len(), 3);
    }
}
