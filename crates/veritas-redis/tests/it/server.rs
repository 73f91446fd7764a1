//! The view of a server against real ones.

use std::{sync::Arc, time::Duration};

use veritas_cache::server::{NodeRates, NodeReading, NotRead, ReplicationReading, ServerMode, ServerReading};
use veritas_model::SystemClock;
use veritas_redis::{RedisOptions, server::ServerView};
use veritas_testkit::{Fault, FaultProxy, Redis, RedisCluster, RedisSentinel, wait_for};

const PATIENCE: Duration = Duration::from_mins(1);

/// A view that waits longer than usual: the machine of a test may be busy.
fn view(url: &str) -> ServerView {
    let options = RedisOptions::parse(url).expect("an address");
    ServerView::new(options, Arc::new(SystemClock::new())).within(Duration::from_secs(20))
}

fn only(reading: &ServerReading) -> &NodeReading {
    let [node] = &reading.nodes[..] else { panic!("one node: {reading:?}") };
    node
}

/// Sends many commands in one process.
fn fill(redis: &Redis, script: &str) {
    redis.cli(&["EVAL", script, "0"]);
}

#[test]
fn a_server_tells_all_parts() {
    let redis = Redis::start_with(&[
        "--maxmemory",
        "100mb",
        "--maxmemory-policy",
        "allkeys-lfu",
        "--latency-monitor-threshold",
        "1",
        "--slowlog-log-slower-than",
        "0",
    ]);
    fill(
        &redis,
        "for i = 1, 1000 do redis.call('SET', 'user:' .. i, string.rep('x', 100), 'EX', 1000) end
         for i = 1, 500 do redis.call('SET', 'job:' .. i, 'x') end
         for i = 1, 2000 do redis.call('HSET', 'big', i, string.rep('y', 1000)) end",
    );
    redis.cli(&["GET", "user:1"]);
    redis.cli(&["GET", "nobody"]);
    redis.cli(&["SET", "user:alice", "secret"]);
    let view = view(&redis.url()).named("sessions");
    let reading = view.read_blocking();
    let node = only(&reading);
    assert_eq!((reading.name.as_str(), reading.left_off, reading.is_reached()), ("sessions", 0, true));

    let server = node.server.as_ref().expect("the server");
    assert_eq!((server.product.as_str(), server.mode), ("redis", ServerMode::Standalone));
    assert!(server.server_time.is_some() && server.version.starts_with(|digit: char| digit.is_ascii_digit()));
    let memory = node.memory.as_ref().expect("the memory");
    assert_eq!(memory.limit.map(veritas_model::Bytes::get), Some(100 << 20));
    assert!(memory.used.get() > 2_000_000 && memory.peak >= memory.used && memory.policy.counts_uses());
    let database = node.keyspace.as_ref().expect("the keyspace")[0];
    assert_eq!((database.index, database.keys, database.expires), (0, 1_502, 1_000));
    let without_ttl = node.without_ttl().expect("there are keys").get();
    assert!((without_ttl - 502.0 / 1_502.0).abs() < 1e-9);
    let traffic = node.traffic.as_ref().expect("the traffic");
    assert_eq!((traffic.hits, traffic.misses), (1, 1));
    assert!(node.clients.as_ref().is_ok_and(|clients| clients.connected >= 1 && clients.blocked == 0));
    let replication = node.replication.as_ref().expect("the replication");
    assert_eq!(*replication, ReplicationReading::Primary { replicas: 0, behind: Vec::new() });
    let persistence = node.persistence.as_ref().expect("the persistence");
    assert!(!persistence.loading && !persistence.log_enabled && !persistence.snapshot_failed);

    let commands = node.commands.as_ref().expect("the commands");
    let get = commands.iter().find(|command| command.name == "get").expect("GET was called");
    assert_eq!((get.calls, get.failed, get.rejected), (2, Some(0), Some(0)));
    assert!(commands.is_sorted_by(|one, other| one.time >= other.time));
    let slow = &node.slow_log.as_ref().expect("the slow log").entries;
    let set = slow.iter().find(|entry| entry.command == "set").expect("every command is slow here");
    assert_eq!((set.pattern.as_deref(), set.arguments), (Some("user:*"), 2));
    assert!(!format!("{slow:?}").contains("alice") && !format!("{slow:?}").contains("secret"));
    let event = &node.latency_events.as_ref().expect("the latency events")[0];
    assert!(
        event.longest >= event.last && event.last >= Duration::from_millis(1),
        "the script took its time"
    );

    let sample = node.sample.as_ref().expect("the sample");
    assert_eq!((sample.drawn, sample.database), (400, 0));
    assert!(sample.scanned >= 1_000, "{}", sample.scanned);
    let biggest = &sample.biggest.as_ref().expect("sizes")[..];
    assert!(biggest.len() == 16 && biggest.is_sorted_by(|one, other| one.bytes >= other.bytes));
    let share = sample.without_ttl.as_ref().expect("times to live");
    assert_eq!(share.sampled, 400);
    let lasting = sample.lasting_patterns.as_ref().expect("patterns");
    assert_eq!(lasting[0].pattern, "job:*");
    assert!(sample.hottest.is_ok());
}

