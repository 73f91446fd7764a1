//! The profile of one name: what its calls cost.

use std::{collections::BTreeMap, time::Duration};

use veritas_model::{Ratio, Timestamp};

use crate::{
    Site, recorder,
    site::{self, locked},
    slot::Reading,
    ticks::Scale,
};

/// What the calls of one name cost.
///
/// Durations of a future are wall time, from its first poll until it is ready.
/// Cancelled calls are counted apart and are in no duration but
/// [`self_time`](Self::self_time) and [`Polling::busy`].
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The name.
    pub name: String,
    /// The source file of the first site of that name.
    pub file: String,
    /// The line of the first site of that name, from 1.
    pub line: u32,
    /// The module of the first site of that name.
    pub module: String,
    /// Calls that ended by returning or by a panic.
    pub calls: u64,
    /// Calls among them that panicked, or that returned `Err` from a function
    /// whose written return type is a `Result`.
    pub errors: u64,
    /// Futures that were dropped after their first poll and before they were ready.
    pub cancelled: u64,
    /// Duration of the call that ended last; `None` when none has ended.
    pub last: Option<Duration>,
    /// When the last call ended; `None` when none has ended.
    pub last_at: Option<Timestamp>,
    /// The shortest call.
    pub min: Option<Duration>,
    /// The longest call.
    pub max: Option<Duration>,
    /// Mean over all calls.
    pub mean: Option<Duration>,
    /// Median, within 1/128 of its value.
    pub p50: Option<Duration>,
    /// 90th percentile, within 1/128 of its value.
    pub p90: Option<Duration>,
    /// 95th percentile, within 1/128 of its value.
    pub p95: Option<Duration>,
    /// 99th percentile, within 1/128 of its value.
    pub p99: Option<Duration>,
    /// Time with this name on the stack: recursive calls are counted once, in the outermost.
    pub total: Duration,
    /// Time on the stack less the time of profiled callees. Over all profiles
    /// the self times add up to the time spent in profiled code.
    pub self_time: Duration,
    /// Share of all profiles' self time that is this one's; `None` when there is none.
    pub share: Option<Ratio>,
    /// Time since the process first recorded anything, or since the last reset:
    /// what `total` may be divided by.
    pub observed: Duration,
    /// Of futures: what only they have.
    pub polling: Option<Polling>,
    /// Net bytes that the last call allocated; `None` where it is not measured
    /// (it is not yet).
    pub memory_net_bytes: Option<i64>,
    /// How often the arguments repeat; `None` unless the site asks for it.
    pub distinct_arguments: Option<DistinctArguments>,
}

/// What only futures have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Polling {
    /// Polls.
    pub polls: u64,
    /// Time inside polls; the rest of the wall time was waited.
    pub busy: Duration,
    /// The longest single poll: how long it kept its executor from others.
    pub longest_poll: Duration,
}

/// How often the arguments of a function repeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistinctArguments {
    /// Calls whose arguments were looked at. Fewer than all when threads met at
    /// the sketch: it is skipped then, not waited for.
    pub calls: u64,
    /// Distinct arguments among them.
    pub distinct: u64,
    /// Relative standard error of `distinct`: 0 up to 4096 distinct arguments
    /// (but for collisions of 64-bit hashes), then 0.0325.
    pub relative_error: f64,
    /// Calls that a cache of the last [`SIMULATED_ENTRIES`](crate::SIMULATED_ENTRIES) arguments would have
    /// answered (simulated: direct mapped, nothing expires).
    pub simulated_hits: u64,
}

impl DistinctArguments {
    /// Returns the share of calls that an endless cache would answer: `1 - distinct / calls`,
    /// or `None` without calls. No cache does better.
    pub fn highest_hit_ratio(&self) -> Option<Ratio> {
        Ratio::of(self.calls.saturating_sub(self.distinct), self.calls)
    }

