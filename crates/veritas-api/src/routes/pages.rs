//! Pages and documents at the root: the OpenAPI document, a reader for it that
//! needs no internet, and the public keys.

use std::sync::OnceLock;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

use crate::{api::Shared, extract::NoParameters, openapi::PublicRefusals};

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn document(kind: &'static str, text: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    let policy = HeaderValue::from_static(PAGE_POLICY);
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)], text).into_response()
}

/// Get the OpenAPI document
#[utoipa::path(get, path = "/openapi.json", operation_id = "get_openapi", tag = "Documentation", security(()),
    responses((status = 200, description = "This document", body = serde_json::Value), PublicRefusals))]
pub(crate) async fn openapi(_: NoParameters) -> Response {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| serde_json::json!(crate::openapi::openapi()).to_string());
    document("application/json", text)
}

/// Read the documentation
#[utoipa::path(get, path = "/docs", operation_id = "get_docs", tag = "Documentation", security(()),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"),
        PublicRefusals))]
pub(crate) async fn docs(_: NoParameters) -> Response {
    document("text/html; charset=utf-8", include_str!("pages/docs.html"))
}

/// Get the style of the documentation
#[utoipa::path(get, path = "/docs/docs.css", operation_id = "get_docs_style", tag = "Documentation", security(()),
    responses((status = 200, description = "A style sheet", body = String, content_type = "text/css"),
        PublicRefusals))]
pub(crate) async fn style(_: NoParameters) -> Response {
    document("text/css; charset=utf-8", include_str!("pages/docs.css"))
}

/// Get the script of the documentation
#[utoipa::path(get, path = "/docs/docs.js", operation_id = "get_docs_script", tag = "Documentation", security(()),
    responses((status = 200, description = "A script", body = String, content_type = "text/javascript"),
        PublicRefusals))]
pub(crate) async fn script(_: NoParameters) -> Response {
    document("text/javascript; charset=utf-8", include_str!("pages/docs.js"))
}

/// Get the public keys
///
/// The keys that verify the tokens of this server, as a JWK set (RFC 7517);
/// empty when it signs none.
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "get_public_keys", tag = "Documentation",
    security(()),
    responses((status = 200, description = "The keys", body = serde_json::Value,
        example = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "kid": "0123456789abcdef", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})),
        PublicRefusals))]
pub(crate) async fn keys(State(api): Shared, _: NoParameters) -> Json<serde_json::Value> {
    Json(api.authenticator.public_keys().unwrap_or_else(|| serde_json::json!({ "keys": [] })))
}