#[test]
fn quantiles_of_commands_are_told_by_servers_that_keep_them() {
    let redis = Redis::start();
    for _ in 0..20 {
        redis.cli(&["SET", "key", "value"]);
    }
    let reading = view(&redis.url()).read_blocking();
    let commands = only(&reading).commands.as_ref().expect("the commands");
    let set = commands.iter().find(|command| command.name == "set").expect("SET was called");
    let quantiles: Vec<f64> = set.quantiles.iter().map(|quantile| quantile.quantile).collect();
    assert_eq!(quantiles, [0.5, 0.99, 0.999]);
    assert!(set.quantiles.is_sorted_by(|one, other| one.time <= other.time));
}

#[test]
fn over_readings_every_key_is_looked_at_and_the_big_and_hot_are_remembered() {
    let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lfu"]);
    fill(
        &redis,
        "for i = 1, 10000 do redis.call('SET', 'small:' .. i, 'x') end
         redis.call('SET', 'report:big', string.rep('x', 1000000))
         for i = 1, 30000 do redis.call('GET', 'session:hot') ; redis.call('SET', 'session:hot', 'x', 'KEEPTTL') end",
    );
    let view = view(&redis.url());
    let mut readings = 0;
    let found = loop {
        readings += 1;
        let reading = view.read_blocking();
        let sample = only(&reading).sample.as_ref().expect("a sample").clone();
        if sample.passes == 1 {
            break sample;
        }
        assert!(readings < 30, "the scan gets around");
    };
    let big = &found.biggest.as_ref().expect("sizes")[0];
    assert_eq!((big.key.as_str(), big.kind.as_deref()), ("report:big", Some("string")));
    assert!((1_000_000..1_300_000).contains(&big.bytes.get()), "{big:?}");
    let hot = &found.hottest.as_ref().expect("uses").keys[0];
    assert_eq!((hot.key.as_str(), hot.pattern.as_str()), ("session:hot", "session:*"));
    let share = hot.use_share.expect("there are keys").get();
    assert!(share > 0.5 && share <= 1.0, "{hot:?}");
    // What was found is looked at in every reading, until it is gone.
    let next = view.read_blocking();
    assert_eq!(only(&next).sample.as_ref().unwrap().biggest.as_ref().unwrap()[0].key, "report:big");
    redis.cli(&["DEL", "report:big"]);
    let last = view.read_blocking();
    assert_ne!(only(&last).sample.as_ref().unwrap().biggest.as_ref().unwrap()[0].key, "report:big");
}

