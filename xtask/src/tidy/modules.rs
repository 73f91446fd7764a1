//! Forgotten files: source that no module declares, so that it never compiles.

use std::path::{Path, PathBuf};

use super::{Texts, Violation};

/// Checks every Rust file below `src`, `tests`, `benches` and `examples` of a crate.
pub(super) fn check(texts: &Texts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for path in texts.keys().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        match place(path) {
            Place::Root | Place::Elsewhere => {}
            Place::SecondTestBinary => violations.push(Violation::new(
                path.to_string_lossy(),
                "is a test binary of its own: list it in tests/it/main.rs, since each one links again",
            )),
            Place::Module { parents, name } => {
                let declared =
                    parents.iter().filter_map(|parent| texts.get(parent)).any(|text| declares(text, &name));
                if !declared {
                    violations.push(Violation::new(path.to_string_lossy(), "no module declares this file"));
                }
            }
        }
    }
    violations
}

enum Place {
    /// Cargo finds it by itself.
    Root,
    /// Not source of a crate (a compile-fail case, a fuzz corpus).
    Elsewhere,
    /// `tests/other.rs`.
    SecondTestBinary,
    /// One of `parents` must declare `name`.
    Module { parents: Vec<PathBuf>, name: String },
}

fn place(path: &Path) -> Place {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    // `examples/NAME` at the top is a crate of its own.
    let own = usize::from(parts.first() == Some(&"examples"));
    let is_base = |part: &&str| ["src", "tests", "benches", "examples"].contains(part);
    let Some(base) = parts.iter().skip(own).position(is_base).map(|position| position + own) else {
        return Place::Elsewhere;
    };
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let below = &parts[base + 1..];
    match (parts[base], below) {
        ("src", ["lib.rs" | "main.rs"] | ["bin", ..]) | ("benches" | "examples", [_] | [_, "main.rs"]) => {
            Place::Root
        }
        ("tests", ["it", "main.rs"]) => Place::Root,
        ("tests", [_]) => Place::SecondTestBinary,
        ("tests", [folder, ..]) if *folder != "it" => Place::Elsewhere,
        _ => {
            let folder = path.parent().unwrap_or_else(|| Path::new(""));
            let parents = vec![folder.join("lib.rs"), folder.join("main.rs"), folder.with_extension("rs")];
            Place::Module { parents, name }
        }
    }
}

/// Returns whether a text declares `mod name`, or takes the file in by its path.
fn declares(text: &str, name: &str) -> bool {
    text.contains(&format!("{name}.rs\""))
        || text.lines().map(str::trim).any(|line| {
            line.rsplit_once("mod ").is_some_and(|(before, after)| {
                let after = after.trim_end();
                (before.is_empty() || before.starts_with("pub") || before.starts_with("#["))
                    && (after == format!("{name};") || after.starts_with(&format!("{name} {{")))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_forgotten(files: &[(&str, &str)], expected: &[&str]) {
        let texts: Texts =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        let found: Vec<String> = check(&texts).into_iter().map(|violation| violation.place).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_declared_file_is_not_forgotten() {
        check_forgotten(
            &[
                (
                    "crates/a/src/lib.rs",
                    "mod one;\npub(crate) mod two;\n#[cfg(feature = \"x\")] pub mod three;\n",
                ),
                ("crates/a/src/one.rs", "mod inner;"),
                ("crates/a/src/one/inner.rs", ""),
                ("crates/a/src/two.rs", ""),
                ("crates/a/src/three.rs", ""),
                ("crates/a/src/bin/tool.rs", ""),
                ("crates/a/tests/it/main.rs", "mod case;"),
                ("crates/a/tests/it/case.rs", ""),
                ("crates/a/tests/compile_fail/bad.rs", ""),
                ("crates/a/benches/speed.rs", ""),
                ("crates/a/examples/show.rs", ""),
                ("crates/a/examples/service/main.rs", "mod load;"),
                ("crates/a/examples/service/load.rs", ""),
                ("examples/service/src/main.rs", ""),
                ("examples/service/tests/it/main.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn a_forgotten_file_is_found() {
        check_forgotten(
            &[
                ("crates/a/src/lib.rs", "mod one;\n// mod two;\nmod three_more;"),
                ("crates/a/src/one.rs", ""),
                ("crates/a/src/two.rs", ""),
                ("crates/a/src/three.rs", ""),
                ("crates/a/src/one/inner.rs", ""),
                ("crates/a/tests/it/main.rs", ""),
                ("crates/a/tests/it/case.rs", ""),
            ],
            &[
                "crates/a/src/one/inner.rs",
                "crates/a/src/three.rs",
                "crates/a/src/two.rs",
                "crates/a/tests/it/case.rs",
            ],
        );
    }

    #[test]
    fn a_second_test_binary_is_found() {
        check_forgotten(&[("crates/a/tests/more.rs", "")], &["crates/a/tests/more.rs"]);
    }
}
