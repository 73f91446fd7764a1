//! What is found on real servers that have the trouble, and not on those that have not.

use std::{sync::Arc, time::Duration};

use veritas_cache::server::ServerReading;
use veritas_model::{Cause, Finding, FindingKind, Impact, Provenance, SystemClock};
use veritas_redis::{
    RedisOptions,
    server::{ServerView, findings::findings},
};
use veritas_testkit::{Redis, RedisCluster, RedisSentinel, wait_for};

const PATIENCE: Duration = Duration::from_mins(1);

fn view(url: &str) -> ServerView {
    let options = RedisOptions::parse(url).expect("an address");
    ServerView::new(options, Arc::new(SystemClock::new())).named("main").within(Duration::from_secs(20))
}

fn read(redis: &Redis) -> ServerReading {
    view(&redis.url()).read_blocking()
}

fn fill(redis: &Redis, script: &str) {
    redis.cli(&["EVAL", script, "0"]);
}

/// Returns the finding of `kind` on `part`.
#[track_caller]
fn one<'a>(found: &'a [Finding], kind: FindingKind, part: &str) -> &'a Finding {
    let id = Finding::identity(
        kind,
        &veritas_model::Subject::Server { name: "main".into(), part: Some(part.into()) },
    );
    let finding = found.iter().find(|finding| finding.id == id);
    finding.unwrap_or_else(|| panic!("no {kind:?} on {part:?} in {found:#?}"))
}

#[track_caller]
fn figure(finding: &Finding, name: &str) -> f64 {
    let observation = finding.evidence.iter().find(|observation| observation.name == name);
    observation.unwrap_or_else(|| panic!("no {name} in {:?}", finding.evidence)).value
}

fn detail(finding: &Finding) -> &str {
    let Cause::ServerCondition { detail, .. } = &finding.cause else { panic!("{:?}", finding.cause) };
    detail
}

fn has(found: &[Finding], kind: FindingKind) -> bool {
    found.iter().any(|finding| finding.kind == kind)
}

#[test]
fn a_healthy_cache_has_no_findings() {
    // Where the server has no turn for a while, whatever it is at is no slow command.
    let settings = ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lfu"];
    let redis = Redis::start_with(&[&settings[..], &["--slowlog-log-slower-than", "60000000"]].concat());
    fill(&redis, "for i = 1, 1000 do redis.call('SET', 'user:' .. i, 'x', 'EX', 1000) end");
    // The script that fills it is itself slow, and no trouble of the server's.
    redis.cli(&["CONFIG", "RESETSTAT"]);
    redis.cli(&["SLOWLOG", "RESET"]);
    let before = read(&redis);
    redis.cli(&["GET", "user:1"]);
    assert_eq!(findings(&read(&redis), Some(&before)), []);
    assert_eq!(findings(&read(&redis), None), []);
}

#[test]
fn a_server_without_a_limit_and_one_that_refuses_writes_are_found() {
    let redis = Redis::start();
    let found = findings(&read(&redis), None);
    let limit = one(&found, FindingKind::RedisMemory, "limit");
    assert_eq!(limit.impact, Impact::Low);
    assert!(detail(limit).contains("no memory limit") && limit.recommendation.contains("maxmemory"));

    fill(&redis, "for i = 1, 2000 do redis.call('SET', 'job:' .. i, string.rep('x', 1000)) end");
    let used = read(&redis).nodes[0].memory.as_ref().unwrap().used.get();
    redis.cli(&["CONFIG", "SET", "maxmemory", &(used * 10 / 9).to_string()]);
    let found = findings(&read(&redis), None);
    let near = one(&found, FindingKind::RedisMemory, "limit");
    assert_eq!(near.impact, Impact::Medium);
    assert!((0.85..0.98).contains(&figure(near, "share_of_limit")));
    redis.cli(&["CONFIG", "SET", "maxmemory", &(used / 2).to_string()]);
    let found = findings(&read(&redis), None);
    let full = one(&found, FindingKind::RedisEviction, "refused writes");
    assert_eq!(full.impact, Impact::High);
    assert!(detail(full).contains("noeviction"));
    // A policy that evicts only what expires has nothing to evict here.
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    let found = findings(&read(&redis), None);
    assert!(
        detail(one(&found, FindingKind::RedisEviction, "refused writes"))
            .contains("no key has a time to live")
    );
}

