//! Which indexes a scan makes worth asking about.

use veritas_index_advisor::{
    ColumnFacts, Condition, Distinct, ExistingIndex, ExpressionCondition, FixedCondition, IndexSpec, Key,
    Method, PrefixCondition, Scan, TableFacts, TableId, UpdateRate, candidates,
};

fn table() -> TableId {
    TableId::new("public", "t")
}

fn facts() -> TableFacts {
    let mut facts = TableFacts::new(table(), 1e6, 20_000.0);
    for name in ["a", "b", "c", "d", "e", "f"] {
        facts.columns.push(ColumnFacts::fixed(name, 8, 8, Distinct::exact(1_000.0)));
    }
    facts
}

fn conditions(columns: &[&str]) -> Vec<Condition> {
    columns.iter().map(|column| Condition { column: (*column).into(), selectivity: 0.01 }).collect()
}

fn scan(equal: &[&str], ranges: &[&str]) -> Scan {
    Scan { equalities: conditions(equal), ranges: conditions(ranges), ..Scan::of(0, table(), 100.0) }
}

fn found(scans: &[Scan], facts: &TableFacts) -> Vec<String> {
    candidates::of(scans, std::slice::from_ref(facts), &candidates::Options::default())
        .iter()
        .map(|spec| spec.to_string().replace("public.t ", ""))
        .collect()
}

#[track_caller]
fn check_has(scans: &[Scan], facts: &TableFacts, expected: &str) {
    let found = found(scans, facts);
    assert!(found.iter().any(|spec| spec == expected), "{expected} is not in {found:?}");
}

#[track_caller]
fn check_has_not(scans: &[Scan], facts: &TableFacts, unexpected: &str) {
    let found = found(scans, facts);
    assert!(!found.iter().any(|spec| spec == unexpected), "{unexpected} is in {found:?}");
}

#[test]
fn equal_columns_come_before_the_range_and_what_is_needed_is_carried() {
    let scan = Scan { needed: Some(vec!["a".into(), "b".into(), "c".into()]), ..scan(&["a"], &["b"]) };
    check_has(std::slice::from_ref(&scan), &facts(), "(a, b)");
    check_has(std::slice::from_ref(&scan), &facts(), "(a, b) INCLUDE (c)");
    check_has_not(&[scan], &facts(), "(b, a)");
}

#[test]
fn an_index_serves_the_order_behind_equal_columns() {
    let order = vec![Key::column("b"), Key::column("c")];
    check_has(&[Scan { order, ..scan(&["a"], &[]) }], &facts(), "(a, b, c)");
    let down = vec![Key::column("b").descending(), Key::column("c").descending()];
    check_has(&[Scan { order: down, ..scan(&["a"], &[]) }], &facts(), "(a, b, c)");
    let mixed = vec![Key::column("b"), Key::column("c").descending()];
    check_has(&[Scan { order: mixed, ..scan(&["a"], &[]) }], &facts(), "(a, b, c DESC)");
}

#[test]
fn a_prefix_of_a_text_takes_the_operator_class_that_serves_it() {
    let prefix =
        PrefixCondition { column: "b".into(), opclass: "text_pattern_ops".into(), selectivity: 0.01 };
    check_has(&[Scan { prefixes: vec![prefix], ..scan(&["a"], &[]) }], &facts(), "(a, b text_pattern_ops)");
}

#[test]
fn equal_columns_are_ordered_so_that_statements_share_a_prefix() {
    let many = Scan { weight: 1_000.0, ..scan(&["b"], &[]) };
    check_has(&[many, scan(&["a", "b"], &[])], &facts(), "(b, a)");
}

#[test]
fn what_an_index_of_the_table_serves_is_not_asked_again() {
    let mut facts = facts();
    facts.existing.push(ExistingIndex {
        name: "t_a_b".into(),
        spec: IndexSpec::on(table(), ["a", "b"]),
        bytes: None,
        protections: Vec::new(),
        valid: true,
        usage: None,
    });
    assert_eq!(found(&[scan(&["a"], &["b"])], &facts), vec!["(b)"]);
    facts.existing[0].valid = false;
    check_has(&[scan(&["a"], &["b"])], &facts, "(a, b)");
}

#[test]
fn a_type_that_no_b_tree_holds_is_never_a_key() {
    let mut facts = facts();
    facts.columns[0].has_btree = false;
    assert_eq!(found(&[scan(&["a"], &[])], &facts), Vec::<String>::new());
}

#[test]
fn columns_that_updates_set_are_not_carried() {
    let scan = Scan { needed: Some(vec!["a".into(), "c".into()]), ..scan(&["a"], &[]) };
    let mut facts = facts();
    facts.writes.updates.push(UpdateRate { columns: vec!["c".into()], rows: 5.0, hot_share: 0.9 });
    assert_eq!(found(&[scan], &facts), vec!["(a)"]);
}

#[test]
fn bounds_are_kept() {
    let all = ["a", "b", "c", "d", "e", "f"];
    let scan = Scan { needed: Some(all.map(Into::into).to_vec()), ..scan(&all, &[]) };
    let options = candidates::Options { most_keys: 3, most_include: 2, most: 5, ..Default::default() };
    let found = candidates::of(&[scan], &[facts()], &options);
    assert!(found.len() <= 5 && !found.is_empty());
    assert!(found.iter().all(|spec| spec.keys.len() <= 3 && spec.include.len() <= 2));
}

#[test]
fn what_must_be_tried_elsewhere_is_marked_and_comes_last() {
    let scan = Scan {
        expressions: vec![ExpressionCondition { sql: "lower(d)".into(), equality: true, selectivity: 0.001 }],
        fixed: vec![FixedCondition {
            columns: vec!["c".into()],
            sql: "c = 1".into(),
            share_of_executions: 1.0,
            selectivity: 0.05,
        }],
        ..scan(&["a"], &["b"])
    };
    let mut facts = facts();
    facts.columns[1].correlation = Some(-0.99);
    let found = candidates::of(&[scan], &[facts], &candidates::Options::default());
    let elsewhere: Vec<bool> = found.iter().map(IndexSpec::is_elsewhere).collect();
    assert!(elsewhere.is_sorted(), "{found:?}");
    let last: Vec<&IndexSpec> = found.iter().filter(|spec| spec.is_elsewhere()).collect();
    assert_eq!(last.len(), 3);
    assert!(last.iter().any(|spec| spec.method == Method::Brin));
    assert!(last.iter().any(|spec| spec.predicate.as_deref() == Some("c = 1")));
    assert!(last.iter().any(|spec| spec.keys[0] == Key::expression("lower(d)")));
}
