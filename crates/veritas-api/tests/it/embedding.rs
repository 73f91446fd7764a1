//! Inside an application: its own authenticator, its own routes, its own mistakes.

use std::sync::Arc;

use axum::{Router, body::Body, routing::get};
use http::{Request, request::Parts};
use veritas_api::{
    Limits,
    auth::{AuthFailure, Authenticator, Identity, Role},
};
use veritas_database::PoolReading;

use crate::{
    client::{call_json, open, send},
    world::World,
};

/// The application's own way to know its callers.
struct Session;

impl Authenticator for Session {
    fn authenticate(&self, request: &Parts) -> Result<Identity, AuthFailure> {
        match request.headers.get("x-session").and_then(|value| value.to_str().ok()) {
            None => Err(AuthFailure::Missing),
            Some("explode") => panic!("the application's own mistake"),
            Some(subject) => Ok(Identity { subject: subject.into(), role: Role::Admin, jti: None }),
        }
    }
}

fn application(world: &World) -> Router {
    Router::new()
        .route("/docs", get(async || "the application's own"))
        .fallback(async || "the application's own fallback")
        .merge(veritas_api::router(world.sources.clone(), Arc::new(Session), Limits::default()))
}

async fn ask(router: &Router, path: &str, session: &str) -> crate::client::Answer {
    let request =
        Request::builder().uri(format!("{}{path}", veritas_api::PREFIX)).header("x-session", session);
    send(router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_application_keeps_its_routes_and_brings_its_callers() {
    let world = World::busy();
    let router = application(&world);
    assert_eq!(open(&router, "/docs").await.text, "the application's own");
    assert_eq!(open(&router, "/nowhere").await.text, "the application's own fallback");
    assert_eq!(ask(&router, "/db/optimization", "7").await.json()["user_id"], 7);
    assert_eq!(ask(&router, "/nowhere", "7").await.problem(404), "not_found");
    let anonymous = open(&router, &format!("{}/cache/stats", veritas_api::PREFIX)).await;
    assert_eq!(anonymous.problem(401), "token_missing");
}

#[tokio::test]
async fn tokens_of_others_are_not_ours_to_revoke() {
    let world = World::busy();
    let router = application(&world);
    let request = Request::builder()
        .method("POST")
        .uri(format!("{}/tokens/revoke", veritas_api::PREFIX))
        .header("x-session", "root")
        .header("content-type", "application/json");
    let answer = send(&router, request.body(Body::from("{\"jti\":\"x\"}")).unwrap()).await;
    assert_eq!(answer.problem(409), "revocation_unsupported");
    let unknown = call_json(&router, http::Method::POST, "/tokens/revoke", "x", &serde_json::json!({})).await;
    assert_eq!(unknown.problem(401), "token_missing");
}

#[tokio::test]
async fn a_panic_is_one_answer_and_not_the_end() {
    let world = World::busy();
    let broken = || -> PoolReading { panic!("the application's own mistake") };
    world.sources.database.register_pool("broken", Arc::new(broken));
    let router = application(&world);
    for (path, session) in [("/db/connections", "7"), ("/cache/stats", "explode")] {
        let answer = ask(&router, path, session).await;
        assert_eq!(answer.problem(500), "internal");
        assert!(!answer.text.contains("mistake"));
    }
    assert_eq!(ask(&router, "/cache/stats", "7").await.status, 200);
}
