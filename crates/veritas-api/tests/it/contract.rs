//! The published document, sample by sample, against live answers.

use http::Method;
use serde_json::{Map, Value};
use veritas_api::auth::Role;

use crate::{
    client::{call, get},
    world::{PROFILE, PROFILES, World},
};

/// One operation of the document with its sample.
struct Sample {
    method: Method,
    path: String,
    body: Value,
}

/// Reads every operation and its JSON sample out of the document.
fn samples() -> Vec<Sample> {
    let document = include_str!("../../../../docs/reference/performance.md");
    let mut samples = Vec::new();
    let mut operation = None;
    for block in document.split("```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap();
        match kind {
            "http" => {
                let (method, path) = text.trim().split_once(' ').unwrap();
                operation = Some((method.parse().unwrap(), path.to_owned()));
            }
            "json" => {
                let (method, path) = operation.take().expect("a sample follows its operation");
                // The document abbreviates what it has shown before.
                let text = text.replace("{...}", "{}").replace("[...]", "[]");
                samples.push(Sample { method, path, body: serde_json::from_str(&text).unwrap() });
            }
            _ => {}
        }
    }
    samples
}

/// Names the key of a map whose keys are data, not part of the contract.
fn is_map(path: &str) -> bool {
    path.ends_with("/profiling/profiles") || path.ends_with(".query_types")
}

#[track_caller]
fn check(path: &str, sample: &Value, live: &Value) {
    match (sample, live) {
        (Value::Object(sample), Value::Object(live)) => check_object(path, sample, live),
        (Value::Array(sample), Value::Array(live)) => {
            if let Some(item) = sample.first() {
                assert!(!live.is_empty(), "{path}: there is something to check against");
                for live in live {
                    check(&format!("{path}[]"), item, live);
                }
            }
        }
        (Value::Number(sample), Value::Number(live)) => {
            assert!(sample.is_f64() || !live.is_f64(), "{path}: an integer became {live}");
            let digits = if path.ends_with("timestamp") || path.ends_with("_at") { 6 } else { 2 };
            let seconds = path.contains("execution_time");
            let scaled = live.as_f64().unwrap() * 10_f64.powi(digits);
            assert!(
                seconds || (scaled - scaled.round()).abs() < 1e-3,
                "{path}: {live} has {digits} decimals"
            );
        }
        (Value::String(_), Value::String(_)) => {}
        // Null where the truth is not known on this machine; each place is named.
        (_, Value::Null) => assert!(may_be_unknown(path), "{path} is null"),
        _ => panic!("{path}: {sample} became {live}"),
    }
}

fn check_object(path: &str, sample: &Map<String, Value>, live: &Map<String, Value>) {
    if is_map(path) {
        let item = sample.values().next().unwrap();
        live.iter().for_each(|(key, live)| check(&format!("{path}.{key}"), item, live));
        return;
    }
    for (key, sample) in sample {
        let live = live.get(key).unwrap_or_else(|| panic!("{path}.{key} is missing"));
        check(&format!("{path}.{key}"), sample, live);
    }
}

fn may_be_unknown(path: &str) -> bool {
    [
        ".cpu.frequency_mhz",
        ".swap_percent",
        ".memory_usage_bytes",
        ".bytes_sent_mb",
        ".bytes_recv_mb",
        ".packets_sent",
        ".packets_recv",
        ".avg_execution_time_improvement",
        ".memory_usage_reduction",
    ]
    .iter()
    .any(|known| path.ends_with(known))
}

