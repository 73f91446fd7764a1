//! The fault proxy between a client and a real Redis.

use std::{io::ErrorKind, net::TcpStream, time::Duration};

use veritas_model::{Clock as _, SystemClock};
use veritas_testkit::{Fault, FaultProxy, Redis, wait_for};

use crate::talk::Talk;

const PATIENCE: Duration = Duration::from_mins(1);
/// Long enough that a reply that could come would have come.
const A_WHILE: Duration = Duration::from_millis(100);

fn is_reset(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionReset
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Returns how long `act` takes.
fn time(act: impl FnOnce()) -> Duration {
    let clock = SystemClock::new();
    let before = clock.monotonic();
    act();
    clock.monotonic().since(before)
}

#[test]
fn everything_passes_and_is_counted() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address());
    assert_eq!(client.ask("PING").unwrap(), "+PONG");
    assert_eq!((proxy.bytes_to_server(), proxy.bytes_to_client()), (6, 7));
    assert_eq!((proxy.connections(), proxy.open_connections()), (1, 1));
    drop(client);
    wait_for(PATIENCE, || proxy.open_connections() == 0);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_large_value_passes_whole_over_tcp_too() {
    let redis = Redis::start_tcp();
    let proxy = FaultProxy::start(redis.address().expect("it was started with a port"));
    let mut client = Talk::to(proxy.address());
    let value = "x".repeat(60_000);
    assert_eq!(client.ask(&format!("SET key {value}")).unwrap(), "+OK");
    for _ in 0..20 {
        assert_eq!(client.ask("GET key").unwrap(), value);
    }
}

#[test]
fn the_end_of_either_side_reaches_the_other() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address()).patient(PATIENCE);
    client.ask("PING").unwrap();
    redis.kill();
    assert!(client.hear().is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof || is_reset(&error)));
    let late = Talk::to(proxy.address()).patient(PATIENCE).hear();
    assert!(late.is_err_and(|error| is_reset(&error)), "nobody listens upstream");
    redis.restart();
    assert_eq!(Talk::to(proxy.address()).ask("PING").unwrap(), "+PONG");
}

#[test]
fn latency_delays_a_round_trip_twice_and_pipelines_once() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address());
    client.ask("PING").unwrap();
    proxy.set(Fault::Latency(Duration::from_millis(100)));
    assert!(time(|| assert_eq!(client.ask("PING").unwrap(), "+PONG")) >= Duration::from_millis(200));
    // One after the other they would take 120 s.
    let pipelined = time(|| {
        (0..600).for_each(|_| client.say("PING").unwrap());
        (0..600).for_each(|_| assert_eq!(client.hear().unwrap(), "+PONG"));
    });
    assert!(pipelined < Duration::from_mins(1), "{pipelined:?}");
}

#[test]
fn a_slow_network_takes_its_time_and_loses_nothing() {
    let redis = Redis::start();
    redis.cli(&["SET", "key", &"x".repeat(2_000)]);
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address());
    proxy.set(Fault::Slow(10_000));
    let taken = time(|| assert_eq!(client.ask("GET key").unwrap().len(), 2_000));
    assert!(taken >= Duration::from_millis(150), "{taken:?}");
    proxy.set(Fault::Pass);
    assert_eq!(client.ask("PING").unwrap(), "+PONG");
}

#[test]
fn a_cut_resets_the_established_and_lets_new_ones_in() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address()).patient(PATIENCE);
    client.ask("PING").unwrap();
    proxy.cut();
    assert_eq!(proxy.open_connections(), 0);
    assert!(client.hear().is_err_and(|error| is_reset(&error)));
    assert_eq!(Talk::to(proxy.address()).ask("PING").unwrap(), "+PONG");
}

#[test]
fn a_cut_in_a_reply_lets_exactly_the_bytes_before_it_pass_and_happens_once() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address()).patient(PATIENCE);
    client.ask("SET key value").unwrap();
    proxy.cut_after(6);
    client.say("GET key").unwrap();
    assert!(client.hear().is_err_and(|error| is_reset(&error)));
    assert_eq!(proxy.bytes_to_client(), 5 + 6);
    let mut next = Talk::to(proxy.address());
    assert_eq!(next.ask("GET key").unwrap(), "value");
}

