//! `veritas cache`, and a Redis server beside `serve` and `doctor`.

use std::fmt::Write as _;

use serde_json::Value;
use veritas_testkit::{Redis, data_dir, wait_for};

use crate::process::{PATIENCE, Server, run};

/// Look-ups of `keys` keys in turn, again and again.
fn trace(look_ups: u32, keys: u32) -> String {
    let mut trace = "time,key\n".to_owned();
    for number in 0..look_ups {
        writeln!(trace, "{number},user:{}", number % keys).unwrap();
    }
    trace
}

#[test]
fn a_replayed_trace_says_what_each_size_would_have_hit() {
    let directory = data_dir();
    std::fs::write(directory.path().join("trace.csv"), trace(2_000, 100)).unwrap();
    let arguments = ["cache", "replay", "trace.csv", "--sizes", "10,100,1000", "--exact", "--json"];
    let output = run(directory.path(), &arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["look_ups"], &report["unit"]), (&2_000.into(), &"entries".into()));
    let sizes = report["sizes"].as_array().unwrap();
    let exact: Vec<f64> = sizes.iter().map(|row| row["exact_miss_ratio"].as_f64().unwrap()).collect();
    let lru: Vec<f64> = sizes.iter().map(|row| row["lru_miss_ratio"].as_f64().unwrap()).collect();
    // A loop over more keys than fit never hits with LRU; all of them miss once.
    assert_eq!((lru[0], lru[2]), (1.0, 0.05));
    assert!(exact[0] > 0.5 && (exact[2] - 0.05).abs() < 1e-9, "{exact:?}");
    for row in sizes {
        let off = (row["miss_ratio"].as_f64().unwrap() - row["exact_miss_ratio"].as_f64().unwrap()).abs();
        assert!(off <= row["error_bound"].as_f64().unwrap() + 0.02, "{row}");
    }
    let table = run(directory.path(), &arguments[..arguments.len() - 1]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("2000 requests") && table.contains("advice: "), "{table}");
}

#[test]
fn a_trace_that_is_none_says_where_it_ends_to_be_one() {
    let directory = data_dir();
    let write = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
    write("bad.csv", b"time,key\n1,a\nsoon,b\n");
    write("short.oracleGeneral", &[0; 30]);
    write("trace.csv", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0]);
    write("trace.unknown", b"1,a\n");
    for (file, says) in [
        ("bad.csv", "line 3"),
        ("short.oracleGeneral", "record 2"),
        ("trace.csv", "compressed"),
        ("trace.unknown", "--format"),
        ("absent.csv", "failed to open"),
    ] {
        let output = run(directory.path(), &["cache", "replay", file]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{file}: {stderr}");
        assert!(stderr.contains(says) && stderr.contains("hint: "), "{file}: {stderr}");
        assert!(output.stdout.is_empty(), "{file}");
    }
    let none = run(directory.path(), &["cache", "replay", "bad.csv", "--sizes", "0"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn advice_is_asked_of_the_engine_that_owns_the_directory() {
    let directory = data_dir();
    let nobody = run(directory.path(), &["cache", "advise", "--data-dir", "data"]);
    let stderr = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!(nobody.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("hint: start `veritas serve --data-dir data`"), "{stderr}");

    let _server = Server::start(directory.path(), &[]);
    let asked = run(directory.path(), &["cache", "advise", "--data-dir", "data", "--json"]);
    let stderr = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(0), "{stderr}");
    let advice: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(advice["namespaces"], serde_json::json!([]), "the server itself caches nothing");
    let unknown = run(directory.path(), &["cache", "advise", "users", "--data-dir", "data"]);
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn serve_looks_at_a_redis_server_and_doctor_checks_it() {
    let directory = data_dir();
    let redis = Redis::start();
    let server = Server::start(directory.path(), &["--redis", &redis.url()]);
    let token = Server::token(directory.path(), "viewer");
    let reading = wait_for(PATIENCE, || {
        let (_, body) = server.get("/api/v1/performance/cache/server", Some(&token));
        let body: Value = serde_json::from_str(&body).unwrap();
        body["reading"]["nodes"][0]["memory"]["used"].is_number().then_some(body["reading"].clone())
    });
    assert_eq!(reading["nodes"][0]["server"]["mode"], "standalone", "{reading:#}");
    let finding = wait_for(PATIENCE, || {
        let (_, body) = server.get("/api/v1/performance/findings", Some(&token));
        let body: Value = serde_json::from_str(&body).unwrap();
        let findings = body["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["kind"] == "redis_memory")
    });
    assert_eq!(finding["subject"]["name"], "redis", "no limit of its memory is set: {finding:#}");

    let checks = |url: &str| {
        let output = run(directory.path(), &["doctor", "--redis", url, "--json"]);
        let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
        let wrong = checks.as_array().unwrap().iter().filter(|check| check["verdict"] == "wrong").count();
        (wrong, checks)
    };
    let (wrong, said) = checks(&redis.url());
    assert_eq!(wrong, 0, "{said:#}");
    assert!(said.to_string().contains("redis reachable"), "{said:#}");
    let url = redis.url();
    drop(redis);
    let (wrong, said) = checks(&url);
    assert_eq!(wrong, 1, "{said:#}");
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let directory = data_dir();
    for command in [&["serve", "--redis"][..], &["doctor", "--redis"]] {
        let arguments: Vec<&str> =
            command.iter().copied().chain(["redis://app:hunter2@cache:6379"]).collect();
        let output = run(directory.path(), &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains("targets.redis_password_file") && !stderr.contains("hunter2"), "{stderr}");
    }
}
