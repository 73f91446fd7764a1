//! The example, run: its own routes, and what Veritas tells of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::{body::Body, http::Request};
use http::StatusCode;
use serde_json::{Value, json};
use tower::ServiceExt;

const SECRET: &[u8] = b"a secret of a test, thirty-two bytes and more";

async fn get(router: &axum::Router, path: &str, token: Option<&str>) -> (StatusCode, Value) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Signs a token as the service's own log-in would.
fn token() -> String {
    let claims = json!({ "sub": "123", "exp": 4_000_000_000_u64 });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

#[tokio::test]
async fn the_service_answers_and_veritas_tells_of_it() {
    let data = tempfile::tempdir().unwrap();
    let service = axum_service::start(data.path(), SECRET).await.unwrap();
    let router = &service.router;
    assert!(service.engine.data_dir().is_some(), "{:?}", service.engine.health().components());

    for _ in 0..3 {
        assert_eq!(get(router, "/greetings/1", None).await, (StatusCode::OK, json!("Hello, Ada!")));
    }

    let api = "/api/v1/performance";
    let (status, _) = get(router, &format!("{api}/db/stats"), None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    let token = token();
    let (status, statements) = get(router, &format!("{api}/db/stats"), Some(&token)).await;
    assert_eq!(status, StatusCode::OK);
    // CREATE, INSERT and three SELECTs; sqlx's own PRAGMAs come on top.
    assert!(statements["total_queries"].as_u64().unwrap() >= 5, "{statements}");

    let (status, profiles) = get(router, &format!("{api}/profiling/profiles"), Some(&token)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(profiles["greet"]["details"]["count"], json!(3), "{profiles}");

    let (status, recommendations) = get(router, &format!("{api}/db/optimization"), Some(&token)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(recommendations["user_id"], json!(123));
}
