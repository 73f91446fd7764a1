//! Statements for every rule, with wrong variants that the fuzzer must refute.

use veritas_rewrite::{
    Dialect, Rule, Usage,
    schema::{Column, ColumnType, ForeignKey, Schema, Table},
};

/// A statement that a rule applies to.
pub(crate) struct Case {
    pub(crate) rule: Rule,
    /// Parameters as PostgreSQL writes them.
    pub(crate) sql: &'static str,
    /// Whether SQLite runs it, too, and the rule applies there.
    pub(crate) sqlite: bool,
    /// What someone might have written instead of the new statement, and why it is wrong.
    pub(crate) mutants: &'static [(&'static str, &'static str)],
}

impl Case {
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            repeated: self.rule == Rule::SingleToBatch,
            columns: (self.rule == Rule::WildcardToColumns).then(|| vec!["id".into(), "status".into()]),
        }
    }

    /// Returns a statement of this case as a dialect writes it.
    pub(crate) fn written(sql: &str, dialect: Dialect) -> String {
        if dialect == Dialect::PostgreSql { sql.to_owned() } else { sql.replace('$', "?") }
    }
}

pub(crate) fn schema() -> Schema {
    let table = |name: &str,
                 columns: &[(&str, &str, bool)],
                 keys: &[&[&str]],
                 foreign: &[(&str, &str, &str)]| {
        Table {
            schema: None,
            name: name.into(),
            columns: columns
                .iter()
                .map(|(name, kind, nullable)| Column {
                    name: (*name).into(),
                    kind: ColumnType::parse(kind),
                    nullable: *nullable,
                })
                .collect(),
            unique_keys: keys.iter().map(|key| key.iter().map(|name| (*name).to_owned()).collect()).collect(),
            foreign_keys: foreign
                .iter()
                .map(|(column, table, referenced)| ForeignKey {
                    columns: vec![(*column).into()],
                    table: (*table).into(),
                    referenced: vec![(*referenced).into()],
                })
                .collect(),
        }
    };
    Schema {
        tables: vec![
            table(
                "customers",
                &[
                    ("id", "integer", false),
                    ("name", "text", false),
                    ("country", "text", true),
                    ("age", "integer", true),
                    ("vip", "boolean", true),
                ],
                &[&["id"]],
                &[],
            ),
            table(
                "orders",
                &[
                    ("id", "integer", false),
                    ("customer_id", "integer", true),
                    ("status", "text", false),
                    ("quantity", "integer", false),
                    ("weight", "bigint", true),
                    ("created_at", "timestamp", false),
                    ("paid_at", "timestamptz", true),
                    ("doc", "jsonb", true),
                    ("note", "text", true),
                    ("token", "uuid", true),
                ],
                &[&["id"]],
                &[("customer_id", "customers", "id")],
            ),
            table(
                "items",
                &[
                    ("order_id", "integer", false),
                    ("line", "integer", false),
                    ("product", "text", true),
                    ("price", "integer", true),
                ],
                &[&["order_id", "line"]],
                &[("order_id", "orders", "id")],
            ),
            table("blocked", &[("customer_id", "integer", true), ("since", "date", true)], &[], &[]),
        ],
    }
}

const fn case(
    rule: Rule,
    sql: &'static str,
    sqlite: bool,
    mutants: &'static [(&'static str, &'static str)],
) -> Case {
    Case { rule, sql, sqlite, mutants }
}

