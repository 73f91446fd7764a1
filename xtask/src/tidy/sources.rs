//! What every text file keeps to.

use std::{collections::BTreeMap, path::Path};

use super::{Texts, Violation};

/// The most lines that a source file may have.
const MOST_LINES: usize = 1_000;

/// Names that gather what belongs nowhere.
const GRAB_BAGS: &[&str] = &["mod", "util", "utils", "common", "helper", "helpers", "prelude", "misc"];

/// What source may not hold. Written in two halves, so that this file does not.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("todo", "!(", "unfinished: finish it, or leave it out and document the limit"),
    ("unimplemented", "!(", "unfinished: finish it, or leave it out and document the limit"),
    ("#[", "ignore", "a test that nothing runs: mend it, remove it, or make it `cargo xtask prove NAME`"),
    ("TO", "DO", "a promise in the source: open an issue instead"),
    ("FIX", "ME", "a promise in the source: open an issue instead"),
    ("allow(", "missing_docs", "public items are documented"),
    ("expect(", "missing_docs", "public items are documented"),
    ("db", "g!(", "a forgotten probe"),
];

/// Ways to sleep, none of which has a place in a test.
const SLEEPS: &[(&str, &str)] = &[("thread::", "sleep("), ("time::", "sleep(")];

/// Folders that exist on one machine only.
const PLACES: &[(&str, &str)] = &[("/ro", "ot/"), ("/wo", "rk/"), ("/ho", "me/"), ("/Us", "ers/")];

/// Checks one file; `path` is from the root of the workspace.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (first, second) in PLACES {
            if holds_path(line, &format!("{first}{second}")) {
                let what = format!("names {first}{second}, a folder of one machine");
                violations.push(Violation::new(format!("{path}:{number}"), what));
            }
        }
    }
    if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
        check_rust(path, text, &mut violations);
    }
    violations
}

fn check_rust(path: &str, text: &str, violations: &mut Vec<Violation>) {
    let here = |what: &str| Violation::new(path, what);
    if !text.starts_with("//! ") {
        violations.push(here("does not begin with //! and its one subject"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        violations.push(here(&format!("has {lines} lines; {MOST_LINES} are the most")));
    }
    let components = Path::new(path).with_extension("");
    if let Some(name) =
        components.iter().filter_map(|part| part.to_str()).find(|part| GRAB_BAGS.contains(part))
    {
        violations.push(here(&format!("is named {name}: name what it holds")));
    }
    // A test that moves tokio's own clock may sleep on it: no time passes.
    let paused = text.contains("start_paused") || text.contains("time::pause");
    let mut in_tests = path.contains("/tests/") || path.contains("/benches/");
    for (number, line) in (1..).zip(text.lines()) {
        let at = |what: &str| Violation::new(format!("{path}:{number}"), what);
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        // An example in a comment may leave out what it is not about.
        let comment = line.trim_start().starts_with("//");
        for (first, second, why) in FORBIDDEN {
            let left_out = comment && second.ends_with('(');
            // Some tests need a process of their own: another test of the file starts it.
            let run_by_another = *second == "ignore" && text.contains("\"--ignored\"");
            if !left_out && !run_by_another && holds_word(line, first, second) {
                violations.push(at(&format!("{first}{second} is {why}")));
            }
        }
        for (first, second) in SLEEPS {
            if in_tests && !paused && line.contains(&format!("{first}{second}")) {
                violations.push(at("a test that sleeps: advance a clock, or wait_for a condition"));
            }
        }
    }
}

/// Returns whether the line holds the two halves together, not in the middle of a word.
fn holds_word(line: &str, first: &str, second: &str) -> bool {
    let pattern = format!("{first}{second}");
    let word = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let starts_word = first.starts_with(|letter: char| letter.is_alphanumeric());
    let ends_word = second.ends_with(|letter: char| letter.is_alphanumeric());
    line.match_indices(&pattern).any(|(at, _)| {
        let goes_on_before = starts_word && word(line[..at].chars().next_back());
        let goes_on_after = ends_word && word(line[at + pattern.len()..].chars().next());
        !goes_on_before && !goes_on_after
    })
}

/// Returns whether the line names a path that begins with `folder`; the same name deeper in a path is none.
fn holds_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| letter.is_whitespace() || "\"'`(=:<".contains(letter))
            && !line[..at].ends_with("http:")
            && !line[..at].ends_with("https:")
    })
}

