//! Schemathesis: requests made up from the OpenAPI document, against the served binary.

use std::process::Command;

use crate::{server::Server, steps::run as command, workspace};

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Made-up requests for each operation.
    pub(crate) examples: u32,
    /// The seed of the made-up requests; fixed, so that a failure comes again.
    pub(crate) seed: u32,
}

/// Part of `cargo xtask test`.
pub(crate) const SHORT: Extent = Extent { examples: 40, seed: 1 };
/// `cargo xtask prove schemathesis`.
pub(crate) const LONG: Extent = Extent { examples: 300, seed: 2 };

/// Serves the binary and sends it made-up requests: no answer may be a server
/// error or contradict the document, and the server must outlive them.
pub(crate) fn run(extent: Extent) -> anyhow::Result<()> {
    let server = Server::start()?;
    let token = server.token("admin")?;
    command(
        Command::new(workspace::python().join("bin/schemathesis"))
            .arg("run")
            .arg(format!("{}/openapi.json", server.url()))
            .args(["--url", server.url()])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--max-examples", &extent.examples.to_string()])
            .args(["--seed", &extent.seed.to_string()])
            .args(["--checks", "all", "--no-color"])
            .current_dir(workspace::target()),
    )?;
    server.stop()
}
