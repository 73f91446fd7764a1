//! What is offered, and what is not, as text.

use veritas_rewrite::{Dialect, Form, ParameterSource, Rewrite, Rule, Schema, index_hints, rewrites};

use crate::cases::schema;

fn all(sql: &str, dialect: Dialect) -> Vec<Rewrite> {
    rewrites(sql, dialect, &schema()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[track_caller]
fn offers(rule: Rule, sql: &str, expected: &str) -> Rewrite {
    let offered = all(sql, Dialect::PostgreSql);
    let found = offered.into_iter().find(|rewrite| rewrite.rule == rule);
    let found = found.unwrap_or_else(|| panic!("nothing is offered for {sql}"));
    assert_eq!(found.sql, expected);
    found
}

#[track_caller]
fn refuses(rule: Rule, sql: &str) {
    let offered = all(sql, Dialect::PostgreSql);
    if let Some(found) = offered.into_iter().find(|rewrite| rewrite.rule == rule) {
        panic!("{sql}\nbecame\n{}", found.sql);
    }
}

#[test]
fn a_keyset_tells_where_its_parameters_come_from() {
    let rewrite = offers(
        Rule::OffsetToKeyset,
        "SELECT id, created_at FROM orders WHERE status = $1 ORDER BY created_at DESC, id DESC LIMIT 20 OFFSET $2",
        "SELECT id, created_at FROM orders WHERE status = $1 AND (orders.created_at, orders.id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT 20",
    );
    assert_eq!(
        rewrite.parameters.0,
        [ParameterSource::Same(1), ParameterSource::LastRow(1), ParameterSource::LastRow(0)]
    );
    assert!(matches!(&rewrite.form, Form::Pages { first, offset: Some(2), limit_literal: Some(20), .. }
        if first == "SELECT id, created_at FROM orders WHERE status = $1 ORDER BY created_at DESC, id DESC LIMIT 20"));
}

#[test]
fn a_keyset_needs_a_total_order_of_columns_that_are_seen_and_not_null() {
    for sql in [
        "SELECT id, created_at FROM orders ORDER BY created_at LIMIT 20 OFFSET 40",
        "SELECT created_at FROM orders ORDER BY created_at, id LIMIT 20 OFFSET 40",
        "SELECT id, note FROM orders ORDER BY note, id LIMIT 20 OFFSET 40",
        "SELECT id FROM orders ORDER BY lower(note), id LIMIT 20 OFFSET 40",
        "SELECT DISTINCT id FROM orders ORDER BY id LIMIT 20 OFFSET 40",
        "SELECT id FROM orders ORDER BY id OFFSET 40",
        "SELECT o.id, c.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id ORDER BY c.id, o.id LIMIT 9 OFFSET 40",
    ] {
        refuses(Rule::OffsetToKeyset, sql);
    }
}

#[test]
fn not_in_is_plain_only_where_nothing_can_be_null() {
    offers(
        Rule::NotInToNotExists,
        "SELECT name FROM customers WHERE id NOT IN (SELECT id FROM orders)",
        "SELECT name FROM customers WHERE NOT EXISTS (SELECT 1 FROM orders WHERE customers.id = id)",
    );
    offers(
        Rule::NotInToNotExists,
        "SELECT name FROM customers c WHERE id NOT IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL)",
        "SELECT name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders WHERE customer_id IS NOT NULL AND \
         c.id = customer_id)",
    );
    // The same name in the subquery would capture the column.
    refuses(Rule::NotInToNotExists, "SELECT name FROM customers WHERE age NOT IN (SELECT id FROM customers)");
    // The outer join brings NULLs into a column that is declared NOT NULL.
    offers(
        Rule::NotInToNotExists,
        "SELECT o.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE c.id NOT IN (SELECT order_id FROM items)",
        "SELECT o.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE (NOT EXISTS (SELECT 1 FROM items \
         WHERE c.id = order_id) AND (c.id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM items)))",
    );
}

#[test]
fn conversions_move_only_where_their_result_is_certain() {
    offers(
        Rule::CastToValue,
        "SELECT id FROM orders WHERE quantity::text = '07'",
        "SELECT id FROM orders WHERE false",
    );
    refuses(Rule::CastToValue, "SELECT id FROM orders WHERE status::integer = 7");
    refuses(Rule::CastToValue, "SELECT id FROM orders WHERE weight::integer = 7");
    refuses(Rule::FunctionToRange, "SELECT id FROM orders WHERE date(created_at) = '2024-1-1'");
    refuses(
        Rule::FunctionToRange,
        "SELECT id FROM orders WHERE NOT date_trunc('day', created_at) = '2024-01-01'",
    );
    refuses(Rule::JsonToContainment, "SELECT id FROM orders WHERE doc ->> 'n' = '5'");
    refuses(Rule::JsonToContainment, "SELECT id FROM orders WHERE doc ->> 'n' = 'true'");
    refuses(Rule::ArithmeticToValue, "SELECT id FROM orders WHERE quantity / 2 = 3");
    refuses(Rule::ArithmeticToValue, "SELECT id FROM orders WHERE quantity * -2 < 3");
    refuses(Rule::ArithmeticToValue, "SELECT id FROM orders WHERE weight + 1 = $1");
}

#[test]
fn a_duplicate_that_may_be_there_keeps_its_distinct() {
    refuses(Rule::UnneededDistinct, "SELECT DISTINCT status FROM orders");
    refuses(
        Rule::UnneededDistinct,
        "SELECT DISTINCT c.id FROM customers c JOIN orders o ON o.customer_id = c.id",
    );
    refuses(Rule::UnionToUnionAll, "SELECT status, 'a' FROM orders UNION SELECT name, 'b' FROM customers");
    refuses(Rule::UnionToUnionAll, "SELECT id, 1 FROM orders UNION SELECT id, 1 FROM customers");
    refuses(
        Rule::DistinctToExists,
        "SELECT DISTINCT c.name FROM customers c JOIN orders o ON o.customer_id = c.id",
    );
}

#[test]
fn a_join_goes_only_where_a_foreign_key_or_a_unique_key_says_so() {
    refuses(Rule::UnneededJoin, "SELECT o.id FROM orders o JOIN customers c ON c.age = o.customer_id");
    refuses(Rule::UnneededJoin, "SELECT o.id FROM orders o JOIN customers c ON c.id = o.quantity");
    refuses(
        Rule::UnneededJoin,
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.age = 1",
    );
    refuses(Rule::UnneededJoin, "SELECT * FROM orders o JOIN customers c ON c.id = o.customer_id");
    refuses(Rule::UnneededJoin, "SELECT o.id FROM orders o LEFT JOIN items i ON i.order_id = o.id");
    refuses(
        Rule::UnneededJoin,
        "SELECT c.id, o.id FROM orders o JOIN customers c ON c.id = o.customer_id AND c.vip",
    );
}

#[test]
fn nothing_is_offered_for_what_depends_on_the_plan() {
    for sql in [
        "SELECT id FROM orders WHERE coalesce(quantity, 0) = 1 LIMIT 5",
        "SELECT id FROM orders WHERE coalesce(quantity, 0) = 1 AND random() < 0.5",
        "SELECT id, row_number() OVER (ORDER BY status) FROM orders WHERE coalesce(quantity, 0) = 1",
        "SELECT string_agg(note, ',') FROM orders WHERE coalesce(quantity, 0) = 1",
        "SELECT id FROM orders WHERE coalesce(quantity, 0) = 1 FOR UPDATE",
        "SELECT DISTINCT ON (status) id FROM orders WHERE coalesce(quantity, 0) = 1",
        "SELECT my_function(id) FROM orders WHERE coalesce(quantity, 0) = 1",
        "SELECT id FROM orders TABLESAMPLE SYSTEM (10) WHERE coalesce(quantity, 0) = 1",
    ] {
        // An error is as good: not every clause is read.
        let offered = rewrites(sql, Dialect::PostgreSql, &schema()).unwrap_or_default();
        assert_eq!(offered, [], "{sql}");
    }
}

#[test]
fn what_the_schema_does_not_know_is_not_relied_on() {
    let sql =
        "SELECT id FROM orders WHERE coalesce(quantity, 0) = 1 AND id NOT IN (SELECT order_id FROM items)";
    assert_eq!(rewrites(sql, Dialect::PostgreSql, &Schema::default()), Ok(vec![]));
    // A common table expression takes a table's name.
    refuses(
        Rule::CoalesceToColumn,
        "WITH orders AS (SELECT 1 AS quantity) SELECT 1 FROM orders WHERE coalesce(quantity, 0) = 1",
    );
    // A bare name of a derived table may be anything.
    refuses(
        Rule::CoalesceToColumn,
        "SELECT 1 FROM orders, (SELECT 1 AS quantity) q WHERE coalesce(quantity, 0) = 1",
    );
}

#[test]
fn positional_parameters_are_mapped_as_often_as_they_are_there() {
    let offered =
        all("SELECT id FROM orders WHERE quantity = ? AND (note = ? OR customer_id = ?)", Dialect::MySql);
    let union = offered.iter().find(|rewrite| rewrite.rule == Rule::OrToUnionAll).expect("an OR is split");
    assert_eq!(
        union.sql,
        "SELECT id FROM orders WHERE quantity = ? AND note = ? UNION ALL SELECT id FROM orders WHERE quantity = ? \
         AND customer_id = ? AND ((note = ?) IS NOT TRUE)"
    );
    let same =
        |numbers: &[usize]| numbers.iter().map(|number| ParameterSource::Same(*number)).collect::<Vec<_>>();
    assert_eq!(union.parameters.0, same(&[1, 2, 1, 3, 2]));
    assert!(!union.parameters.is_identity());
}

#[test]
fn indexes_of_other_kinds_are_hinted_at() {
    let hints = |sql| {
        let hints = index_hints(sql, Dialect::PostgreSql, &schema()).expect("it parses");
        hints.into_iter().map(|hint| hint.sql).collect::<Vec<_>>()
    };
    assert_eq!(
        hints("SELECT id FROM orders WHERE lower(note) = $1 AND status LIKE 'abc%' AND note LIKE '%needle%'"),
        [
            "CREATE INDEX ON orders (lower(note))",
            "CREATE INDEX ON orders (status text_pattern_ops)",
            "CREATE INDEX ON orders USING gin (note gin_trgm_ops)",
        ]
    );
    assert_eq!(hints("SELECT id FROM orders WHERE note LIKE '%a%'"), [""; 0]);
}

#[test]
fn a_name_of_the_result_goes_before_a_column() {
    // It is ordered by the quantity.
    offers(
        Rule::OrToUnionAll,
        "SELECT id AS quantity, quantity AS id FROM orders WHERE status = 'a' OR note = 'b' ORDER BY id",
        "SELECT id AS quantity, quantity AS id FROM orders WHERE status = 'a' UNION ALL SELECT id AS quantity, \
         quantity AS id FROM orders WHERE note = 'b' AND ((status = 'a') IS NOT TRUE) ORDER BY 2",
    );
    refuses(
        Rule::OffsetToKeyset,
        "SELECT id AS quantity, quantity AS id FROM orders ORDER BY id LIMIT 5 OFFSET 5",
    );
    refuses(
        Rule::OffsetToKeyset,
        "SELECT abs(quantity) AS id, orders.id FROM orders ORDER BY id LIMIT 5 OFFSET 5",
    );
    let sql = "SELECT count(*) AS status FROM orders GROUP BY status HAVING status > 1";
    assert!(all(sql, Dialect::Sqlite).is_empty());
    // A row that holds a NULL is counted.
    refuses(Rule::CountToExists, "SELECT id FROM customers c WHERE (SELECT count(o) FROM orders o) > 0");
}
