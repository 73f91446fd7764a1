//! Every operation of the document against no token, bad tokens and each role.

use axum::body::Body;
use http::{Method, Request};
use serde_json::Value;
use veritas_api::{Limits, auth::Role};

use crate::{
    client::{Answer, send},
    tokens::{bad_tokens, world_and_forge},
    world::{PROFILE, PROFILES, World},
};

/// One operation, ready to be asked.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) is_open: bool,
    pub(crate) body: Option<Value>,
    needs: Role,
}

/// Reads the operations out of the OpenAPI document.
pub(crate) fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(veritas_api::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            operations.push(Operation {
                needs: match id.as_str() {
                    "put_alert_rule" | "remove_alert_rule" | "list_audit" | "revoke_token" => Role::Admin,
                    "clear_cache_stats" | "flush_cache" | "list_cache_keys" | "clear_profiles"
                    | "approve_proposal" | "dismiss_proposal" | "revert_change" => Role::Operator,
                    _ => Role::Viewer,
                },
                body: match id.as_str() {
                    "put_alert_rule" => Some(serde_json::json!({"series": "system.load.1m",
                        "comparison": "above", "threshold": 1, "hold_seconds": 1, "severity": "info",
                        "title": "Load"})),
                    "revoke_token" => Some(serde_json::json!({"jti": "someone-else"})),
                    _ => None,
                },
                method: method.to_uppercase().parse().unwrap(),
                path: with_required(path, operation)
                    .replace("{profile_name}", PROFILE)
                    .replace("{name}", "some_rule")
                    .replace("{fingerprint}", "0123456789abcdef")
                    .replace("/findings/{id}", "/findings/f-0123456789abcdef")
                    .replace("/proposals/{id}", "/proposals/p-0123456789abcdef")
                    .replace("/changes/{id}", "/changes/c-0123456789abcdef"),
                is_open: operation["security"] == serde_json::json!([{}]),
                id,
            });
        }
    }
    operations
}

/// Names a cache where the operation asks for one.
fn with_required(path: &str, operation: &Value) -> String {
    let asks = |parameter: &Value| parameter["name"] == "namespace" && parameter["required"] == true;
    let is_asked = operation["parameters"].as_array().is_some_and(|all| all.iter().any(asks));
    if is_asked { format!("{path}?namespace=content") } else { path.to_owned() }
}

pub(crate) async fn ask(router: &axum::Router, operation: &Operation, token: Option<&str>) -> Answer {
    let mut request = Request::builder().method(&operation.method).uri(&operation.path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = match &operation.body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    send(router, request.body(body).unwrap()).await
}

/// Limits that a matrix does not run into.
pub(crate) fn wide() -> Limits {
    let many = std::num::NonZeroU32::new(1_000_000).unwrap();
    let rate = veritas_api::limits::Rate::new(many, many);
    Limits { subject_rate: rate, address_rate: rate, failure_rate: rate, ..Limits::default() }
}

#[tokio::test]
async fn no_operation_answers_a_caller_without_an_accepted_token() {
    let (mut world, forge) = world_and_forge();
    world.limits = wide();
    let router = world.router();
    let tokens = bad_tokens(&forge);
    let mut refused = 0;
    for operation in operations().iter().filter(|operation| !operation.is_open) {
        assert_eq!(ask(&router, operation, None).await.problem(401), "token_missing", "{}", operation.id);
        for (name, token) in &tokens {
            let answer = ask(&router, operation, Some(token)).await;
            let code = answer.problem(401);
            assert!(code == "token_invalid" || code == "token_expired", "{} {name}: {code}", operation.id);
            let challenge = answer.header("www-authenticate").unwrap();
            assert_eq!(challenge, "Bearer realm=\"veritas\", error=\"invalid_token\"");
            refused += 1;
        }
    }
    assert!(refused > 28 * 30, "{refused}");
    assert_eq!(world.sources.control.audit(10).unwrap(), [], "nothing was done");
}

#[tokio::test]
async fn each_role_may_do_what_it_may_and_no_more() {
    let _alone = PROFILES.lock().await;
    for operation in operations() {
        for role in Role::ALL {
            let mut world = World::busy();
            world.limits = wide();
            let answer = ask(&world.router(), &operation, Some(&world.token(role))).await;
            if role < operation.needs {
                assert_eq!(answer.problem(403), "role_insufficient", "{} as {role:?}", operation.id);
            } else if answer.status.is_success() {
                assert!(answer.header("x-request-id").is_some());
            } else {
                // The matrix names no existing finding, proposal, change or rule.
                let code = answer.problem(404);
                assert!(code.ends_with("_unknown"), "{} as {role:?}: {code}", operation.id);
            }
        }
    }
}

#[tokio::test]
async fn other_processes_are_for_operators() {
    let world = World::busy();
    let router = world.router();
    let path = format!("/monitoring/process?pid={}", std::process::id());
    let viewer = crate::client::get(&router, &path, &world.token(Role::Viewer)).await;
    assert_eq!(viewer.problem(403), "role_insufficient");
    let operator = world.token(Role::Operator);
    let own = crate::client::get(&router, &path, &operator).await.json();
    assert_eq!(own["pid"], std::process::id());
    let gone = crate::client::get(&router, "/monitoring/process?pid=4194304", &operator).await;
    assert_eq!(gone.problem(404), "process_unknown");
}
