//! `veritas serve`: starts, answers, survives, stops.

use std::io::{Read, Write};

use serde_json::Value;
use veritas_testkit::{data_dir, wait_for};

use crate::process::{PATIENCE, Server, run};

const API: &str = "/api/v1/performance";

#[test]
fn a_fresh_server_answers_with_a_token_made_beside_it() {
    let directory = data_dir();
    let server = Server::start(directory.path(), &[]);
    let written = std::fs::read_to_string(directory.path().join("data/address")).unwrap();
    assert_eq!(written.trim(), server.address.to_string());

    assert_eq!(server.get("/livez", None).0, 200);
    assert_eq!(server.get(&format!("{API}/monitoring/system"), None).0, 401);
    let token = Server::token(directory.path(), "viewer");
    let system = wait_for(PATIENCE, || {
        let (status, body) = server.get(&format!("{API}/monitoring/system"), Some(&token));
        let system: Value = serde_json::from_str(&body).unwrap();
        (status == 200 && system["cpu"]["percent"].is_number()).then_some(system)
    });
    assert!(system["memory"]["total_gb"].as_f64().unwrap() > 0.0, "{system}");
    let (status, process) = server.get(&format!("{API}/monitoring/process"), Some(&token));
    let process: Value = serde_json::from_str(&process).unwrap();
    assert_eq!((status, process["name"].as_str()), (200, Some("veritas")));
}

#[test]
fn the_pasted_first_request_works() {
    let directory = data_dir();
    let mut server = Server::start(directory.path(), &[]);
    let token = {
        let mut seen = String::new();
        loop {
            std::io::BufRead::read_line(&mut server.stderr, &mut seen).unwrap();
            if let Some((_, rest)) = seen.split_once("Authorization: Bearer ") {
                break rest.split('\'').next().unwrap().to_owned();
            }
        }
    };
    assert_eq!(server.get(&format!("{API}/cache/stats"), Some(&token)).0, 200);
    // It is a viewer's: it changes nothing.
    assert_eq!(
        crate::process::request(server.address, "DELETE", &format!("{API}/cache/stats"), Some(&token)).0,
        403
    );
}

#[test]
fn a_later_start_puts_no_token_into_the_log() {
    let directory = data_dir();
    drop(Server::start(directory.path(), &[]));
    let mut server = Server::start(directory.path(), &[]);
    server.signal("-TERM");
    let mut said = String::new();
    server.stderr.read_to_string(&mut said).unwrap();
    assert_eq!(server.wait().code(), Some(0));
    assert!(!said.contains("Bearer"), "{said}");
}

#[test]
fn the_history_survives_a_kill() {
    let directory = data_dir();
    let server = Server::start(directory.path(), &[]);
    let token = Server::token(directory.path(), "viewer");
    let points = |server: &Server| {
        let (_, body) = server.get(&format!("{API}/monitoring/history?limit=10000"), Some(&token));
        serde_json::from_str::<Vec<Value>>(&body).unwrap()
    };
    let before = wait_for(PATIENCE, || Some(points(&server)).filter(|points| points.len() >= 3));
    server.signal("-KILL");
    drop(server);

    let server = Server::start(directory.path(), &[]);
    let after = wait_for(PATIENCE, || Some(points(&server)).filter(|points| points.len() > before.len()));
    for (kept, point) in before.iter().zip(&after) {
        assert_eq!(kept["timestamp"], point["timestamp"]);
    }
}

#[test]
fn a_signal_ends_it_with_0_though_a_connection_is_open() {
    let directory = data_dir();
    let mut server = Server::start(directory.path(), &[]);
    let mut idle = std::net::TcpStream::connect(server.address).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_ne!(idle.read(&mut [0; 16]).unwrap(), 0);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!directory.path().join("data/address").exists());
}

#[test]
fn the_doctor_finds_nothing_wrong_beside_a_running_server() {
    let directory = data_dir();
    let _server = Server::start(directory.path(), &[]);
    let output = run(directory.path(), &["doctor", "--json", "--data-dir", "data"]);
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{checks:?}");
    assert!(checks.iter().any(|check| check["check"] == "server" && check["verdict"] == "ok"), "{checks:?}");
}