#[test]
fn a_black_hole_swallows_and_what_lost_bytes_is_cut_when_it_ends() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut hit = Talk::to(proxy.address()).patient(PATIENCE);
    let mut spared = Talk::to(proxy.address()).patient(PATIENCE);
    hit.ask("PING").unwrap();
    spared.ask("PING").unwrap();
    proxy.set(Fault::BlackHole);
    let passed = proxy.bytes_to_server();
    hit.say("SET key value").unwrap();
    wait_for(PATIENCE, || proxy.bytes_lost() == 15);
    let mut new = Talk::to(proxy.address());
    new.say("PING").unwrap();
    wait_for(PATIENCE, || proxy.bytes_lost() == 15 + 6);
    assert_eq!(proxy.bytes_to_server(), passed);
    assert_eq!(redis.cli(&["EXISTS", "key"]), "0\n");
    let (mut hit, mut new) = (hit.patient(A_WHILE), new.patient(A_WHILE));
    assert!(hit.hear().is_err_and(|error| is_silence(&error)));
    assert!(new.hear().is_err_and(|error| is_silence(&error)));
    proxy.set(Fault::Pass);
    let (mut hit, mut new) = (hit.patient(PATIENCE), new.patient(PATIENCE));
    assert!(hit.hear().is_err_and(|error| is_reset(&error)));
    assert!(new.hear().is_err_and(|error| is_reset(&error)));
    assert_eq!(spared.ask("PING").unwrap(), "+PONG", "it had lost nothing");
}

#[test]
fn a_stall_holds_bytes_back_and_goes_on_where_it_stopped() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address()).patient(PATIENCE);
    client.ask("PING").unwrap();
    proxy.set(Fault::Stall);
    let mut client = client.patient(A_WHILE);
    assert!(client.ask("PING").is_err_and(|error| is_silence(&error)));
    proxy.set(Fault::Pass);
    let mut client = client.patient(PATIENCE);
    assert_eq!(client.hear().unwrap(), "+PONG");
}

#[test]
fn a_half_open_connection_is_closed_on_the_servers_side_only() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address()).patient(PATIENCE);
    client.ask("CLIENT SETNAME ours").unwrap();
    assert!(redis.cli(&["CLIENT", "LIST"]).contains("name=ours"));
    proxy.set(Fault::HalfOpen);
    wait_for(PATIENCE, || !redis.cli(&["CLIENT", "LIST"]).contains("name=ours"));
    client.say("PING").unwrap();
    wait_for(PATIENCE, || proxy.bytes_lost() == 6);
    let mut client = client.patient(A_WHILE);
    assert!(client.hear().is_err_and(|error| is_silence(&error)));
    assert_eq!(proxy.open_connections(), 1);
    proxy.set(Fault::Pass);
    let mut client = client.patient(PATIENCE);
    assert!(client.hear().is_err_and(|error| is_reset(&error)));
}

#[test]
fn refusing_is_at_once_and_leaves_the_established_alone() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(&redis);
    let mut client = Talk::to(proxy.address());
    for _ in 0..3 {
        proxy.set(Fault::Refuse);
        let refused = TcpStream::connect(proxy.address()).map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(client.ask("PING").unwrap(), "+PONG");
        proxy.set(Fault::Pass);
        assert_eq!(Talk::to(proxy.address()).ask("PING").unwrap(), "+PONG");
    }
}

#[test]
fn a_dropped_proxy_leaves_no_thread_and_no_connection() {
    let redis = Redis::start();
    for fault in [Fault::Pass, Fault::Stall, Fault::Slow(1), Fault::Latency(PATIENCE), Fault::BlackHole] {
        let proxy = FaultProxy::start(&redis);
        let mut clients: Vec<Talk> = (0..5).map(|_| Talk::to(proxy.address()).patient(PATIENCE)).collect();
        wait_for(PATIENCE, || proxy.connections() == 5);
        proxy.set(fault);
        for client in &mut clients {
            client.say("PING").unwrap();
        }
        let address = proxy.address();
        drop(proxy);
        // The reply may have come before.
        assert!(clients.iter_mut().all(|client| client.hear().is_err() || client.hear().is_err()));
        assert!(TcpStream::connect(address).is_err());
    }
}