#[test]
fn a_reading_costs_little_and_blocks_nobody() {
    let redis = Redis::start();
    fill(
        &redis,
        "for i = 1, 50000 do redis.call('SET', 'key:' .. i, 'x') end
         for i = 1, 100000 do redis.call('ZADD', 'ranks', i, i) end",
    );
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let reading = view(&redis.url()).read_blocking();
    assert!(only(&reading).sample.is_ok());
    let after = view(&redis.url()).read_blocking();
    let commands = only(&after).commands.as_ref().expect("the commands");
    // The second reading sees what the first did: its own `INFO` runs before its questions.
    let asked: u64 = commands.iter().map(|command| command.calls).sum();
    let spent: Duration = commands.iter().map(|command| command.time).sum();
    let took = after.took;
    println!("a reading of 50,001 keys: {asked} commands, {spent:?} of the server's time, {took:?} in all");
    assert!((1_500..3_000).contains(&asked), "{asked}");
    let allowed = [
        "info",
        "slowlog|get",
        "slowlog|len",
        "latency|latest",
        "scan",
        "randomkey",
        "memory|usage",
        "pttl",
        "type",
    ];
    for command in commands {
        let known = allowed.contains(&command.name.as_str()) || command.name == "config|resetstat";
        assert!(known, "{} was called", command.name);
        assert_eq!((command.failed, command.rejected), (Some(0), Some(0)), "{}", command.name);
    }
}

#[test]
fn rates_leave_out_what_the_view_itself_asked() {
    let redis = Redis::start();
    fill(&redis, "for i = 1, 2000 do redis.call('SET', 'key:' .. i, 'x') end");
    let view = view(&redis.url());
    let before = view.read_blocking();
    for _ in 0..3 {
        redis.cli(&["GET", "key:1"]);
    }
    redis.cli(&["GET", "nobody"]);
    let after = view.read_blocking();
    let rates = NodeRates::between(only(&before), only(&after)).expect("time has passed");
    let seconds = rates.window.as_secs_f64();
    assert_eq!((rates.hits * seconds).round(), 3.0);
    assert_eq!((rates.misses * seconds).round(), 1.0);
    assert_eq!(rates.hit_ratio.map(veritas_model::Ratio::percent), Some(75.0));
    let get = rates.by_command.iter().find(|rate| rate.name == "get").expect("GET was called");
    assert_eq!((get.calls * seconds).round(), 4.0);
    redis.kill();
    redis.restart();
    assert_eq!(NodeRates::between(only(&after), only(&view.read_blocking())), None);
}

#[test]
fn the_documented_rights_are_enough() {
    let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lfu"]);
    redis.cli(&["SET", "user:1", "x"]);
    redis.cli(&[&["ACL", "SETUSER", "veritas", "on", ">secret"], RIGHTS].concat());
    let reading = view(&as_user(&redis)).read_blocking();
    let node = only(&reading);
    assert!(
        node.server.is_ok() && node.commands.is_ok() && node.slow_log.is_ok() && node.latency_events.is_ok()
    );
    let sample = node.sample.as_ref().expect("a sample");
    assert!(sample.without_ttl.is_ok() && sample.biggest.is_ok() && sample.hottest.is_ok(), "{sample:?}");
    assert_eq!(sample.biggest.as_ref().unwrap()[0].kind.as_deref(), Some("string"));
    // Nothing was refused: no trace in the server's log of refusals.
    assert_eq!(redis.cli(&["ACL", "LOG"]).trim(), "");
    let source = include_str!("../../src/server.rs");
    assert!(RIGHTS.iter().all(|right| source.contains(right)), "the documentation names them all");
}

/// What the documentation of `veritas_redis::server` says a user needs.
const RIGHTS: &[&str] = &[
    "resetchannels",
    "%R~*",
    "-@all",
    "+info",
    "+ping",
    "+slowlog|get",
    "+slowlog|len",
    "+latency|latest",
    "+scan",
    "+randomkey",
    "+memory|usage",
    "+pttl",
    "+object|freq",
    "+type",
    "+cluster|slots",
];

