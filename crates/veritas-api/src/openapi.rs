//! The OpenAPI document: generated from the routes themselves.

use std::collections::BTreeMap;

use http::StatusCode;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, Header, InfoBuilder, LicenseBuilder, Object, OpenApi,
        OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, SecurityRequirement, Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
        tag::TagBuilder,
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::{PREFIX, problem::Code, routes};

/// Every answer that is not a success (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes what `crate::problem::Problem` renders")]
struct ProblemBody {
    /// A URN that names the kind of problem.
    #[schema(pattern = "^urn:veritas:problem:[a-z_]+$")]
    r#type: String,
    /// What went wrong, the same for every problem of its kind.
    title: String,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong this time.
    detail: String,
    /// A stable word to match on.
    #[schema(value_type = CodeWord)]
    code: String,
    /// The `x-request-id` of the response.
    request_id: String,
}

/// The words of `code`.
struct CodeWord;

impl PartialSchema for CodeWord {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        let words = Code::ALL.iter().map(|code| code.as_str());
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(words))
            .description(Some("The stable words that a problem's `code` may be."))
            .into()
    }
}

impl ToSchema for CodeWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "ProblemCode".into()
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $($status:literal)*;)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    [$($status),*].into_iter().map(refer).collect()
                }
            }
        )*
    };
}

refusals! {
    /// What any operation may answer that needs no token.
    PublicRefusals = 400 413 414 421 422 429 500 503;
    /// What any operation may answer that needs a token.
    Refusals = 400 401 413 414 421 422 429 500 503;
    /// What any operation may answer that needs a role.
    RoleRefusals = 400 401 403 413 414 421 422 429 500 503;
    /// What an operation with a body may answer besides.
    BodyRefusals = 408 415;
    /// What an operation on one thing may answer besides.
    NotFound = 404;
    /// What an operation that changes something may answer besides.
    Conflict = 409;
}

fn refer(status: u16) -> (String, RefOr<Response>) {
    (status.to_string(), RefOr::Ref(Ref::from_response_name(format!("Problem{status}"))))
}

/// Returns the OpenAPI document of everything that a server serves.
pub fn openapi() -> OpenApi {
    let description = "Measure, explain, propose, prove, apply, verify, keep or take back: the \
        performance of an application, with evidence.\n\nEvery figure says where it comes from \
        (`provenance`). Every answer that is not a success is `application/problem+json` with a stable \
        `code` and the `request_id`. Unknown and repeated query parameters are refused (422). Requests \
        that break HTTP itself are refused below this API, without a body: 400 (malformed), 431 (too \
        many or too large headers).\n\nEvery operation but those of `Health` and `Documentation` needs a \
        bearer token; `RateLimit` and `RateLimit-Policy` headers tell what is left of the allowance.";
    let base = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Veritas")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(description))
                .license(Some(LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).build()))
                .build(),
        )
        .components(Some(components()))
        .security(Some([SecurityRequirement::new("bearer", Vec::<String>::new())]))
        .tags(Some(TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build())))
        .build();
    OpenApiRouter::with_openapi(base)
        // Nested once: a second nest under one prefix would silently lose paths.
        .nest(PREFIX, routes::published())
        .merge(routes::scraped())
        .merge(routes::open())
        .into_openapi()
}

const TAGS: [(&str, &str); 9] = [
    ("Caching", "What the caches of the application did and hold."),
    ("Database", "Statements, connections, and what optimizing them brought."),
    ("Profiling", "What profiled functions cost."),
    ("Monitoring", "System and process, now and before."),
    ("Optimization", "Findings, proposals with their proofs, and the ledger of changes."),
    ("Alerts", "Rules and what became of them."),
    ("Administration", "Tokens and the audit log."),
    ("Health", "For probes and scrapers."),
    ("Documentation", "This document, and the keys that verify tokens."),
];

fn components() -> utoipa::openapi::Components {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A JWT: EdDSA with a key of this server (see /.well-known/jwks.json), or HS256 with a secret \
             that an existing application shares. It needs `sub` and `exp`, and `aud` and `iss` where they \
             are configured; the claim `role` is viewer (the default), operator or admin. External JWKS \
             and OpenID Connect are not supported yet.",
        ))
        .build();
    let mut components = ComponentsBuilder::new()
        .schema("Problem", ProblemBody::schema())
        .schema("ProblemCode", CodeWord::schema())
        .security_scheme("bearer", SecurityScheme::Http(bearer));
    let mut statuses: Vec<_> = Code::ALL.iter().map(|code| code.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        components = components.response(format!("Problem{}", status.as_u16()), response(status));
    }
    components.build()
}

/// Describes the problems of one status, with the most common as the example.
fn response(status: StatusCode) -> Response {
    let codes: Vec<_> = Code::ALL.iter().filter(|code| code.status() == status).collect();
    let words: Vec<_> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
    let example = codes.first().map(|code| {
        serde_json::json!({
            "type": format!("urn:veritas:problem:{}", code.as_str()),
            "title": code.title(),
            "status": status.as_u16(),
            "detail": "what went wrong this time",
            "code": code.as_str(),
            "request_id": "5f0c1d2e3b4a5968-00000001",
        })
    });
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(example).build();
    let reason = status.canonical_reason().unwrap_or("Problem");
    let mut response = ResponseBuilder::new()
        .description(format!("{reason}: {}", words.join(", ")))
        .content("application/problem+json", content);
    let text = || Header::new(Object::with_type(Type::String));
    if status == StatusCode::UNAUTHORIZED {
        response = response.header("WWW-Authenticate", text());
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        response = response
            .header("Retry-After", Header::new(Object::with_type(Type::Integer)))
            .header("RateLimit", text())
            .header("RateLimit-Policy", text());
    }
    response.build()
}
