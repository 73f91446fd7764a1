//! Advice on the size of a pool, from what was measured of it.

use veritas_model::{Cause, Finding, FindingKind, Impact, Observation, Subject, Timestamp, Unit};

use super::{
    PoolStatistics, PoolWindow,
    meter::WINDOWS,
    queueing::{load_with, mean_wait, servers_for, wait_probability},
};

/// Arrivals, and connections given back, of a minute that advice may rest on.
const ENOUGH: u64 = 200;
/// The share of arrivals that wait from which a pool is called too small.
const TOO_MANY_WAIT: f64 = 0.05;
/// The share of arrivals that may wait at the size that is advised.
const MAY_WAIT: f64 = 0.01;
/// A pool that may open this many connections, and twice what is advised, is called too large.
const LARGE: u32 = 10;

/// What the measurements say about a pool's size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolAdvice {
    /// Connections that it may open now.
    pub size: u32,
    /// Connections that it should be allowed to open.
    pub advised: u32,
    /// The busiest minute's load, in connections.
    pub load: f64,
    /// The share of that minute's arrivals that waited.
    pub waiting_share: f64,
    /// The share that would wait at the advised size, by the model.
    pub advised_waiting_share: f64,
    /// The share that the model expects to wait at the present size, were arrivals independent
    /// of each other. Far below [`Self::waiting_share`], they came in bursts.
    pub modelled_waiting_share: f64,
    /// Mean seconds that an arrival waited.
    pub wait_seconds: f64,
    /// Mean seconds that the model expects at the advised size.
    pub advised_wait_seconds: f64,
    /// Whether the size is worth changing.
    pub is_worth_it: bool,
}

impl PoolAdvice {
    /// Judges a pool by its busiest minute: the smallest size at which at most one of a hundred
    /// arrivals waits (Erlang C). Arrivals that waited more often than independent ones would
    /// have stand for a larger load, the one under which as many would wait.
    ///
    /// `None` without a gauge, or without a minute of 200 arrivals.
    ///
    /// Assumed: arrivals go on as in that minute, and the database serves more connections as
    /// fast as now. Where it is short of processors or waits for locks, it does not.
    pub fn of(statistics: &PoolStatistics) -> Option<Self> {
        let size = u32::try_from(statistics.reading?.max).ok().filter(|size| *size > 0)?;
        let window = statistics.busiest().filter(|window| is_enough(window))?;
        let (load, waiting_share) = (window.load()?, window.waiting_share()?);
        let service = window.held.mean()?;
        let variation = window.held.variance().map_or(1.0, |variance| variance.max(0.0).sqrt() / service);
        let effective = load.max(load_with(size, waiting_share));
        let in_use = u32::try_from(window.most_in_use).unwrap_or(u32::MAX);
        let modelled = servers_for(effective, MAY_WAIT);
        // Shrinking goes no further than what was in use at the same time.
        let advised = if modelled < size { modelled.max(in_use.min(size)) } else { modelled };
        let is_too_small = waiting_share >= TOO_MANY_WAIT && advised > size;
        let is_too_large = size >= LARGE
            && size >= advised.saturating_mul(2)
            && waiting_share <= MAY_WAIT
            && statistics.windows.len() == WINDOWS;
        Some(Self {
            size,
            advised,
            load,
            waiting_share,
            advised_waiting_share: wait_probability(advised, effective),
            modelled_waiting_share: wait_probability(size, load),
            wait_seconds: window.wait_seconds / float(window.arrivals),
            advised_wait_seconds: mean_wait(advised, effective, service, variation),
            is_worth_it: is_too_small || is_too_large,
        })
    }
}

fn is_enough(window: &PoolWindow) -> bool {
    window.arrivals >= ENOUGH && window.held.count >= ENOUGH
}

/// Finds that a pool is too small or too large.
pub(crate) fn find(statistics: &PoolStatistics, now: Timestamp) -> Option<Finding> {
    let advice = PoolAdvice::of(statistics).filter(|advice| advice.is_worth_it)?;
    let window = statistics.busiest()?;
    let subject = Subject::Server { name: statistics.name.clone(), part: Some("pool".to_owned()) };
    let observe = |name: &str, value: f64, unit| Observation::measured(name, value, unit, now);
    let is_too_small = advice.advised > advice.size;
    let assumed =
        "assumed that arrivals stay as they are and that the database serves more connections as fast";
    let (recommendation, impact) = if is_too_small {
        let text = format!(
            "Let it open {} connections instead of {}: {:.1} % of those who asked in its busiest minute waited, \
             {:.1} ms in the mean of all; then about {:.1} % would (M/M/c; {assumed}). Hold connections for a \
             shorter time, where you can, before the server's own limit is near",
            advice.advised,
            advice.size,
            advice.waiting_share * 100.0,
            advice.wait_seconds * 1e3,
            advice.advised_waiting_share * 100.0,
        );
        // Of the time from asking to giving back, the share that was waiting.
        let waiting = advice.wait_seconds / (advice.wait_seconds + window.held.mean()?);
        (text, Impact::of_time_share(waiting))
    } else {
        let text = format!(
            "Let it open {} connections instead of {}: its busiest minute of {WINDOWS} kept {:.1} busy (M/M/c; \
             {assumed}); each connection takes memory of the server",
            advice.advised, advice.size, advice.load,
        );
        (text, Impact::Low)
    };
    Some(Finding {
        id: Finding::identity(FindingKind::PoolSize, &subject),
        kind: FindingKind::PoolSize,
        subject,
        cause: Cause::ServerCondition {
            section: "pool".to_owned(),
            detail: format!(
                "{} connections for a load of {:.1}, {:.1} % of the arrivals waited",
                advice.size,
                advice.load,
                advice.waiting_share * 100.0
            ),
        },
        recommendation,
        impact,
        evidence: vec![
            observe("pool_size", f64::from(advice.size), Unit::Count),
            observe("advised_size", f64::from(advice.advised), Unit::Count),
            observe("load_in_connections", advice.load, Unit::Count),
            observe("arrivals_per_second", window.arrivals_per_second(), Unit::Count),
            observe("mean_held_seconds", window.held.mean()?, Unit::Seconds),
            observe("mean_wait_seconds", advice.wait_seconds, Unit::Seconds),
            observe("waiting_share", advice.waiting_share, Unit::Ratio),
            observe("waiting_share_by_the_model", advice.modelled_waiting_share, Unit::Ratio),
            observe("waiting_share_at_the_advised_size", advice.advised_waiting_share, Unit::Ratio),
            observe("wait_seconds_at_the_advised_size", advice.advised_wait_seconds, Unit::Seconds),
            observe("minutes_measured", float(statistics.windows.len() as u64), Unit::Count),
        ],
        callers: Vec::new(),
        found_at: now,
        seen_at: now,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of minutes")]
fn float(count: u64) -> f64 {
    count as f64
}
