//! `cargo xtask prove`: long proofs, and the benchmarks.
//!
//! A proof is an example named `prove_NAME` of any crate, or a hidden command of the
//! binary: it prints its figures and exits with an error when they do not hold.

use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{
    schemathesis, setup, steps,
    steps::cargo,
    workspace::{self, metadata},
};

/// Proofs that are no examples.
const BUILT_IN: &[(&str, &str)] = &[
    ("schemathesis", "300 made-up requests for each operation of the served binary"),
    ("live-verdicts", "200 changes that do nothing and 20 harmful ones, on the demo's live load"),
    ("kill", "kill -9 of the demo's service at 100 random moments: nothing acknowledged is lost"),
];

/// Those of them that are commands of the binary.
const OF_THE_BINARY: &[&str] = &["live-verdicts", "kill"];

/// Prints the names of the proofs.
pub(crate) fn list() -> anyhow::Result<()> {
    println!("Proofs, each run with `cargo xtask prove NAME`:");
    for (name, what) in BUILT_IN {
        println!("  {name:24} {what}");
    }
    for proof in proofs(&metadata(workspace::root())?) {
        println!("  {:24} {}", proof.name, proof.package);
    }
    Ok(())
}

/// Runs one proof, in a release build.
pub(crate) fn run(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    if name == "schemathesis" {
        setup::run()?;
        steps::run(&mut cargo(["build", "--package", "veritas-cli", "--all-features"]))?;
        let examples = arguments.first().map_or(Ok(schemathesis::LONG.examples), |number| number.parse());
        let examples = examples.context("the argument is the number of requests for each operation")?;
        return schemathesis::run(schemathesis::Extent { examples, ..schemathesis::LONG });
    }
    if OF_THE_BINARY.contains(&name) {
        steps::run(&mut cargo(["build", "--release", "--package", "veritas-cli"]))?;
        let binary = workspace::target().join("release/veritas");
        return steps::run(Command::new(binary).args(["prove", name]).args(arguments));
    }
    let proofs = proofs(&metadata(workspace::root())?);
    let Some(proof) = proofs.iter().find(|proof| proof.name == name) else {
        bail!("there is no proof named {name:?}\nhint: `cargo xtask prove` lists them");
    };
    if name == "oracle" && arguments.is_empty() {
        setup::oracle()?;
    }
    if ["tpch", "index_sizes"].contains(&name) {
        setup::run()?;
        setup::tpch()?;
    }
    let example = format!("prove_{name}");
    let mut command = cargo(["run", "--release", "--package", &proof.package, "--example", &example]);
    steps::run(command.args(["--features", &proof.features, "--"]).args(arguments))
}

/// Builds the release binary and measures it beside its peers; with `cache` first, the caches.
pub(crate) fn bench(arguments: &[&str]) -> anyhow::Result<()> {
    setup::peers()?;
    if let ["cache", rest @ ..] = arguments {
        steps::run(&mut cargo(["build", "--release", "--package", "veritas-bench"]))?;
        let mut command = Command::new(workspace::target().join("release/veritas-bench"));
        command.arg("cache").arg("--python").arg(workspace::python().join("bin/python"));
        return steps::run(command.args(rest.strip_prefix(&["--"]).unwrap_or(rest)));
    }
    steps::run(&mut cargo(["build", "--release", "--package", "veritas-cli", "--package", "veritas-bench"]))?;
    let built = workspace::target().join("release");
    steps::run(
        Command::new(built.join("veritas-bench"))
            .arg("--veritas")
            .arg(built.join("veritas"))
            .arg("--python")
            .arg(workspace::python().join("bin/python"))
            .args(arguments),
    )
}

#[derive(Debug, PartialEq)]
struct Proof {
    name: String,
    package: String,
    /// What the example asks to be built with, separated by commas.
    features: String,
}

fn proofs(metadata: &Value) -> Vec<Proof> {
    let mut proofs = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        if !package["source"].is_null() {
            continue;
        }
        for target in package["targets"].as_array().into_iter().flatten() {
            let example =
                target["kind"].as_array().is_some_and(|kinds| kinds.contains(&Value::from("example")));
            let name = target["name"].as_str().and_then(|name| name.strip_prefix("prove_"));
            if let (true, Some(name), Some(package)) = (example, name, package["name"].as_str()) {
                let features = target["required-features"].as_array().into_iter().flatten();
                let features = features.filter_map(Value::as_str).collect::<Vec<_>>().join(",");
                proofs.push(Proof { name: name.to_owned(), package: package.to_owned(), features });
            }
        }
    }
    proofs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_an_example_of_ours_with_the_name_of_one() {
        let target = |kind: &str, name: &str| serde_json::json!({ "kind": [kind], "name": name });
        let ours = serde_json::json!({ "name": "ours", "source": null, "targets": [
            target("example", "prove_kill"), target("bin", "prove_not"), target("example", "show"),
            { "kind": ["example"], "name": "prove_fast", "required-features": ["sqlite", "tracing"] },
        ]});
        let other = serde_json::json!({ "name": "other", "source": "registry", "targets": [target("example", "prove_x")] });
        let found = proofs(&serde_json::json!({ "packages": [ours, other] }));
        let proof = |name: &str, features: &str| Proof {
            name: name.to_owned(),
            package: "ours".to_owned(),
            features: features.to_owned(),
        };
        assert_eq!(found, [proof("kill", ""), proof("fast", "sqlite,tracing")]);
    }
}
