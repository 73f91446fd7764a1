//! Values that jitter around a threshold for a day.

use std::{sync::Arc, time::Duration};

use veritas_model::AlertStatus;
use veritas_store::ControlPlane;

use crate::flaky::{Flaky, load, rule, tick};

const DAY: usize = 86_400;

/// Within 1 % of the threshold of 80, no two alike.
fn jitter(index: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a day of seconds")]
    let phase = (index * 7919 % 1601) as f64 / 1000.0;
    79.2 + phase
}

#[test]
fn with_hysteresis_a_day_of_jitter_is_one_alert() {
    let mut rule = rule(0);
    rule.clear = Some(75.0);
    let control = Flaky::new();
    let alerts = load(&control, &rule);
    let transitions: Vec<_> = (0..DAY).flat_map(|index| tick(&alerts, index, Some(jitter(index)))).collect();
    assert_eq!(transitions.len(), 1);
    assert_eq!(transitions[0].status, AlertStatus::Firing);
    assert_eq!(tick(&alerts, DAY, Some(75.0))[0].status, AlertStatus::Resolved);
}

#[test]
fn jitter_that_never_holds_never_fires_and_leaves_no_history() {
    let control = Flaky::new();
    let alerts = load(&control, &rule(10));
    for index in 0..DAY {
        for transition in tick(&alerts, index, Some(jitter(index))) {
            assert_eq!(transition.status, AlertStatus::Pending);
        }
    }
    tick(&alerts, DAY, Some(0.0));
    let history = Arc::clone(&control).alert_history(10).expect("reading works");
    assert_eq!(history, []);
}

#[test]
fn keeping_an_alert_firing_bridges_short_dips() {
    let mut rule = rule(0);
    rule.keep_firing_for = Duration::from_mins(1);
    let alerts = load(&Flaky::new(), &rule);
    let transitions: Vec<_> = (0..DAY).flat_map(|index| tick(&alerts, index, Some(jitter(index)))).collect();
    assert_eq!(transitions.len(), 1);
}
