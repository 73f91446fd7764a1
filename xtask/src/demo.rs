//! `cargo xtask demo`: build everything, run the demo.

use std::process::Command;

use crate::{steps, steps::cargo, workspace};

/// Builds the release binary and runs `veritas demo` with `arguments`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    steps::run(&mut cargo(["build", "--release", "--package", "veritas-cli"]))?;
    let binary = workspace::target().join("release/veritas");
    steps::run(Command::new(binary).arg("demo").args(arguments))
}
