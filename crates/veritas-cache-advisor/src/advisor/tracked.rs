//! One namespace under analysis: its estimators, and what was counted since the watch began.

use std::time::Duration;

use veritas_cache::{Access, AccessKind, NamespaceId, NamespaceReading, NamespaceStatistics, Tuning};
use veritas_model::{Bytes, Moments, Monotonic};

use super::shared::Kept;
use crate::{
    AdvisorOptions, EstimatorOptions, MissRatioCurve, MissRatioEstimator, TtlCurve, TtlEstimator, TtlOptions,
    hot_keys::{BigKeys, HotKeys},
    proposals::{budget::Funding, steady::Steady},
    recording::Recorded,
    sample::SampleRate,
};

/// The sizes that are simulated lie this far from each other.
const STEP: f64 = 1.5;
/// So many below and above what the namespace can hold.
const BELOW: i32 = 7;
const ABOVE: i32 = 8;
/// Keys whose times to live are followed: three quarters of a MiB.
const TTL_KEYS: usize = 2_560;
/// Fewer entries do not replace what is known of earlier ones.
const TELLING: u64 = 16;
/// No cache is simulated below this.
const SMALLEST: u64 = 16 * 1024;

/// What had been counted at a time.
#[derive(Debug, Clone, Copy)]
struct Mark {
    statistics: NamespaceStatistics,
    loads: Moments,
    at: Monotonic,
}

/// One namespace under analysis.
pub(crate) struct Tracked {
    pub(crate) id: NamespaceId,
    pub(crate) name: String,
    pub(crate) tuning: Tuning,
    /// What the curve's sizes lie around.
    around: Bytes,
    curve: MissRatioEstimator,
    /// The curve of the window before, for the time in which this one says nothing yet.
    last_curve: MissRatioCurve,
    ttl: TtlEstimator,
    /// That of the window before, for the same time.
    last_ttl_curve: TtlCurve,
    pub(crate) hot: HotKeys,
    pub(crate) big: BigKeys,
    /// The counts are since the older of two marks, so that they always cover a window.
    marks: [Mark; 2],
    /// What the budget of time allows, of the keys.
    pub(crate) allowed: SampleRate,
    /// Since when there would be room for a higher rate.
    pub(crate) room_since: Option<Monotonic>,
    /// Accesses since the last turn: those that came, and look-ups among those analysed.
    pub(crate) came: u64,
    fed_look_ups: u64,
    look_ups_before: u64,
    pub(crate) steady: Steady,
    /// What an entry weighs on average, once one was held.
    pub(crate) entry_bytes: Option<f64>,
    /// Who was last asked to give it bytes.
    pub(crate) funding: Option<Funding>,
}

impl Tracked {
    pub(crate) fn new(reading: &NamespaceReading, capacity: Bytes, total: Bytes, now: Monotonic) -> Self {
        let mark = Mark { statistics: reading.statistics, loads: reading.load_cost, at: now };
        Self {
            id: reading.id,
            name: reading.name.clone(),
            tuning: reading.tuning.clone(),
            around: capacity,
            curve: estimator(reading.tuning.ttl, capacity, total),
            last_curve: MissRatioCurve::default(),
            ttl: ttl_estimator(),
            last_ttl_curve: TtlCurve::default(),
            hot: HotKeys::default(),
            big: BigKeys::default(),
            marks: [mark; 2],
            allowed: SampleRate::ALL,
            room_since: None,
            came: 0,
            fed_look_ups: 0,
            look_ups_before: reading.statistics.total_requests(),
            steady: Steady::default(),
            entry_bytes: None,
            funding: None,
        }
    }

    /// Takes in one access, which is in the sample.
    pub(crate) fn feed(&mut self, access: &Access, kept: &mut Kept) {
        match access.kind {
            AccessKind::Hit | AccessKind::Miss => {
                self.hot.count(access.key);
                self.fed_look_ups += 1;
            }
            AccessKind::Store { weight, .. } => self.big.stored(access.key, weight, access.at_ms),
            AccessKind::Delete => self.big.removed(access.key),
        }
        self.curve.feed(access);
        self.ttl.feed(access);
        kept.recording.push(Recorded { key: access.key, at_ms: access.at_ms, kind: access.kind });
    }

