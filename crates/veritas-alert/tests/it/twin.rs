//! Random values against a twin that looks at all of the past again at every tick.

use std::time::Duration;

use proptest::prelude::*;
use veritas_model::{AlertRule, AlertStatus, AlertTransition, Comparison};

use crate::flaky::{Flaky, load, rule, second, tick};

type Values = Vec<Option<f64>>;

/// Returns (tick, status, tick since which the condition held).
fn twin(rule: &AlertRule, values: &[Option<f64>]) -> Vec<(usize, AlertStatus, usize)> {
    let hold = usize::try_from(rule.hold.as_secs()).expect("short");
    let keep = usize::try_from(rule.keep_firing_for.as_secs()).expect("short");
    let beyond = |value: f64, level: f64| match rule.comparison {
        Comparison::Above => value > level,
        Comparison::Below => value < level,
    };
    // The first tick of the unbroken run, up to and with `end`, of known values that pass.
    let run_start = |from: usize, end: usize, passes: &dyn Fn(f64) -> bool| {
        let mut start = None;
        for index in (from..=end).rev() {
            match values[index] {
                Some(value) if passes(value) => start = Some(index),
                Some(_) => break,
                None => {}
            }
        }
        start
    };
    let mut transitions = Vec::new();
    let mut firing_since = None;
    let mut from = 0;
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_some()) {
        if let Some(since) = firing_since {
            let clear = rule.clear.unwrap_or(rule.threshold);
            let quiet_since = run_start(from, index, &|value| !beyond(value, clear));
            if quiet_since.is_some_and(|quiet_since| index - quiet_since >= keep) {
                transitions.push((index, AlertStatus::Resolved, since));
                firing_since = None;
                from = index + 1;
            }
        } else if let Some(since) = run_start(from, index, &|value| beyond(value, rule.threshold)) {
            if index - since >= hold {
                transitions.push((index, AlertStatus::Firing, since));
                firing_since = Some(since);
                from = index + 1;
            } else if index == since {
                transitions.push((index, AlertStatus::Pending, since));
            }
        }
    }
    transitions
}

fn seen(transitions: &[AlertTransition]) -> Vec<(usize, AlertStatus, usize)> {
    let tick_of = |at| (0..1000).find(|tick| second(*tick) == at).expect("a tick");
    transitions
        .iter()
        .map(|transition| (tick_of(transition.at), transition.status, tick_of(transition.since)))
        .collect()
}

fn any_values() -> impl Strategy<Value = Values> {
    // Runs of one level, so that holds are reached, with gaps.
    let run = (
        prop_oneof![Just(Some(90.0)), Just(Some(75.0)), Just(Some(60.0)), Just(Some(80.0)), Just(None)],
        1..8_usize,
    );
    proptest::collection::vec(run, 1..25).prop_map(|runs| {
        runs.into_iter().flat_map(|(value, length)| std::iter::repeat_n(value, length)).collect()
    })
}

fn any_rule() -> impl Strategy<Value = AlertRule> {
    (0..8_u64, 0..6_u64, prop_oneof![Just(None), Just(Some(70.0))], any::<bool>()).prop_map(
        |(hold, keep, clear, is_below)| {
            let mut rule = rule(hold);
            rule.keep_firing_for = Duration::from_secs(keep);
            rule.clear = clear;
            if is_below {
                rule.comparison = Comparison::Below;
                rule.threshold = 70.0;
                rule.clear = clear.map(|_| 85.0);
            }
            rule
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn transitions_are_those_of_the_naive_twin(rule in any_rule(), values in any_values()) {
        let alerts = load(&Flaky::new(), &rule);
        let transitions: Vec<_> =
            values.iter().enumerate().flat_map(|(index, value)| tick(&alerts, index, *value)).collect();
        prop_assert_eq!(seen(&transitions), twin(&rule, &values));
    }

    #[test]
    fn a_restart_at_every_tick_changes_no_transition(mut rule in any_rule(), values in any_values()) {
        // The countdown of `keep_firing_for` is the one thing that a restart begins anew.
        rule.keep_firing_for = Duration::ZERO;
        let control = Flaky::new();
        let mut transitions = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let alerts = load(&control, &rule);
            transitions.extend(tick(&alerts, index, *value));
            let restored = load(&control, &rule);
            prop_assert_eq!(
                restored.active().iter().map(|alert| (alert.status, alert.since, alert.fired_at)).collect::<Vec<_>>(),
                alerts.active().iter().map(|alert| (alert.status, alert.since, alert.fired_at)).collect::<Vec<_>>()
            );
        }
        prop_assert_eq!(seen(&transitions), twin(&rule, &values));
    }

    #[test]
    fn a_restart_never_resolves_early(mut rule in any_rule(), values in any_values()) {
        rule.keep_firing_for = Duration::from_secs(3);
        let control = Flaky::new();
        let (mut alerts, uninterrupted) = (load(&control, &rule), load(&Flaky::new(), &rule));
        for (index, value) in values.iter().enumerate() {
            let was_firing = !alerts.firing().is_empty();
            if index % 5 == 4 {
                alerts = load(&control, &rule);
            }
            tick(&alerts, index, *value);
            tick(&uninterrupted, index, *value);
            prop_assert!(!was_firing || !alerts.firing().is_empty() || uninterrupted.firing().is_empty());
        }
    }
}
