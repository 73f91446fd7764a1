//! Rules that operators add, change and remove, through restarts.

use std::sync::Arc;

use veritas_alert::{Alerts, PutRuleError, RemoveRuleError, default_rules};
use veritas_model::{AlertRule, AlertStatus};
use veritas_store::ControlPlane;

use crate::flaky::{Flaky, load, rule, second, statuses, tick};

fn defaults(control: &Arc<Flaky>) -> Alerts {
    Alerts::load(Arc::clone(control) as Arc<dyn ControlPlane>, default_rules()).expect("loaded")
}

fn names(alerts: &Alerts) -> Vec<String> {
    alerts.rules().into_iter().map(|rule| rule.name).collect()
}

#[test]
fn a_default_that_was_removed_stays_removed() {
    let control = Flaky::new();
    let alerts = defaults(&control);
    assert_eq!(names(&alerts), ["high_cpu", "high_disk", "high_memory"]);
    for name in ["high_cpu", "high_disk", "high_memory"] {
        alerts.remove_rule(name, "ann").expect("there is one");
    }
    assert!(names(&alerts).is_empty());
    assert!(names(&defaults(&control)).is_empty());
    let error = alerts.remove_rule("high_cpu", "ann").expect_err("it is gone");
    assert!(matches!(error, RemoveRuleError::NotFound { .. }));
    alerts.put_rule(default_rules().remove(0), "ann").expect("sound");
    assert_eq!(names(&defaults(&control)), ["high_cpu"]);
}

#[test]
fn a_stored_rule_takes_the_place_of_the_default() {
    let control = Flaky::new();
    let changed = AlertRule { threshold: 95.0, ..default_rules().remove(0) };
    defaults(&control).put_rule(changed.clone(), "ann").expect("sound");
    let restored = defaults(&control);
    assert_eq!(names(&restored), ["high_cpu", "high_disk", "high_memory"]);
    assert_eq!(restored.rules()[0], changed);
}

#[test]
fn a_rule_that_is_not_sound_or_not_stored_changes_nothing() {
    let control = Flaky::new();
    let alerts = defaults(&control);
    let mut unsound = rule(0);
    unsound.threshold = f64::NAN;
    assert!(matches!(alerts.put_rule(unsound, "ann"), Err(PutRuleError::Refused { .. })));
    control.fail(true);
    assert!(matches!(alerts.put_rule(rule(0), "ann"), Err(PutRuleError::Store { .. })));
    assert!(matches!(alerts.remove_rule("high_cpu", "ann"), Err(RemoveRuleError::Store { .. })));
    assert_eq!(names(&alerts), ["high_cpu", "high_disk", "high_memory"]);
}

#[test]
fn the_alert_of_a_removed_rule_is_resolved() {
    let control = Flaky::new();
    let alerts = load(&control, &rule(0));
    tick(&alerts, 0, Some(90.0));
    alerts.remove_rule("busy", "ann").expect("there is one");
    assert_eq!(alerts.active(), []);
    let transitions = tick(&alerts, 1, Some(90.0));
    assert_eq!(statuses(&transitions), [(second(1), AlertStatus::Resolved)]);
    assert_eq!(transitions[0].cause.as_deref(), Some("the rule was removed by ann"));
    assert_eq!(control.open_alerts().expect("reading works"), []);
}

#[test]
fn the_alert_of_a_removed_rule_is_resolved_after_a_crash_too() {
    let control = Flaky::new();
    let alerts = load(&control, &rule(0));
    tick(&alerts, 0, Some(90.0));
    alerts.remove_rule("busy", "ann").expect("there is one");
    let restored = load(&control, &rule(0));
    assert!(restored.rules().is_empty());
    assert_eq!(statuses(&tick(&restored, 1, Some(90.0))), [(second(1), AlertStatus::Resolved)]);
    assert_eq!(tick(&restored, 2, Some(90.0)), []);
}

#[test]
fn a_rule_on_another_series_begins_anew() {
    let control = Flaky::new();
    let alerts = load(&control, &rule(0));
    tick(&alerts, 0, Some(90.0));
    let other = AlertRule { series: "other".into(), ..rule(5) };
    alerts.put_rule(other, "ann").expect("sound");
    let transitions = tick(&alerts, 1, Some(90.0));
    assert_eq!(
        statuses(&transitions),
        [(second(1), AlertStatus::Resolved), (second(1), AlertStatus::Pending)]
    );
    assert_eq!(control.open_alerts().expect("reading works")[0].status, AlertStatus::Pending);
}

#[test]
fn a_new_threshold_judges_the_alert_that_fires() {
    let alerts = load(&Flaky::new(), &rule(0));
    tick(&alerts, 0, Some(90.0));
    alerts.put_rule(AlertRule { threshold: 95.0, ..rule(0) }, "ann").expect("sound");
    assert_eq!(alerts.firing().len(), 1);
    assert_eq!(tick(&alerts, 1, Some(90.0))[0].status, AlertStatus::Resolved);
}

#[test]
fn the_published_message_is_the_documents() {
    let alerts = defaults(&Flaky::new());
    for index in 0..=10 {
        let value = |series: &str| (series == "system.cpu.percent").then_some(85.0);
        alerts.evaluate(second(index), &value, &|_rule| None);
    }
    let firing = alerts.firing();
    assert_eq!(firing.len(), 1);
    assert_eq!(
        (firing[0].rule.name.as_str(), firing[0].rule.severity.as_str(), firing[0].message.as_str()),
        ("high_cpu", "warning", "High CPU usage: 85%")
    );
    assert_eq!((firing[0].since, firing[0].fired_at), (second(0), Some(second(10))));
}
