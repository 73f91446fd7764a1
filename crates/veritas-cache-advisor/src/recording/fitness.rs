//! Whether a recording can carry a proof, and over which span.

use std::time::Duration;

use super::{
    Recording,
    replay::{Replayed, Span},
};

/// What a proof asks of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct ProofOptions {
    /// Windows of equal length that the measured time is cut into (20).
    pub windows: usize,
    /// Sampled look-ups that a window needs to count as a pair (20).
    pub look_ups_per_window: u64,
    /// The share of the recording that only warms the simulated caches up (0.35).
    pub warm_up: f64,
    /// The shortest time that is measured (20 s).
    pub shortest: Duration,
    /// How many times the longer time to live must fit into what is measured (3).
    pub lives: u32,
    /// How long ago the last recorded access may be (10 minutes).
    pub oldest: Duration,
    /// The largest share of accesses that may be missing because a queue was full (0.02).
    pub most_dropped: f64,
    /// How far the simulated miss ratio of today's settings may be from the live one (0.05);
    /// twice as far where only a part of the keys is recorded.
    pub most_different: f64,
    /// The fewest entries of mean weight that the scaled-down cache must hold (16).
    pub fewest_entries: u64,
}

impl ProofOptions {
    /// The fewest pairs: what [`veritas_model::Proposal::prove`] asks for.
    pub const FEWEST_PAIRS: usize = 10;
}

impl Default for ProofOptions {
    fn default() -> Self {
        Self {
            windows: 20,
            look_ups_per_window: 20,
            warm_up: 0.35,
            shortest: Duration::from_secs(20),
            lives: 3,
            oldest: Duration::from_mins(10),
            most_dropped: 0.02,
            most_different: 0.05,
            fewest_entries: 16,
        }
    }
}

/// Why a recording can carry no proof. That is no verdict on what was to be proven.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Nothing was recorded.
    #[error("no access was recorded")]
    Empty,
    /// The last access is too long ago.
    #[error("the last recorded access is {age_seconds:.0} s old, at most {most_seconds:.0} s may be")]
    TooOld {
        /// How long ago it was.
        age_seconds: f64,
        /// How long ago it may be.
        most_seconds: f64,
    },
    /// The recording does not go back far enough.
    #[error("{seconds:.0} s can be measured, {needed_seconds:.0} s are needed")]
    TooShort {
        /// What can be measured.
        seconds: f64,
        /// What is needed.
        needed_seconds: f64,
    },
    /// Too few windows have look-ups enough.
    #[error("{pairs} windows of {windows} hold look-ups enough, {needed} are needed")]
    TooFew {
        /// Windows that do.
        pairs: usize,
        /// All windows.
        windows: usize,
        /// Those needed.
        needed: usize,
    },
    /// Accesses are missing.
    #[error("{dropped} accesses were dropped beside {recorded} that were recorded")]
    Lossy {
        /// Accesses dropped.
        dropped: u64,
        /// Accesses recorded.
        recorded: u64,
    },
    /// The sample is too small for the cache's size.
    #[error("in the sample of {share:.5} of the keys the cache holds {entries} entries, {needed} are needed")]
    TooCoarse {
        /// The share of the keys that is sampled.
        share: f64,
        /// Entries that the scaled-down cache holds.
        entries: u64,
        /// Those needed.
        needed: u64,
    },
    /// The simulation is no image of the live cache.
    #[error(
        "simulated as it is, the cache misses {simulated:.3} of the look-ups, and live it misses {live:.3}: \
         something acts on it that is not simulated"
    )]
    Unlike {
        /// The simulated miss ratio.
        simulated: f64,
        /// The live one.
        live: f64,
    },
}

/// Returns the longest life about which a recording of that length could prove something.
pub(crate) fn provable_life(recording: &Recording, options: &ProofOptions) -> Duration {
    let (first, last) = recording.span_ms().unwrap_or_default();
    let measured =
        Duration::from_millis(last.saturating_sub(first)).mul_f64(1.0 - options.warm_up.clamp(0.0, 1.0));
    measured / options.lives.max(1)
}

/// Returns the span of a recording that can be measured, when `longest_life` is the
/// longest time to live in question (`None`: entries live for ever, or time is not what
/// is in question).
pub(crate) fn span(
    recording: &Recording,
    now_ms: u64,
    longest_life: Option<Duration>,
    options: &ProofOptions,
) -> Result<Span, Unfit> {
    let (first, last) = recording.span_ms().ok_or(Unfit::Empty)?;
    let age = Duration::from_millis(now_ms.saturating_sub(last));
    if age > options.oldest {
        return Err(Unfit::TooOld {
            age_seconds: age.as_secs_f64(),
            most_seconds: options.oldest.as_secs_f64(),
        });
    }
    let (dropped, recorded) = (recording.dropped(), recording.len() as u64);
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    if dropped as f64 > options.most_dropped * (dropped + recorded) as f64 {
        return Err(Unfit::Lossy { dropped, recorded });
    }
    // Of two threads the one that came first may be the one that was told of last.
    let length = Duration::from_millis(last.saturating_sub(first));
    let warm_up = length.mul_f64(options.warm_up.clamp(0.0, 1.0));
    let measured = length.saturating_sub(warm_up);
    let needed = longest_life.unwrap_or_default().saturating_mul(options.lives).max(options.shortest);
    if measured < needed {
        return Err(Unfit::TooShort {
            seconds: measured.as_secs_f64(),
            needed_seconds: needed.as_secs_f64(),
        });
    }
    let warm_ms = u64::try_from(warm_up.as_millis()).unwrap_or(u64::MAX);
    Ok(Span { from_ms: first.saturating_add(warm_ms), to_ms: last, windows: options.windows })
}