pub(crate) const CASES: &[Case] = &[
    case(
        Rule::OffsetToKeyset,
        "SELECT id, status, created_at FROM orders WHERE quantity > $1 ORDER BY created_at, id LIMIT $2 OFFSET $3",
        true,
        &[
            (
                "a tie of the first column is skipped",
                "SELECT id, status, created_at FROM orders WHERE quantity > $1 AND created_at > $3 AND id > $4 ORDER BY created_at, id LIMIT $2",
            ),
            (
                "the last row is repeated",
                "SELECT id, status, created_at FROM orders WHERE quantity > $1 AND (created_at, id) >= ($3, $4) ORDER BY created_at, id LIMIT $2",
            ),
        ],
    ),
    case(
        Rule::OffsetToKeyset,
        "SELECT o.id, o.quantity FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.quantity DESC, o.id LIMIT 3 OFFSET $1",
        true,
        &[(
            "one direction for both columns",
            "SELECT o.id, o.quantity FROM orders o JOIN customers c ON c.id = o.customer_id WHERE (o.quantity, o.id) < ($1, $2) ORDER BY o.quantity DESC, o.id LIMIT 3",
        )],
    ),
    case(
        Rule::OffsetToKeyset,
        "SELECT id, note FROM orders WHERE status <> 'a' ORDER BY id DESC OFFSET 9000 LIMIT 50",
        false,
        &[(
            "the wrong direction",
            "SELECT id, note FROM orders WHERE status <> 'a' AND id > $1 ORDER BY id DESC LIMIT 50",
        )],
    ),
    case(
        Rule::OrToUnionAll,
        "SELECT o.id, o.note FROM orders o WHERE o.quantity >= 1 AND (o.note = $1 OR o.customer_id = $2)",
        true,
        &[
            (
                "the overlap is there twice",
                "SELECT o.id, o.note FROM orders o WHERE o.quantity >= 1 AND o.note = $1 UNION ALL SELECT o.id, o.note FROM orders o WHERE o.quantity >= 1 AND o.customer_id = $2",
            ),
            (
                "a NULL on the left loses rows",
                "SELECT o.id, o.note FROM orders o WHERE o.quantity >= 1 AND o.note = $1 UNION ALL SELECT o.id, o.note FROM orders o WHERE o.quantity >= 1 AND o.customer_id = $2 AND NOT (o.note = $1)",
            ),
        ],
    ),
    case(
        Rule::OrToUnionAll,
        "SELECT o.status, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status = 'a' OR c.country = 'b' ORDER BY o.status, c.name",
        true,
        &[(
            "UNION removes duplicates",
            "SELECT o.status, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status = 'a' UNION SELECT o.status, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.country = 'b' AND (o.status = 'a') IS NOT TRUE ORDER BY 1, 2",
        )],
    ),
    case(
        Rule::NotInToNotExists,
        "SELECT id, name FROM customers WHERE id NOT IN (SELECT customer_id FROM blocked)",
        true,
        &[(
            "a NULL in the set is ignored",
            "SELECT id, name FROM customers WHERE NOT EXISTS (SELECT 1 FROM blocked WHERE customers.id = customer_id)",
        )],
    ),
    case(
        Rule::NotInToNotExists,
        "SELECT id FROM orders o WHERE customer_id NOT IN (SELECT id FROM customers WHERE age > $1)",
        true,
        &[
            (
                "a NULL on the left passes",
                "SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM customers WHERE age > $1 AND o.customer_id = id)",
            ),
            (
                "a NULL on the left never passes",
                "SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM customers WHERE age > $1 AND o.customer_id = id) AND o.customer_id IS NOT NULL",
            ),
        ],
    ),
    case(
        Rule::NotInToNotExists,
        "SELECT id FROM customers WHERE id NOT IN (SELECT order_id FROM items WHERE price > 1)",
        true,
        &[(
            "the condition of the set is lost",
            "SELECT id FROM customers WHERE NOT EXISTS (SELECT 1 FROM items WHERE customers.id = order_id)",
        )],
    ),
    case(
        Rule::CorrelatedToJoin,
        "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id AND o.quantity > 0) AS n, (SELECT max(o.quantity) FROM orders o WHERE o.customer_id = c.id) AS most FROM customers c",
        true,
        &[
            (
                "no order counts as NULL",
                "SELECT c.id, v.n, w.most FROM customers c LEFT JOIN (SELECT customer_id, count(*) AS n FROM orders WHERE quantity > 0 GROUP BY customer_id) v ON v.customer_id = c.id LEFT JOIN (SELECT customer_id, max(quantity) AS most FROM orders GROUP BY customer_id) w ON w.customer_id = c.id",
            ),
            (
                "customers without orders are lost",
                "SELECT c.id, COALESCE(v.n, 0), w.most FROM customers c JOIN (SELECT customer_id, count(*) AS n FROM orders WHERE quantity > 0 GROUP BY customer_id) v ON v.customer_id = c.id LEFT JOIN (SELECT customer_id, max(quantity) AS most FROM orders GROUP BY customer_id) w ON w.customer_id = c.id",
            ),
        ],
    ),
    case(
        Rule::CorrelatedToJoin,
        "SELECT * FROM orders o WHERE o.quantity = (SELECT max(i.quantity) FROM orders i WHERE i.customer_id = o.customer_id)",
        true,
        &[(
            "the greatest of all instead of each customer's",
            "SELECT o.* FROM orders o LEFT JOIN (SELECT max(quantity) AS m FROM orders) v ON true WHERE o.quantity = v.m",
        )],
    ),
    case(
        Rule::CorrelatedToJoin,
        "SELECT c.name, (SELECT coalesce(sum(o.quantity), 0) + count(o.note) FROM orders o WHERE o.customer_id = c.id) FROM customers c ORDER BY c.id",
        true,
        &[(
            "the coalesce is inside",
            "SELECT c.name, v.s FROM customers c LEFT JOIN (SELECT customer_id, coalesce(sum(quantity), 0) + count(note) AS s FROM orders GROUP BY customer_id) v ON v.customer_id = c.id ORDER BY c.id",
        )],
    ),
    case(
        Rule::DistinctToExists,
        "SELECT DISTINCT c.id, c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.status = $1 AND c.age > 0",
        true,
        &[
            (
                "the condition of the other table is lost",
                "SELECT c.id, c.name FROM customers c WHERE c.age > 0 AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
            ),
            (
                "duplicates stay",
                "SELECT c.id, c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.status = $1 AND c.age > 0",
            ),
        ],
    ),
    case(
        Rule::FunctionToRange,
        "SELECT id FROM orders WHERE date_trunc('month', created_at) = $1",
        false,
        &[
            (
                "a time within the month finds its whole month",
                "SELECT id FROM orders WHERE created_at >= CAST($1 AS TIMESTAMP) AND created_at < CAST($1 AS TIMESTAMP) + INTERVAL '1 month'",
            ),
            (
                "the next month's first moment belongs to it",
                "SELECT id FROM orders WHERE created_at >= CAST($1 AS TIMESTAMP) AND created_at <= CAST($1 AS TIMESTAMP) + INTERVAL '1 month' AND date_trunc('month', CAST($1 AS TIMESTAMP)) = CAST($1 AS TIMESTAMP)",
            ),
        ],
    ),
    case(
        Rule::FunctionToRange,
        "SELECT id FROM orders WHERE extract(year FROM created_at) = 2024 AND date(paid_at) <= '2024-03-01'",
        false,
        &[
            (
                "the last day's hours are lost",
                "SELECT id FROM orders WHERE created_at >= '2024-01-01' AND created_at <= '2024-12-31' AND paid_at < CAST('2024-03-01' AS DATE) + 1",
            ),
            (
                "the day itself is lost",
                "SELECT id FROM orders WHERE created_at >= '2024-01-01' AND created_at < '2025-01-01' AND paid_at < CAST('2024-03-01' AS DATE)",
            ),
        ],
    ),
    case(
        Rule::FunctionToRange,
        "SELECT id FROM orders WHERE created_at::date BETWEEN $1 AND $2 OR paid_at::date = '2024-02-29' OR extract(year FROM paid_at) = $3",
        false,
        &[(
            "the last day is cut off at midnight",
            "SELECT id FROM orders WHERE created_at >= CAST($1 AS DATE) AND created_at <= CAST($2 AS DATE) OR paid_at::date = '2024-02-29' OR extract(year FROM paid_at) = $3::int",
        )],
    ),
    case(
        Rule::CoalesceToColumn,
        "SELECT id FROM customers WHERE coalesce(age, 0) < 3 AND coalesce(age, -1) <> 5",
        true,
        &[("the default is forgotten", "SELECT id FROM customers WHERE age < 3 AND age <> 5")],
    ),
    case(
        Rule::CoalesceToColumn,
        "SELECT id FROM customers WHERE coalesce(country, 'de') = 'de' AND coalesce(vip, true)",
        false,
        &[
            (
                "the default is forgotten",
                "SELECT id FROM customers WHERE country = 'de' AND vip IS NOT FALSE",
            ),
            (
                "an unknown truth value is false",
                "SELECT id FROM customers WHERE (country = 'de' OR country IS NULL) AND vip",
            ),
        ],
    ),
    case(
        Rule::PrefixToLike,
        "SELECT id FROM orders WHERE left(note, 2) = 'a%' OR substr(status, 1, 3) = 'abc'",
        false,
        &[(
            "the sign of LIKE is not escaped",
            "SELECT id FROM orders WHERE note LIKE 'a%%' OR status LIKE 'abc%'",
        )],
    ),
    case(
        Rule::PrefixToLike,
        "SELECT id FROM orders WHERE substring(note FROM 1 FOR 3) = 'ab'",
        false,
        &[("a shorter literal matches longer texts", "SELECT id FROM orders WHERE note LIKE 'ab%'")],
    ),
    case(
        Rule::ArithmeticToValue,
        "SELECT id FROM orders WHERE quantity + 2 > $1 AND weight * 3 < 10",
        false,
        &[
            (
                "the wrong sign",
                "SELECT id FROM orders WHERE quantity > CAST($1 AS INTEGER) + 2 AND weight <= 3",
            ),
            (
                "rounded to the wrong side",
                "SELECT id FROM orders WHERE quantity > CAST(CAST($1 AS INTEGER) AS BIGINT) - 2 AND weight < 3",
            ),
        ],
    ),
    case(
        Rule::ArithmeticToValue,
        "SELECT id FROM orders WHERE 5 - quantity >= 2 AND 7 > weight - 3",
        false,
        &[("not turned round", "SELECT id FROM orders WHERE quantity >= 3 AND weight < 10")],
    ),
    case(
        Rule::CastToValue,
        "SELECT id FROM orders WHERE quantity::text = '3' OR weight < 2.5 OR weight = 4::numeric OR quantity::text IN ('5', '05', '1')",
        false,
        &[
            (
                "rounded to the wrong side",
                "SELECT id FROM orders WHERE quantity = 3 OR weight < 2 OR weight = 4 OR quantity IN (5, 1)",
            ),
            (
                "a text that no number has",
                "SELECT id FROM orders WHERE quantity = 3 OR weight <= 2 OR weight = 4 OR quantity IN (5, 5, 0, 1)",
            ),
        ],
    ),
    case(
        Rule::CastToValue,
        "SELECT id FROM orders WHERE quantity::text = $1 AND token::text <> '' OR token::text = '00000000-0000-4000-8000-000000000001'",
        false,
        &[(
            "another digit",
            "SELECT id FROM orders WHERE quantity = CAST(CAST($1 AS TEXT) AS BIGINT) AND token::text <> '' OR token = CAST('00000000-0000-4000-8000-000000000002' AS UUID)",
        )],
    ),
    case(
        Rule::InListToAny,
        "SELECT id FROM orders WHERE quantity IN ($1, $2, $3) AND note NOT IN ($4, $5)",
        false,
        &[
            (
                "<> ANY instead of <> ALL",
                "SELECT id FROM orders WHERE quantity = ANY(CAST($1 AS INTEGER[])) AND note <> ANY(CAST($2 AS TEXT[]))",
            ),
            (
                "one array for both",
                "SELECT id FROM orders WHERE quantity = ANY(CAST($1 AS INTEGER[])) AND (CAST($2 AS TEXT[]) IS NULL OR true)",
            ),
        ],
    ),
    case(
        Rule::CountToExists,
        "SELECT c.id, (SELECT count(o.note) FROM orders o WHERE o.customer_id = c.id) > 0 AS noted FROM customers c WHERE (SELECT count(*) FROM blocked b WHERE b.customer_id = c.id) = 0",
        true,
        &[
            (
                "count(x) does not count NULLs",
                "SELECT c.id, EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) AS noted FROM customers c WHERE NOT EXISTS (SELECT 1 FROM blocked b WHERE b.customer_id = c.id)",
            ),
            (
                "the wrong way round",
                "SELECT c.id, EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.note IS NOT NULL) AS noted FROM customers c WHERE EXISTS (SELECT 1 FROM blocked b WHERE b.customer_id = c.id)",
            ),
        ],
    ),
    case(
        Rule::CountToExists,
        "SELECT count(*) > 0 FROM orders WHERE status = $1",
        true,
        &[(
            "the condition is lost",
            "SELECT EXISTS (SELECT 1 FROM orders) AND $1::text IS NOT DISTINCT FROM $1::text",
        )],
    ),
    case(
        Rule::UnneededOrderBy,
        "SELECT s.status, count(*) FROM (SELECT status, note FROM orders ORDER BY created_at) s WHERE EXISTS (SELECT 1 FROM blocked ORDER BY since) GROUP BY s.status",
        true,
        &[(
            "a condition went with the order",
            "SELECT s.status, count(*) FROM (SELECT status, note FROM orders) s GROUP BY s.status",
        )],
    ),
    case(
        Rule::UnneededOrderBy,
        "SELECT id, quantity FROM orders ORDER BY quantity, id, created_at LIMIT 3",
        true,
        &[("one column too many went", "SELECT id, quantity FROM orders ORDER BY quantity LIMIT 3")],
    ),
    case(
        Rule::UnneededDistinct,
        "SELECT DISTINCT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id",
        true,
        &[(
            "the key went, too",
            "SELECT o.quantity, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id",
        )],
    ),
    case(
        Rule::UnneededDistinct,
        "SELECT DISTINCT status, customer_id, count(*) FROM orders WHERE quantity IN (SELECT DISTINCT age FROM customers) GROUP BY customer_id, status",
        true,
        &[(
            "grouped by less",
            "SELECT min(status), customer_id, count(*) FROM orders WHERE quantity IN (SELECT age FROM customers) GROUP BY customer_id",
        )],
    ),
    case(
        Rule::UnionToUnionAll,
        "SELECT id, 'order' AS kind FROM orders UNION SELECT id, 'customer' AS kind FROM customers",
        true,
        &[(
            "one side is lost",
            "SELECT id, 'order' AS kind FROM orders UNION ALL SELECT id, 'customer' AS kind FROM customers WHERE age IS NOT NULL",
        )],
    ),
    case(
        Rule::UnionToUnionAll,
        "SELECT id, note FROM orders WHERE status = 'a' UNION SELECT id, note FROM orders WHERE status = 'b'",
        true,
        &[(
            "without the key",
            "SELECT quantity, note FROM orders WHERE status = 'a' UNION ALL SELECT quantity, note FROM orders WHERE status = 'b'",
        )],
    ),
    case(
        Rule::HavingToWhere,
        "SELECT status, count(*) FROM orders GROUP BY status HAVING status = $1 AND count(*) > 1",
        true,
        &[
            (
                "the condition on the aggregate is lost",
                "SELECT status, count(*) FROM orders WHERE status = $1 GROUP BY status",
            ),
            (
                "a condition that is not on the group",
                "SELECT status, count(*) FROM orders WHERE status = $1 AND quantity > 1 GROUP BY status HAVING count(*) > 1",
            ),
        ],
    ),
    case(
        Rule::JsonToContainment,
        "SELECT id FROM orders WHERE doc ->> 'state' = 'open' OR doc -> 'a' ->> 'b' = $1",
        false,
        &[
            (
                "an array with the text passes",
                "SELECT id FROM orders WHERE doc @> '{\"state\": \"open\"}' OR doc @> '{\"state\": [\"open\"]}' OR doc -> 'a' ->> 'b' = $1",
            ),
            ("the key is enough", "SELECT id FROM orders WHERE doc ? 'state' OR doc -> 'a' ->> 'b' = $1"),
        ],
    ),
    case(
        Rule::LeftJoinToInner,
        "SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id LEFT JOIN items i ON i.order_id = o.id WHERE c.age > 0",
        true,
        &[(
            "a join that keeps NULLs",
            "SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id JOIN items i ON i.order_id = o.id WHERE c.age > 0",
        )],
    ),
    case(
        Rule::UnneededJoin,
        "SELECT o.id, o.status FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.quantity > $1",
        true,
        &[("a row without a partner stays", "SELECT o.id, o.status FROM orders o WHERE o.quantity > $1")],
    ),
    case(
        Rule::UnneededJoin,
        "SELECT o.id FROM orders o LEFT JOIN items i ON i.order_id = o.id AND i.line = o.quantity ORDER BY o.id",
        true,
        &[(
            "a partner is asked for",
            "SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id AND i.line = o.quantity ORDER BY o.id",
        )],
    ),
    case(
        Rule::WildcardToColumns,
        "SELECT * FROM orders WHERE quantity >= $1 ORDER BY id",
        true,
        &[("another column", "SELECT orders.id, orders.note FROM orders WHERE quantity >= $1 ORDER BY id")],
    ),
    case(
        Rule::SingleToBatch,
        "SELECT id, status FROM orders WHERE customer_id = $1 AND quantity > $2 ORDER BY id",
        true,
        &[
            (
                "no key in the result",
                "SELECT id, status, id AS veritas_key FROM orders WHERE quantity > $1 AND customer_id = ANY(CAST($2 AS INTEGER[])) ORDER BY id",
            ),
            (
                "duplicates of the key bring duplicates",
                "SELECT id, status, orders.customer_id AS veritas_key FROM orders JOIN unnest(CAST($2 AS INTEGER[]) || CAST($2 AS INTEGER[])) k ON k = customer_id WHERE quantity > $1 ORDER BY id",
            ),
        ],
    ),
];