#[tokio::test]
async fn every_sample_of_the_document_is_answered_key_by_key() {
    let _alone = PROFILES.lock().await;
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Operator);
    let mut samples = samples();
    assert_eq!(samples.len(), 14, "the document has fourteen operations");
    // What clears is asked last: the rest wants something to show.
    samples.sort_by_key(|sample| sample.method == Method::DELETE);
    for sample in samples {
        let path = sample.path.strip_prefix(veritas_api::PREFIX).expect("the prefix, once");
        let path = path.replace("{profile_name}", PROFILE);
        let answer = call(&router, sample.method.clone(), &path, &token).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        check(sample.path.split('?').next().unwrap(), &sample.body, &answer.json());
        if sample.method == Method::DELETE {
            assert_eq!(answer.json()["message"], sample.body["message"]);
        }
    }
}

#[tokio::test]
async fn the_figures_fit_together_and_are_those_of_the_sources() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Viewer);
    let cache = get(&router, "/cache/stats", &token).await.json();
    assert_eq!(cache["total_requests"], 175);
    assert_eq!(cache["hits"].as_u64().unwrap() + cache["misses"].as_u64().unwrap(), 175);
    assert_eq!(
        (&cache["hits"], &cache["sets"], &cache["hit_rate"]),
        (&150.into(), &175.into(), &85.71.into())
    );
    assert_eq!(cache["generated_at"], 1_672_531_230.0);

    let memory = get(&router, "/cache/memory", &token).await.json();
    assert_eq!(memory["estimated_entries"], 25);
    assert_eq!(memory["provenance"], "estimated");

    let statements = get(&router, "/db/stats", &token).await.json();
    assert_eq!(statements["total_queries"], 200);
    let by_name = statements["query_types"].as_object().unwrap();
    assert_eq!(by_name.values().map(|calls| calls.as_u64().unwrap()).sum::<u64>(), 200);
    assert_eq!(by_name["user_content_query"], 50);
    assert_eq!(statements["details"]["verification_query"]["rows"], 225);

    let connections = get(&router, "/db/connections", &token).await.json();
    assert_eq!(connections["connection_utilization"], 25.0);

    let system = get(&router, "/monitoring/system", &token).await.json();
    let memory = &system["memory"];
    let sum = memory["used_gb"].as_f64().unwrap() + memory["available_gb"].as_f64().unwrap();
    assert!((sum - memory["total_gb"].as_f64().unwrap()).abs() < 0.02);

    let process = get(&router, "/monitoring/process", &token).await.json();
    assert_eq!(process["pid"], std::process::id());

    let alerts = get(&router, "/monitoring/alerts", &token).await.json();
    assert_eq!(alerts[0]["type"], "high_cpu");
    assert_eq!(alerts[0]["message"], "High CPU usage: 85%");
    assert_eq!(alerts[0]["cause"], "process 42 stress");

    let report = get(&router, "/monitoring/report", &token).await.json();
    assert_eq!(report["data_points_count"], 30);
    assert_eq!(report["averages"]["points"], 10);
    assert_eq!(report["current_metrics"], system);
    assert_eq!(report["alerts"], alerts);
}

#[tokio::test]
async fn gains_are_those_of_kept_changes_only() {
    let world = World::busy();
    let token = world.token(Role::Viewer);
    let body = get(&world.router(), "/db/optimization", &token).await.json();
    assert_eq!(body["user_id"], 123);
    assert_eq!(body["optimizations_applied"], serde_json::json!(["indexing", "index_create"]));
    let indexing = &body["performance_improvements"]["indexing"];
    assert_eq!(indexing["indexes_created"], 1);
    assert_eq!(indexing["estimated_performance_gain"], 40.0);
    let slow = &body["query_analytics"]["slow_queries"][0];
    assert_eq!(slow["query_type"], "content_without_pagination");
    assert_eq!(slow["estimated_impact"], "High");
    assert!(slow["proposal_id"].as_str().unwrap().starts_with("p-"));
    let named = get(&world.router(), "/db/optimization", &world.token_of("ann", Role::Viewer)).await.json();
    assert_eq!(named["user_id"], "ann");
}

