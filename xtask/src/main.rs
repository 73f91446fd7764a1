//! Every chore of the project, in Rust: `cargo xtask` lists them.

#![expect(clippy::print_stdout, reason = "a chore tells on stdout what it does")]

mod check;
mod demo;
mod docs;
mod guides;
mod prove;
mod schemathesis;
mod server;
mod setup;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// The chores, as `cargo xtask` prints them.
const HELP: &str = "\
Usage: cargo xtask CHORE

Chores:
  demo [-- ARGUMENTS]   build everything and run the demo (--once --json: bounded, for scripts)
  test                  set up what the tests need, then run every check and every test (what CI runs)
  setup                 install what the tests need; quick when it is there
  check                 format, lints, documentation, tidy: the fast half of `test`
  tidy                  rules that no lint knows: layers, file sizes, licences, forgotten files
  docs [--check]        write the generated pages of docs/reference (or say which are stale)
  prove [NAME [-- ARGUMENTS]]
                        run a long proof and print its figures; without NAME, list them
  bench [-- ARGUMENTS]  measure the release binary beside its FastAPI twin
  bench cache [-- ARGUMENTS]
                        measure the caches beside their peers in Rust and Python

Exit codes: 0 done, 1 failed, 2 the command line is wrong.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words = arguments.iter().map(String::as_str);
    let chore = words.next().unwrap_or("help");
    let rest: Vec<&str> = words.collect();
    let outcome = match (chore, rest.as_slice()) {
        ("demo", rest) => demo::run(passed(rest)),
        ("test", []) => test::run(),
        ("setup", []) => setup::run(),
        ("check", []) => check::run(),
        ("tidy", []) => tidy::run(),
        ("docs", []) => docs::write(),
        ("docs", ["--check"]) => docs::compare(),
        ("prove", []) => prove::list(),
        ("prove", [name, rest @ ..]) => prove::run(name, passed(rest)),
        ("bench", rest) => prove::bench(passed(rest)),
        ("help" | "--help" | "-h", _) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("cargo xtask {} is not a chore\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns what stands after `--`, which may be left out.
fn passed<'a>(rest: &'a [&'a str]) -> &'a [&'a str] {
    rest.strip_prefix(&["--"]).unwrap_or(rest)
}
