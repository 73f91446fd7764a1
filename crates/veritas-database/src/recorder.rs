//! The recorder: counts every statement of the application, in its own threads,
//! in well under a microsecond.
//!
//! What one call costs once warm: a hash of the text and a look-up in the
//! thread's own cache, a read lock on one of 16 shards, and one uncontended
//! mutex of the statement. Every statement has two stripes, so that whoever
//! reads the statistics never makes the application wait. Nothing is allocated.

mod call;
mod entry;
mod execution;
mod label;

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use veritas_model::{Clock, FindingId, Fingerprint, Timestamp, WorkTotals};

pub use call::StatementCall;
pub(crate) use entry::Entry;
pub use execution::{CallSite, Execution};

use crate::{
    ConnectionReading, PoolGauge, PoolMeter, PoolStatistics, SlowCall, StatementSnapshot,
    context::{self, RequestFrame},
    fingerprint::{NormalizedStatement, hash_key, of_text},
    pool::Pools,
    requests::Requests,
    shape,
};

const SHARDS: usize = 16;

/// The name of the bucket for statements beyond the limit.
pub(crate) const OTHER: &str = "other";

/// How the recorder behaves.
#[derive(Debug, Clone)]
pub struct RecorderOptions {
    /// A call that takes longer (not: as long) is slow. Default 1 s.
    pub slow_threshold: Duration,
    /// Different statements that are kept apart; further ones are counted
    /// together under the name `other`. Default 5 000.
    pub max_statements: NonZeroUsize,
    /// Whether up to 16 parameter vectors and one text of each statement, with
    /// its literals, are held in memory, for proofs. Default true.
    pub keep_parameters: bool,
    /// Slow calls that are remembered; the oldest goes first. Default 256.
    pub slow_log: NonZeroUsize,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            slow_threshold: Duration::from_secs(1),
            max_statements: NonZeroUsize::new(5_000).unwrap_or(NonZeroUsize::MIN),
            keep_parameters: true,
            slow_log: NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// A label's hash and a fingerprint: both are hashes already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    label: u64,
    fingerprint: Fingerprint,
}

impl std::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.label.rotate_left(32) ^ self.fingerprint.as_u64());
    }
}

/// Passes a hash through.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_key(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Shard = RwLock<HashMap<Key, Arc<Entry>, BuildHasherDefault<Identity>>>;

/// Counts the application's statements and finds what is slow about them.
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    clock: Arc<dyn Clock>,
    shards: [Shard; SHARDS],
    known: AtomicUsize,
    other: Arc<Entry>,
    dropped: AtomicU64,
    registered: AtomicBool,
    slow_log: Mutex<VecDeque<SlowCall>>,
    pools: Pools,
    requests: Arc<Requests>,
    first_found: Mutex<HashMap<FindingId, Timestamp>>,
    #[cfg(feature = "tracing")]
    sight: crate::sqlx_layer::Sight,
}

