//! Bad input: numbers, parameters, paths, bodies.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;
use veritas_api::auth::Role;

use crate::{
    client::{call_json, get, request, send},
    world::World,
};

#[tokio::test]
async fn a_bad_number_is_refused_by_name() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Operator);
    for (path, name) in [
        ("/monitoring/history", "limit"),
        ("/monitoring/report", "window"),
        ("/monitoring/process", "pid"),
        ("/findings", "limit"),
        ("/proposals", "limit"),
        ("/changes", "limit"),
        ("/alerts/history", "limit"),
    ] {
        let bad =
            ["0", "-1", "1e9", "abc", "", "1.5", "99999999999999999999", "null", "0x10", "%00", "1;2", "1,2"];
        for value in bad {
            let answer = get(&router, &format!("{path}?{name}={value}"), &token).await;
            assert_eq!(answer.problem(422), "parameter_invalid", "{path}?{name}={value}");
        }
        let repeated = get(&router, &format!("{path}?{name}=1&{name}=2"), &token).await;
        assert_eq!(repeated.problem(422), "parameter_invalid", "{path}");
        let unknown = get(&router, &format!("{path}?{name}s=1"), &token).await;
        assert_eq!(unknown.problem(422), "parameter_invalid", "{path}");
    }
    for query in
        ["limit=10001", "from=nan", "to=inf", "step=0", "step=-1", "from=-5", "series=", "series=a%20b"]
    {
        let answer = get(&router, &format!("/monitoring/history?{query}"), &token).await;
        assert_eq!(answer.problem(422), "parameter_invalid", "{query}");
    }
    for query in ["limit=1", "limit=10000", "from=0", "to=1e9", "step=0.5e1", "from=9&to=1"] {
        let answer = get(&router, &format!("/monitoring/history?{query}"), &token).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    }
    let surplus = get(&router, "/cache/stats?verbose=1", &token).await;
    assert_eq!(surplus.problem(422), "parameter_invalid");
}

#[tokio::test]
async fn a_bad_path_is_no_path() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Operator);
    let decoded = get(&router, "/profiling/profile/%ff%fe", &token).await;
    assert_eq!(decoded.problem(400), "request_malformed");
    for name in ["..%2f..%2fetc%2fpasswd", "%00", "a%0ab", &"x".repeat(3000)] {
        let answer = get(&router, &format!("/profiling/profile/{name}"), &token).await;
        assert_eq!(answer.problem(404), "profile_unknown");
    }
    for id in ["f-", "p-0123456789abcdef", "f-0123456789ABCDEF", "1%20OR%201=1"] {
        let answer = get(&router, &format!("/findings/{id}"), &token).await;
        assert_eq!(answer.problem(404), "finding_unknown", "{id}");
    }
    let long = get(&router, &format!("/profiling/profile/{}", "x".repeat(9000)), &token).await;
    assert_eq!(long.problem(414), "uri_too_long");
}

fn rule() -> serde_json::Value {
    json!({"series": "system.cpu.percent", "comparison": "above", "threshold": 80.0, "hysteresis": 5.0,
        "hold_seconds": 10, "keep_firing_seconds": 0, "severity": "warning", "title": "High CPU usage"})
}

