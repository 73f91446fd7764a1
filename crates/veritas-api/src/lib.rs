//! The REST API: routes, JWT, rate limits, JSON bodies, OpenAPI.

fn main() {}
