//! Failures: every one is a value and none is a wait; what comes back is used again.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use veritas_model::{Condition, SystemClock};
use veritas_redis::{Invalidation, RedisOptions, RedisTier, TierError};
use veritas_testkit::{Fault, FaultProxy, Redis, wait_for};

use crate::scene::{Held, LONG, connected, entry, options};

const CALLS: u32 = 100_000;

/// A deadline that calls miss soon, and that the connections' thread keeps on a busy machine:
/// what expires because it had no turn is not held against the server.
const SHORT: Duration = Duration::from_millis(500);

/// Returns options with a short deadline, and whether silence is noticed without any call.
fn strict(url: &str, heartbeat: Duration) -> RedisOptions {
    let mut strict = options(url);
    strict.deadline = SHORT;
    strict.breaker.heartbeat = heartbeat;
    strict
}

#[test]
fn a_server_that_stops_answering_costs_five_calls_their_deadline_at_most() {
    let redis = Redis::start();
    // The calls shall find out.
    let tier = connected(strict(&redis.url(), LONG));
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "v")) == Ok(()));
    let held = Held::stop(&redis);
    let mut outcomes = Vec::new();
    for _ in 0..200 {
        outcomes.push(tier.get_blocking(b"veritas:a"));
    }
    let waited =
        outcomes.len() - outcomes.iter().filter(|outcome| **outcome == Err(TierError::Unavailable)).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(TierError::Unavailable)).count();
    assert!((1..=5).contains(&waited), "{waited}");
    assert_eq!(refused, 200 - waited);
    assert!(!tier.is_coherent());
    drop(held);
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Ok(Some(b"v".to_vec())));
    assert!(tier.is_coherent());
    assert!(tier.counters().degraded > Duration::ZERO);
}

#[test]
fn silence_is_noticed_without_any_call() {
    let redis = Redis::start();
    let tier = connected(RedisOptions::parse(&redis.url()).unwrap());
    let generation = tier.generation();
    let held = Held::stop(&redis);
    wait_for(LONG, || !tier.is_available());
    assert!(!tier.is_coherent() && tier.generation() > generation);
    assert_eq!(tier.get_blocking(b"veritas:a"), Err(TierError::Unavailable));
    drop(held);
    wait_for(LONG, || tier.is_coherent());
}

/// Returns how often this thread has waited for something, and its CPU time in hundredths of a second.
fn cost() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // Behind the name, in parentheses: the fields from the third on.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().unwrap();
    (waits.trim().parse().unwrap(), ticks(14) + ticks(15))
}

#[test]
fn a_refused_call_costs_next_to_nothing() {
    let redis = Redis::start();
    let tier = connected(RedisOptions::parse(&redis.url()).unwrap());
    drop(redis);
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    let (waits, ticks) = cost();
    for _ in 0..CALLS {
        assert_eq!(tier.get_blocking(b"veritas:a"), Err(TierError::Unavailable));
    }
    // The claim is 1 µs in a release build. A network or a lock on the way would be a wait for
    // each call; the bound on the CPU time, 50 µs, only catches what has no place there.
    let (waits, ticks) = (cost().0 - waits, cost().1 - ticks);
    assert!(waits < u64::from(CALLS) / 1_000, "{waits} waits");
    assert!(ticks < 500, "{ticks} hundredths of a second");
    assert!(tier.get_many_blocking(&["veritas:a"; 3]).iter().all(|one| *one == Err(TierError::Unavailable)));
    assert!(tier.counters().refused >= u64::from(CALLS) + 3);
}

#[test]
fn a_server_that_was_never_there_is_no_error_and_is_used_when_it_comes() {
    let redis = Redis::start();
    let url = redis.url();
    drop(redis);
    let tier = RedisTier::connect(options(&url), Arc::new(SystemClock::new())).unwrap();
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "v")) == Err(TierError::Unavailable));
    let Condition::Degraded(reason) = tier.condition() else { panic!("ready") };
    assert!(reason.contains("has not been connected"), "{reason}");
}