#[tokio::test]
async fn a_bad_body_is_refused_for_what_is_bad_about_it() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Admin);
    let put = |content_type: Option<&'static str>, body: String| {
        let mut request = request(&Method::PUT, "/alerts/rules/mine", &token);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        send(&router, request.body(Body::from(body)).unwrap())
    };
    let json_type = Some("application/json");
    let broken = [
        String::new(),
        "{".into(),
        "nonsense".into(),
        "[}".into(),
        "[".repeat(100_000),
        "{\"threshold\":1e999}".into(),
    ];
    for body in broken {
        let shown: String = body.chars().take(20).collect();
        assert_eq!(put(json_type, body).await.problem(400), "json_malformed", "{shown}");
    }
    let invalid = put(json_type, "\u{0}".into()).await;
    assert_eq!(invalid.problem(400), "json_malformed");
    for content_type in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")]
    {
        let answer = put(content_type, rule().to_string()).await;
        assert_eq!(answer.problem(415), "media_type_unsupported", "{content_type:?}");
    }
    assert_eq!(put(Some("Application/JSON; charset=utf-8"), rule().to_string()).await.status, 200);
    let spoiled = |key: &str, value: serde_json::Value| {
        let mut rule = rule();
        rule[key] = value;
        rule.to_string()
    };
    for body in [
        "null".into(),
        "[]".into(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{\"title\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
        json!(["system.cpu.percent", "above", 80.0, 5.0, 10, 0, "warning", "A list of the fields"])
            .to_string(),
        spoiled("comparison", json!({"above": null})),
        spoiled("severity", json!({"info": null})),
        spoiled("threshold", json!(null)),
        "{}".into(),
        spoiled("threshold", json!("80")),
        spoiled("threshold", json!(1e16)),
        spoiled("hysteresis", json!(-1)),
        spoiled("hold_seconds", json!(-1)),
        spoiled("hold_seconds", json!(86_401)),
        spoiled("severity", json!("fatal")),
        spoiled("comparison", json!("equal")),
        spoiled("title", json!("")),
        spoiled("title", json!("a\nb")),
        spoiled("title", json!("x".repeat(51))),
        spoiled("series", json!("system cpu")),
        spoiled("surprise", json!(1)),
        rule().to_string().replacen('{', "{\"threshold\":1,", 1),
    ] {
        assert_eq!(put(json_type, body.clone()).await.problem(422), "body_invalid", "{body}");
    }
    let named = call_json(&router, Method::PUT, "/alerts/rules/Not%20A%20Name", &token, &rule()).await;
    assert_eq!(named.problem(422), "body_invalid");
    let array = spoiled("threshold", json!([1, 2, 3]));
    assert_eq!(put(json_type, array).await.problem(422), "body_invalid");
}

#[tokio::test]
async fn a_large_body_is_refused_announced_or_not() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Admin);
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(300 * 1024));
    let announced = request(&Method::PUT, "/alerts/rules/mine", &token)
        .header("content-type", "application/json")
        .header("content-length", large.len())
        .body(Body::from(large.clone()))
        .unwrap();
    assert_eq!(send(&router, announced).await.problem(413), "body_too_large");
    let streamed = request(&Method::PUT, "/alerts/rules/mine", &token)
        .header("content-type", "application/json")
        .body(Body::new(http_body_util::combinators::UnsyncBoxBody::new(Body::from(large))))
        .unwrap();
    assert_eq!(send(&router, streamed).await.problem(413), "body_too_large");
    for length in ["-1", "abc", "99999999999999999999999"] {
        let lying = request(&Method::GET, "/cache/stats", &token)
            .header("content-length", length)
            .body(Body::empty())
            .unwrap();
        assert_eq!(send(&router, lying).await.problem(413), "body_too_large", "{length}");
    }
}

#[tokio::test]
async fn a_request_id_is_kept_only_if_it_is_harmless() {
    let world = World::busy();
    let router = world.router();
    let token = world.token(Role::Viewer);
    let ask = |id: &str| {
        let request = request(&Method::GET, "/cache/stats", &token).header("x-request-id", id);
        send(&router, request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask("trace-1.a_B").await.header("x-request-id"), Some("trace-1.a_B"));
    for evil in ["a b", "<x>", "a;b", &"x".repeat(65), "%0a"] {
        let answer = ask(evil).await;
        let given = answer.header("x-request-id").unwrap();
        assert_ne!(given, evil);
        assert!(given.len() <= 64);
    }
    let problem = send(
        &router,
        Request::builder().uri("/x").header("x-request-id", "mine").body(Body::empty()).unwrap(),
    )
    .await;
    problem.problem(404);
    assert_eq!(problem.json()["request_id"], "mine");
}
