//! Prints the OpenAPI document: `cargo run -p veritas-api --example openapi > docs/reference/openapi.json`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&veritas_api::openapi())?)
}