#[test]
fn an_evicting_server_and_one_out_of_memory_are_values() {
    let redis = Redis::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let tier = connected(options(&redis.url()));
    let big = "x".repeat(100_000);
    let mut outcomes = Vec::new();
    for number in 0..40 {
        outcomes.push(tier.set_blocking(entry(&format!("veritas:{number}"), &big)));
    }
    assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(TierError::OutOfMemory)), "{outcomes:?}");
    assert_eq!(tier.condition(), Condition::Ready, "a full server still answers");
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    for number in 0..40 {
        assert_eq!(tier.set_blocking(entry(&format!("veritas:{number}"), &big)), Ok(()));
    }
    let keys: Vec<_> = (0..40).map(|number| format!("veritas:{number}")).collect();
    let read = tier.get_many_blocking(&keys);
    let kept = read.iter().filter(|read| matches!(read, Ok(Some(_)))).count();
    assert!(kept < 40 && read.iter().all(Result::is_ok), "{kept} kept");
}

#[test]
fn a_key_of_another_type_is_a_miss_and_can_be_overwritten() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    redis.cli(&["LPUSH", "veritas:list", "a"]);
    assert_eq!(tier.get_blocking(b"veritas:list"), Ok(None), "MGET has no error for it");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(tier.increment(b"veritas:list", None)), Err(TierError::WrongType));
    assert_eq!(tier.set_blocking(entry("veritas:list", "v")), Ok(()));
    assert_eq!(tier.get_blocking(b"veritas:list"), Ok(Some(b"v".to_vec())));
}

#[test]
fn a_replica_reads_and_refuses_to_write() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    // A primary that is not there: what it has, it keeps.
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(tier.set_blocking(entry("veritas:a", "w")), Err(TierError::ReadOnly));
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Ok(Some(b"v".to_vec())));
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "w")) == Ok(()));
}

#[test]
fn a_late_reply_answers_nobody() {
    let redis = Redis::start_with(&["--enable-debug-command", "yes"]);
    let mut hasty = RedisOptions::parse(&redis.url()).unwrap();
    hasty.deadline = Duration::from_millis(20);
    hasty.breaker.heartbeat = LONG;
    let tier = connected(hasty);
    for number in 0..50 {
        let (key, value) = (format!("veritas:{number}"), format!("value {number}"));
        wait_for(LONG, || tier.set_blocking(entry(&key, &value)) == Ok(()));
    }
    for round in 0..20 {
        // The server sleeps longer than one call waits, so that replies come late, in the middle of others.
        let sleeper = std::thread::spawn({
            let tier = tier.clone();
            move || {
                let mut sleep = redis::cmd("DEBUG");
                sleep.arg("SLEEP").arg("0.03");
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let slept = runtime.block_on(tier.command(sleep, None));
                assert!(!matches!(slept, Err(TierError::Other { .. })), "{slept:?}");
            }
        });
        for number in 0..50 {
            let number = (number + round) % 50;
            let key = format!("veritas:{number}");
            if let Ok(read) = tier.get_blocking(key.as_bytes()) {
                assert_eq!(read, Some(format!("value {number}").into_bytes()));
            }
        }
        sleeper.join().unwrap();
    }
    assert!(tier.counters().timeouts > 0, "no reply came late");
}

#[test]
fn what_a_dead_connection_still_held_is_never_carried_out() {
    let redis = Redis::start();
    let mut hasty = strict(&redis.url(), LONG);
    hasty.breaker.failures = 1;
    let tier = connected(hasty);
    let held = Held::stop(&redis);
    // The server has these bytes, and will find them when it goes on.
    assert_eq!(tier.set_blocking(entry("veritas:a", "old")), Err(TierError::TimedOut));
    drop(held);
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "new")) == Ok(()));
    wait_for(LONG, || redis.cli(&["CLIENT", "LIST"]).lines().count() == 2);
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(Some(b"new".to_vec())));
}

