//! Which existing indexes may go: every planted one, and nothing else.

use std::time::Duration;

use veritas_index_advisor::{
    DropReason, ExistingIndex, IndexSpec, Key, Method, Protection, TableFacts, TableId, Usage, drops,
};

fn on(columns: &[&str]) -> IndexSpec {
    IndexSpec::on(TableId::new("public", "t"), columns.iter().copied())
}

fn index(name: &str, spec: IndexSpec) -> ExistingIndex {
    ExistingIndex {
        name: name.into(),
        spec,
        bytes: None,
        protections: Vec::new(),
        valid: true,
        usage: Some(Usage { scans: 10, window: Duration::from_hours(30 * 24), replicas_asked: true }),
    }
}

fn unused(name: &str, spec: IndexSpec) -> ExistingIndex {
    let usage = Usage { scans: 0, window: Duration::from_hours(30 * 24), replicas_asked: true };
    ExistingIndex { usage: Some(usage), ..index(name, spec) }
}

/// Compares what goes, as `name: reason`.
#[track_caller]
fn check(existing: Vec<ExistingIndex>, expected: &[&str]) {
    let mut facts = TableFacts::new(TableId::new("public", "t"), 1e6, 1e4);
    facts.existing = existing;
    let dropped: Vec<String> = drops::of(&[facts], &drops::Options::default())
        .into_iter()
        .map(|drop| match drop.reason {
            DropReason::Duplicate { of } => format!("{}: like {of}", drop.name),
            DropReason::Covered { by } => format!("{}: within {by}", drop.name),
            DropReason::Unused => format!("{}: unused", drop.name),
            DropReason::Invalid => format!("{}: invalid", drop.name),
            DropReason::NotWorth { .. } => format!("{}: not worth it", drop.name),
        })
        .collect();
    assert_eq!(dropped, expected);
}

#[test]
fn of_two_equal_indexes_the_protected_one_stays_then_the_one_that_is_read_more() {
    check(vec![index("a", on(&["x"])), index("b", on(&["x"]))], &["b: like a"]);
    let more = Usage { scans: 99, window: Duration::from_hours(1), replicas_asked: true };
    let read = ExistingIndex { usage: Some(more), ..index("b", on(&["x"])) };
    check(vec![index("a", on(&["x"])), read.clone()], &["a: like b"]);
    let key = IndexSpec { unique: true, ..on(&["x"]) };
    check(vec![index("key", key), read], &["b: like key"]);
}

#[test]
fn three_equal_indexes_leave_one() {
    check(
        vec![index("a", on(&["x"])), index("b", on(&["x"])), index("c", on(&["x"]))],
        &["b: like a", "c: like a"],
    );
}

#[test]
fn what_a_longer_index_begins_with_is_within_it() {
    check(vec![index("a", on(&["x"])), index("b", on(&["x", "y"]))], &["a: within b"]);
    check(
        vec![index("a", on(&["x"])), index("b", on(&["x", "y"])), index("c", on(&["x", "y", "z"]))],
        &["a: within c", "b: within c"],
    );
    let carrying = on(&["x"]).including(["y"]);
    check(vec![index("a", carrying.clone()), index("b", on(&["x", "y"]))], &["a: within b"]);
    check(vec![index("a", on(&["x"])), index("b", carrying)], &["a: within b"]);
}

#[test]
fn an_index_that_is_read_backwards_is_the_same() {
    let down = IndexSpec { keys: vec![Key::column("x").descending()], ..on(&["x"]) };
    check(vec![index("a", on(&["x"])), index("b", down)], &["b: like a"]);
}

#[test]
fn what_only_looks_alike_stays() {
    let key = |change: fn(&mut Key)| {
        let mut spec = on(&["x"]);
        change(&mut spec.keys[0]);
        spec
    };
    let decoys = [
        on(&["y"]),
        on(&["y", "x"]),
        key(|key| key.opclass = Some("text_pattern_ops".into())),
        key(|key| key.collation = Some("\"C\"".into())),
        key(|key| key.nulls_first = true),
        key(|key| *key = Key::expression("lower(x)")),
        IndexSpec { predicate: Some("y > 0".into()), ..on(&["x"]) },
        IndexSpec { method: Method::Hash, ..on(&["x"]) },
        IndexSpec { keys: vec![Key::column("y"), Key::column("x").descending()], ..on(&[]) },
    ];
    for decoy in decoys {
        check(vec![index("a", on(&["x"])), index("b", decoy)], &[]);
    }
    let partial = |sql: &str| IndexSpec { predicate: Some(sql.into()), ..on(&["x"]) };
    check(vec![index("a", partial("y > 0")), index("b", partial("y > 1"))], &[]);
}

#[test]
fn nothing_that_guards_something_goes() {
    let all = [
        Protection::PrimaryKey,
        Protection::Unique,
        Protection::Exclusion,
        Protection::ForeignKey,
        Protection::ReplicaIdentity,
        Protection::Clustered,
        Protection::Partition,
        Protection::Extension,
        Protection::Pinned,
    ];
    for protection in all {
        let guarded = ExistingIndex { protections: vec![protection], ..unused("a", on(&["x"])) };
        check(vec![guarded, index("b", on(&["x", "y"]))], &[]);
    }
    let unique = IndexSpec { unique: true, ..on(&["x"]) };
    check(vec![unused("a", unique), index("b", on(&["x", "y"]))], &[]);
}

#[test]
fn disuse_counts_only_when_it_was_watched_long_enough_and_everywhere() {
    check(vec![unused("a", on(&["x"]))], &["a: unused"]);
    let usage = |scans, hours, replicas_asked| {
        let window = Duration::from_hours(hours);
        let usage = Some(Usage { scans, window, replicas_asked });
        vec![ExistingIndex { usage, ..index("a", on(&["x"])) }]
    };
    check(usage(0, 24, true), &[]);
    check(usage(0, 24 * 30, false), &[]);
    check(usage(1, 24 * 30, true), &[]);
    check(vec![ExistingIndex { usage: None, ..index("a", on(&["x"])) }], &[]);
}

#[test]
fn an_index_is_never_within_one_that_goes_itself() {
    check(vec![index("a", on(&["x"])), unused("b", on(&["x", "y"]))], &["b: unused"]);
    let broken = ExistingIndex { valid: false, ..index("b", on(&["x", "y"])) };
    check(vec![index("a", on(&["x"])), broken], &["b: invalid"]);
}
