//! Problems: every answer that is not a success, as RFC 9457 `application/problem+json`.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $code:literal, $title:literal;)*) => {
        /// What went wrong, as a stable word that clients may match on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the word in the `code` member.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns the HTTP status that goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// Returns the `title` member.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The request itself is malformed.
    RequestMalformed = BAD_REQUEST, "request_malformed", "The request is malformed";
    /// The body is not JSON.
    JsonMalformed = BAD_REQUEST, "json_malformed", "The body is not JSON";
    /// There is no token.
    TokenMissing = UNAUTHORIZED, "token_missing", "A token is needed";
    /// The token is not one that this server accepts.
    TokenInvalid = UNAUTHORIZED, "token_invalid", "The token is not accepted";
    /// The token was good once.
    TokenExpired = UNAUTHORIZED, "token_expired", "The token has expired";
    /// The token was taken back.
    TokenRevoked = UNAUTHORIZED, "token_revoked", "The token was revoked";
    /// The role of the token is too low.
    RoleInsufficient = FORBIDDEN, "role_insufficient", "The role of the token is not enough";
    /// No such path.
    NotFound = NOT_FOUND, "not_found", "There is nothing here";
    /// No such profile.
    ProfileUnknown = NOT_FOUND, "profile_unknown", "There is no such profile";
    /// No such process.
    ProcessUnknown = NOT_FOUND, "process_unknown", "There is no such process";
    /// No such finding.
    FindingUnknown = NOT_FOUND, "finding_unknown", "There is no such finding";
    /// No such proposal.
    ProposalUnknown = NOT_FOUND, "proposal_unknown", "There is no such proposal";
    /// No such change.
    ChangeUnknown = NOT_FOUND, "change_unknown", "There is no such change";
    /// No such cache.
    CacheUnknown = NOT_FOUND, "cache_unknown", "There is no such cache";
    /// No such statement.
    QueryUnknown = NOT_FOUND, "query_unknown", "There is no such statement";
    /// No such page of a listing.
    CursorUnknown = NOT_FOUND, "cursor_unknown", "There is no such page";
    /// No such alert rule.
    RuleUnknown = NOT_FOUND, "rule_unknown", "There is no such alert rule";
    /// The path does not know the method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here";
    /// The body came too slowly.
    RequestTimeout = REQUEST_TIMEOUT, "request_timeout", "The request took too long to arrive";
    /// The mode of this kind of change does not permit it.
    ModeForbids = CONFLICT, "mode_forbids", "The mode of this kind of change does not permit it";
    /// The state of the record does not permit it.
    StateConflict = CONFLICT, "state_conflict", "The state of the record does not permit it";
    /// The tokens are not ours to revoke.
    RevocationUnsupported = CONFLICT, "revocation_unsupported", "Tokens cannot be revoked here";
    /// The body is too long.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    /// The address is too long.
    UriTooLong = URI_TOO_LONG, "uri_too_long", "The address is too long";
    /// The body is not of a type that is understood.
    MediaTypeUnsupported = UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", "The media type is not supported";
    /// The `Host` is not one of ours (DNS rebinding).
    HostNotAllowed = MISDIRECTED_REQUEST, "host_not_allowed", "The host is not served here";
    /// A parameter is out of its bounds or not known.
    ParameterInvalid = UNPROCESSABLE_ENTITY, "parameter_invalid", "A parameter is not valid";
    /// The body is JSON of the wrong shape.
    BodyInvalid = UNPROCESSABLE_ENTITY, "body_invalid", "The body is not valid";
    /// Too many requests.
    RateLimited = TOO_MANY_REQUESTS, "rate_limited", "Too many requests";
    /// The headers are too large.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The headers are too large";
    /// Our fault.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Internal error";
    /// Too many requests at once.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "The server is busy";
    /// What the answer needs is not available now.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "A part of the server is not available";
    /// The answer took too long.
    TimedOut = SERVICE_UNAVAILABLE, "timed_out", "The answer took too long";
}

/// One answer that is not a success.
///
/// As a response it carries itself in the extensions and has no body yet: the
/// gate writes the body, since it alone knows the request's id.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// Builds a problem. `detail` is for the caller: what helps, nothing internal.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after: None }
    }

    /// Returns the problem with a `Retry-After`, rounded up to whole seconds.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Returns what went wrong.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Returns the sentence for the caller.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Logs the cause of a failure of ours and returns the problem that says no more than that.
    pub(crate) fn internal(step: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, step, "failed to answer a request");
        Self::new(Code::Internal, "an internal error was logged under this request's id")
    }

    /// Writes the problem with its body.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let status = self.code.status();
        let body = serde_json::json!({
            "type": format!("urn:veritas:problem:{}", self.code.as_str()),
            "title": self.code.title(),
            "status": status.as_u16(),
            "detail": self.detail,
            "code": self.code.as_str(),
            "request_id": request_id,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = if self.code == Code::TokenMissing {
                "Bearer realm=\"veritas\""
            } else {
                "Bearer realm=\"veritas\", error=\"invalid_token\""
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    /// Returns the problem for a bare status that some layer answered with.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let known = [
            (Code::NotFound, "no operation has this path"),
            (Code::MethodNotAllowed, "see the Allow header for the methods of this path"),
            (Code::RequestTimeout, "send the request faster"),
            (Code::BodyTooLarge, "send less"),
            (Code::UriTooLong, "send a shorter address"),
            (Code::MediaTypeUnsupported, "send application/json"),
            (Code::ParameterInvalid, "a parameter is not valid"),
            (Code::HeadersTooLarge, "send fewer or shorter headers"),
            (Code::Overloaded, "try again in a moment"),
        ];
        known.into_iter().find(|(code, _)| code.status() == status).map_or_else(
            || {
                if status.is_client_error() {
                    Self::new(Code::RequestMalformed, "the request was not understood")
                } else {
                    Self::new(Code::Internal, "an internal error occurred")
                }
            },
            |(code, detail)| Self::new(code, detail),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Rounds a wait up to whole seconds, at least one.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_words() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
    }

    #[test]
    fn a_challenge_tells_missing_from_invalid() {
        let missing = Problem::new(Code::TokenMissing, "x").render("r");
        let invalid = Problem::new(Code::TokenExpired, "x").render("r");
        assert_eq!(missing.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"veritas\"");
        assert!(invalid.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().contains("invalid_token"));
    }
}