#[test]
fn a_server_that_was_started_anew_is_not_asked_to_close_somebody_else_s_connection() {
    let redis = Redis::start_tcp();
    let proxy = FaultProxy::start(&redis);
    let tier = connected(options(&proxy.url()));
    proxy.set(Fault::Refuse);
    redis.kill();
    wait_for(LONG, || !tier.is_available());
    redis.restart();
    // Numbers of connections begin anew: one of these has the number that ours had.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut strangers: Vec<_> = (0..100).map(|_| client.get_connection().unwrap()).collect();
    proxy.set(Fault::Pass);
    wait_for(LONG, || tier.is_coherent());
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    for stranger in &mut strangers {
        assert_eq!(redis::cmd("PING").query::<String>(stranger).as_deref(), Ok("PONG"));
    }
}

/// Polls a future once.
fn begin<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn a_call_that_may_take_long_holds_up_nobody_s_deadline() {
    let redis = Redis::start_tcp();
    let proxy = FaultProxy::start(&redis);
    proxy.set(Fault::BlackHole);
    let mut options = RedisOptions::parse(&proxy.url()).unwrap();
    options.connect_timeout = 3 * LONG;
    let tier = RedisTier::connect(options, Arc::new(SystemClock::new())).unwrap();
    let ping = redis::cmd("PING");
    let mut long = std::pin::pin!(tier.command_on_nodes(&ping, 3 * LONG));
    assert!(begin(long.as_mut()).is_pending());
    assert_eq!(tier.get_blocking(b"veritas:a"), Err(TierError::TimedOut));
    assert!(begin(long.as_mut()).is_pending(), "the other one did not wait for it");
}

#[test]
fn what_waits_is_bounded_in_bytes_whatever_it_is() {
    let redis = Redis::start_tcp();
    let proxy = FaultProxy::start(&redis);
    proxy.set(Fault::BlackHole);
    let mut options = options(&proxy.url());
    (options.deadline, options.connect_timeout) = (6 * LONG, 6 * LONG);
    let tier = RedisTier::connect(options, Arc::new(SystemClock::new())).unwrap();
    let mut script = redis::cmd("EVAL");
    script.arg("return redis.call('SET', KEYS[1], ARGV[1])").arg(1).arg("veritas:a").arg(vec![b'v'; 8 << 20]);
    let mut calls: Vec<_> =
        (0..10).map(|_| Box::pin(tier.command(script.clone(), Some(b"veritas:a")))).collect();
    let outcomes = calls.iter_mut().map(|call| begin(call.as_mut()));
    let full = outcomes.filter(|outcome| matches!(outcome, std::task::Poll::Ready(Err(TierError::Full))));
    assert_eq!(full.count(), 3, "64 MiB hold seven of them");
}

/// A tier with a short deadline behind a proxy, with one value written.
fn behind_a_proxy(heartbeat: Duration) -> (Redis, FaultProxy, RedisTier) {
    behind_a_proxy_with(|url| strict(url, heartbeat))
}

fn behind_a_proxy_with(options: impl FnOnce(&str) -> RedisOptions) -> (Redis, FaultProxy, RedisTier) {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let tier = connected(options(&proxy.url()));
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "before")) == Ok(()));
    (redis, proxy, tier)
}

/// Lets a fault begin, calls until calls fail at once, ends the fault and waits
/// until the tier is used again. Returns how many calls waited.
#[track_caller]
fn suffer(fault: Fault, cut: bool) -> usize {
    let (redis, proxy, tier) = behind_a_proxy(LONG);
    let generation = tier.generation();
    proxy.set(fault);
    if cut {
        proxy.cut();
    }
    let mut outcomes = Vec::new();
    while outcomes.iter().filter(|outcome| **outcome == Err(TierError::Unavailable)).count() < 100 {
        outcomes.push(tier.get_blocking(b"veritas:a"));
        assert!(outcomes.len() < 1_000_000, "calls never fail at once");
    }
    // What a peer does meanwhile is not heard; what we kept is not to be trusted.
    redis.cli(&["SET", "veritas:a", "meanwhile"]);
    assert!(tier.generation() > generation && !tier.is_coherent());
    let lost = tier.generation();
    proxy.set(Fault::Pass);
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Ok(Some(b"meanwhile".to_vec())));
    assert!(tier.generation() > lost && tier.is_coherent());
    assert_eq!(tier.condition(), Condition::Ready);
    outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(TierError::TimedOut | TierError::Disconnected)))
        .count()
}

