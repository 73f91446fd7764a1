//! A caller of the router, without a network.

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const PREFIX: &str = veritas_api::PREFIX;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that it is a whole problem, and returns its code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let body = self.json();
        for key in ["type", "title", "detail", "code", "request_id"] {
            assert!(body[key].is_string(), "{key} in {body}");
        }
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        body["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// A request with a token, to a path under the prefix.
pub(crate) fn request(method: &Method, path: &str, token: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("{PREFIX}{path}"))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
}

pub(crate) async fn get(router: &Router, path: &str, token: &str) -> Answer {
    send(router, request(&Method::GET, path, token).body(Body::empty()).unwrap()).await
}

pub(crate) async fn call(router: &Router, method: Method, path: &str, token: &str) -> Answer {
    send(router, request(&method, path, token).body(Body::empty()).unwrap()).await
}

pub(crate) async fn call_json(
    router: &Router,
    method: Method,
    path: &str,
    token: &str,
    body: &Value,
) -> Answer {
    let request = request(&method, path, token).header("content-type", "application/json");
    send(router, request.body(Body::from(body.to_string())).unwrap()).await
}

/// A request to a path at the root, without a token.
pub(crate) async fn open(router: &Router, path: &str) -> Answer {
    send(router, Request::builder().uri(path).header("host", "localhost").body(Body::empty()).unwrap()).await
}
