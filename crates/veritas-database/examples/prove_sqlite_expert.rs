//! Proof: for a workload of 24 statements, our set of indexes costs no more steps than all
//! that SQLite's own `.expert` advises, within the same bytes; and what half, a quarter
//! and an eighth of them bring. Prints the figures; fails when they do not hold.
//!
//! `cargo xtask prove sqlite_expert`; `-- --orders N` for another size.

#[path = "../tests/it/sqlite_expert.rs"]
mod sqlite_expert;

use std::process::ExitCode;

use sqlite_expert::{cost, creates, expert, fill, ours};
use veritas_testkit::data_dir;

#[expect(clippy::print_stdout, reason = "a proof prints its figures")]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--orders").skip(1);
    let orders = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(30_000);
    let folder = data_dir();
    let path = folder.path().join("shop.sqlite");
    fill(&path, orders);
    let advised = expert(&path);
    let none = cost(&path, &[]);
    let theirs = cost(&path, &advised);
    let mebibytes = |bytes: u64| bytes as f64 / 1_048_576.0;
    let share = |steps: u64| steps as f64 / none.0 as f64;
    println!("{orders} orders, {} statements", sqlite_expert::STATEMENTS.len());
    println!("no index: {} steps", none.0);
    println!(
        ".expert, all of it: {} indexes, {:.2} MiB, {} steps ({:.5} of none)",
        advised.len(),
        mebibytes(theirs.1),
        theirs.0,
        share(theirs.0)
    );
    let mut holds = true;
    for part in [1, 2, 4, 8] {
        let budget = theirs.1 / part;
        let advice = ours(&path, budget);
        let (steps, bytes) = cost(&path, &creates(&advice));
        println!(
            "ours in 1/{part} of the bytes: {} indexes, {:.2} of {:.2} MiB, {steps} steps ({:.5} of none, {:.3} of .expert), {} built",
            advice.chosen.len(),
            mebibytes(bytes),
            mebibytes(budget),
            share(steps),
            steps as f64 / theirs.0 as f64,
            advice.built
        );
        holds &= bytes <= budget && (part > 1 || steps <= theirs.0) && steps == advice.steps_after;
    }
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
