//! Proves that no interleaving makes a stale value reappear: the executions of
//! the integration test, as many as are asked for (a million when nothing is said).
//! First it shows that it would notice: each check that the code does is left out once.
//!
//! `cargo run --release -p veritas-cache --example prove_interleavings [EXECUTIONS]`
#![expect(clippy::print_stdout, reason = "a proof prints what it proved")]

#[path = "../tests/it/interleavings.rs"]
mod interleavings;

fn main() {
    let asked = std::env::args().nth(1).map(|count| count.parse().expect("a number of executions"));
    let executions = asked.unwrap_or(1_000_000);
    for broken in interleavings::Broken::ALL {
        assert!(interleavings::notices(broken, executions), "{broken:?} was not noticed");
        println!("{broken:?}: noticed");
    }
    interleavings::prove(executions, interleavings::Broken::No);
    println!("{executions} interleavings, 0 stale values");
}
