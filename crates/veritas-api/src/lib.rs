//! The REST API: routes, tokens, rate limits, JSON bodies, OpenAPI.
pub mod auth;
pub mod problem;
