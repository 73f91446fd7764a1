//! The short forms of the proofs that `cargo xtask prove` runs for long.

use serde_json::Value;
use veritas_testkit::data_dir;

use crate::process::run;

fn prove(arguments: &[&str]) -> Value {
    let directory = data_dir();
    let words: Vec<_> = ["prove"].iter().chain(arguments).copied().chain(["--json"]).collect();
    let output = run(directory.path(), &words);
    let (said, figures) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{said}\n{figures}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_killed_service_has_lost_nothing_that_it_acknowledged() {
    let figures = prove(&["kill", "--rounds", "5", "--seed", "3"]);
    assert_eq!(figures["kills"], 5);
    assert_eq!(figures["lost_or_wrong"], 0, "{figures:#}");
    // Else nothing was put to the proof.
    for kind in ["changes", "events of changes", "alert transitions (firing, resolved)"] {
        assert!(figures["kinds"][kind].as_u64().unwrap() > 0, "{figures:#}");
    }
}

#[test]
fn changes_that_do_nothing_are_kept_under_the_demos_load() {
    let figures =
        prove(&["live-verdicts", "--no-ops", "4", "--harmful", "0", "--window", "3", "--regression", "2"]);
    assert_eq!(figures["no_ops"]["changes"], 4);
    assert_eq!(figures["no_ops"]["judged"], 4, "{figures:#}");
    assert_eq!(figures["no_ops"]["false_reverts"], 0, "{figures:#}");
}
