//! The profile of one name: what its calls cost.

use std::time::Duration;

use veritas_model::{Ratio, Timestamp};

/// What the calls of one name cost.
///
/// Durations of a future are wall time, from its first poll until it is ready.
/// Cancelled calls are counted apart and are in no duration but
/// [`self_time`](Self::self_time) and [`busy`](Self::busy).
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
