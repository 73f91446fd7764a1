//! The state of one rule: what it does next, given a value. No I/O: the caller
//! makes the step durable and then says so.

use std::time::Duration;

use veritas_model::{AlertRule, AlertStatus, AlertTransition, Timestamp};

/// A pending alert that should have fired longer ago than this was not watched
/// meanwhile, and starts over.
const OUTAGE_TOLERANCE: Duration = Duration::from_mins(5);

/// What the control plane has acknowledged of a rule; what readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Neither pending nor firing.
    Quiet,
    /// Pending.
    Pending {
        /// When the condition began to hold.
        since: Timestamp,
    },
    /// Firing.
    Firing {
        /// When the condition began to hold.
        since: Timestamp,
        /// When the alert fired.
        fired_at: Timestamp,
    },
}

/// What is to be made durable next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Stay,
    /// Forget the pending alert.
    Forget,
    /// Enter a status; the condition has held since then.
    Enter(AlertStatus, Timestamp),
}

/// One rule's state.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    recorded: Recorded,
    /// When the condition began to hold, while the alert does not fire. Kept
    /// apart from `recorded`: when storing fails the hold goes on counting.
    holds_since: Option<Timestamp>,
    /// When the condition ended, while the alert fires on.
    ended_at: Option<Timestamp>,
    /// Whether the alert was due to fire and could not be stored: its age is
    /// then no sign of an outage.
    fire_is_due: bool,
}

impl Track {
    pub(crate) const QUIET: Self =
        Self { recorded: Recorded::Quiet, holds_since: None, ended_at: None, fire_is_due: false };

    /// Goes on from a transition that was stored before a restart.
    pub(crate) fn restored(transition: &AlertTransition) -> Self {
        let since = transition.since;
        match transition.status {
            AlertStatus::Pending => {
                Self { recorded: Recorded::Pending { since }, holds_since: Some(since), ..Self::QUIET }
            }
            AlertStatus::Firing => {
                Self { recorded: Recorded::Firing { since, fired_at: transition.at }, ..Self::QUIET }
            }
            AlertStatus::Resolved => Self::QUIET,
        }
    }

    pub(crate) const fn recorded(&self) -> Recorded {
        self.recorded
    }

    /// Takes in the value of one tick and returns what it leads to. Asked again
    /// after a step that was not stored, it returns that step again if it is
    /// still due.
    pub(crate) fn observe(&mut self, rule: &AlertRule, at: Timestamp, value: Option<f64>) -> Step {
        let Some(value) = value.filter(|value| value.is_finite()) else { return Step::Stay };
        if let Recorded::Firing { since, .. } = self.recorded {
            if rule.comparison.holds(value, rule.clear.unwrap_or(rule.threshold)) {
                self.ended_at = None;
                return Step::Stay;
            }
            // A clock that was set back must not keep the alert firing.
            let ended_at = self.ended_at.map_or(at, |ended_at| ended_at.min(at));
            self.ended_at = Some(ended_at);
            return if at.since(ended_at) >= rule.keep_firing_for {
                Step::Enter(AlertStatus::Resolved, since)
            } else {
                Step::Stay
            };
        }
        if !rule.comparison.holds(value, rule.threshold) {
            self.holds_since = None;
            self.fire_is_due = false;
            return if self.recorded == Recorded::Quiet { Step::Stay } else { Step::Forget };
        }
        let since = match self.holds_since {
            Some(since) if at < since => at,
            Some(since) if !self.fire_is_due && at.since(since) > rule.hold + OUTAGE_TOLERANCE => at,
            Some(since) => since,
            None => at,
        };
        self.holds_since = Some(since);
        if at.since(since) >= rule.hold {
            self.fire_is_due = true;
            Step::Enter(AlertStatus::Firing, since)
        } else if self.recorded == (Recorded::Pending { since }) {
            Step::Stay
        } else {
            Step::Enter(AlertStatus::Pending, since)
        }
    }

