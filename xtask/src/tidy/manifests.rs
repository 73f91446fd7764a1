//! What every crate of the workspace says in its manifest and on its first page.

use std::path::PathBuf;

use serde_json::Value;

use super::{Texts, Violation};

/// A crate of the workspace.
#[derive(Debug, Clone)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Folder, from the root of the workspace.
    pub(super) folder: PathBuf,
    pub(super) layer: Layer,
    /// When it is not empty: the only crates of ours that it may know.
    pub(super) knows: Vec<String>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) has_library: bool,
    pub(super) described: bool,
}

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// 0 is the ground.
    Number(u64),
    /// Serves tests and chores; no part of the product.
    Test,
    /// The manifest does not say.
    Missing,
}

/// A dependency that a manifest declares.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// Whether only tests, examples and benchmarks see it.
    pub(super) for_tests: bool,
}

/// Reads the crates of the workspace from `cargo metadata`.
pub(super) fn crates(metadata: &Value) -> Vec<Crate> {
    let root = PathBuf::from(metadata["workspace_root"].as_str().unwrap_or_default());
    let members = metadata["workspace_members"].as_array();
    let is_member = |id: &Value| members.is_some_and(|members| members.contains(id));
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| is_member(&package["id"]))
        .map(|package| {
            let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
            let folder =
                manifest.parent().map(|folder| folder.strip_prefix(&root).unwrap_or(folder).to_path_buf());
            let ours = &package["metadata"]["veritas"];
            let layer = match &ours["layer"] {
                Value::Number(number) => number.as_u64().map_or(Layer::Missing, Layer::Number),
                Value::String(word) if word == "test" => Layer::Test,
                _ => Layer::Missing,
            };
            let dependencies = package["dependencies"].as_array().into_iter().flatten().map(|dependency| {
                Dependency { name: text(&dependency["name"]), for_tests: dependency["kind"] == "dev" }
            });
            let knows = ours["knows"].as_array().into_iter().flatten().map(text);
            let targets = package["targets"].as_array();
            Crate {
                name: text(&package["name"]),
                folder: folder.unwrap_or_default(),
                layer,
                knows: knows.collect(),
                dependencies: dependencies.collect(),
                has_library: targets.into_iter().flatten().any(is_library),
                described: package["description"].is_string() && package["license"].is_string(),
            }
        })
        .collect()
}

fn is_library(target: &Value) -> bool {
    let kinds = target["kind"].as_array().into_iter().flatten();
    // A procedural macro expands to names of the facade, whose page shows it at work.
    kinds.filter_map(Value::as_str).any(|kind| kind == "lib")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Checks manifests and first pages.
pub(super) fn check(crates: &[Crate], texts: &Texts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for own in crates {
        let manifest = own.folder.join("Cargo.toml");
        let shown = manifest.to_string_lossy().into_owned();
        let text = texts.get(&manifest).map_or("", String::as_str);
        if !inherits_lints(text) {
            violations.push(Violation::new(&shown, "says no [lints] workspace = true"));
        }
        if !own.described {
            violations.push(Violation::new(&shown, "has no description or no license"));
        }
        if own.layer == Layer::Missing {
            violations.push(Violation::new(&shown, "says no layer in [package.metadata.veritas]"));
        }
        if own.has_library {
            let page = own.folder.join("src/lib.rs");
            if !texts.get(&page).is_some_and(|text| has_example(text)) {
                violations
                    .push(Violation::new(page.to_string_lossy(), "has no example in its documentation"));
            }
        }
    }
    violations
}

fn inherits_lints(manifest: &str) -> bool {
    let table = toml::from_str::<toml::Value>(manifest).ok();
    table.is_some_and(|table| {
        table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool)
            == Some(true)
    })
}

/// Returns whether the first page shows code that is at least compiled.
fn has_example(text: &str) -> bool {
    let page = text.lines().take_while(|line| line.starts_with("//!") || line.trim().is_empty());
    let mut fences = page.filter_map(|line| line.strip_prefix("//!")?.trim().strip_prefix("```"));
    let mut found = false;
    while let Some(mark) = fences.next() {
        let words: Vec<&str> = mark.split(',').map(str::trim).collect();
        found |= words.iter().all(|word| ["", "rust", "no_run", "should_panic"].contains(word));
        fences.next(); // The end of the block.
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_inherited_in_so_many_words() {
        assert!(inherits_lints("[lints]\nworkspace = true\n"));
        assert!(inherits_lints("lints.workspace = true\n"));
        assert!(!inherits_lints("[lints]\nworkspace = false\n"));
        assert!(!inherits_lints("[package]\nname = 'x'\n"));
    }

    #[test]
    fn an_example_is_code_that_compiles() {
        assert!(has_example("//! A.\n//!\n//! ```\n//! let a = 1;\n//! ```\n"));
        assert!(has_example("//! A.\n//! ```text\n//! a\n//! ```\n//! ```no_run\n//! a();\n//! ```\n"));
        assert!(!has_example("//! A.\n//! ```text\n//! a\n//! ```\n"));
        assert!(!has_example("//! A.\nfn f() {}\n//! ```\n//! late\n//! ```\n"));
        assert!(!has_example("//! A.\n"));
    }

    #[test]
    fn a_silent_manifest_is_found() {
        let own = Crate {
            name: "a".to_owned(),
            folder: PathBuf::from("crates/a"),
            layer: Layer::Missing,
            knows: Vec::new(),
            dependencies: Vec::new(),
            has_library: true,
            described: false,
        };
        assert_eq!(check(&[own], &Texts::new()).len(), 4);
    }
}
