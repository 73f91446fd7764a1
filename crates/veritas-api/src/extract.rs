//! Extractors whose refusals are problems: roles, query, path and JSON body.

use std::time::Duration;

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use http::{header, request::Parts};
use http_body_util::LengthLimitError;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::{
    auth::{Identity, Role},
    problem::{Code, Problem},
};

/// Longest sentence of a parser that is passed on to the caller.
const LONGEST_DETAIL: usize = 300;
/// Time for a body to arrive: less than the gate allows for the whole request.
const BODY_TIME: Duration = Duration::from_secs(10);

macro_rules! at_least {
    ($(#[$doc:meta])* $name:ident, $role:expr) => {
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) Identity);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                at_least(parts, $role).map(Self)
            }
        }
    };
}

at_least!(
    /// Any caller with a token.
    Viewer,
    Role::Viewer
);
at_least!(
    /// A caller who may change things.
    Operator,
    Role::Operator
);
at_least!(
    /// A caller who may change who may change things.
    Admin,
    Role::Admin
);

fn at_least(parts: &Parts, needed: Role) -> Result<Identity, Problem> {
    // The gate puts it there; a route that forgot its gate must not be open.
    let identity = parts.extensions.get::<Identity>().ok_or_else(|| {
        Problem::new(Code::TokenMissing, "send an Authorization header with a bearer token")
    })?;
    require(identity, needed)?;
    Ok(identity.clone())
}

/// Refuses an identity whose role is below `needed`.
pub(crate) fn require(identity: &Identity, needed: Role) -> Result<(), Problem> {
    if identity.role >= needed {
        return Ok(());
    }
    let detail = format!("this needs the role {}, the token has {}", needed.as_str(), identity.role.as_str());
    Err(Problem::new(Code::RoleInsufficient, detail))
}

/// The query, where unknown, repeated and malformed parameters are refused.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let parsed = Query::<T>::try_from_uri(&parts.uri);
        parsed.map(|Query(parameters)| Self(parameters)).map_err(|rejection| {
            let text = rejection.body_text();
            let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::new(Code::ParameterInvalid, plain(&shorten(reason)))
        })
    }
}

/// No query at all: a parameter here is a mistake that would go unnoticed.
pub(crate) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(Problem::new(Code::ParameterInvalid, "this operation has no parameters")),
        }
    }
}

/// The one variable part of a path.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(segment)| Self(segment))
            .map_err(|_| Problem::new(Code::RequestMalformed, "the path is not UTF-8 when decoded"))
    }
}

/// A JSON body. Its size is bounded by the gate, its depth by the parser (128).
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let essence = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(';').next().unwrap_or_default().trim());
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::new(Code::MediaTypeUnsupported, "send application/json"));
        }
        let reading = to_bytes(request.into_body(), usize::MAX);
        let read = tokio::time::timeout(BODY_TIME, reading).await;
        let read = read.map_err(|_| Problem::new(Code::RequestTimeout, "send the body faster"))?;
        let bytes = read.map_err(|error| {
            if is_too_long(&error) {
                Problem::new(Code::BodyTooLarge, "send less")
            } else {
                Problem::new(Code::RequestMalformed, "the body broke off")
            }
        })?;
        parse(&bytes).map(Self)
    }
}

/// Reads an object. Without the look at its first byte a list would do as well:
/// serde takes the items for the fields, in their order.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let malformed = |error: serde_json::Error| {
        let code = if error.is_data() { Code::BodyInvalid } else { Code::JsonMalformed };
        Problem::new(code, plain(&shorten(&error.to_string())))
    };
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(malformed)?;
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Code::BodyInvalid, "the body must be an object"));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Says in words of the API what the parsers say in words of the language we are written in.
fn plain(text: &str) -> String {
    [
        ("invalid digit found in string", "must be a whole number, not negative"),
        ("cannot parse integer from empty string", "must be a whole number, not empty"),
        ("number too large to fit in target type", "is too large a number"),
        ("invalid float literal", "must be a number"),
        ("cannot parse float from empty string", "must be a number, not empty"),
        ("expected f64", "expected a number"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

fn shorten(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_DETAIL).collect()
}

/// Refuses an integer outside its bounds.
pub(crate) fn within<T: PartialOrd + std::fmt::Display + Copy>(
    name: &str,
    value: T,
    low: T,
    high: T,
) -> Result<T, Problem> {
    if value >= low && value <= high {
        return Ok(value);
    }
    // A NaN is not within any bounds either.
    Err(Problem::new(Code::ParameterInvalid, format!("{name}: must be {low} to {high}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_is_told_in_words_of_the_api() {
        let told = |query: &str| {
            let uri = format!("/x?{query}").parse().unwrap();
            let error = Query::<Numbers>::try_from_uri(&uri).map(|_| ()).unwrap_err();
            plain(&error.body_text())
        };
        for (query, says) in [
            ("whole=-1", "whole: must be a whole number, not negative"),
            ("whole=1e9", "whole: must be a whole number, not negative"),
            ("whole=", "whole: must be a whole number, not empty"),
            ("whole=99999999999", "whole: is too large a number"),
            ("real=abc", "real: must be a number"),
            ("real=", "real: must be a number, not empty"),
        ] {
            assert!(told(query).ends_with(says), "{}", told(query));
        }
        let error = serde_json::from_str::<Numbers>(r#"{"real": "80"}"#).map(|_| ()).unwrap_err();
        assert!(plain(&error.to_string()).contains("expected a number"), "{error}");
    }

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    struct Numbers {
        whole: Option<u32>,
        real: Option<f64>,
    }
}