fn as_user(redis: &Redis) -> String {
    format!("unix://{}?user=veritas&pass=secret", redis.socket().display())
}

#[test]
fn a_missing_right_costs_its_own_part_only() {
    let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lfu"]);
    redis.cli(&["SET", "user:1", "x"]);
    let forbidden = |command| NotRead::Forbidden { command };
    let without = |right: &str| {
        let all: Vec<&str> = RIGHTS.iter().copied().filter(|other| *other != right).collect();
        redis.cli(&[&["ACL", "SETUSER", "veritas", "reset", "on", ">secret"][..], &all].concat());
        only(&view(&as_user(&redis)).read_blocking()).clone()
    };
    let node = without("+info");
    assert_eq!(node.server, Err(forbidden("INFO")));
    assert_eq!(node.memory, Err(forbidden("INFO")));
    assert!(node.slow_log.is_ok() && node.sample.is_ok());
    let node = without("+slowlog|get");
    assert_eq!(node.slow_log, Err(forbidden("SLOWLOG GET")));
    assert!(node.server.is_ok() && node.latency_events.is_ok());
    assert_eq!(without("+latency|latest").latency_events, Err(forbidden("LATENCY LATEST")));
    assert_eq!(without("+slowlog|len").slow_log.map(|log| log.held), Ok(None));
    let sample = without("+pttl").sample.expect("a sample");
    assert_eq!(sample.without_ttl, Err(forbidden("PTTL")));
    assert!(sample.biggest.is_ok() && sample.mean_size.is_ok());
    let sample = without("+memory|usage").sample.expect("a sample");
    assert_eq!(sample.biggest, Err(forbidden("MEMORY USAGE")));
    assert!(sample.without_ttl.is_ok());
    assert_eq!(without("+object|freq").sample.expect("a sample").hottest, Err(forbidden("OBJECT FREQ")));
    assert_eq!(without("+type").sample.expect("a sample").biggest.expect("sizes")[0].kind, None);
    let sample = without("+randomkey").sample.expect("a sample");
    assert_eq!(sample.without_ttl, Err(forbidden("RANDOMKEY")));
    assert_eq!((sample.drawn, sample.scanned), (0, 1));
    assert!(without("+scan").sample.expect("a sample").without_ttl.is_ok());
    let node = without("%R~*");
    assert_eq!(node.sample.expect("a sample").without_ttl, Err(forbidden("PTTL")));
}

#[test]
fn an_empty_server_has_nothing_to_sample() {
    let redis = Redis::start();
    let reading = view(&redis.url()).read_blocking();
    let node = only(&reading);
    assert_eq!((node.keys(), node.without_ttl()), (Some(0), None));
    let sample = node.sample.as_ref().expect("a sample");
    assert_eq!((sample.drawn, sample.scanned), (0, 0));
    assert!(matches!(sample.without_ttl, Err(NotRead::NotKept { .. })), "{sample:?}");
    assert_eq!(sample.biggest, Ok(Vec::new()));
}

#[test]
fn dead_refusing_and_silent_servers_end_the_reading_in_time() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let quick = |url: &str| view(url).within(Duration::from_millis(300)).read_blocking();
    // Whatever is told at once is told on a busy machine too, later.
    let patient = |url: &str| view(url).read_blocking();
    proxy.set(Fault::Refuse);
    let unreachable = |reading: &ServerReading| {
        let why = only(reading).server.as_ref().expect_err("it is dead").clone();
        assert!(!reading.is_reached());
        why
    };
    assert!(matches!(unreachable(&patient(&proxy.url())), NotRead::Unreachable { .. }));
    proxy.set(Fault::BlackHole);
    assert_eq!(unreachable(&quick(&proxy.url())), NotRead::TimedOut);
    proxy.set(Fault::Slow(1_000));
    assert_eq!(unreachable(&quick(&proxy.url())), NotRead::TimedOut);
    proxy.set(Fault::Pass);
    let wrong = proxy.url().replace("redis://", "redis://veritas:secret@");
    let why = unreachable(&patient(&wrong));
    assert!(why.to_string().contains("password") && !why.to_string().contains("secret"), "{why}");
    assert!(view(&proxy.url()).read_blocking().is_reached());
}

