//! `veritas demo --once --json`: the whole story, on real input.

use serde_json::Value;
use veritas_testkit::data_dir;

use crate::process::run;

#[test]
fn the_demo_finds_proves_applies_keeps_and_takes_back() {
    let directory = data_dir();
    let output = run(directory.path(), &["demo", "--once", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();

    let findings = report["findings"].as_array().unwrap();
    for kind in ["missing_index", "n_plus_one", "unbounded_result", "repeated_computation"] {
        let finding = findings.iter().find(|finding| finding["kind"] == kind);
        let finding = finding.unwrap_or_else(|| panic!("no {kind} in {findings:#?}"));
        assert!(!finding["evidence"].as_array().unwrap().is_empty(), "{finding:#}");
    }
    let n_plus_one = findings.iter().find(|finding| finding["kind"] == "n_plus_one").unwrap();
    assert_eq!(n_plus_one["subject"]["name"], "author_name_query");
    let caller = n_plus_one["callers"][0]["file"].as_str().unwrap();
    assert!(caller.ends_with("demo/service.rs"), "{caller}");

    let [kept, cached, reverted] = report["changes"].as_array().unwrap().as_slice() else {
        panic!("{report:#}")
    };
    assert_eq!(kept["state"], "kept");
    assert!(kept["plan"]["forward"].as_str().unwrap().contains("content"), "{kept:#}");
    assert!(kept["predicted"]["gain_interval"]["low"].as_f64().unwrap() > 0.5, "{kept:#}");
    assert_eq!(kept["predicted"]["results_equal"], true);
    assert_eq!(kept["live"]["outcome"], "improved", "{kept:#}");
    assert_eq!((&cached["state"], &cached["kind"]), (&"kept".into(), &"cache_start".into()), "{cached:#}");
    assert_eq!(cached["predicted"]["metric"], "misses");
    assert_eq!(cached["live"]["outcome"], "improved", "{cached:#}");
    let (predicted, live) = (&cached["predicted"]["gain"], &cached["live"]["gain"]);
    assert!(live.as_f64().unwrap() > predicted.as_f64().unwrap() / 2.0, "{cached:#}");
    assert_eq!(reverted["state"], "reverted");
    assert_eq!(reverted["live"]["outcome"], "worse", "{reverted:#}");
    assert_eq!(report["load"]["failed"], 0, "{report:#}");
}
