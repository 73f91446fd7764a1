//! What is kept of one statement under one label.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
};

use veritas_model::{Caller, Fingerprint, Moments, WorkMetric, WorkTotals};
use veritas_statistics::Histogram;

use super::{CallSite, Execution, OTHER};
use crate::{
    CallerCount, RequestRepetitions, StatementKind, StatementStatistics, Value, context::Repetition,
    fingerprint::NormalizedStatement, shape::Shape,
};

/// Two: while one is read, the other is free for the application.
const STRIPES: usize = 2;
/// Places kept per statement.
const CALLERS: usize = 16;
/// Parameter vectors kept per statement.
const SAMPLES: usize = 16;
/// Values in a vector, and bytes of it, beyond which it is not kept.
const SAMPLE_VALUES: usize = 64;
const SAMPLE_BYTES: usize = 4096;
/// Bytes of a text beyond which it is not kept.
const SAMPLE_TEXT: usize = 16 * 1024;
/// Every so many calls, one kept vector makes room for the present one.
const SAMPLE_EVERY: u64 = 1024;
/// Request names kept per statement.
const REQUESTS: usize = 16;
/// Places kept per statement and request name.
const PLACES: usize = 4;

/// One statement under one label.
pub(crate) struct Entry {
    name: Box<str>,
    label: Option<Box<str>>,
    statement: Arc<NormalizedStatement>,
    is_other: bool,
    stripes: [Mutex<Counters>; STRIPES],
    shape: OnceLock<Shape>,
    /// The text of one successful call, literals and all: never stored or served.
    sample_sql: OnceLock<Arc<str>>,
    requests: Mutex<Vec<RequestRepetitions>>,
}

#[derive(Default)]
struct Counters {
    calls: u64,
    errors: u64,
    rows_returned: u64,
    rows_affected: u64,
    slow: u64,
    seconds: Moments,
    vm_steps: Moments,
    nanoseconds: Histogram,
    callers: Vec<CallerCount>,
    samples: Vec<Vec<Value>>,
}

/// Without the samples: what is logged holds no literals.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("fingerprint", &self.statement.fingerprint)
            .finish_non_exhaustive()
    }
}

thread_local! {
    static STRIPE: Cell<usize> = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES)
    };
}

impl Entry {
    pub(super) fn new(label: Option<&str>, statement: Arc<NormalizedStatement>) -> Self {
        Self {
            name: label.map_or_else(|| statement.fingerprint.to_string(), str::to_owned).into(),
            label: label.map(Into::into),
            statement,
            is_other: false,
            stripes: Default::default(),
            shape: OnceLock::new(),
            sample_sql: OnceLock::new(),
            requests: Mutex::default(),
        }
    }

