//! Keys: the vectors, Rust against Python, and random pairs of values.

mod made_up;
mod value;
mod vectors;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value as Json, json};
use veritas_cache::CacheKey;

use made_up::Numbers;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Starts a command of Python in `python/tests`, where salted hashes would show.
fn python(arguments: &[&str], seed: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .args(arguments)
        .current_dir(root().join("python"))
        .env("PYTHONHASHSEED", seed)
        .env("PYTHONPATH", root().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn the_vectors_are_what_the_encoder_says() {
    let committed = std::fs::read_to_string(root().join("docs/reference/cache-keys.json")).unwrap();
    assert!(
        committed == vectors::document(),
        "docs/reference/cache-keys.json is stale: run cargo xtask docs"
    );
}

#[test]
fn the_python_keys_pass_their_own_tests() {
    let output = python(
        &["-m", "unittest", "discover", "--start-directory", "tests", "--top-level-directory", "."],
        "7",
    )
    .output()
    .expect("python3 is there: cargo xtask setup installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("\nOK") && !said.contains("skipped") && !said.contains("Ran 0 "), "{said}");
}

#[test]
fn rust_and_python_have_one_key_for_one_call() {
    const CALLS: usize = 10_000;
    for seed in ["0", "4294967295"] {
        let mut child = python(&["-m", "tests.answer"], seed)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there: cargo xtask setup installs it");
        let mut asked = child.stdin.take().unwrap();
        let mut numbers = Numbers(seed.parse().unwrap());
        let calls: Vec<_> = (0..CALLS).map(|_| numbers.call(3)).collect();
        let written: Vec<Json> = calls.iter().map(value::Call::written).collect();
        let lines = written.iter().map(Json::to_string).collect::<Vec<_>>().join("\n");
        let writer = std::thread::spawn(move || asked.write_all(lines.as_bytes()));
        let answers: Vec<String> =
            BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        writer.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(answers.len(), CALLS);
        for (call, answer) in written.iter().zip(answers) {
            assert_eq!(call["key"], json!(answer), "{call}");
        }
    }
}

#[test]
fn two_values_have_one_key_only_when_they_are_one() {
    let mut numbers = Numbers(1);
    let mut same = 0;
    for _ in 0..100_000 {
        let one = numbers.value(3);
        let other = numbers.neighbour(&one, 3);
        assert_eq!(CacheKey::of(&one) == CacheKey::of(&other), one == other, "{one:?} {other:?}");
        same += u32::from(one == other);
    }
    assert!((1_000..99_000).contains(&same), "both kinds of pairs are among them: {same}");
}
