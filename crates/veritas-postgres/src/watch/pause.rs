//! How long a server that cannot be reached is left alone.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use veritas_model::Monotonic;

/// The first pause, before it is shortened at random.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_mins(1);

/// Doubles with each failure, and is between a half and the whole of that, so that watchers of one
/// server do not come back in step.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    until: Option<Monotonic>,
}

impl Pause {
    /// Tells whether it is too early to try again.
    pub(super) fn is_on(&self, now: Monotonic) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failed(&mut self, now: Monotonic) {
        let whole = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // The keys of a RandomState are random per process and differ per instance.
        let share = RandomState::new().hash_one(self.failures) >> 32;
        let share = f64::from(u32::try_from(share).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        self.until = Some(now.plus(whole / 2 + (whole / 2).mul_f64(share)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_a_minute_and_ends_with_a_success() {
        let mut pause = Pause::default();
        let now = Monotonic::default();
        assert!(!pause.is_on(now));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            pause.failed(now);
            let whole = Duration::from_secs(seconds);
            assert!(pause.is_on(now.plus(whole * 49 / 100)), "{seconds}");
            assert!(!pause.is_on(now.plus(whole)), "{seconds}");
        }
        pause.succeeded();
        assert!(!pause.is_on(now));
    }
}