    /// The bucket of the statements beyond the limit.
    pub(super) fn other() -> Self {
        let statement = NormalizedStatement {
            text: "".into(),
            fingerprint: Fingerprint::of_normalized(OTHER),
            kind: StatementKind::Other,
            has_parameters: false,
        };
        Self { name: OTHER.into(), is_other: true, ..Self::new(None, Arc::new(statement)) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn statement(&self) -> &NormalizedStatement {
        &self.statement
    }

    /// Returns whether this is one statement (and not the `other` bucket, nor a
    /// label without a statement).
    pub(crate) fn is_tracked(&self) -> bool {
        !self.is_other && !self.statement.text.is_empty()
    }

    /// Returns the shape of the text, parsed when it is first asked for.
    pub(crate) fn shape(&self) -> &Shape {
        self.shape.get_or_init(|| Shape::of_normalized(&self.statement.text))
    }

    /// Counts one execution.
    pub(super) fn add(&self, execution: &Execution<'_>, is_slow: bool, keep_parameters: bool) {
        let counters = &mut *self.free_stripe();
        let seconds = execution.elapsed.as_secs_f64();
        counters.calls += 1;
        counters.errors += u64::from(execution.error);
        counters.rows_returned = counters.rows_returned.saturating_add(execution.rows_returned);
        counters.rows_affected = counters.rows_affected.saturating_add(execution.rows_affected);
        counters.slow += u64::from(is_slow);
        counters.seconds.add(seconds);
        if let Some(steps) = execution.vm_steps {
            #[expect(clippy::cast_precision_loss, reason = "a call of 2^53 steps would take a month")]
            counters.vm_steps.add(steps as f64);
        }
        counters.nanoseconds.record(u64::try_from(execution.elapsed.as_nanos()).unwrap_or(u64::MAX));
        if let Some(site) = execution.caller {
            counters.add_caller(site);
        }
        if keep_parameters && !execution.error {
            if !execution.parameters.is_empty() {
                counters.add_sample(execution.parameters);
            }
            if self.is_tracked() && execution.sql.len() <= SAMPLE_TEXT {
                self.sample_sql.get_or_init(|| execution.sql.into());
            }
        }
    }

    /// Locks a stripe that nobody holds; waits only when all are held.
    fn free_stripe(&self) -> MutexGuard<'_, Counters> {
        let own = STRIPE.try_with(Cell::get).unwrap_or(0);
        for offset in 0..STRIPES {
            match self.stripes[(own + offset) % STRIPES].try_lock() {
                Ok(counters) => return counters,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        locked(&self.stripes[own])
    }

    /// Adds one request that ran the statement.
    pub(crate) fn add_request(&self, repetition: Repetition<'_>) {
        let mut requests = locked(&self.requests);
        let known = requests.iter_mut().position(|known| known.request == repetition.request);
        let index = match known {
            Some(index) => index,
            None if requests.len() < REQUESTS => {
                requests.push(RequestRepetitions::of(repetition.request));
                requests.len() - 1
            }
            // Names beyond the limit (request names with identifiers in them,
            // most likely) are not looked at for repetitions.
            None => return,
        };
        let repetitions = &mut requests[index];
        repetitions.requests += 1;
        repetitions.total_calls += repetition.calls;
        repetitions.most_calls = repetitions.most_calls.max(repetition.calls);
        if repetition.is_repeating {
            repetitions.repeating += 1;
            repetitions.calls += repetition.calls;
            repetitions.seconds += repetition.seconds;
            add_place(&mut repetitions.callers, repetition.caller);
        }
        if repetition.redundant_calls > 0 {
            repetitions.redundant += 1;
            repetitions.redundant_calls += repetition.redundant_calls;
            repetitions.redundant_seconds += repetition.redundant_seconds;
            add_place(&mut repetitions.redundant_callers, repetition.redundant_caller);
        }
    }

    /// Returns what the statement has cost so far.
    pub(super) fn work(&self) -> WorkTotals {
        let (mut vm_steps, mut seconds) = (Moments::default(), Moments::default());
        for stripe in &self.stripes {
            let counters = locked(stripe);
            vm_steps = vm_steps.and(&counters.vm_steps);
            seconds = seconds.and(&counters.seconds);
        }
        WorkTotals {
            fingerprint: self.statement.fingerprint,
            name: self.name.to_string(),
            metric: WorkMetric::VmSteps,
            steps: vm_steps,
            seconds,
        }
    }

    /// Returns everything known of the statement.
    pub(crate) fn statistics(&self) -> StatementStatistics {
        let mut sum = Counters::default();
        for stripe in &self.stripes {
            let counters = locked(stripe);
            sum.calls += counters.calls;
            sum.errors += counters.errors;
            sum.rows_returned = sum.rows_returned.saturating_add(counters.rows_returned);
            sum.rows_affected = sum.rows_affected.saturating_add(counters.rows_affected);
            sum.slow += counters.slow;
            sum.seconds = sum.seconds.and(&counters.seconds);
            sum.vm_steps = sum.vm_steps.and(&counters.vm_steps);
            sum.nanoseconds.merge(&counters.nanoseconds);
            for place in &counters.callers {
                match sum.callers.iter_mut().find(|known| known.caller == place.caller) {
                    Some(known) => known.calls += place.calls,
                    None => sum.callers.push(place.clone()),
                }
            }
            sum.samples.extend(counters.samples.iter().cloned());
        }
        sum.callers
            .sort_by(|left, right| right.calls.cmp(&left.calls).then_with(|| left.caller.cmp(&right.caller)));
        sum.callers.truncate(CALLERS);
        let mut sample_parameters: Vec<Vec<Value>> = Vec::new();
        for sample in sum.samples {
            if sample_parameters.len() < SAMPLES && !sample_parameters.contains(&sample) {
                sample_parameters.push(sample);
            }
        }
        StatementStatistics {
            name: self.name.to_string(),
            label: self.label.as_deref().map(str::to_owned),
            fingerprint: self.statement.fingerprint,
            normalized: Arc::clone(&self.statement.text),
            kind: self.statement.kind,
            tables: Arc::clone(&self.shape().tables),
            calls: sum.calls,
            errors: sum.errors,
            rows_returned: sum.rows_returned,
            rows_affected: sum.rows_affected,
            slow: sum.slow,
            total_seconds: sum.seconds.sum,
            seconds: sum.seconds,
            vm_steps: sum.vm_steps,
            histogram: sum.nanoseconds,
            callers: sum.callers,
            sample_parameters,
            sample_sql: self.sample_sql.get().cloned(),
            repetitions: locked(&self.requests).clone(),
        }
    }
}

impl Counters {
    /// Counts a place. When there are more places than are kept, the rarest
    /// makes room and bequeaths its count (Space-Saving, Metwally et al. 2005),
    /// so frequent places are always among them.
    fn add_caller(&mut self, site: CallSite<'_>) {
        let known = self
            .callers
            .iter_mut()
            .find(|place| place.caller.line == site.line && place.caller.file == site.file);
        if let Some(place) = known {
            place.calls += 1;
        } else if self.callers.len() < CALLERS {
            self.callers.push(CallerCount { caller: site.into(), calls: 1 });
        } else if let Some(rarest) = self.callers.iter_mut().min_by_key(|place| place.calls) {
            rarest.caller.file.clear();
            rarest.caller.file.push_str(site.file);
            rarest.caller.line = site.line;
            rarest.calls += 1;
        }
    }

    fn add_sample(&mut self, parameters: &[Value]) {
        let is_turn = self.calls.is_multiple_of(SAMPLE_EVERY);
        if self.samples.len() >= SAMPLES && !is_turn {
            return;
        }
        let is_small = parameters.len() <= SAMPLE_VALUES
            && parameters.iter().map(Value::size).sum::<usize>() <= SAMPLE_BYTES;
        if !is_small || self.samples.iter().any(|known| known == parameters) {
            return;
        }
        if self.samples.len() < SAMPLES {
            self.samples.push(parameters.to_vec());
        } else {
            let turn = usize::try_from(self.calls / SAMPLE_EVERY).unwrap_or(0) % SAMPLES;
            self.samples[turn] = parameters.to_vec();
        }
    }
}

/// Counts a place among the few that are kept; the rarest makes room, as in [`Counters::add_caller`].
fn add_place(places: &mut Vec<CallerCount>, caller: Option<Caller>) {
    let Some(caller) = caller else { return };
    if let Some(known) = places.iter_mut().find(|known| known.caller == caller) {
        known.calls += 1;
    } else if places.len() < PLACES {
        places.push(CallerCount { caller, calls: 1 });
    } else if let Some(rarest) = places.iter_mut().min_by_key(|place| place.calls) {
        rarest.caller = caller;
        rarest.calls += 1;
    }
    places.sort_by(|left, right| right.calls.cmp(&left.calls).then_with(|| left.caller.cmp(&right.caller)));
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
