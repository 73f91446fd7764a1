//! Where things are, and what `cargo metadata` says of them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::steps::{cargo, output_of};

/// Returns the root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Returns the folder of build outputs.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Returns the folder of the Python tools, made by `cargo xtask setup`.
pub(crate) fn python() -> PathBuf {
    root().join(".venv")
}

/// Returns what `cargo metadata` says of the crates of the workspace in `root`.
///
/// # Errors
///
/// When cargo fails or prints something else than JSON.
pub(crate) fn metadata(root: &Path) -> anyhow::Result<Value> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps"];
    let text = output_of(cargo(arguments).current_dir(root))?;
    serde_json::from_str(&text).context("cargo metadata printed something else than JSON")
}
