//! What the tests share: options that a busy machine keeps, and a connected tier.

use std::{sync::Arc, time::Duration};

use veritas_model::{Condition, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, SetEntry};
use veritas_testkit::wait_for;

/// Far beyond what anything here takes: reaching it is a hang.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// Returns options for tests: deadlines that a busy machine keeps.
pub(crate) fn options(url: &str) -> RedisOptions {
    let mut options = RedisOptions::parse(url).unwrap();
    options.deadline = Duration::from_secs(2);
    options
}

/// Connects and waits for the connection.
pub(crate) fn connected(options: RedisOptions) -> RedisTier {
    let tier = RedisTier::connect(options, Arc::new(SystemClock::new())).unwrap();
    wait_for(LONG, || tier.condition() == Condition::Ready);
    tier
}

pub(crate) fn entry<'a>(key: &'a str, value: &'a str) -> SetEntry<'a> {
    SetEntry { key: key.as_bytes(), value: value.as_bytes(), ttl: Some(LONG) }
}