impl Recorder {
    /// Starts with nothing recorded.
    pub fn new(options: RecorderOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            options,
            clock,
            shards: std::array::from_fn(|_| Shard::default()),
            known: AtomicUsize::new(0),
            other: Arc::new(Entry::other()),
            dropped: AtomicU64::new(0),
            registered: AtomicBool::new(false),
            slow_log: Mutex::default(),
            pools: Pools::default(),
            requests: Arc::default(),
            first_found: Mutex::default(),
            #[cfg(feature = "tracing")]
            sight: crate::sqlx_layer::Sight::default(),
        }
    }

    /// Says that a source of statements is connected, so that zero calls mean
    /// zero. The recorder's own calls and the `tracing` layer say it themselves.
    pub fn register_source(&self) {
        self.registered.store(true, Ordering::Relaxed);
    }

    /// Counts one execution of a statement, under the label and in the request
    /// of this thread.
    ///
    /// Cost: see the module; it takes no lock that anyone holds for longer than
    /// a copy of counters, and allocates only for a statement, caller or
    /// parameter vector that is new.
    pub fn record(&self, execution: &Execution<'_>) {
        self.record_within(execution, None);
    }

    /// Counts an execution, in `request` when the thread itself is in none.
    pub(crate) fn record_within(&self, execution: &Execution<'_>, request: Option<&mut RequestFrame>) {
        self.record_statement(execution, &of_text(execution.sql), None, request);
    }

    /// Counts an execution whose source tells what was looked up only as a hash.
    #[cfg(any(feature = "diesel", feature = "sea-orm"))]
    pub(crate) fn record_keyed(&self, execution: &Execution<'_>, key: u64) {
        self.record_statement(execution, &of_text(execution.sql), Some(key), None);
    }

    /// Counts an execution of a statement that was looked up.
    fn record_statement(
        &self,
        execution: &Execution<'_>,
        (statement, text): &(Arc<NormalizedStatement>, u64),
        key: Option<u64>,
        mut request: Option<&mut RequestFrame>,
    ) {
        let recorded = context::with(|context| {
            let mut placed;
            let mut execution = execution;
            if execution.caller.is_none()
                && let Some(frame) = context.labels.last()
            {
                placed = *execution;
                placed.caller = Some(frame.site);
                execution = &placed;
            }
            let label = match (execution.label, context.labels.last_mut()) {
                (Some(label), frame) => {
                    if let Some(frame) = frame {
                        frame.statements += 1;
                    }
                    Some((label, hash_key(label.as_bytes())))
                }
                (None, Some(frame)) => {
                    frame.statements += 1;
                    Some((&*frame.name, frame.hash))
                }
                (None, None) => None,
            };
            let request = context.requests.last_mut().or(request.as_deref_mut());
            self.record_at(execution, statement, (*text, key), label, request);
        });
        if recorded.is_none() {
            let label = execution.label.map(|label| (label, hash_key(label.as_bytes())));
            self.record_at(execution, statement, (*text, key), label, request);
        }
    }

    fn record_at(
        &self,
        execution: &Execution<'_>,
        statement: &Arc<NormalizedStatement>,
        (text, looked_up): (u64, Option<u64>),
        label: Option<(&str, u64)>,
        request: Option<&mut RequestFrame>,
    ) {
        if !self.registered.load(Ordering::Relaxed) {
            self.register_source();
        }
        let is_slow = execution.elapsed > self.options.slow_threshold;
        let key = Key { label: label.map_or(0, |(_, hash)| hash), fingerprint: statement.fingerprint };
        let shard = &self.shards[usize::try_from(key.fingerprint.as_u64() >> 60).unwrap_or(0) % SHARDS];
        let record = |entry: &Arc<Entry>| {
            entry.add(execution, is_slow, self.options.keep_parameters);
            if is_slow {
                self.remember_slow(entry, execution, request.as_deref().map(|frame| &*frame.name));
            }
            if let Some(request) = request
                && entry.is_tracked()
            {
                let looked_up = looked_up.or_else(|| execution.key(statement, text));
                request.count(entry, looked_up, execution, self.clock.monotonic(), &self.requests);
            }
        };
        {
            let entries = shard.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.get(&key) {
                record(entry);
                return;
            }
        }
        record(&self.first_sighting(shard, key, label.map(|(name, _)| name), statement));
    }

    #[cold]
    fn first_sighting(
        &self,
        shard: &Shard,
        key: Key,
        label: Option<&str>,
        statement: &Arc<NormalizedStatement>,
    ) -> Arc<Entry> {
        let limit = self.options.max_statements.get();
        let is_room = self
            .known
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |known| (known < limit).then_some(known + 1))
            .is_ok();
        if !is_room {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Arc::clone(&self.other);
        }
        let entry = Arc::new(Entry::new(label, Arc::clone(statement)));
        let mut entries = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = entries.get(&key) {
            // Another thread saw it first.
            self.known.fetch_sub(1, Ordering::Relaxed);
            return Arc::clone(known);
        }
        entries.insert(key, Arc::clone(&entry));
        entry
    }

    #[cold]
    fn remember_slow(&self, entry: &Entry, execution: &Execution<'_>, request: Option<&str>) {
        let call = SlowCall {
            at: self.clock.now(),
            name: entry.name().to_owned(),
            fingerprint: entry.statement().fingerprint,
            normalized: Arc::clone(&entry.statement().text),
            elapsed: execution.elapsed,
            rows: execution.rows_returned.saturating_add(execution.rows_affected),
            failed: execution.error,
            request: request.map(str::to_owned),
            caller: execution.caller.map(Into::into),
        };
        let mut log = self.slow_log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() >= self.options.slow_log.get() {
            log.pop_front();
        }
        log.push_back(call);
    }

    /// Returns the remembered slow calls, oldest first.
    pub fn slow_log(&self) -> Vec<SlowCall> {
        self.slow_log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Returns everything recorded so far. Parses each statement once, when it
    /// is first read; not for the application's threads.
    pub fn snapshot(&self) -> StatementSnapshot {
        let mut statements: Vec<_> = self.entries().iter().map(|entry| entry.statistics()).collect();
        statements.retain(|statement| statement.calls > 0);
        statements.sort_by(|left, right| {
            right.total_seconds.total_cmp(&left.total_seconds).then_with(|| left.name.cmp(&right.name))
        });
        StatementSnapshot {
            taken_at: self.clock.now(),
            registered: self.registered.load(Ordering::Relaxed),
            total: statements.iter().map(|statement| statement.calls).sum(),
            total_seconds: statements.iter().map(|statement| statement.total_seconds).sum(),
            dropped: self.dropped.load(Ordering::Relaxed),
            requests: self.requests.read(),
            dropped_requests: self.requests.dropped(),
            pools: self.pools.statistics(),
            statements,
        }
    }

    /// Returns what the statements that touch any of these tables have cost so
    /// far. Names are compared without regard to case; a schema counts only
    /// when both sides have one.
    pub fn work(&self, tables: &[String]) -> Vec<WorkTotals> {
        self.entries()
            .iter()
            .filter(|entry| entry.shape().tables.iter().any(|table| shape::is_among(table, tables)))
            .map(|entry| entry.work())
            .collect()
    }

    /// Registers a connection pool; the same name again replaces it.
    pub fn register_pool(&self, name: &str, gauge: Arc<dyn PoolGauge>) {
        self.pools.register(name, gauge);
    }

    /// Returns the meter of a pool, making it when there is none: how often a connection is
    /// asked for, how long that takes, and how long it is held. At most 64 names are kept.
    ///
    /// With the pool's gauge registered under the same name, its size is judged too.
    pub fn pool(&self, name: &str) -> Arc<PoolMeter> {
        self.pools.meter(name, &self.clock)
    }

    /// Returns what was measured of the pools.
    pub fn pools(&self) -> Vec<PoolStatistics> {
        self.pools.statistics()
    }

    /// Reads the registered pools; `None` when there is none.
    pub fn connections(&self) -> Option<ConnectionReading> {
        self.pools.read()
    }

    /// Returns what is slow and why, as of `now`.
    pub fn findings(&self, now: Timestamp) -> Vec<veritas_model::Finding> {
        let entries = self.entries();
        let mut found = crate::findings::find(&entries, &self.requests.read(), now);
        found.extend(self.pools.findings(now));
        let mut first_found = self.first_found.lock().unwrap_or_else(PoisonError::into_inner);
        let current: std::collections::HashSet<_> = found.iter().map(|finding| finding.id.clone()).collect();
        // Findings do not go away (counters only grow), but the map stays as
        // small as the findings are.
        first_found.retain(|id, _| current.contains(id));
        for finding in &mut found {
            finding.found_at = *first_found.entry(finding.id.clone()).or_insert(now);
        }
        found
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn sight(&self) -> &crate::sqlx_layer::Sight {
        &self.sight
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Every statement, and the `other` bucket last.
    fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = Vec::with_capacity(self.known.load(Ordering::Relaxed) + 1);
        for shard in &self.shards {
            entries.extend(shard.read().unwrap_or_else(PoisonError::into_inner).values().cloned());
        }
        entries.push(Arc::clone(&self.other));
        entries
    }
}
