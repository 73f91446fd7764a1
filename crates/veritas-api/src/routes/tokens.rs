//! `/tokens`: taking tokens back.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use veritas_model::Timestamp;

use crate::{
    api::{Answer, Shared, blocking, of_store},
    auth::{RevokeError, keys::LONGEST_LIFE},
    extract::{Admin, Json as Body, NoParameters},
    openapi::{BodyRefusals, Conflict, RoleRefusals},
    problem::{Code, Problem},
};

/// Which token to take back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"jti": "0123456789abcdef0123456789abcdef"}))]
pub(crate) struct RevokeInput {
    /// The token's `jti` claim.
    #[schema(pattern = "^[!-~]{1,255}$")]
    jti: String,
    /// When the token expires, in Unix seconds: the revocation is forgotten
    /// after that. Without it, or when it is past: the longest life that a token
    /// of ours may have, from now.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 253_402_300_799_i64)]
    expires_at: Option<f64>,
}

/// A token that is taken back.
#[derive(Serialize, ToSchema)]
pub(crate) struct Revoked {
    /// The token's `jti` claim.
    jti: String,
    /// When the revocation may be forgotten, in Unix seconds.
    expires_at: f64,
}

/// Revoke a token
///
/// In force and durable when it is answered. Needs the role admin.
#[utoipa::path(post, path = "/tokens/revoke", operation_id = "revoke_token", tag = "Administration",
    request_body = RevokeInput,
    responses((status = 200, description = "The token is not accepted any more", body = Revoked,
        example = json!({"jti": "0123456789abcdef0123456789abcdef", "expires_at": 1_680_307_200.0})),
        RoleRefusals, BodyRefusals, Conflict))]
pub(crate) async fn revoke(
    State(api): Shared,
    Admin(caller): Admin,
    _: NoParameters,
    Body(input): Body<RevokeInput>,
) -> Answer<Revoked> {
    let printable = input.jti.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || !(1..=255).contains(&input.jti.len()) {
        return Err(Problem::new(Code::BodyInvalid, "jti: must be 1 to 255 printable ASCII characters"));
    }
    let now = api.sources.clock.now();
    let expires_at = match input.expires_at {
        // A date that is past would be forgotten at once, and a mistaken one let the token back in.
        None => now.plus(LONGEST_LIFE),
        Some(seconds) if (0.0..=now.seconds()).contains(&seconds) => now.plus(LONGEST_LIFE),
        // i64 nanoseconds end in 2262: `from_seconds` saturates, which is for ever.
        Some(seconds) if (0.0..=253_402_300_799.0).contains(&seconds) => Timestamp::from_seconds(seconds),
        Some(_) => {
            return Err(Problem::new(Code::BodyInvalid, "expires_at: must be a date before the year 10000"));
        }
    };
    blocking(move || {
        api.audited(&caller, "revoke_token", &input.jti, || {
            match api.authenticator.revoke(&input.jti, expires_at, &caller.subject) {
                Ok(()) => Ok(Json(Revoked { jti: input.jti.clone(), expires_at: expires_at.seconds() })),
                Err(RevokeError::Unsupported) => Err(Problem::new(
                    Code::RevocationUnsupported,
                    "these tokens are issued elsewhere: revoke them there",
                )),
                Err(RevokeError::Store { source, .. }) => Err(of_store("revoke a token", &source)),
            }
        })
    })
    .await
}
