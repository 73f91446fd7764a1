//! `cargo xtask tidy`: rules that no lint knows.
//!
//! Each rule is a pure function of a text or of `cargo metadata`, so that its tests
//! plant the violation and see it found.

mod decisions;
mod dependencies;
mod layers;
mod licences;
mod manifests;
mod modules;
mod policy;
mod sources;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{
    steps::{now, output_of},
    workspace,
};

/// One broken rule: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// A path, with a line where there is one, or the name of a crate.
    place: String,
    what: String,
}

impl Violation {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

/// Checks the workspace.
///
/// # Errors
///
/// When a rule is broken; every violation is printed before.
pub(crate) fn run() -> anyhow::Result<()> {
    let started_at = now();
    let root = workspace::root();
    let texts = texts(root)?;
    let violations = check(root, &texts)?;
    for violation in &violations {
        eprintln!("{}: {}", violation.place, violation.what);
    }
    println!(
        "tidy: {} files, {} violations, {:.1} s",
        texts.len(),
        violations.len(),
        started_at.elapsed().as_secs_f64()
    );
    if violations.is_empty() { Ok(()) } else { bail!("{} rules are broken", violations.len()) }
}

/// The text files of a workspace: path from its root, and content.
type Texts = BTreeMap<PathBuf, String>;

fn check(root: &Path, texts: &Texts) -> anyhow::Result<Vec<Violation>> {
    let metadata = workspace::metadata(root)?;
    let policy = policy::read(&root.join("deny.toml"))?;
    let mut violations = Vec::new();
    for (path, text) in texts {
        violations.extend(sources::check(&path.to_string_lossy(), text));
    }
    violations.extend(modules::check(texts));
    violations.extend(decisions::check(texts));
    violations.extend(sources::one_unsafe_module(texts));
    let crates = manifests::crates(&metadata);
    violations.extend(manifests::check(&crates, texts));
    violations.extend(layers::check(&crates));
    let packages = dependencies::compiled(root)?;
    violations.extend(dependencies::check(&packages, &policy));
    violations.extend(licences::check(&packages, &policy));
    violations.extend(dependencies::hot_paths(root, &crates));
    violations.sort();
    violations.dedup();
    Ok(violations)
}

/// Reads every text file that git knows or would add.
fn texts(root: &Path) -> anyhow::Result<Texts> {
    let listing = output_of(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut texts = Texts::new();
    for name in listing.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(name);
        if !path.is_file() {
            continue; // Deleted in the work tree, or a link to somewhere else.
        }
        let bytes = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        if let Ok(text) = String::from_utf8(bytes) {
            texts.insert(PathBuf::from(name), text);
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a workspace of two crates, the lower of which breaks one rule of each kind.
    fn planted(root: &Path) {
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let manifest = |name: &str, layer: &str, rest: &str| {
            format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n\
                 description = \"x\"\n[package.metadata.veritas]\nlayer = {layer}\n{rest}"
            )
        };
        write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n[workspace.lints.rust]\n",
        );
        write("deny.toml", "[licenses]\nallow = [\"MIT\"]\n[bans]\nskip = []\n");
        let upward = "[dependencies]\nhigh = { path = \"../high\" }\n";
        write("crates/low/Cargo.toml", &manifest("low", "1", upward));
        write("crates/low/src/lib.rs", "//! Low.\n\nmod listed;\n");
        write("crates/low/src/listed.rs", "fn f() {}\n");
        write("crates/low/src/forgotten.rs", "//! Forgotten.\n");
        write("crates/low/tests/it/main.rs", "//! Tests.\n");
        write("crates/low/tests/it/lost.rs", "//! Lost.\n");
        write("crates/high/Cargo.toml", &manifest("high", "2", "[lints]\nworkspace = true\n"));
        write("crates/high/src/lib.rs", "//! High.\n//! ```\n//! assert!(true);\n//! ```\n");
        Command::new("git").args(["init", "--quiet"]).current_dir(root).status().unwrap();
    }

    #[test]
    fn planted_violations_are_found_in_a_real_workspace() {
        let folder = tempfile::tempdir().unwrap();
        planted(folder.path());
        let violations = check(folder.path(), &texts(folder.path()).unwrap()).unwrap();
        let found: Vec<String> =
            violations.iter().map(|violation| format!("{}: {}", violation.place, violation.what)).collect();
        assert_eq!(
            found,
            [
                "crates/low/Cargo.toml: says no [lints] workspace = true",
                "crates/low/src/forgotten.rs: no module declares this file",
                "crates/low/src/lib.rs: has no example in its documentation",
                "crates/low/src/listed.rs: does not begin with //! and its one subject",
                "crates/low/tests/it/lost.rs: no module declares this file",
                "low: layer 1 depends on high of layer 2: dependencies point downward",
            ]
        );
    }
}