    /// Takes note that a step at `at` is durable.
    pub(crate) fn advance(&mut self, step: Step, at: Timestamp) {
        match step {
            Step::Stay => {}
            Step::Forget | Step::Enter(AlertStatus::Resolved, _) => *self = Self::QUIET,
            Step::Enter(AlertStatus::Pending, since) => self.recorded = Recorded::Pending { since },
            Step::Enter(AlertStatus::Firing, since) => {
                *self = Self { recorded: Recorded::Firing { since, fired_at: at }, ..Self::QUIET };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_rules;

    fn second(second: u64) -> Timestamp {
        Timestamp::from_seconds(1000.0).plus(Duration::from_secs(second))
    }

    /// Feeds one value a second and returns the steps that were not `Stay`, by second.
    fn run(rule: &AlertRule, values: &[(u64, Option<f64>)]) -> Vec<(u64, Step)> {
        let mut track = Track::QUIET;
        let mut steps = Vec::new();
        for &(tick, value) in values {
            let step = track.observe(rule, second(tick), value);
            track.advance(step, second(tick));
            if step != Step::Stay {
                steps.push((tick, step));
            }
        }
        steps
    }

    fn rule() -> AlertRule {
        default_rules().remove(0)
    }

    #[test]
    fn an_alert_fires_after_exactly_its_hold() {
        let values: Vec<_> = (0..12).map(|tick| (tick, Some(81.0))).collect();
        assert_eq!(
            run(&rule(), &values),
            [
                (0, Step::Enter(AlertStatus::Pending, second(0))),
                (10, Step::Enter(AlertStatus::Firing, second(0)))
            ]
        );
    }

    #[test]
    fn at_the_threshold_nothing_happens() {
        assert_eq!(run(&rule(), &[(0, Some(80.0)), (60, Some(80.0))]), []);
    }

    #[test]
    fn a_missing_value_keeps_the_state() {
        let mut rule = rule();
        rule.hold = Duration::ZERO;
        let values = [(0, Some(90.0)), (1, None), (2, Some(f64::NAN)), (3, Some(10.0))];
        assert_eq!(
            run(&rule, &values),
            [
                (0, Step::Enter(AlertStatus::Firing, second(0))),
                (3, Step::Enter(AlertStatus::Resolved, second(0)))
            ]
        );
    }

    #[test]
    fn an_unwatched_pending_alert_starts_over() {
        let values = [(0, Some(90.0)), (1000, Some(90.0)), (1010, Some(90.0))];
        assert_eq!(
            run(&rule(), &values),
            [
                (0, Step::Enter(AlertStatus::Pending, second(0))),
                (1000, Step::Enter(AlertStatus::Pending, second(1000))),
                (1010, Step::Enter(AlertStatus::Firing, second(1000)))
            ]
        );
    }

    #[test]
    fn a_firing_alert_clears_at_its_clear_level_only() {
        let mut rule = rule();
        rule.hold = Duration::ZERO;
        rule.clear = Some(70.0);
        let values = [(0, Some(90.0)), (1, Some(75.0)), (2, Some(70.1)), (3, Some(70.0))];
        assert_eq!(run(&rule, &values).last(), Some(&(3, Step::Enter(AlertStatus::Resolved, second(0)))));
        assert_eq!(run(&rule, &values).len(), 2);
    }

    #[test]
    fn an_alert_keeps_firing_for_as_long_as_it_was_told() {
        let mut rule = rule();
        rule.hold = Duration::ZERO;
        rule.keep_firing_for = Duration::from_secs(5);
        let values = [(0, 90.0), (1, 10.0), (5, 90.0), (6, 10.0), (10, 10.0), (11, 10.0)]
            .map(|(tick, value)| (tick, Some(value)));
        assert_eq!(run(&rule, &values).last(), Some(&(11, Step::Enter(AlertStatus::Resolved, second(0)))));
    }

    #[test]
    fn a_clock_set_back_does_not_stretch_a_hold() {
        let mut track = Track::QUIET;
        let pending = track.observe(&rule(), second(3600), Some(90.0));
        track.advance(pending, second(3600));
        assert_eq!(
            track.observe(&rule(), second(0), Some(90.0)),
            Step::Enter(AlertStatus::Pending, second(0))
        );
        assert_eq!(
            track.observe(&rule(), second(10), Some(90.0)),
            Step::Enter(AlertStatus::Firing, second(0))
        );
    }

    #[test]
    fn an_alert_that_could_not_be_stored_stays_due() {
        let mut track = Track::QUIET;
        for tick in 0..1000 {
            track.observe(&rule(), second(tick), Some(90.0));
        }
        assert_eq!(
            track.observe(&rule(), second(1000), Some(90.0)),
            Step::Enter(AlertStatus::Firing, second(0))
        );
        assert_eq!(track.recorded(), Recorded::Quiet);
    }
}