#[test]
fn evictions_are_found_with_their_rate_and_share() {
    let redis = Redis::start_with(&["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru"]);
    let view = view(&redis.url());
    let before = view.read_blocking();
    fill(&redis, "for i = 1, 10000 do redis.call('SET', 'user:' .. i, string.rep('x', 1000)) end");
    let after = view.read_blocking();
    let found = findings(&after, Some(&before));
    let evictions = one(&found, FindingKind::RedisEviction, "evictions");
    assert_eq!(evictions.impact, Impact::High);
    assert_eq!(figure(evictions, "evicted_share_of_removals"), 1.0);
    let evicted = after.nodes[0].traffic.as_ref().unwrap().evicted;
    let server_time =
        |reading: &ServerReading| reading.nodes[0].server.as_ref().unwrap().server_time.unwrap();
    let seconds = server_time(&after).since(server_time(&before)).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let expected = evicted as f64 / seconds;
    assert!((figure(evictions, "evicted_keys") / expected - 1.0).abs() < 1e-9);
    // With room, nothing is evicted any more, and nothing is found.
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let settled = view.read_blocking();
    let later = view.read_blocking();
    assert!(!has(&findings(&later, Some(&settled)), FindingKind::RedisEviction));
}

#[test]
fn commands_that_read_everything_are_found_without_their_arguments() {
    let redis = Redis::start_with(&["--slowlog-log-slower-than", "1000", "--enable-debug-command", "yes"]);
    fill(&redis, "for i = 1, 100000 do redis.call('SADD', 'members', 'member:' .. i) end");
    // So many that KEYS is slow on every machine.
    fill(&redis, "for i = 1, 100000 do redis.call('SET', 'other:' .. i, 'x', 'EX', 1000) end");
    redis.cli(&["CONFIG", "RESETSTAT"]);
    redis.cli(&["SLOWLOG", "RESET"]);
    let view = view(&redis.url());
    let before = view.read_blocking();
    redis.cli(&["KEYS", "nobody:*"]);
    // Slow, and in the slow log with its text.
    redis.cli(&["EVAL", "for i = 1, 3000000 do end return 'secret'", "0"]);
    redis.cli(&["SMEMBERS", "members"]);
    redis.cli(&["DEBUG", "SLEEP", "0.2"]);
    let after = view.read_blocking();
    for earlier in [None, Some(&before)] {
        let found = findings(&after, earlier);
        let keys = one(&found, FindingKind::RedisSlowCommand, "keys");
        assert!(keys.recommendation.contains("SCAN") && keys.impact >= Impact::Medium);
        let members = one(&found, FindingKind::RedisSlowCommand, "smembers");
        assert!(members.recommendation.contains("SSCAN"));
        assert!(figure(members, "time_per_call") >= 0.001, "{members:?}");
        assert_eq!(figure(members, "slow_log_entries"), 1.0);
        assert!(figure(members, "time_p99") >= 0.001);
        let sleep = one(&found, FindingKind::RedisSlowCommand, "debug");
        assert!(sleep.impact >= Impact::Medium && figure(sleep, "slow_log_longest") >= 0.2);
        assert!(!format!("{found:?}").contains("secret"));
    }
    // The slow log is of the last hour; the totals are not looked at where there are rates.
    redis.cli(&["SLOWLOG", "RESET"]);
    let later = view.read_blocking();
    assert!(!has(&findings(&later, Some(&after)), FindingKind::RedisSlowCommand));
}

#[test]
fn what_a_server_did_in_its_first_second_is_judged_too() {
    let redis = Redis::start();
    redis.cli(&["KEYS", "nobody:*"]);
    let found = findings(&read(&redis), None);
    let keys = one(&found, FindingKind::RedisSlowCommand, "keys");
    assert!(keys.impact >= Impact::Medium && figure(keys, "calls") == 1.0, "{keys:?}");
}

#[test]
fn keys_that_never_expire_are_found_with_their_patterns_and_an_interval() {
    let redis = Redis::start();
    fill(
        &redis,
        "for i = 1, 3000 do redis.call('SET', 'user:' .. i, 'x', 'EX', 1000) end
         for i = 1, 1000 do redis.call('SET', 'job:' .. i, 'x') end",
    );
    let found = findings(&read(&redis), None);
    let lasting = one(&found, FindingKind::RedisKeysWithoutTtl, "keys without a time to live");
    assert_eq!(figure(lasting, "keys_without_ttl"), 0.25);
    let (low, high) = (figure(lasting, "keys_without_ttl_low"), figure(lasting, "keys_without_ttl_high"));
    assert!(low < figure(lasting, "keys_without_ttl_sampled") && high - low < 0.1, "{low} to {high}");
    assert!(detail(lasting).contains("job:*") && !detail(lasting).contains("user:*"), "{}", detail(lasting));
    let estimated = lasting.evidence.iter().filter(|it| it.provenance == Provenance::Estimated).count();
    assert_eq!(estimated, 3);
    // A server that may evict any key needs none.
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]);
    assert!(!has(&findings(&read(&redis), None), FindingKind::RedisKeysWithoutTtl));
}

