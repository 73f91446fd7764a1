//! Knobs after a restart, and what is the application's own: presence, taking back, reinstating.

use std::time::Duration;

use veritas_cache::{Knob, KnobName, NamespaceOptions};
use veritas_model::{Actuator, ChangeKind, Plan, Presence};

use crate::application::{Application, MIB, options};

const KIND: ChangeKind = ChangeKind::CacheTtl;

fn plan(forward: &str, inverse: &str) -> Plan {
    Plan {
        target: "users".to_owned(),
        forward: forward.to_owned(),
        inverse: inverse.to_owned(),
        object: "users/ttl".to_owned(),
        scope: vec!["users".to_owned()],
    }
}

fn ttl(seconds: u64) -> NamespaceOptions {
    NamespaceOptions { ttl: Some(Duration::from_secs(seconds)), ..NamespaceOptions::default() }
}

fn seconds(application: &Application) -> u64 {
    application.caches.tuning("users").expect("it is open").ttl.as_secs()
}

#[test]
fn what_the_application_itself_came_to_say_is_not_a_change_of_ours() {
    let mut application = Application::new(MIB, 31, options());
    let actuator = &application.actuator;
    let kept = plan("ttl=90s", "ttl=configured");
    actuator.reinstate(KIND, &kept).unwrap();
    // The next release of the application has the same time to live in its options.
    let _ = application.open("users", ttl(90), 10, 0.5);
    let actuator = &application.actuator;
    assert_eq!(actuator.presence(KIND, &kept), Ok(Presence::Present));
    actuator.revert(KIND, &kept).unwrap();
    assert_eq!(actuator.presence(KIND, &kept), Ok(Presence::Absent), "else it is taken back for ever");
    assert_eq!(seconds(&application), 90);
}

#[test]
fn a_change_is_taken_back_before_its_namespace_is_open_and_no_other_one_with_it() {
    let mut application = Application::new(MIB, 32, options());
    let actuator = &application.actuator;
    let (first, second) = (plan("ttl=90s", "ttl=configured"), plan("ttl=180s", "ttl=90s"));
    assert_eq!(actuator.presence(KIND, &first), Ok(Presence::Absent));
    for kept in [&first, &second] {
        actuator.reinstate(KIND, kept).unwrap();
    }
    actuator.revert(KIND, &first).unwrap();
    let _ = application.open("users", ttl(30), 10, 0.5);
    assert_eq!(seconds(&application), 180, "the second one is in force");

    let mut application = Application::new(MIB, 33, options());
    for kept in [&first, &second] {
        application.actuator.reinstate(KIND, kept).unwrap();
    }
    application.actuator.revert(KIND, &second).unwrap();
    let _ = application.open("users", ttl(30), 10, 0.5);
    assert_eq!(seconds(&application), 90, "the first one is");
}

#[test]
fn what_someone_set_by_hand_is_not_taken_back() {
    let mut application = Application::new(MIB, 34, options());
    let _ = application.open("users", ttl(30), 10, 0.5);
    let ours = plan("ttl=90s", "ttl=configured");
    application.actuator.reinstate(KIND, &ours).unwrap();
    application.caches.tune("users", &Knob::Ttl(Duration::from_secs(45))).unwrap();
    assert_eq!(application.actuator.presence(KIND, &ours), Ok(Presence::Absent));
    application.actuator.revert(KIND, &ours).unwrap();
    assert_eq!(seconds(&application), 45);
    assert_eq!(application.caches.tuning("users").unwrap().tuned, [KnobName::Ttl]);
}
