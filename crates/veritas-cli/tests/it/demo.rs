//! `veritas demo --once --json`: the whole story, on real input.

use std::{path::Path, process::Output};

use serde_json::Value;
use veritas_testkit::{Postgres, data_dir};

use crate::process::run;

/// Runs the demo, and returns its report.
#[track_caller]
fn told(directory: &Path, more: &[&str]) -> Value {
    let mut arguments = vec!["demo", "--once", "--json"];
    arguments.extend(more);
    let Output { status, stdout, stderr } = run(directory, &arguments);
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

/// What the story is, whatever database it plays on.
#[track_caller]
fn check(report: &Value) {
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
    assert!(reverted["plan"]["forward"].as_str().unwrap().contains("verifications"), "{reverted:#}");
    assert!(reverted["predicted"]["gain_interval"]["low"].as_f64().unwrap() > 0.0, "{reverted:#}");
    assert_eq!(reverted["live"]["outcome"], "worse", "{reverted:#}");
    assert_eq!(report["load"]["failed"], 0, "{report:#}");
}

#[test]
fn the_demo_finds_proves_applies_keeps_and_takes_back() {
    let directory = data_dir();
    check(&told(directory.path(), &[]));
}

#[test]
fn the_demo_tells_the_same_story_on_postgres() {
    let server = Postgres::start_alone("shared_preload_libraries = 'pg_stat_statements'\n");
    let database = server.database();
    database.extension("hypopg").extension("pg_stat_statements");
    database.psql("CREATE TABLE mine (id int)");
    let directory = data_dir();
    let report = told(directory.path(), &["--postgres", &database.url()]);
    check(&report);
    let [kept, _, reverted] = report["changes"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    for change in [kept, reverted] {
        let forward = change["plan"]["forward"].as_str().unwrap();
        assert!(forward.starts_with("CREATE INDEX CONCURRENTLY"), "{change:#}");
        assert_eq!(
            (&change["predicted"]["metric"], &change["live"]["metric"]),
            (&"buffers".into(), &"buffers".into())
        );
    }
    // What was made is gone, and nothing else.
    assert_eq!(database.psql("SELECT relname FROM pg_stat_user_tables"), "mine\n");
    assert_eq!(database.psql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'veritas%'"), "0\n");
    assert_eq!(database.psql("SELECT count(*) FROM pg_database WHERE datname LIKE 'veritas%'"), "0\n");
}
