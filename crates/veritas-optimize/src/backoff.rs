//! When to try again what failed.

use std::{collections::BTreeMap, time::Duration};

use veritas_model::{Monotonic, Timestamp};

use crate::Trouble;

/// The failing acts: each is tried again after a time that doubles.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    trouble: Trouble,
    next: Monotonic,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, entries: BTreeMap::new() }
    }

    /// Returns whether the act on `subject` may be tried now.
    pub(crate) fn is_due(&self, subject: &str, now: Monotonic) -> bool {
        self.entries.get(subject).is_none_or(|entry| entry.next <= now)
    }

    /// Records a failure; returns how many there were in a row.
    pub(crate) fn failed(
        &mut self,
        subject: &str,
        step: &'static str,
        error: String,
        now: Monotonic,
        at: Timestamp,
    ) -> u32 {
        let entry = self.entries.entry(subject.to_owned()).or_insert_with(|| Entry {
            trouble: Trouble {
                subject: subject.to_owned(),
                step,
                attempts: 0,
                since: at,
                error: String::new(),
            },
            next: now,
        });
        entry.trouble.step = step;
        entry.trouble.error = error;
        let wait = self.first.saturating_mul(1 << entry.trouble.attempts.min(20)).min(self.longest);
        entry.trouble.attempts = entry.trouble.attempts.saturating_add(1);
        entry.next = now.plus(wait);
        entry.trouble.attempts
    }

    /// Forgets the failures of `subject`.
    pub(crate) fn succeeded(&mut self, subject: &str) {
        self.entries.remove(subject);
    }

    /// Returns what fails at present.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.entries.values().map(|entry| entry.trouble.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let mut now = Monotonic::default();
        for seconds in [1, 2, 4, 5, 5] {
            assert!(backoff.is_due("c", now));
            backoff.failed("c", "revert", "no".into(), now, Timestamp::default());
            assert!(!backoff.is_due("c", now.plus(Duration::from_millis(seconds * 1000 - 1))));
            now = now.plus(Duration::from_secs(seconds));
        }
        assert_eq!(backoff.troubles()[0].attempts, 5);
        backoff.succeeded("c");
        assert!(backoff.is_due("c", now) && backoff.troubles().is_empty());
    }
}
