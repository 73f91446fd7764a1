//! The short form of `cargo xtask prove postgres_loop`: the whole loop on PostgreSQL, from readings to an
//! index that is kept or taken back.

#[path = "../../examples/prove_postgres_loop/catalogue.rs"]
mod catalogue;
#[path = "../../examples/prove_postgres_loop/harms.rs"]
mod harms;
#[path = "../../examples/prove_postgres_loop/holder.rs"]
mod holder;
#[path = "../../examples/prove_postgres_loop/kills.rs"]
mod kills;
#[path = "../../examples/prove_postgres_loop/load.rs"]
mod load;
#[path = "../../examples/prove_postgres_loop/pairs.rs"]
mod pairs;
#[path = "../../examples/prove_postgres_loop/planted.rs"]
mod planted;
#[path = "../../examples/prove_postgres_loop/proposals.rs"]
mod proposals;
#[path = "../../examples/prove_postgres_loop/regressions.rs"]
mod regressions;
#[path = "../../examples/prove_postgres_loop/stage.rs"]
mod stage;
#[path = "../../examples/prove_postgres_loop/world.rs"]
mod world;

use std::{process::Command, time::Duration};

use stage::Failure;

#[test]
fn nothing_that_is_proposed_and_applied_regresses_on_replay() {
    let extent =
        proposals::Extent { applied: 1, tables: 1, databases: 1, longest: Duration::from_mins(4), seed: 7 };
    let tally = proposals::prove(extent, &|line| println!("{line}")).unwrap();
    assert!(tally.applied >= 1, "{}", tally.report());
    assert_eq!(tally.regressions().count(), 0, "{}", tally.report());
}

#[test]
fn a_planted_regression_is_taken_back() {
    let windows =
        stage::Windows { baseline: Duration::from_secs(6), watch: Duration::from_secs(10), looks: 5 };
    let extent = regressions::Extent { planted: 1, together: 1, windows, seed: 2 };
    let outcomes = regressions::prove(extent, &|line| println!("{line}")).unwrap();
    assert_eq!(regressions::taken_back(&outcomes).0, 1, "{outcomes:?}");
}

#[test]
fn a_process_that_is_killed_before_it_journals_its_index_leaves_nothing() {
    let begin = || -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "postgres_loop::the_process_that_is_killed", "--ignored"]);
        Ok(command)
    };
    let extent = kills::Extent { steps: 1, random: 0, seed: 3 };
    let figures = kills::prove(extent, &begin, &|line| println!("{line}")).unwrap();
    assert_eq!((figures.steps.len(), figures.wrong.len()), (2, 0), "{}", figures.report());
}

#[test]
#[ignore = "the other side of the test above, which runs it"]
fn the_process_that_is_killed() {
    let arguments: Vec<String> = std::env::args().collect();
    let [.., directory, url, load] = arguments.as_slice() else { return };
    if url.starts_with("postgresql://") {
        kills::child(directory, url, load == "load").unwrap();
    }
}
