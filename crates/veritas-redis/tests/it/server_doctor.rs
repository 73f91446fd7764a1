//! The doctor at real servers, healthy and otherwise.

use std::{sync::Arc, time::Duration};

use veritas_model::{Clock, SystemClock};
use veritas_redis::server::doctor::{Check, Verdict, doctor};
use veritas_testkit::{Fault, FaultProxy, Redis, RedisCluster, RedisSentinel, VirtualClock};

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Longer than anything takes on a busy machine: a healthy server never waits for it.
fn at(url: &str) -> Vec<Check> {
    doctor(url, &clock(), Duration::from_secs(20))
}

#[track_caller]
fn verdict(checks: &[Check], name: &str) -> Verdict {
    one(checks, name).verdict
}

#[track_caller]
fn one<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no {name} in {checks:#?}"))
}

fn wrong(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| check.verdict == Verdict::Wrong).map(|check| check.name).collect()
}

#[test]
fn a_healthy_server_is_healthy_and_left_as_it_was() {
    let redis = Redis::start_with(&["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lfu"]);
    redis.cli(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]);
    let checks = at(&format!("unix://{}?user=app&pass=secret", redis.socket().display()));
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    let expected = [
        "reachable",
        "log-in",
        "version",
        "round trip",
        "clock",
        "memory",
        "server view",
        "second tier",
        "RESP3",
        "tracking",
    ];
    assert_eq!(names, expected, "{checks:#?}");
    for name in expected {
        // How fast this machine is at the moment is no matter.
        assert!(name == "round trip" || verdict(&checks, name) == Verdict::Fine, "{:?}", one(&checks, name));
    }
    assert_eq!(redis.cli(&["DBSIZE"]), "0\n");
    assert_eq!(redis.cli(&["ACL", "LOG"]).trim(), "");
}

#[test]
fn what_could_be_better_is_noted() {
    let redis = Redis::start();
    let checks = at(&redis.url());
    assert_eq!(verdict(&checks, "log-in"), Verdict::Note);
    assert_eq!(verdict(&checks, "memory"), Verdict::Note);
    assert!(checks.iter().filter(|check| check.verdict == Verdict::Note).all(|check| check.hint.is_some()));
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    assert!(one(&at(&redis.url()), "memory").says.contains("noeviction"));
}

#[test]
fn dead_and_silent_servers_are_told_apart_and_never_waited_for() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    proxy.set(Fault::Refuse);
    let quick = |url: &str| doctor(url, &clock(), Duration::from_millis(400));
    let refused = at(&proxy.url());
    assert_eq!(wrong(&refused), ["reachable"]);
    assert!(one(&refused, "reachable").hint.as_ref().is_some_and(|hint| hint.contains("start the server")));
    assert!(one(&refused, "reachable").says.contains("refused"), "{refused:?}");
    let clock = SystemClock::new();
    for fault in [Fault::BlackHole, Fault::HalfOpen, Fault::Slow(1), Fault::Stall] {
        proxy.set(fault);
        let asked_at = clock.monotonic();
        let silent = quick(&proxy.url());
        assert!(clock.monotonic().since(asked_at) < Duration::from_secs(20), "{fault:?} hangs");
        assert!(!wrong(&silent).is_empty(), "{silent:?}");
        assert!(silent.iter().any(|check| check.says.contains("in time")), "{silent:?}");
    }
    proxy.set(Fault::Latency(Duration::from_millis(60)));
    assert_eq!(verdict(&at(&proxy.url()), "round trip"), Verdict::Wrong);
    assert_eq!(wrong(&at("redis://nobody.invalid")), ["reachable"]);
    assert_eq!(wrong(&at("http://user:secret@host")), ["address"]);
}

#[test]
fn a_cut_in_the_middle_is_a_check_that_went_wrong() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    for bytes in [1, 100, 5_000, 6_000] {
        proxy.cut_after(bytes);
        let checks = at(&proxy.url());
        assert!(checks.iter().any(|check| check.verdict != Verdict::Fine), "{checks:?}");
    }
    assert_eq!(wrong(&at(&proxy.url())), [""; 0]);
}