    /// Ends the feeding of a turn: what was not sampled is told from the exact counts.
    pub(crate) fn fed(&mut self, reading: &NamespaceReading, now_ms: u64) {
        self.entry_bytes = entry_bytes(reading, self.entry_bytes);
        if let Some(mean) = self.entry_bytes {
            self.curve.expect_entries(mean);
        }
        let look_ups = reading.statistics.total_requests();
        let came = look_ups.saturating_sub(self.look_ups_before);
        let skipped = came.saturating_sub(self.fed_look_ups);
        self.curve.skipped(skipped);
        self.ttl.skipped(skipped);
        self.hot.skipped(skipped);
        let life = reading.tuning.ttl.saturating_add(reading.tuning.stale);
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        self.big.expire(now_ms.saturating_sub(life_ms));
        self.look_ups_before = look_ups;
        self.fed_look_ups = 0;
    }

    /// Looks at fewer keys from now on.
    pub(crate) fn lower_to(&mut self, rate: SampleRate, kept: &mut Kept) {
        self.allowed = rate;
        self.curve.lower_to(rate);
        self.ttl.lower_to(rate);
        if rate < kept.recording.rate() {
            kept.recording.set_rate(rate);
        }
    }

    /// Looks at more keys from now on: estimators and recording begin anew, since they
    /// would know some keys' accesses in part.
    pub(crate) fn raise_to(&mut self, rate: SampleRate, total: Bytes, kept: &mut Kept) {
        self.allowed = rate;
        kept.recording.set_rate(rate);
        self.ttl = ttl_estimator();
        self.curve = estimator(self.tuning.ttl, self.around, total);
        self.curve.lower_to(rate);
        self.ttl.lower_to(rate);
    }

    /// Returns the highest hash of which the tap must tell: what any of the analyses still samples.
    /// It tells no more than that from now on, and the times to live are told so.
    pub(crate) fn threshold(&mut self, kept: &Kept) -> u64 {
        let estimated = self.curve.threshold().max(self.ttl.threshold());
        let wanted = estimated.max(kept.recording.rate().threshold());
        let threshold = wanted.min(self.allowed.threshold());
        self.ttl.lower_to(SampleRate::at_most(threshold));
        threshold
    }

    /// Notes how the namespace is set; returns whether that is news. What was counted
    /// under other settings says little about these.
    pub(crate) fn settle(
        &mut self,
        reading: &NamespaceReading,
        capacity: Bytes,
        total: Bytes,
        now: Monotonic,
    ) -> bool {
        let is_news = self.tuning != reading.tuning;
        let is_reset = reading.statistics.total_requests() < self.marks[1].statistics.total_requests();
        if is_news || is_reset {
            let mark = Mark { statistics: reading.statistics, loads: reading.load_cost, at: now };
            self.marks = [mark; 2];
            self.steady.forget();
        }
        if is_reset {
            self.look_ups_before = 0;
        }
        if self.tuning.ttl != reading.tuning.ttl || is_far(self.around, capacity) {
            self.curve = estimator(reading.tuning.ttl, capacity, total);
            self.curve.lower_to(self.allowed);
            self.last_curve = MissRatioCurve::default();
            self.around = capacity;
        }
        self.tuning = reading.tuning.clone();
        is_news
    }

    /// Begins a new window when the present one is over.
    pub(crate) fn rotate(&mut self, reading: &NamespaceReading, window: Duration, now: Monotonic) {
        if now.since(self.marks[1].at) >= window {
            let mark = Mark { statistics: reading.statistics, loads: reading.load_cost, at: now };
            self.marks = [self.marks[1], mark];
            self.last_curve = self.curve.curve();
            self.curve.start_window();
            self.last_ttl_curve = self.ttl.curve();
            self.ttl.start_window();
            self.hot.fade();
        }
    }

    /// Returns the curve: that of this window, or of the one before while this one says nothing.
    pub(crate) fn curve(&self, options: &AdvisorOptions) -> MissRatioCurve {
        let curve = self.curve.curve();
        let is_short = curve.look_ups < options.fewest_look_ups.max(self.last_curve.look_ups / 2);
        if is_short && !self.last_curve.points.is_empty() { self.last_curve.clone() } else { curve }
    }

    /// Returns the curve over the time to live: that of this window, or of the one before.
    pub(crate) fn ttl_curve(&self, options: &AdvisorOptions) -> TtlCurve {
        let curve = self.ttl.curve();
        let is_short = curve.look_ups < options.fewest_look_ups.max(self.last_ttl_curve.look_ups / 2);
        if is_short && !self.last_ttl_curve.points.is_empty() { self.last_ttl_curve.clone() } else { curve }
    }