#[test]
fn a_slow_network_costs_the_sample_and_not_the_rest() {
    let redis = Redis::start();
    fill(&redis, "for i = 1, 5000 do redis.call('SET', 'key:' .. i, 'x') end");
    let proxy = FaultProxy::start(&redis);
    proxy.set(Fault::Latency(Duration::from_millis(600)));
    let reading = view(&proxy.url()).within(Duration::from_secs(6)).read_blocking();
    let node = only(&reading);
    assert!(node.server.is_ok() && node.memory.is_ok());
    // Some questions found time or none did: both are said.
    if let Ok(sample) = &node.sample {
        assert!(sample.drawn <= 400);
    }
}

#[test]
fn a_reading_works_inside_of_a_runtime_too() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let view = view(&redis.url());
    runtime.block_on(async {
        assert!(view.read().await.is_reached());
        assert!(view.read_blocking().is_reached());
    });
}

#[test]
fn every_primary_of_a_cluster_is_read_and_a_dead_one_is_said_to_be() {
    let cluster = RedisCluster::start();
    for number in 0..60 {
        let key = format!("user:{number}");
        let owner = cluster.owner_of(cluster.slot_of(&key));
        cluster.node(owner).cli(&["SET", &key, "x"]);
    }
    let urls = cluster.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let view = view(&format!("redis-cluster://{urls}"));
    let reading = view.read_blocking();
    assert_eq!(reading.nodes.len(), 3);
    assert_eq!(reading.nodes.iter().filter_map(NodeReading::keys).sum::<u64>(), 60);
    assert!(
        reading.nodes.iter().all(|node| node.server.as_ref().is_ok_and(|it| it.mode == ServerMode::Cluster))
    );
    for address in cluster.addresses() {
        assert!(reading.node(&address.to_string()).is_some_and(|node| node.sample.is_ok()));
    }
    // The first seed is dead: the others tell of all nodes, and it cannot be read.
    cluster.kill(0);
    let reading = view.read_blocking();
    assert_eq!(reading.nodes.len(), 3);
    let dead = reading.node(&cluster.addresses()[0].to_string()).expect("it is listed");
    assert!(matches!(dead.server, Err(NotRead::Unreachable { .. })), "{:?}", dead.server);
    assert_eq!(reading.nodes.iter().filter(|node| node.server.is_ok()).count(), 2);
}

#[test]
fn the_primary_that_sentinels_name_is_read() {
    let redis = RedisSentinel::start();
    let sentinels = redis.sentinels().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let view = view(&format!("redis-sentinel://{sentinels}/{}", redis.name()));
    let primary = |index: usize| redis.server(index).address().expect("it has a port").to_string();
    assert_eq!(only(&view.read_blocking()).address, primary(0));
    redis.failover();
    let reading = view.read_blocking();
    assert_eq!(only(&reading).address, primary(1));
    wait_for(PATIENCE, || {
        let reading = view.read_blocking();
        matches!(only(&reading).replication, Ok(ReplicationReading::Primary { replicas: 1, .. }))
    });
    let unknown = ServerView::new(
        RedisOptions::parse(&format!("redis-sentinel://{sentinels}/nobody")).expect("an address"),
        Arc::new(SystemClock::new()),
    );
    let why = only(&unknown.read_blocking()).server.clone().expect_err("nobody is called that");
    assert!(why.to_string().contains("nobody"), "{why}");
}