#[test]
fn wrong_and_missing_passwords_are_told_and_not_shown() {
    let redis = Redis::start_with(&["--requirepass", "right"]);
    let checks = at(&redis.url());
    assert_eq!(wrong(&checks), ["log-in"]);
    let checks = at(&format!("unix://{}?pass=very-wrong", redis.socket().display()));
    assert_eq!(wrong(&checks), ["log-in"]);
    assert!(!format!("{checks:?}").contains("very-wrong"));
    let checks = at(&format!("unix://{}?pass=right", redis.socket().display()));
    assert_eq!(wrong(&checks), [""; 0]);
    let checks = at(&format!("unix://{}?pass=right&db=99", redis.socket().display()));
    assert_eq!(wrong(&checks), ["log-in"]);
}

#[test]
fn missing_rights_are_named() {
    let redis = Redis::start();
    let rules =
        ["ACL", "SETUSER", "app", "on", ">x", "~*", "&*", "+@all", "-eval", "-slowlog", "-client|tracking"];
    redis.cli(&rules);
    let checks = at(&format!("unix://{}?user=app&pass=x", redis.socket().display()));
    assert_eq!(wrong(&checks), ["second tier"]);
    assert_eq!(one(&checks, "second tier").says, "may not: eval");
    assert!(one(&checks, "second tier").hint.as_ref().is_some_and(|hint| hint.contains("+eval")));
    assert_eq!(one(&checks, "server view").says, "may not: slowlog|get, slowlog|len");
    assert_eq!(verdict(&checks, "tracking"), Verdict::Note);
    // Without a right on our keys, nothing of the tier works.
    redis.cli(&["ACL", "SETUSER", "app", "resetkeys", "~other:*", "+@all"]);
    let checks = at(&format!("unix://{}?user=app&pass=x", redis.socket().display()));
    assert!(one(&checks, "second tier").says.contains("set"), "{checks:?}");
    // That is how a user looks who is for the view only: nothing is wrong with it.
    assert_eq!(wrong(&checks), [""; 0]);
}

#[test]
fn servers_that_refuse_writes_are_told_apart() {
    let full = Redis::start_with(&["--maxmemory", "1"]);
    assert!(one(&at(&full.url()), "second tier").says.contains("full"));
    let sentinel = RedisSentinel::start();
    let replica = sentinel.server(1).address().expect("it has a port");
    let checks = at(&format!("redis://{replica}"));
    assert_eq!(wrong(&checks), ["second tier"]);
    assert!(one(&checks, "kind").says.contains("replica"));
    let port = sentinel.sentinels()[0];
    assert!(one(&at(&format!("redis://{port}")), "kind").says.contains("sentinel"));
    let by_name = at(&format!("redis-sentinel://{port}/{}", sentinel.name()));
    assert_eq!(wrong(&by_name), [""; 0]);
    assert!(one(&by_name, "reachable").says.contains("sentinels name"));
    let unknown = at(&format!("redis-sentinel://{port}/nobody"));
    assert!(one(&unknown, "reachable").hint.as_ref().is_some_and(|hint| hint.contains("SENTINEL MASTERS")));
}

#[test]
fn clusters_are_checked_whole_and_told_from_single_servers() {
    let cluster = RedisCluster::start();
    let [first, second, third] = cluster.addresses()[..] else { panic!("three nodes") };
    let url = format!("redis-cluster://{second},{first},{third}");
    let checks = at(&url);
    assert_eq!(wrong(&checks), [""; 0], "{checks:?}");
    assert_eq!(verdict(&checks, "cluster"), Verdict::Fine);
    assert!(one(&checks, "reachable").says.contains("3 primaries"));
    let single = at(&format!("redis://{first}"));
    assert!(wrong(&single).contains(&"kind"));
    cluster.kill(0);
    let wounded = at(&url);
    assert!(one(&wounded, "reachable").says.contains("1 of 3"), "{wounded:?}");
    let redis = Redis::start_tcp();
    let checks = at(&redis.url().replace("redis://", "redis-cluster://"));
    assert!(
        one(&checks, "reachable").hint.as_ref().is_some_and(|hint| hint.contains("no cluster")),
        "{checks:?}"
    );
}

#[test]
fn a_clock_that_is_off_is_noted() {
    let redis = Redis::start();
    let early: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let checks = doctor(&redis.url(), &early, Duration::from_secs(20));
    assert_eq!(verdict(&checks, "clock"), Verdict::Note);
}
