//! What stands at the root.

use http::{Method, Request};
use veritas_api::auth::Role;
use veritas_model::Condition;

use crate::{
    client::{open, send},
    world::World,
};

#[tokio::test]
async fn probes_need_no_token_and_tell_strangers_no_reasons() {
    let world = World::idle();
    let router = world.router();
    assert_eq!(open(&router, "/livez").await.json()["status"], "alive");
    assert_eq!(open(&router, "/readyz").await.json()["status"], "ready");

    world.sources.health.set("history", Condition::Degraded("no space on /var/lib/veritas".into()));
    let degraded = open(&router, "/readyz").await;
    assert_eq!(degraded.status, 200);
    assert_eq!(degraded.json()["degraded"], serde_json::json!(["history"]));
    assert!(!degraded.text.contains("/var/lib"));

    let token = world.token(Role::Viewer);
    let trusted = Request::builder().uri("/readyz").header("authorization", format!("Bearer {token}"));
    let trusted = send(&router, trusted.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(trusted.json()["components"][0]["reason"], "no space on /var/lib/veritas");

    world.sources.health.set("engine", Condition::Degraded("stopping".into()));
    assert_eq!(open(&router, "/readyz").await.problem(503), "unavailable");
    assert_eq!(open(&router, "/livez").await.status, 200);
}

#[tokio::test]
async fn metrics_need_a_token_and_parse() {
    let world = World::busy();
    let router = world.router();
    assert_eq!(open(&router, "/metrics").await.problem(401), "token_missing");
    let token = world.token(Role::Viewer);
    let request = Request::builder().uri("/metrics").header("authorization", format!("Bearer {token}"));
    let metrics = send(&router, request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in metrics.text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("veritas_"), "{line}");
        assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
    }
    assert!(metrics.text.contains("veritas_cache_hits_total 150\n"));
    assert!(metrics.text.contains("veritas_api_responses_total{class=\"4xx\"} 1\n"));
}

#[tokio::test]
async fn the_documentation_needs_no_internet() {
    let router = World::idle().router();
    for path in ["/docs", "/docs/docs.css", "/docs/docs.js"] {
        let page = open(&router, path).await;
        assert_eq!(page.status, 200);
        for outside in ["http://", "https://", "//cdn", "innerHTML", "style=", "onclick"] {
            assert!(!page.text.contains(outside), "{path} holds {outside}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    assert_eq!(open(&router, "/openapi.json").await.json()["openapi"], "3.1.0");
    let keys = open(&router, "/.well-known/jwks.json").await.json();
    assert_eq!(keys["keys"][0]["alg"], "EdDSA");
    assert!(keys["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let world = World::idle();
    let router = world.router();
    for path in ["/", "/nothing", "/docs/../etc/passwd", "/api/v1/performance2"] {
        assert_eq!(open(&router, path).await.problem(404), "not_found", "{path}");
    }
    let token = world.token(Role::Viewer);
    for path in ["", "/nothing", "/cache", "/cache/stats/", "/api/v1/performance/cache/stats"] {
        let answer = crate::client::get(&router, path, &token).await;
        assert_eq!(answer.problem(404), "not_found", "{path}");
        let stranger = open(&router, &format!("{}{path}", veritas_api::PREFIX)).await;
        assert_eq!(stranger.problem(401), "token_missing", "{path}: a stranger learns no paths");
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::TRACE, Method::OPTIONS] {
        let answer = crate::client::call(&router, method, "/cache/stats", &token).await;
        assert_eq!(answer.problem(405), "method_not_allowed");
        let allow = answer.header("allow").unwrap();
        assert!(allow.contains("GET") && allow.contains("DELETE"), "{allow}");
    }
    let post = Request::builder().method(Method::POST).uri("/livez").body(axum::body::Body::empty()).unwrap();
    assert_eq!(send(&router, post).await.problem(405), "method_not_allowed");
}

#[tokio::test]
async fn every_answer_is_closed_to_other_pages() {
    let world = World::idle();
    let router = world.router();
    for path in ["/livez", "/nothing", "/api/v1/performance/cache/stats"] {
        let answer = open(&router, path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("access-control-allow-origin").is_none());
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    }
}
