//! Redis fixtures.

use std::path::Path;

use veritas_testkit::Redis;

use crate::talk::Talk;

#[test]
fn a_server_is_empty_and_private() {
    let (first, second) = (Redis::start(), Redis::start());
    assert_eq!(first.cli(&["SET", "key", "value"]), "OK\n");
    assert_eq!(first.cli(&["GET", "key"]), "value\n");
    assert_eq!(second.cli(&["DBSIZE"]), "0\n");
    assert_ne!(first.url(), second.url());
}

#[test]
fn the_url_connects() {
    let redis = Redis::start();
    let path = redis.url().strip_prefix("unix://").map(ToOwned::to_owned).expect("a socket URL");
    assert_eq!(Path::new(&path), redis.socket());
    assert_eq!(redis.cli(&["PING"]), "PONG\n");
}

#[test]
fn settings_reach_the_server() {
    let redis = Redis::start_with(&["--maxmemory", "10mb"]);
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory"]), "maxmemory\n10485760\n");
}

#[test]
fn a_server_and_its_socket_go_with_the_guard() {
    let redis = Redis::start();
    let (process, socket) = (redis.process(), redis.socket().to_path_buf());
    drop(redis);
    assert!(!socket.exists());
    assert!(!Path::new("/proc").join(process.to_string()).exists());
}

#[test]
fn a_server_with_a_port_keeps_it_over_a_restart_and_forgets_its_keys() {
    let redis = Redis::start_tcp();
    let address = redis.address().expect("it was started with a port");
    assert_eq!(redis.url(), format!("redis://{address}"));
    assert_eq!(Talk::to(address).ask("SET key value").unwrap(), "+OK");
    let before = redis.process();
    redis.kill();
    assert!(std::net::TcpStream::connect(address).is_err());
    redis.restart();
    assert_ne!(redis.process(), before);
    assert_eq!(Talk::to(address).ask("EXISTS key").unwrap(), ":0");
    assert_eq!(redis.cli(&["PING"]), "PONG\n");
}