    /// Returns the share of calls that the simulated cache would have answered.
    pub fn simulated_hit_ratio(&self) -> Option<Ratio> {
        Ratio::of(self.simulated_hits, self.calls)
    }
}

/// Reads the profile of every name that was called, sorted by name. Sites of one
/// name are one profile.
///
/// Cost: some microseconds for each site and thread; recording goes on meanwhile.
pub fn profiles() -> Vec<Profile> {
    let epoch = recorder::epoch();
    let mut by_name: BTreeMap<&'static str, Gathered> = BTreeMap::new();
    for site in site::all() {
        let gathered = by_name.entry(site.name()).or_insert_with(|| Gathered::new(site));
        for reading in site.slots().into_iter().filter_map(|slot| slot.read(epoch)) {
            gathered.reading.merge(&reading);
        }
        if let Some(seen) = locked(site.sketch()).as_ref().and_then(|sketch| sketch.read(epoch)) {
            gathered.see(seen);
        }
    }
    let scale = Scale::take();
    let observed = recorder::since().map_or(Duration::ZERO, |since| scale.since(since));
    let all_self: u64 = by_name.values().map(|gathered| gathered.reading.self_ticks).sum();
    by_name
        .into_values()
        .filter(|gathered| !gathered.reading.durations.is_empty() || gathered.reading.cancelled > 0)
        .map(|gathered| gathered.into_profile(&scale, observed, all_self))
        .collect()
}

/// Reads the profile of one name, or `None` when it was not called. Costs as much
/// as [`profiles`]: the share is of them all.
pub fn profile(name: &str) -> Option<Profile> {
    profiles().into_iter().find(|profile| profile.name == name)
}

/// What the sites of one name say together.
struct Gathered {
    site: &'static Site,
    reading: Reading,
    arguments: Option<DistinctArguments>,
}

impl Gathered {
    fn new(site: &'static Site) -> Self {
        Self { site, reading: Reading::default(), arguments: None }
    }

    /// Adds what a site says of its arguments. Two functions have no arguments in
    /// common, whatever their names.
    fn see(&mut self, seen: DistinctArguments) {
        self.arguments = Some(match self.arguments {
            None => seen,
            Some(before) => DistinctArguments {
                calls: before.calls + seen.calls,
                distinct: before.distinct + seen.distinct,
                relative_error: before.relative_error.max(seen.relative_error),
                simulated_hits: before.simulated_hits + seen.simulated_hits,
            },
        });
    }

    fn into_profile(self, scale: &Scale, observed: Duration, all_self: u64) -> Profile {
        let reading = &self.reading;
        let durations = &reading.durations;
        let ended = !durations.is_empty();
        let quantile = |q: f64| durations.quantile(q).map(|ticks| scale.duration(ticks));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of non-negative ticks; the cast saturates"
        )]
        let mean = durations.mean().map(|ticks| scale.duration(ticks.round() as u64));
        Profile {
            name: self.site.name().to_owned(),
            file: self.site.file().to_owned(),
            line: self.site.line(),
            module: self.site.module().to_owned(),
            calls: durations.count(),
            errors: reading.errors,
            cancelled: reading.cancelled,
            last: ended.then(|| scale.duration(reading.last)),
            last_at: ended.then(|| scale.timestamp(reading.last_ended_at)),
            min: durations.min().map(|ticks| scale.duration(ticks)),
            max: durations.max().map(|ticks| scale.duration(ticks)),
            mean,
            p50: quantile(0.50),
            p90: quantile(0.90),
            p95: quantile(0.95),
            p99: quantile(0.99),
            total: scale.duration(reading.total),
            self_time: scale.duration(reading.self_ticks),
            share: Ratio::of(reading.self_ticks, all_self),
            observed,
            polling: (reading.futures > 0).then(|| Polling {
                polls: reading.polls,
                busy: scale.duration(reading.busy),
                longest_poll: scale.duration(reading.longest_poll),
            }),
            memory_net_bytes: None,
            distinct_arguments: self.arguments,
        }
    }
}
