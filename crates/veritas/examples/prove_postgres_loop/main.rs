//! `cargo xtask prove postgres_loop`: the whole loop on PostgreSQL, from readings to an index that is kept or taken back.
//!
//! It prints its figures and fails when a goal is missed:
//!
//! - of 200 proposals and more that were proven, approved and applied, none regresses when
//!   the load is replayed with and without it;
//! - 20 of 20 planted regressions are taken back within a minute of being applied;
//! - `kill -9` at each step of a change, and at random moments: afterwards it is applied and
//!   journaled, or taken back, and nothing half-done is left.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its figures are what it is for")]

mod catalogue;
mod harms;
mod holder;
mod kills;
mod load;
mod pairs;
mod planted;
mod proposals;
mod regressions;
mod stage;
mod world;

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use stage::Failure;

/// Runs a proof, and tells whether its goal is met.
type Proof = fn() -> Result<bool, Failure>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, directory, url, load] = arguments.as_slice()
        && word == "child"
    {
        return match kills::child(directory, url, load == "load") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let mut missed = Vec::new();
    let proofs: [(&str, Proof); 3] =
        [("kills", prove_kills), ("regressions", prove_regressions), ("proposals", prove_proposals)];
    for (name, proof) in proofs {
        if !wanted(name) {
            continue;
        }
        match proof() {
            Ok(true) => {}
            Ok(false) => missed.push(name),
            Err(error) => {
                println!("{name}: FAILED: {error}");
                missed.push(name);
            }
        }
    }
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("missed: {}", missed.join(", "));
        ExitCode::FAILURE
    }
}

fn prove_proposals() -> Result<bool, Failure> {
    const APPLIED: usize = 200;
    let extent = proposals::Extent {
        applied: APPLIED,
        tables: 4,
        databases: 2,
        longest: Duration::from_mins(5),
        seed: 1,
    };
    let tally = proposals::prove(extent, &|line| println!("  {line}"))?;
    println!("{}", tally.report());
    Ok(tally.applied >= APPLIED && tally.regressions().next().is_none())
}

fn prove_regressions() -> Result<bool, Failure> {
    const PLANTED: usize = 20;
    const SECONDS: f64 = 60.0;
    let windows =
        stage::Windows { baseline: Duration::from_secs(10), watch: Duration::from_secs(24), looks: 8 };
    let extent = regressions::Extent { planted: PLANTED, together: 5, windows, seed: 2 };
    let outcomes = regressions::prove(extent, &|line| println!("  {line}"))?;
    let (count, slowest) = regressions::taken_back(&outcomes);
    println!("{count} of {PLANTED} taken back, the slowest {slowest:.1} s after it was applied");
    Ok(count == PLANTED && slowest <= SECONDS)
}

fn prove_kills() -> Result<bool, Failure> {
    let begin = || -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("child");
        Ok(command)
    };
    let extent = kills::Extent { steps: usize::MAX, random: 30, seed: 3 };
    let figures = kills::prove(extent, &begin, &|line| println!("  {line}"))?;
    println!("{}", figures.report());
    Ok(figures.wrong.is_empty())
}
