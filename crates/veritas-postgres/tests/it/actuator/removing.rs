//! Dropping indexes of the application: what is refused, and that what was dropped comes back.

use std::time::Duration;

use veritas_index_advisor::TableId;
use veritas_model::{Actuator as _, ActuatorError, ChangeKind, Plan, Presence};
use veritas_postgres::actuator::{ActuatorOptions, IndexRemoval};

use super::scene::{Scene, hasty};

const DROP: ChangeKind = ChangeKind::IndexDrop;

fn plan(scene: &Scene, index: &str) -> Result<Plan, String> {
    let definition = scene.psql(&format!("SELECT pg_get_indexdef('{index}'::regclass)"));
    let removal = IndexRemoval::new("public", index, definition.trim_end())?;
    Ok(removal.plan("main", &TableId::new("public", "t")))
}

/// Drops at once, whatever was seen.
fn at_once() -> ActuatorOptions {
    ActuatorOptions { disuse: Duration::ZERO, ..hasty() }
}

#[test]
fn a_dropped_index_comes_back_exactly_as_it_was() {
    let scene = Scene::new(at_once());
    scene.psql("CREATE INDEX odd ON t USING btree (lower(c) text_pattern_ops DESC, a) INCLUDE (b) WITH (fillfactor=70) WHERE (b > 3)");
    let definition = "SELECT pg_get_indexdef('odd'::regclass)";
    let before = scene.psql(definition);
    let plan = plan(&scene, "odd").unwrap();
    assert_eq!(scene.actuator.presence(DROP, &plan), Ok(Presence::Absent));
    for _ in 0..2 {
        scene.apply(DROP, &plan).unwrap();
        assert_eq!(scene.actuator.presence(DROP, &plan), Ok(Presence::Present));
        assert_eq!(scene.indexes(), "t_pkey valid\n");
    }
    for _ in 0..2 {
        scene.actuator.revert(DROP, &plan).unwrap();
        assert_eq!(scene.actuator.presence(DROP, &plan), Ok(Presence::Absent));
        assert_eq!(scene.psql(definition), before);
    }
    // A removal that stopped halfway leaves an index that nobody can use: that is made anew.
    scene.psql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'odd'::regclass");
    assert_eq!(scene.actuator.presence(DROP, &plan), Ok(Presence::Present));
    scene.actuator.revert(DROP, &plan).unwrap();
    assert_eq!(scene.psql(definition), before);
    assert_eq!(scene.indexes(), "t_pkey valid\nodd valid\n");
    scene.check_nobody_is_locked_out();
}

#[test]
fn what_guards_data_is_never_dropped() {
    let scene = Scene::new(at_once());
    scene.psql(
        "CREATE EXTENSION btree_gist;
         CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE keys (a int UNIQUE, b int, c int NOT NULL, p int REFERENCES parent, EXCLUDE USING gist (b WITH =));
         CREATE UNIQUE INDEX keys_c ON keys (c); ALTER TABLE keys REPLICA IDENTITY USING INDEX keys_c;
         CREATE INDEX keys_p ON keys (p);
         CREATE INDEX keys_b ON keys (b); CLUSTER keys USING keys_b;
         CREATE TABLE parts (a int) PARTITION BY RANGE (a);
         CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10); CREATE INDEX parts_a ON parts (a);
         CREATE INDEX keys_said ON keys (b, c); COMMENT ON INDEX keys_said IS 'keep me'",
    );
    for index in [
        "parent_pkey",
        "keys_a_key",
        "keys_c",
        "keys_b_excl",
        "keys_p",
        "keys_b",
        "part_a_idx",
        "parts_a",
        "keys_said",
    ] {
        // Some are refused when the plan is written, the others when it is carried out.
        let Ok(plan) = plan(&scene, index) else { continue };
        let error = scene.apply(DROP, &plan).unwrap_err();
        assert!(matches!(&error, ActuatorError::PlanRefused { .. }), "{index}: {error}");
        assert_eq!(scene.actuator.presence(DROP, &plan), Ok(Presence::Absent), "{index}");
    }
    assert!(plan(&scene, "keys_c").is_err() && plan(&scene, "parent_pkey").is_err());
}

#[test]
fn an_index_that_is_not_the_one_that_was_proposed_is_left_alone() {
    let scene = Scene::new(at_once());
    scene.psql("CREATE INDEX i ON t (a)");
    let plan = plan(&scene, "i").unwrap();
    scene.psql("DROP INDEX i");
    scene.psql("CREATE INDEX i ON t (b)");
    let error = scene.apply(DROP, &plan).unwrap_err();
    assert!(matches!(&error, ActuatorError::PlanRefused { .. }), "{error}");
    assert_eq!(scene.indexes(), "t_pkey valid\ni valid\n");
}

#[test]
fn an_index_is_dropped_when_another_covers_it_or_after_it_was_seen_unused_for_long() {
    let scene = Scene::new(hasty());
    scene.psql("CREATE INDEX narrow ON t (a)");
    scene.psql("CREATE INDEX alone ON t (b)");
    let (narrow, alone) = (plan(&scene, "narrow").unwrap(), plan(&scene, "alone").unwrap());
    let error = scene.apply(DROP, &narrow).unwrap_err();
    assert!(
        matches!(&error, ActuatorError::Guard { reason } if reason.contains("without a scan for 0.0 h")),
        "{error}"
    );
    scene.psql("CREATE INDEX wide ON t (a, c)");
    scene.apply(DROP, &narrow).unwrap();

    // Two readings, eight days apart.
    scene.read(&[("alone", 0)]);
    scene.clock.advance(Duration::from_hours(3 * 24));
    scene.read(&[("alone", 0)]);
    let error = scene.apply(DROP, &alone).unwrap_err();
    assert!(matches!(&error, ActuatorError::Guard { reason } if reason.contains("for 72.0 h")), "{error}");
    scene.clock.advance(Duration::from_hours(5 * 24));
    scene.psql(
        "SET enable_seqscan = off; SELECT count(*) FROM t WHERE b = 1; SELECT pg_stat_force_next_flush()",
    );
    let error = scene.apply(DROP, &alone).unwrap_err();
    assert!(matches!(&error, ActuatorError::Guard { .. }), "it was scanned just now: {error}");
    let scans: u64 = scene
        .psql("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'alone'")
        .trim()
        .parse()
        .unwrap();
    assert!(scans > 0);
    scene.read(&[("alone", scans)]);
    scene.clock.advance(Duration::from_hours(8 * 24));
    scene.apply(DROP, &alone).unwrap();
    assert_eq!(scene.indexes(), "t_pkey valid\nwide valid\n");
}