#[test]
fn a_refused_connection_costs_no_wait_beyond_the_one_that_was_lost() {
    assert!(suffer(Fault::Refuse, true) <= 5);
}

#[test]
fn a_black_hole_costs_five_waits_at_most() {
    assert!((1..=5).contains(&suffer(Fault::BlackHole, false)));
}

#[test]
fn a_half_open_connection_costs_five_waits_at_most() {
    assert!((1..=5).contains(&suffer(Fault::HalfOpen, false)));
}

#[test]
fn a_stalled_network_costs_five_waits_at_most() {
    assert!((1..=5).contains(&suffer(Fault::Stall, false)));
}

#[test]
fn a_network_that_is_too_slow_costs_five_waits_at_most() {
    assert!((1..=5).contains(&suffer(Fault::Latency(SHORT), false)));
}

#[test]
fn a_network_that_is_too_narrow_costs_five_waits_at_most() {
    assert!((1..=5).contains(&suffer(Fault::Slow(20), false)));
}

#[test]
fn a_link_that_is_wide_enough_for_a_heartbeat_and_no_more_is_not_attached_to() {
    let (_redis, proxy, tier) = behind_a_proxy(LONG);
    let connects = tier.counters().connects;
    proxy.set(Fault::Slow(20_000));
    proxy.cut();
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    wait_for(LONG, || tier.counters().failed_connects >= 3);
    assert_eq!(tier.counters().connects, connects);
}

#[test]
fn a_cut_in_the_middle_of_a_reply_is_an_error_of_that_call_only() {
    let (_redis, proxy, tier) = behind_a_proxy_with(options);
    let value = "x".repeat(50_000);
    for after in [1, 5, 1_000, 49_999] {
        wait_for(LONG, || tier.set_blocking(entry("veritas:a", &value)) == Ok(()));
        // No bytes but those of the reply: an attempt to connect that was not needed is gone.
        wait_for(LONG, || proxy.open_connections() == 1);
        proxy.cut_after(after);
        assert_eq!(tier.get_blocking(b"veritas:a"), Err(TierError::Disconnected));
        wait_for(LONG, || tier.get_blocking(b"veritas:a") == Ok(Some(value.clone().into_bytes())));
    }
}

#[test]
fn silence_of_the_network_is_noticed_without_any_call() {
    for fault in [Fault::BlackHole, Fault::HalfOpen, Fault::Stall] {
        let (_redis, proxy, tier) = behind_a_proxy(Duration::from_millis(250));
        proxy.set(fault);
        wait_for(LONG, || !tier.is_coherent());
    }
}

#[test]
fn callers_that_were_waiting_at_the_fault_wait_once() {
    let (redis, proxy, tier) = behind_a_proxy_with(|url| {
        let mut patient = options(url);
        patient.breaker.heartbeat = LONG;
        patient
    });
    // The connections' thread is kept busy until all are waiting.
    let (began, beginning) = mpsc::channel();
    let (go, going) = mpsc::channel::<()>();
    let going = std::sync::Mutex::new(going);
    tier.subscribe(Arc::new(move |invalidation| {
        if invalidation == Invalidation::Key(b"veritas:hold") {
            began.send(()).ok();
            going.lock().unwrap().recv().ok();
        }
    }));
    redis.cli(&["SET", "veritas:hold", "v"]);
    beginning.recv_timeout(LONG).unwrap();
    proxy.set(Fault::BlackHole);
    let keys: Vec<_> = (0..100).map(|number| format!("veritas:{number}")).collect();
    let mut gets: Vec<_> = keys.iter().map(|key| Box::pin(tier.get(key.as_bytes()))).collect();
    assert!(gets.iter_mut().all(|get| begin(get.as_mut()).is_pending()));
    drop(go);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcomes = runtime.block_on(async {
        let mut outcomes = Vec::new();
        for get in gets {
            outcomes.push(get.await);
        }
        outcomes
    });
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Err(TierError::TimedOut | TierError::Disconnected)))
    );
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    let counters = tier.counters();
    assert!(counters.timeouts + counters.disconnected >= 100, "{counters:?}");
}

