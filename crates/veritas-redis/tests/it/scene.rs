//! What the tests share: options that a busy machine keeps, and a connected tier.

use std::{process::Command, sync::Arc, time::Duration};

use veritas_model::{Condition, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, SetEntry};
use veritas_testkit::{Redis, wait_for};

/// Far beyond what anything here takes: reaching it is a hang.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// Returns options for tests: deadlines that a busy machine keeps.
pub(crate) fn options(url: &str) -> RedisOptions {
    let mut options = RedisOptions::parse(url).unwrap();
    options.deadline = Duration::from_secs(2);
    options.connect_timeout = LONG;
    options
}

/// Connects and waits for the connection.
pub(crate) fn connected(options: RedisOptions) -> RedisTier {
    let tier = RedisTier::connect(options, Arc::new(SystemClock::new())).unwrap();
    wait_for(LONG, || tier.condition() == Condition::Ready);
    tier
}

/// Returns an entry that outlives the test.
pub(crate) fn entry<'a>(key: &'a str, value: &'a str) -> SetEntry<'a> {
    SetEntry { key: key.as_bytes(), value: value.as_bytes(), ttl: Some(Duration::from_hours(1)) }
}

/// A server that is stopped in its tracks: it takes what is sent and answers none of it until this is dropped.
pub(crate) struct Held {
    process: u32,
}

impl Held {
    /// Stops a server. Nothing that is sent to it from now on is answered.
    pub(crate) fn stop(redis: &Redis) -> Self {
        let held = Self { process: redis.process() };
        held.signal("-STOP");
        wait_for(LONG, || held.is_stopped());
        held
    }

    /// Returns whether it has stopped: a signal is sent before it takes effect.
    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}
