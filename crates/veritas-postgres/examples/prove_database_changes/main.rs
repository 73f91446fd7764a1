//! Proves that changes of indexes survive what happens to us, to the server and to the disk, and that harm is seen.
//!
//! Run by `cargo xtask prove database_changes`. It prints its figures and fails when they
//! do not hold:
//!
//! - `kill -9` of a process of ours at each step of applying and taking back, held there by
//!   force, and at random moments: afterwards the next process finds and finishes or
//!   removes what is left, and nobody is locked out;
//! - 20 planted regressions, reads and writes, are seen in what the actuator says that the
//!   load costs, and 20 changes that do nothing are not;
//! - a full disk, a server that is killed while it builds, and many appliers at once leave
//!   one index that can be used, or none.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a proof prints its figures")]

mod faults;
mod kills;
mod regressions;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, what, url] = arguments.as_slice()
        && word == "child"
    {
        return kills::child(what, url);
    }
    let mut failures = Vec::new();
    for (name, proof) in [
        ("kill -9", kills::prove as fn() -> Result<String, String>),
        ("planted regressions", regressions::prove),
        ("disk full", faults::full_disk),
        ("server killed", faults::killed_server),
        ("many appliers", faults::many_appliers),
    ] {
        match proof() {
            Ok(figures) => println!("{name}: {figures}"),
            Err(why) => {
                println!("{name}: FAILED: {why}");
                failures.push(name);
            }
        }
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
