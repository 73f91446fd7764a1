//! The Sentinel fixture.

use std::time::Duration;

use veritas_testkit::{RedisSentinel, wait_for};

use crate::talk::Talk;

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_failover_makes_the_replica_the_primary_and_back() {
    let redis = RedisSentinel::start();
    assert_eq!((redis.primary(), redis.sentinels().len(), redis.name()), (0, 3, "main"));
    assert_eq!(redis.server(0).cli(&["SET", "key", "value"]), "OK\n");
    wait_for(PATIENCE, || redis.server(1).cli(&["GET", "key"]) == "value\n");
    redis.failover();
    assert_eq!(redis.primary(), 1);
    assert_eq!(redis.server(1).cli(&["SET", "key", "newer"]), "OK\n");
    wait_for(PATIENCE, || {
        let old = redis.server(0).address().expect("it has a port");
        Talk::to(old).ask("SET key older").is_ok_and(|refused| refused.starts_with("-READONLY"))
    });
    redis.failover();
    assert_eq!(redis.primary(), 0);
}

#[test]
fn a_dead_primary_is_replaced() {
    let redis = RedisSentinel::start();
    redis.kill_primary();
    assert_eq!(redis.primary(), 1);
    assert_eq!(redis.server(1).cli(&["SET", "key", "value"]), "OK\n");
}
