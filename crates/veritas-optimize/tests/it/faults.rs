//! Hundreds of seeds of lost connections, full disks, lies and crashes.

use veritas_optimize::simulation::{Summary, run_seed};

/// `cargo xtask prove` runs thousands.
const SEEDS: u64 = 300;

#[test]
fn no_crash_and_no_fault_breaks_a_rule_of_the_ledger() {
    let mut total = Summary::default();
    for seed in 0..SEEDS {
        match run_seed(seed) {
            Ok(summary) => total += summary,
            Err(violation) => panic!("{violation}"),
        }
    }
    println!("{SEEDS} seeds: {total:?}");
    // The simulation did go through what it is for.
    assert!(total.crashes > 300 && total.faults > 1_200, "{total:?}");
    assert!(total.kept > 200 && total.reverted > 300 && total.failed > 30, "{total:?}");
}

#[test]
fn a_seed_does_the_same_each_time() {
    assert_eq!(run_seed(17), run_seed(17));
}
