//! What we are built from: one version of each package, none that is banned, and
//! hot paths that bring no server along.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Violation, manifests::Crate, policy::Policy};
use crate::steps::{cargo, output_of};

/// Crates that an application compiles for its hot path.
const HOT: &[&str] = &["veritas-cache", "veritas-profile", "veritas-database"];

/// What a hot path does not bring along by default.
const HEAVY: &[&str] = &[
    "axum",
    "hyper",
    "libsqlite3-sys",
    "redis",
    "reqwest",
    "rusqlite",
    "sqlx-core",
    "tokio",
    "tokio-postgres",
];

/// A package that is compiled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// The SPDX expression; empty when the manifest names none.
    pub(super) licence: String,
}

/// Returns the packages that are compiled for the workspace in `root` on this
/// platform. `cargo tree` knows; the graph of `cargo metadata` holds packages that
/// no enabled feature asks for.
///
/// # Errors
///
/// When cargo fails.
pub(super) fn compiled(root: &Path) -> anyhow::Result<Vec<Package>> {
    let arguments =
        ["tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}\t{l}"];
    Ok(parse(&output_of(cargo(arguments).current_dir(root))?))
}

/// Reads lines such as `serde v1.0.228 (proc-macro)<TAB>MIT (*)`.
fn parse(tree: &str) -> Vec<Package> {
    let packages: BTreeSet<Package> = tree
        .lines()
        .filter_map(|line| {
            let (package, licence) = line.split_once('\t')?;
            let mut words = package.split_whitespace();
            let name = words.next()?.to_owned();
            let version = words.next()?.trim_start_matches('v').to_owned();
            Some(Package { name, version, licence: licence.trim_end_matches(" (*)").trim().to_owned() })
        })
        .collect();
    packages.into_iter().collect()
}

/// Checks versions and bans against `deny.toml`.
pub(super) fn check(packages: &[Package], policy: &Policy) -> Vec<Violation> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let mut violations = Vec::new();
    for (name, versions) in &versions {
        let allowed = policy.duplicates.iter().any(|duplicate| duplicate == name);
        let listed: Vec<&str> = versions.iter().copied().collect();
        if versions.len() > 1 && !allowed {
            let what = format!(
                "is there in versions {}: agree on one, or list it under bans.skip",
                listed.join(", ")
            );
            violations.push(Violation::new(*name, what));
        }
        if policy.banned.iter().any(|banned| banned == name) {
            violations.push(Violation::new(*name, "is banned in deny.toml"));
        }
    }
    for duplicate in &policy.duplicates {
        if versions.get(duplicate.as_str()).is_none_or(|versions| versions.len() < 2) {
            let what = format!("{duplicate} is there once: take it off bans.skip");
            violations.push(Violation::new("deny.toml", what));
        }
    }
    violations
}

/// Checks that what an application takes along for its hot path is light.
pub(super) fn hot_paths(root: &Path, crates: &[Crate]) -> Vec<Violation> {
    let present = HOT.iter().filter(|name| crates.iter().any(|own| own.name == **name));
    present
        .flat_map(|name| {
            let arguments =
                ["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
            match output_of(cargo(arguments).current_dir(root)) {
                Ok(tree) => heavy(name, &tree),
                Err(error) => vec![Violation::new(*name, format!("{error:#}"))],
            }
        })
        .collect()
}

fn heavy(name: &str, tree: &str) -> Vec<Violation> {
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    HEAVY
        .iter()
        .filter(|heavy| packages.contains(**heavy))
        .map(|heavy| {
            Violation::new(name, format!("brings {heavy} along by default: put it behind a feature"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(packages: &[(&str, &str)]) -> Vec<Package> {
        let package = |(name, version): &(&str, &str)| Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            licence: "MIT".to_owned(),
        };
        packages.iter().map(package).collect()
    }

    fn policy(duplicates: &[&str], banned: &[&str]) -> Policy {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Policy { duplicates: owned(duplicates), banned: owned(banned), ..Policy::default() }
    }

    #[test]
    fn a_tree_is_read_each_package_once() {
        let tree = "ours v0.1.0 (path)\tMIT OR Apache-2.0\nserde v1.0.0\tMIT\n\nserde v1.0.0\tMIT (*)\nmacro v2.0.0 (proc-macro)\t\n";
        let read: Vec<(String, String, String)> =
            parse(tree).into_iter().map(|package| (package.name, package.version, package.licence)).collect();
        let own = |name: &str, version: &str, licence: &str| (name.into(), version.into(), licence.into());
        assert_eq!(
            read,
            [
                own("macro", "2.0.0", ""),
                own("ours", "0.1.0", "MIT OR Apache-2.0"),
                own("serde", "1.0.0", "MIT")
            ]
        );
    }

    #[test]
    fn a_second_version_is_found_unless_it_is_listed() {
        let packages = packages(&[("a", "1.0.0"), ("a", "2.0.0"), ("b", "1.0.0")]);
        assert!(check(&packages, &policy(&[], &[]))[0].what.starts_with("is there in versions 1.0.0, 2.0.0"));
        assert_eq!(check(&packages, &policy(&["a"], &[])), []);
    }

    #[test]
    fn a_stale_entry_of_the_list_is_found() {
        let said = check(&packages(&[("a", "1.0.0")]), &policy(&["a", "gone"], &[]));
        assert_eq!(said.len(), 2);
        assert!(said.iter().all(|violation| violation.what.ends_with("take it off bans.skip")));
    }

    #[test]
    fn a_banned_package_is_found() {
        let said = check(&packages(&[("inferno", "1.0.0")]), &policy(&[], &["inferno"]));
        assert_eq!(said, [Violation::new("inferno", "is banned in deny.toml")]);
    }

    #[test]
    fn a_heavy_hot_path_is_found() {
        let tree = "veritas-cache v0.1.0 (path)\nquick_cache v0.7.0\ntokio v1.0.0\ntokio-util v0.7.0\n";
        let said = heavy("veritas-cache", tree);
        assert_eq!(
            said,
            [Violation::new("veritas-cache", "brings tokio along by default: put it behind a feature")]
        );
    }
}