/// Checks that a crate has at most one file with `unsafe`, which says why.
pub(super) fn one_unsafe_module(texts: &Texts) -> Vec<Violation> {
    let mut of_crate: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut violations = Vec::new();
    for (path, text) in texts {
        let shown = path.to_string_lossy().into_owned();
        let unsafe_at_work = text.lines().any(|line| {
            let code = line.trim_start();
            !code.starts_with("//")
                && ["{", "fn ", "impl "].iter().any(|form| holds_word(code, "unsafe ", form))
        });
        if path.extension().is_none_or(|extension| extension != "rs") || !unsafe_at_work {
            continue;
        }
        let dense: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        if !dense.contains("[expect(unsafe_code,reason=") {
            violations.push(Violation::new(&shown, "has unsafe without #![expect(unsafe_code, reason = …)]"));
        }
        if shown.contains("/tests/") {
            continue; // A test may call what is unsafe; what ships has one place for it.
        }
        let mut parts = shown.split('/');
        let own = match (parts.next(), parts.next()) {
            (Some("crates"), Some(name)) => name.to_owned(),
            (first, _) => first.unwrap_or_default().to_owned(),
        };
        of_crate.entry(own).or_default().push(shown);
    }
    for (name, files) in of_crate {
        if files.len() > 1 {
            violations.push(Violation::new(
                name,
                format!("has unsafe in {}; one module is the most", files.join(", ")),
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[track_caller]
    fn check_says(path: &str, text: &str, expected: &[&str]) {
        let said: Vec<String> = check(path, text).into_iter().map(|violation| violation.what).collect();
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn a_tidy_file_is_silent() {
        check_says("crates/a/src/a.rs", "//! A.\n\nfn f() { std::thread::park() }\n", &[]);
    }

    #[test]
    fn a_file_says_its_subject_first() {
        check_says("a.rs", "use std::fmt;\n", &["does not begin with //!"]);
        check_says("a.rs", "", &["does not begin with //!"]);
        check_says("a.md", "text", &[]);
    }

    #[test]
    fn a_thousand_lines_are_the_most() {
        let lines = |count: usize| "//! A.\n".repeat(count);
        check_says("a.rs", &lines(1_000), &[]);
        check_says("a.rs", &lines(1_001), &["has 1001 lines"]);
    }

    #[test]
    fn grab_bags_are_found_as_files_and_as_folders() {
        for path in ["src/mod.rs", "src/utils.rs", "src/common/a.rs", "crates/helpers/src/lib.rs"] {
            check_says(path, "//! A.\n", &["name what it holds"]);
        }
        check_says("src/commons.rs", "//! A.\n", &[]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for (first, second, _) in FORBIDDEN {
            check_says("a.rs", &format!("//! A.\n    {first}{second})]\n"), &[first]);
        }
        check_says("a.rs", &format!("//! A.\nfn my_{}{}\n", "todo", "!("), &[]);
        check_says("a.rs", &format!("//! A{}{}S.\n", "TO", "DO"), &[]);
    }

    #[test]
    fn a_test_that_another_one_runs_in_its_own_process_is_fine() {
        let own = format!("//! A.\n    {}{} = \"own process\"]\n", "#[", "ignore");
        check_says("a.rs", &own, &["a test that nothing runs"]);
        check_says("a.rs", &format!("{own}command.args([\"--exact\", \"--ignored\"])\n"), &[]);
    }

    #[test]
    fn sleeping_is_found_in_tests_only() {
        let call = format!("std::thread::{}1);\n", "sleep(");
        check_says("a.rs", &format!("//! A.\n{call}"), &[]);
        check_says(
            "a.rs",
            &format!("//! A.\n#[cfg(test)]\nmod tests {{\n{call}}}\n"),
            &["a test that sleeps"],
        );
        check_says("crates/a/tests/it/a.rs", &format!("//! A.\n{call}"), &["a test that sleeps"]);
        let paused =
            format!("//! A.\n#[tokio::test(start_paused = true)]\ntokio::time::{}1).await;\n", "sleep(");
        check_says("crates/a/tests/it/a.rs", &paused, &[]);
    }

    #[test]
    fn folders_of_one_machine_are_found_in_every_text() {
        for (first, second) in PLACES {
            check_says("docs/a.md", &format!("see {first}{second}x"), &["a folder of one machine"]);
            check_says("docs/a.md", &format!("see /srv{first}{second}x"), &[]);
        }
    }

    #[test]
    fn unsafe_is_in_one_module_that_says_why() {
        let text = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let reasoned = format!("#![expect(unsafe_code, reason = \"r\")]\n{} {{ }}\n", "unsafe");
        let bare = format!("fn f() {{ {} {{ }} }}\n", "unsafe");
        let one = Texts::from([text("crates/a/src/x.rs", &reasoned), text("crates/b/src/x.rs", &reasoned)]);
        assert_eq!(one_unsafe_module(&one), []);
        let two = Texts::from([text("crates/a/src/x.rs", &reasoned), text("crates/a/src/y.rs", &bare)]);
        let said = one_unsafe_module(&two);
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0].place, "crates/a/src/y.rs");
        assert!(said[1].what.contains("one module is the most"));
    }
}
