//! Layers: dependencies among our crates point strictly downward.

use super::{
    Violation,
    manifests::{Crate, Layer},
};

/// The ground: everyone may know the nouns.
const GROUND: &str = "veritas-model";

/// Who alone may know a library of the outside. Outside types stop at the edge.
const EDGES: &[(&str, &[&str])] = &[
    ("anyhow", &["veritas-cli"]),
    ("axum", &["veritas-api", "veritas", "veritas-cli"]),
    ("clap", &["veritas-cli"]),
    ("hyper", &["veritas-api", "veritas-cli"]),
    ("hyper-util", &["veritas-api", "veritas-cli"]),
    ("jsonwebtoken", &["veritas-api"]),
    ("mysql", &["veritas-mysql"]),
    ("rusqlite", &["veritas-store", "veritas-database", "veritas-cli"]),
    ("tokio-postgres", &["veritas-database", "veritas-postgres", "veritas-cli"]),
    ("toml", &["veritas-config"]),
    ("utoipa", &["veritas-api"]),
];

/// Checks the edges between our crates, and from ours to the outside.
pub(super) fn check(crates: &[Crate]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for own in crates {
        for dependency in &own.dependencies {
            let what = match crates.iter().find(|other| other.name == dependency.name) {
                Some(other) => wrong_edge(own, other, dependency.for_tests),
                None => wrong_outside(own, &dependency.name, dependency.for_tests),
            };
            violations.extend(what.map(|what| Violation::new(&own.name, what)));
        }
    }
    violations
}

/// Says what is wrong with a dependency of `own` on `other`, if anything is.
///
/// Tests may use crates of their own layer and below, and the test kit. They may
/// not look up: a test that needs the whole stands with the whole.
fn wrong_edge(own: &Crate, other: &Crate, for_tests: bool) -> Option<String> {
    let name = &other.name;
    if !own.knows.is_empty() && !own.knows.contains(name) {
        return Some(format!("may know {} only, and depends on {name}", own.knows.join(", ")));
    }
    match (own.layer, other.layer) {
        _ if name == GROUND => None,
        // A missing layer is said elsewhere; chores and tests may know everyone.
        (Layer::Missing | Layer::Test, _) | (_, Layer::Missing) => None,
        (Layer::Number(_), Layer::Test) if for_tests => None,
        (Layer::Number(layer), Layer::Test) => {
            Some(format!("layer {layer} depends on {name}, which is for tests only"))
        }
        (Layer::Number(upper), Layer::Number(lower)) if for_tests => (lower > upper).then(|| {
            format!("tests of layer {upper} depend on {name} of layer {lower}: they may not look up")
        }),
        (Layer::Number(upper), Layer::Number(lower)) => (lower >= upper).then(|| {
            format!("layer {upper} depends on {name} of layer {lower}: dependencies point downward")
        }),
    }
}

fn wrong_outside(own: &Crate, name: &str, for_tests: bool) -> Option<String> {
    // Chores, tests and example applications are no part of what we ship.
    if own.layer == Layer::Test {
        return None;
    }
    let (_, allowed) = EDGES.iter().find(|(outside, _)| *outside == name)?;
    (!for_tests && !allowed.contains(&own.name.as_str()))
        .then(|| format!("depends on {name}, which stops at the edge: {}", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{super::manifests::Dependency, *};

    fn own(name: &str, layer: Layer, dependencies: &[(&str, bool)]) -> Crate {
        let dependencies = dependencies
            .iter()
            .map(|(name, for_tests)| Dependency { name: (*name).to_owned(), for_tests: *for_tests });
        Crate {
            name: name.to_owned(),
            folder: PathBuf::new(),
            layer,
            knows: Vec::new(),
            dependencies: dependencies.collect(),
            has_library: true,
            described: true,
        }
    }

    #[track_caller]
    fn check_edge(from: &str, to: &str, for_tests: bool, expected: Option<&str>) {
        let layer = |name: &str| match name {
            "veritas-model" | "statistics" => Layer::Number(0),
            "cache" | "database" => Layer::Number(1),
            "store" => Layer::Number(2),
            _ => Layer::Test,
        };
        let crates = [own(from, layer(from), &[(to, for_tests)]), own(to, layer(to), &[])];
        let said = check(&crates);
        assert_eq!(said.first().map(|violation| violation.what.as_str()), expected, "{from} {to}");
    }

    #[test]
    fn dependencies_point_downward() {
        check_edge("store", "cache", false, None);
        check_edge(
            "cache",
            "store",
            false,
            Some("layer 1 depends on store of layer 2: dependencies point downward"),
        );
    }

    #[test]
    fn capabilities_do_not_know_each_other() {
        let said = "layer 1 depends on database of layer 1: dependencies point downward";
        check_edge("cache", "database", false, Some(said));
    }

    #[test]
    fn everyone_knows_the_nouns() {
        check_edge("statistics", "veritas-model", false, None);
        check_edge("cache", "statistics", false, None);
    }

    #[test]
    fn tests_may_look_aside_and_not_up() {
        check_edge("cache", "database", true, None);
        check_edge(
            "cache",
            "store",
            true,
            Some("tests of layer 1 depend on store of layer 2: they may not look up"),
        );
    }

    #[test]
    fn the_test_kit_is_for_tests() {
        check_edge("cache", "testkit", true, None);
        check_edge("cache", "testkit", false, Some("layer 1 depends on testkit, which is for tests only"));
        check_edge("testkit", "store", false, None);
    }

    #[test]
    fn a_crate_knows_no_more_than_it_says() {
        let mut kit = own("kit", Layer::Test, &[("cache", false)]);
        kit.knows = vec!["veritas-model".to_owned()];
        let said = check(&[kit, own("cache", Layer::Number(1), &[])]);
        assert_eq!(said[0].what, "may know veritas-model only, and depends on cache");
    }

    #[test]
    fn outside_types_stop_at_the_edge() {
        let said = check(&[own("veritas-cache", Layer::Number(1), &[("axum", false)])]);
        assert!(said[0].what.starts_with("depends on axum, which stops at the edge"), "{said:?}");
        assert_eq!(check(&[own("veritas-cache", Layer::Number(1), &[("axum", true)])]), []);
        assert_eq!(check(&[own("veritas-api", Layer::Number(5), &[("axum", false)])]), []);
    }
}