#[test]
fn big_and_hot_keys_are_found_by_name() {
    let redis = Redis::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"]);
    fill(
        &redis,
        "redis.call('SET', 'report', string.rep('x', 20 * 1024 * 1024))
         for i = 1, 500 do redis.call('SET', 'user:' .. i, 'x') end
         for i = 1, 5000 do redis.call('GET', 'user:7') end",
    );
    let found = findings(&read(&redis), None);
    let big = one(&found, FindingKind::BigKey, "report");
    assert!(matches!(big.cause, Cause::BigKey { bytes } if bytes >= 20 << 20));
    assert!(
        big.impact == Impact::High && big.recommendation.contains("string"),
        "most of the memory: {big:?}"
    );
    let hot = one(&found, FindingKind::HotKey, "user:7");
    assert!(matches!(hot.cause, Cause::HotKey { request_share } if request_share > 0.3), "{hot:?}");
    assert!(!found.iter().any(|finding| finding.id
        == Finding::identity(
            FindingKind::BigKey,
            &veritas_model::Subject::Server { name: "main".into(), part: Some("user:7".into()) },
        )));
}

#[test]
fn refused_connections_and_failed_snapshots_are_found() {
    let redis = Redis::start_with(&["--maxmemory", "50mb"]);
    redis.cli(&["CONFIG", "SET", "maxclients", "10"]);
    let view = view(&redis.url());
    let before = view.read_blocking();
    let held: Vec<std::os::unix::net::UnixStream> =
        (0..10).map(|_| std::os::unix::net::UnixStream::connect(redis.socket()).unwrap()).collect();
    wait_for(PATIENCE, || {
        // Refused at once: the server says so and closes.
        let mut refused = std::os::unix::net::UnixStream::connect(redis.socket()).unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut refused, &mut said)
            .is_ok_and(|_| said.contains("max number of clients"))
    });
    let full = findings(&view.read_blocking(), Some(&before));
    assert!(detail(one(&full, FindingKind::RedisHealth, "reach")).len() > 10, "we are refused too: {full:?}");
    drop(held);
    wait_for(PATIENCE, || view.read_blocking().is_reached());
    let found = findings(&view.read_blocking(), Some(&before));
    let refused = one(&found, FindingKind::RedisHealth, "connections");
    assert_eq!(refused.impact, Impact::High);
    assert!(figure(refused, "rejected_connections") >= 1.0);

    redis.cli(&["SET", "key", "value"]);
    redis.cli(&["CONFIG", "SET", "rdbcompression", "no"]);
    let directory = redis.socket().parent().expect("the socket is in a directory").to_path_buf();
    std::fs::create_dir(directory.join("dump.rdb")).unwrap();
    redis.cli(&["BGSAVE"]);
    let failed = wait_for(PATIENCE, || {
        let found = findings(&view.read_blocking(), None);
        found.into_iter().find(|finding| detail_of(finding).contains("snapshot failed"))
    });
    assert_eq!(failed.impact, Impact::High);
}

fn detail_of(finding: &Finding) -> &str {
    match &finding.cause {
        Cause::ServerCondition { detail, .. } => detail,
        _ => "",
    }
}

#[test]
fn a_replica_that_lost_its_primary_and_a_dead_server_are_found() {
    let redis = RedisSentinel::start();
    redis.sentinel(0).kill();
    redis.sentinel(1).kill();
    redis.server(0).kill();
    let found = wait_for(PATIENCE, || {
        let found = findings(&read(redis.server(1)), None);
        has(&found, FindingKind::RedisHealth).then_some(found)
    });
    let lost = one(&found, FindingKind::RedisHealth, "replica");
    assert_eq!(lost.impact, Impact::High);
    assert!(!has(&found, FindingKind::RedisMemory), "a replica has its primary's limit: {found:?}");
    let dead = findings(&read(redis.server(0)), None);
    assert_eq!(one(&dead, FindingKind::RedisHealth, "reach").impact, Impact::High);
}

#[test]
fn findings_on_a_cluster_name_their_node() {
    let cluster = RedisCluster::start();
    let urls = cluster.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let reading = view(&format!("redis-cluster://{urls}")).read_blocking();
    let found = findings(&reading, None);
    for address in cluster.addresses() {
        one(&found, FindingKind::RedisMemory, &format!("{address} limit"));
    }
}
