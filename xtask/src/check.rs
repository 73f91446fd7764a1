//! `cargo xtask check`: format, lints, documentation, tidy.

use crate::{
    steps::{Steps, cargo, run as command},
    tidy,
};

/// Runs the checks and prints their times.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut steps = Steps::default();
    quick(&mut steps);
    slow(&mut steps);
    steps.finish()
}

/// The checks that compile nothing.
pub(crate) fn quick(steps: &mut Steps) {
    steps.run("format", || command(&mut cargo(["fmt", "--all", "--check"])));
    steps.run("tidy", tidy::run);
}

/// The checks that compile.
pub(crate) fn slow(steps: &mut Steps) {
    steps.run("lints", || {
        command(&mut cargo([
            "clippy",
            "--workspace",
            "--all-features",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]))
    });
    steps.run("documentation", || {
        let arguments = ["doc", "--workspace", "--all-features", "--no-deps", "--quiet"];
        command(cargo(arguments).env("RUSTDOCFLAGS", "--deny warnings"))
    });
    if cargo(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        steps.run("dependencies (cargo-deny)", || {
            command(&mut cargo(["deny", "--offline", "check", "bans", "licenses", "sources"]))
        });
    }
}