/// Checks that a replay says something about the live cache: windows enough are left, the
/// cache is not too small in the sample, and its image of today is like it.
/// `live_is_today`: the recorded hits and misses came about under today's settings.
pub(crate) fn check(
    replayed: &Replayed,
    sampled_capacity: f64,
    mean_weight: f64,
    share: f64,
    live_is_today: bool,
    options: &ProofOptions,
) -> Result<(), Unfit> {
    let pairs = replayed.windows.len();
    if pairs < ProofOptions::FEWEST_PAIRS {
        return Err(Unfit::TooFew { pairs, windows: options.windows, needed: ProofOptions::FEWEST_PAIRS });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a float-to-int cast saturates"
    )]
    let entries = (sampled_capacity / mean_weight.max(1.0)) as u64;
    if share < 1.0 && entries < options.fewest_entries {
        return Err(Unfit::TooCoarse { share, entries, needed: options.fewest_entries });
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let ratio = |misses: u64| misses as f64 / replayed.total.before.look_ups.max(1) as f64;
    let (simulated, live) = (ratio(replayed.total.before.misses), ratio(replayed.live_misses));
    // A sample is a smaller cache, and resembles the whole less closely.
    let most = options.most_different * if share < 1.0 { 2.0 } else { 1.0 };
    if live_is_today && (simulated - live).abs() > most {
        return Err(Unfit::Unlike { simulated, live });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use veritas_cache::AccessKind;

    use super::*;
    use crate::{
        recording::{Pair, Recorded, Tally},
        sample::SampleRate,
    };

    fn recording(seconds: u64) -> Recording {
        let mut recording = Recording::new(100_000, SampleRate::ALL);
        for second in 0..=seconds {
            recording.push(Recorded { key: second, at_ms: second * 1_000, kind: AccessKind::Hit });
        }
        recording
    }

    #[track_caller]
    fn check_span(seconds: u64, now_ms: u64, life: Option<u64>, expected: Result<(u64, u64), &str>) {
        let options = ProofOptions { warm_up: 0.5, ..ProofOptions::default() };
        let life = life.map(Duration::from_secs);
        let span = span(&recording(seconds), now_ms, life, &options);
        let span = span.map(|span| (span.from_ms, span.to_ms)).map_err(|unfit| unfit.to_string());
        assert_eq!(span, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_recording_that_is_too_short_or_too_old_says_so() {
        check_span(100, 100_000, None, Ok((50_000, 100_000)));
        check_span(30, 30_000, None, Err("15 s can be measured, 20 s are needed"));
        check_span(100, 100_000, Some(10), Ok((50_000, 100_000)));
        check_span(100, 100_000, Some(20), Err("50 s can be measured, 60 s are needed"));
        check_span(100, 701_000, None, Err("the last recorded access is 601 s old, at most 600 s may be"));
        let options = ProofOptions::default();
        let empty = Recording::new(1, SampleRate::ALL);
        assert_eq!(span(&empty, 0, None, &options).unwrap_err(), Unfit::Empty);
    }

    #[test]
    fn two_accesses_that_were_told_of_in_the_wrong_order_are_no_panic() {
        let mut recording = Recording::new(10, SampleRate::ALL);
        for at_ms in [1_000, 999] {
            recording.push(Recorded { key: 1, at_ms, kind: AccessKind::Hit });
        }
        assert_eq!(provable_life(&recording, &ProofOptions::default()), Duration::ZERO);
        assert!(span(&recording, 1_000, None, &ProofOptions::default()).is_err());
    }

    #[test]
    fn a_recording_with_gaps_is_refused() {
        let mut recording = recording(1_000);
        recording.lost(10);
        assert!(span(&recording, 1_000_000, None, &ProofOptions::default()).is_ok());
        recording.lost(100);
        let refused = span(&recording, 1_000_000, None, &ProofOptions::default()).unwrap_err();
        assert_eq!(refused, Unfit::Lossy { dropped: 110, recorded: 1_001 });
    }

    fn replayed(windows: usize, misses: u64, live_misses: u64) -> Replayed {
        let tally = Tally { look_ups: 100, misses: misses / windows as u64, ..Tally::default() };
        let total = Tally { look_ups: 100 * windows as u64, misses, ..Tally::default() };
        Replayed {
            windows: vec![Pair { before: tally, after: tally }; windows],
            groups: Vec::new(),
            total: Pair { before: total, after: total },
            unknown_past: 0,
            first_misses: 0,
            live_misses,
            stores: (0, 0),
        }
    }

    #[test]
    fn a_replay_must_resemble_the_live_cache() {
        let options = ProofOptions::default();
        let check = |replayed: &Replayed, share, today| {
            check(
                replayed,
                1_500.0 + 4_000.0 * f64::from(u8::from(share == 0.5)),
                100.0,
                share,
                today,
                &options,
            )
        };
        assert_eq!(check(&replayed(10, 400, 420), 1.0, true), Ok(()));
        assert_eq!(
            check(&replayed(10, 400, 200), 1.0, true),
            Err(Unfit::Unlike { simulated: 0.4, live: 0.2 })
        );
        assert_eq!(check(&replayed(10, 400, 200), 1.0, false), Ok(()));
        assert_eq!(check(&replayed(10, 400, 310), 0.5, true), Ok(()));
        assert!(check(&replayed(10, 400, 310), 1.0, true).is_err());
        assert!(matches!(check(&replayed(9, 400, 400), 1.0, true), Err(Unfit::TooFew { pairs: 9, .. })));
        assert!(matches!(
            check(&replayed(10, 400, 400), 0.01, true),
            Err(Unfit::TooCoarse { entries: 15, .. })
        ));
    }
}
