//! `cargo xtask test`: what CI runs, and what a newcomer runs first.

use crate::{
    check, docs, guides, schemathesis, setup,
    steps::{Steps, cargo, run as command},
};

/// Sets up, checks, and tests everything; prints the time of each step.
///
/// One profile and one set of features (all of them) throughout, so that nothing is
/// compiled twice for the tests.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut steps = Steps::default();
    if !steps.run("setup", setup::run) {
        return steps.finish();
    }
    check::quick(&mut steps);
    let nextest = cargo(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    steps.run("tests", || {
        // The same tests either way; nextest gives each a process of its own.
        if nextest {
            command(&mut cargo(["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]))
        } else {
            command(&mut cargo([
                "test",
                "--workspace",
                "--all-features",
                "--lib",
                "--bins",
                "--tests",
                "--no-fail-fast",
            ]))
        }
    });
    steps.run("documentation examples", || {
        command(&mut cargo(["test", "--workspace", "--all-features", "--doc", "--quiet"]))
    });
    if steps.run("binaries and examples", || {
        command(&mut cargo(["build", "--workspace", "--all-features", "--bins", "--examples", "--quiet"]))
    }) {
        steps.run("generated pages", docs::compare);
        steps.run("commands of the guides", guides::run);
        steps.run("schemathesis, short form", || schemathesis::run(schemathesis::SHORT));
    }
    check::slow(&mut steps);
    steps.finish()
}
