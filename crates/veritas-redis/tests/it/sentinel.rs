//! Sentinels: the primary is found, and found again when another takes over.

use std::sync::Arc;

use veritas_model::{Condition, SystemClock};
use veritas_redis::{RedisTier, TierError};
use veritas_testkit::{RedisSentinel, wait_for};

use crate::scene::{LONG, connected, entry, options};

fn url(servers: &RedisSentinel) -> String {
    let sentinels: Vec<_> = servers.sentinels().iter().map(ToString::to_string).collect();
    format!("redis-sentinel://{}/{}", sentinels.join(","), servers.name())
}

#[test]
fn the_primary_is_found_and_so_is_its_successor() {
    let servers = RedisSentinel::start();
    let tier = connected(options(&url(&servers)));
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    assert!(tier.is_coherent());
    let generation = tier.generation();
    servers.failover();
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "after")) == Ok(()));
    assert!(tier.generation() > generation);
    let primary = servers.server(servers.primary());
    assert_eq!(primary.cli(&["GET", "veritas:a"]), "after\n");
    wait_for(LONG, || tier.is_coherent());
}

#[test]
fn a_killed_primary_is_left_for_its_successor() {
    let servers = RedisSentinel::start();
    let tier = connected(options(&url(&servers)));
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    servers.kill_primary();
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "after")) == Ok(()));
    assert_eq!(servers.server(servers.primary()).cli(&["GET", "veritas:a"]), "after\n");
}

#[test]
fn a_dead_sentinel_is_passed_over() {
    let servers = RedisSentinel::start();
    servers.sentinel(0).kill();
    let tier = connected(options(&url(&servers)));
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
}

#[test]
fn an_unknown_name_is_said() {
    let servers = RedisSentinel::start();
    let url = url(&servers).replace(servers.name(), "nobody");
    let tier = RedisTier::connect(options(&url), Arc::new(SystemClock::new())).unwrap();
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    let Condition::Degraded(reason) = tier.condition() else { panic!("ready") };
    assert!(reason.contains("knows no") && reason.contains("nobody"), "{reason}");
}
