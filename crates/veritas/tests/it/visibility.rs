//! An application whose filter hides its statements is told so.

use std::time::Duration;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};
use veritas::{Engine, model::Condition};
use veritas_testkit::wait_for;

#[test]
fn a_filter_of_the_whole_subscriber_is_told_in_the_health() {
    let engine = Engine::builder().analysis_interval(Duration::from_millis(50)).start().unwrap();
    tracing_subscriber::registry()
        .with(EnvFilter::new("info"))
        .with(engine.tracing_layer().filtered())
        .try_init()
        .unwrap();
    let reason = wait_for(Duration::from_mins(1), || {
        engine.health().components().into_iter().find_map(|(name, condition)| match condition {
            Condition::Degraded(reason) if name == "sqlx" => Some(reason),
            _ => None,
        })
    });
    assert!(reason.contains("hint: ") && reason.contains("filtered()"), "{reason}");
}
