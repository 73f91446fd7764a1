//! `/livez` and `/readyz`: whether the process lives, and what of it is degraded.

use axum::{Json, extract::State};
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use veritas_model::Condition;

use crate::{
    api::{Answer, Shared},
    extract::NoParameters,
    openapi::PublicRefusals,
    problem::{Code, Problem},
};

/// The part of the engine without which nothing is served: while it is
/// degraded `/readyz` is a 503. The engine sets it while it starts and stops.
pub(crate) const ENGINE: &str = "engine";

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Liveness {
    status: &'static str,
    /// The version that answers.
    version: &'static str,
}

/// What works and what does not.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, or `degraded` when some part works in part or not at all.
    #[schema(value_type = ReadinessWord)]
    status: &'static str,
    /// The names of the degraded parts.
    degraded: Vec<String>,
    /// Every part.
    components: Vec<Component>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes words in the OpenAPI document")]
enum ReadinessWord {
    Ready,
    Degraded,
}

/// One part of the engine.
#[derive(Serialize, ToSchema)]
pub(crate) struct Component {
    name: String,
    #[schema(value_type = ReadinessWord)]
    status: &'static str,
    /// Why it is degraded; `null` when it is not, and for callers without a token.
    #[schema(required)]
    reason: Option<String>,
}

/// Tell whether the process lives
#[utoipa::path(get, path = "/livez", operation_id = "get_liveness", tag = "Health", security(()),
    responses((status = 200, description = "It does", body = Liveness,
        example = json!({"status": "alive", "version": "0.1.0"})), PublicRefusals))]
pub(crate) async fn live(State(api): Shared, _: NoParameters) -> Json<Liveness> {
    Json(Liveness { status: "alive", version: api.sources.version })
}

/// Tell whether the server is ready
///
/// 200 as long as it serves, with the list of what is degraded; 503 while it
/// starts or stops. The reasons are shown to callers with a token only.
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "Health", security(()),
    responses((status = 200, description = "It serves", body = Readiness,
        example = json!({"status": "degraded", "degraded": ["history"], "components": [
            {"name": "history", "status": "degraded", "reason": "the disk is full"}]})), PublicRefusals))]
pub(crate) async fn ready(State(api): Shared, _: NoParameters, request: Parts) -> Answer<Readiness> {
    let components = api.sources.health.components();
    let is_down = |(name, condition): &(String, Condition)| name == ENGINE && *condition != Condition::Ready;
    if components.iter().any(is_down) {
        return Err(Problem::new(Code::Unavailable, "the engine is starting or stopping"));
    }
    let trusted = api.authenticator.authenticate(&request).is_ok();
    let components: Vec<_> = components
        .into_iter()
        .map(|(name, condition)| match condition {
            Condition::Ready => Component { name, status: "ready", reason: None },
            Condition::Degraded(reason) => {
                Component { name, status: "degraded", reason: trusted.then_some(reason) }
            }
        })
        .collect();
    let degraded: Vec<_> = components
        .iter()
        .filter(|component| component.status != "ready")
        .map(|component| component.name.clone())
        .collect();
    let status = if degraded.is_empty() { "ready" } else { "degraded" };
    Ok(Json(Readiness { status, degraded, components }))
}
