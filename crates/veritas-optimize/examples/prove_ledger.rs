//! Runs the simulated loop under faults over many seeds: `cargo xtask prove ledger -- [SEEDS] [FIRST]`.
//! Ends with an error, and the seed, at the first rule of the ledger that is broken.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a proof prints its figures")]

use std::process::ExitCode;

use veritas_optimize::simulation::{Summary, run_seed};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let seeds = numbers.first().copied().unwrap_or(5_000);
    let first = numbers.get(1).copied().unwrap_or(1_000_000);
    let mut total = Summary::default();
    for seed in first..first.saturating_add(seeds) {
        match run_seed(seed) {
            Ok(summary) => total += summary,
            Err(violation) => {
                eprintln!("{violation}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{seeds} seeds from {first}: no rule of the ledger was broken");
    println!("  processes killed   {}", total.crashes);
    println!("  faults             {}", total.faults);
    println!("  changes begun      {}", total.changes);
    println!("    kept             {}", total.kept);
    println!("    taken back       {}", total.reverted);
    println!("    failed           {}", total.failed);
    ExitCode::SUCCESS
}