#[test]
fn a_large_batch_in_a_black_hole_waits_once() {
    let (_redis, proxy, tier) = behind_a_proxy(LONG);
    proxy.set(Fault::BlackHole);
    let keys: Vec<_> = (0..100_000).map(|number| format!("veritas:{number}")).collect();
    let outcomes = tier.get_many_blocking(&keys);
    assert!(outcomes.iter().all(Result::is_err));
    assert!(tier.counters().timeouts >= 99_000, "{:?}", tier.counters());
}

#[test]
fn a_loading_server_is_not_waited_for_and_is_used_when_it_has_loaded() {
    let slow = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"];
    let debug = ["--enable-debug-command", "yes", "--save", "1000000 1"];
    let redis = Redis::start_with(&[debug, slow].concat());
    assert_eq!(redis.cli(&["DEBUG", "POPULATE", "2000", "veritas", "100"]), "OK\n");
    let tier = connected(options(&redis.url()));
    assert_eq!(redis.cli(&["SAVE"]), "OK\n");
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| redis.cli(&["DEBUG", "RELOAD", "NOSAVE"]));
        while !reload.is_finished() {
            outcomes.push(tier.get_blocking(b"veritas:0"));
        }
        assert_eq!(reload.join().unwrap(), "OK\n");
    });
    let count = |error| outcomes.iter().filter(|outcome| **outcome == Err(error)).count();
    assert!(count(TierError::Loading) > 0, "the server never said that it is loading");
    // Five for each connection, of which a busy machine may lose one before the loading begins.
    let asked = u64::try_from(count(TierError::Loading) + count(TierError::TimedOut)).unwrap();
    assert!(asked <= 5 * tier.counters().connects, "it was asked {asked} times");
    assert!(count(TierError::Unavailable) > 100);
    wait_for(LONG, || tier.get_blocking(b"veritas:0").is_ok_and(|read| read.is_some()));
}

#[test]
fn answered_heartbeats_do_not_make_up_for_calls_without_an_answer() {
    let (_redis, proxy, tier) = behind_a_proxy(Duration::from_millis(1));
    let value = "x".repeat(200_000);
    wait_for(LONG, || tier.set_blocking(entry("veritas:big", &value)) == Ok(()));
    // A heartbeat passes in time, the value does not, nor what a new connection has to carry.
    proxy.set(Fault::Slow(20_000));
    let mut waited = 0;
    while tier.is_available() {
        waited += u32::from(tier.get_blocking(b"veritas:big") == Err(TierError::TimedOut));
        assert!(waited <= 5);
    }
}

#[test]
fn the_thread_ends_with_the_last_handle_in_a_black_hole_too() {
    let (redis, proxy, tier) = behind_a_proxy(LONG);
    proxy.set(Fault::BlackHole);
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    drop(tier);
    proxy.set(Fault::Pass);
    wait_for(LONG, || redis.cli(&["CLIENT", "LIST"]).lines().count() == 1);
    // Whoever still tried would be let in within the pause between two attempts, as this one is.
    let other = connected(options(&proxy.url()));
    assert!(other.is_coherent());
    wait_for(LONG, || redis.cli(&["CLIENT", "LIST"]).lines().count() == 2);
}