    /// Returns what was counted since the older mark, the loads among it, and how long ago that was.
    pub(crate) fn counted(
        &self,
        reading: &NamespaceReading,
        now: Monotonic,
    ) -> (NamespaceStatistics, Moments, Duration) {
        let [mark, _] = &self.marks;
        let counted = difference(&reading.statistics, &mark.statistics);
        (counted, reading.load_cost.since(&mark.loads), now.since(mark.at))
    }
}

/// Returns what the entries of a namespace weigh on average: those that it holds, or, while they
/// are few, those that it held `before`.
#[expect(clippy::cast_precision_loss, reason = "weights in bytes stay below 2^53")]
fn entry_bytes(reading: &NamespaceReading, before: Option<f64>) -> Option<f64> {
    let entries = reading.memory.entries;
    let is_known = entries >= if before.is_some() { TELLING } else { 1 };
    if is_known { Some(reading.weight.get() as f64 / entries as f64) } else { before }
}

fn ttl_estimator() -> TtlEstimator {
    TtlEstimator::new(&TtlOptions { max_keys: TTL_KEYS, ..TtlOptions::default() })
}

fn estimator(ttl: Duration, capacity: Bytes, total: Bytes) -> MissRatioEstimator {
    let options = EstimatorOptions { time_to_live: Some(ttl), ..EstimatorOptions::default() };
    MissRatioEstimator::new(&sizes(capacity, total), options)
}

/// Returns the sizes to simulate: geometric around what the namespace can hold, which
/// is one of them, and none above what there is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sizes stay below 2^53, and a float-to-int cast saturates"
)]
fn sizes(capacity: Bytes, total: Bytes) -> Vec<Bytes> {
    let here = capacity.get().max(SMALLEST);
    let most = total.get().max(here);
    let mut sizes: Vec<Bytes> = (-BELOW..=ABOVE)
        .map(|step| if step == 0 { here } else { (here as f64 * STEP.powi(step)) as u64 })
        .map(|size| Bytes::new(size.clamp(SMALLEST, most)))
        .collect();
    sizes.dedup();
    sizes
}

/// Returns whether a capacity is so far from what the sizes lie around that they tell little of it.
fn is_far(around: Bytes, capacity: Bytes) -> bool {
    let (one, other) = (around.get().max(SMALLEST), capacity.get().max(SMALLEST));
    one.max(other) > one.min(other).saturating_mul(3)
}

/// Returns what was counted after `earlier`. Only what the analyses read is filled in.
fn difference(now: &NamespaceStatistics, earlier: &NamespaceStatistics) -> NamespaceStatistics {
    NamespaceStatistics {
        hits: now.hits.saturating_sub(earlier.hits),
        misses: now.misses.saturating_sub(earlier.misses),
        sets: now.sets.saturating_sub(earlier.sets),
        deletes: now.deletes.saturating_sub(earlier.deletes),
        expirations: now.expirations.saturating_sub(earlier.expirations),
        evictions: now.evictions.saturating_sub(earlier.evictions),
        loads: now.loads.saturating_sub(earlier.loads),
        refreshes: now.refreshes.saturating_sub(earlier.refreshes),
        coalesced: now.coalesced.saturating_sub(earlier.coalesced),
        ..NamespaceStatistics::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn sizes_lie_around_the_capacity_and_end_at_the_total() {
        let around = sizes(Bytes::new(MIB), Bytes::new(4 * MIB));
        assert!(around.len() <= 16 && around.contains(&Bytes::new(MIB)));
        assert_eq!(around.last(), Some(&Bytes::new(4 * MIB)));
        assert!(around.windows(2).all(|pair| pair[0] < pair[1]), "{around:?}");
        assert_eq!(sizes(Bytes::new(0), Bytes::new(0)), [Bytes::new(SMALLEST)]);
    }

    #[test]
    fn a_capacity_that_moves_a_little_keeps_its_curve() {
        assert!(!is_far(Bytes::new(MIB), Bytes::new(2 * MIB)));
        assert!(is_far(Bytes::new(MIB), Bytes::new(4 * MIB)));
        assert!(is_far(Bytes::new(4 * MIB), Bytes::new(MIB)));
    }
}