#[tokio::test]
async fn with_no_source_nothing_is_made_up() {
    let world = World::idle();
    let router = world.router();
    let token = world.token(Role::Viewer);
    for (path, counters, gauges) in [
        ("/cache/stats", vec!["/hits", "/misses", "/total_requests", "/hit_rate"], vec![]),
        ("/cache/memory", vec![], vec!["/estimated_entries", "/estimated_memory_mb"]),
        ("/db/stats", vec!["/total_queries"], vec![]),
        (
            "/db/connections",
            vec![],
            vec!["/active_connections", "/max_connections", "/connection_utilization"],
        ),
        ("/monitoring/system", vec![], vec!["/cpu/percent", "/memory/total_gb", "/disk/percent"]),
        ("/monitoring/process", vec![], vec!["/pid", "/name", "/memory_info/rss_mb"]),
    ] {
        let answer = get(&router, path, &token).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let body = answer.json();
        assert_eq!(body["provenance"], "unavailable", "{path}");
        for counter in counters {
            assert_eq!(body.pointer(counter).unwrap().as_f64(), Some(0.0), "{path}{counter}");
        }
        for gauge in gauges {
            assert_eq!(body.pointer(gauge), Some(&Value::Null), "{path}{gauge}");
        }
    }
    let report = get(&router, "/monitoring/report", &token).await.json();
    assert_eq!(report["data_points_count"], 0);
    assert!(report["averages"]["cpu_percent"].is_null());
    assert_eq!(report["alerts"], serde_json::json!([]));
    assert_eq!(get(&router, "/monitoring/history", &token).await.json(), serde_json::json!([]));
    let nobody = get(&router, "/profiling/profile/nobody", &token).await;
    assert_eq!(nobody.problem(404), "profile_unknown");
}

#[tokio::test]
async fn clearing_the_statistics_leaves_the_cache() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Operator);
    assert_eq!(call(&router, Method::DELETE, "/cache/stats", &token).await.status, 200);
    let cleared = get(&router, "/cache/stats", &token).await.json();
    assert_eq!((&cleared["hits"], &cleared["hit_rate"]), (&0.into(), &0.0.into()));
    assert_eq!(get(&router, "/cache/memory", &token).await.json()["estimated_entries"], 25);
}

#[tokio::test]
async fn history_is_the_newest_points_in_their_order() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Viewer);
    let times = |body: &Value| -> Vec<f64> {
        body.as_array().unwrap().iter().map(|point| point["timestamp"].as_f64().unwrap()).collect()
    };
    let start = 1_672_531_200.0;
    let newest = get(&router, "/monitoring/history?limit=3", &token).await.json();
    assert_eq!(times(&newest), [start + 27.0, start + 28.0, start + 29.0]);
    assert_eq!(times(&get(&router, "/monitoring/history", &token).await.json()).len(), 30);
    let window = format!("/monitoring/history?from={}&to={}", start + 5.0, start + 7.0);
    assert_eq!(times(&get(&router, &window, &token).await.json()), [start + 5.0, start + 6.0, start + 7.0]);
    let steps = get(&router, "/monitoring/history?step=10", &token).await.json();
    assert_eq!(times(&steps), [start + 9.0, start + 19.0, start + 29.0]);
    let series = "/monitoring/history?limit=1&series=process.threads,no.such";
    let point = &get(&router, series, &token).await.json()[0];
    assert!(point["series"]["process.threads"].as_f64().unwrap() >= 1.0);
    assert!(point["series"]["no.such"].is_null());
    assert_eq!(point["system"], newest[2]["system"]);
}

#[tokio::test]
async fn reading_changes_nothing() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Viewer);
    for path in ["/cache/stats", "/db/stats", "/db/optimization", "/monitoring/system", "/monitoring/alerts"]
    {
        let first = get(&router, path, &token).await.json();
        let second = get(&router, path, &token).await.json();
        assert_eq!(first, second, "{path}");
    }
    assert_eq!(world.sources.control.audit(10).unwrap(), []);
}
