//! What each kind saves on tables of 200,000 orders: pages read, and time.

use std::{collections::BTreeMap, fmt::Write as _};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use veritas_rewrite::{
    Dialect, Form, ParameterMap, ParameterSource, Rewrite, Rule, fuzz::Value, rewrites_for,
};

use crate::cases::{Case, schema};

/// The demo's content: made up by the server, the same each time.
const CONTENT: &str = "
INSERT INTO customers SELECT g, 'name ' || g, CASE WHEN g % 50 = 0 THEN NULL ELSE 'c' || g % 40 END, g % 90, g % 2 = 0
    FROM generate_series(1, 20000) g;
INSERT INTO orders SELECT g, CASE WHEN g % 97 = 0 THEN NULL ELSE 1 + (g::bigint * 7919 % 20000)::int END,
    CASE WHEN g % 1000 = 0 THEN 'held' ELSE 'sent' END, g % 5000, g::bigint * 3,
    timestamp '2020-01-01' + g * interval '10 minutes', timestamptz '2020-01-01' + g * interval '10 minutes',
    jsonb_build_object('state', CASE WHEN g % 2000 = 0 THEN 'open' ELSE 'done' END, 'n', g), 'note ' || g,
    ('00000000-0000-4000-8000-' || lpad(to_hex(g), 12, '0'))::uuid
    FROM generate_series(1, 200000) g;
INSERT INTO items SELECT 1 + g / 2, 1 + g % 2, 'p' || g % 500, g % 100 FROM generate_series(0, 399999) g;
INSERT INTO blocked SELECT g * 2, date '2020-01-01' FROM generate_series(1, 8000) g;
CREATE INDEX ON orders (created_at, id);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (quantity);
CREATE INDEX ON orders (weight);
CREATE INDEX ON orders (status);
CREATE INDEX ON orders (paid_at);
CREATE INDEX ON orders (note text_pattern_ops);
CREATE INDEX ON orders USING gin (doc jsonb_path_ops);
CREATE INDEX ON customers (country);
CREATE INDEX ON customers (age);
VACUUM ANALYZE customers, orders, items, blocked;";

struct Demo {
    rule: Rule,
    sql: &'static str,
    parameters: &'static [&'static str],
    /// Settings and changes that make the scene, within a transaction that is rolled back.
    scene: &'static str,
}

const fn demo(rule: Rule, sql: &'static str, parameters: &'static [&'static str]) -> Demo {
    Demo { rule, sql, parameters, scene: "" }
}

const DEMOS: &[Demo] = &[
    demo(
        Rule::OffsetToKeyset,
        "SELECT id, created_at, note FROM orders ORDER BY created_at, id LIMIT 20 OFFSET $1",
        &["150000"],
    ),
    demo(
        Rule::OrToUnionAll,
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.note = $1 OR c.name = $2",
        &["note 77", "name 77"],
    ),
    Demo {
        rule: Rule::NotInToNotExists,
        sql: "SELECT id FROM customers WHERE id < 4000 AND id NOT IN (SELECT customer_id FROM blocked)",
        parameters: &[],
        // A set beyond what may be hashed is gone through for each row.
        scene: "SET LOCAL work_mem = '64kB'",
    },
    Demo {
        rule: Rule::CorrelatedToJoin,
        sql: "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c WHERE c.id <= 100",
        parameters: &[],
        scene: "DROP INDEX orders_customer_id_idx",
    },
    demo(
        Rule::DistinctToExists,
        "SELECT DISTINCT c.id, c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.age = 7",
        &[],
    ),
    demo(Rule::FunctionToRange, "SELECT id, note FROM orders WHERE date(created_at) = $1", &["2021-05-05"]),
    demo(Rule::CoalesceToColumn, "SELECT id, note FROM orders WHERE coalesce(quantity, 0) = 17", &[]),
    demo(Rule::PrefixToLike, "SELECT id, note FROM orders WHERE left(note, 10) = 'note 12345'", &[]),
    demo(Rule::ArithmeticToValue, "SELECT id, note FROM orders WHERE quantity + 1 = $1", &["18"]),
    demo(Rule::CastToValue, "SELECT id, note FROM orders WHERE id::text = $1", &["4711"]),
    demo(Rule::InListToAny, "SELECT id, note FROM orders WHERE id IN ($1, $2, $3)", &["1", "2", "3"]),
    demo(
        Rule::CountToExists,
        "SELECT c.id FROM customers c WHERE c.id < 50 AND (SELECT count(*) FROM orders o WHERE o.quantity > c.age) > 0",
        &[],
    ),
    demo(Rule::UnneededOrderBy, "SELECT count(*) FROM (SELECT status FROM orders ORDER BY note) s", &[]),
    demo(
        Rule::UnneededDistinct,
        "SELECT DISTINCT o.id, o.note, c.name FROM orders o JOIN customers c ON c.id = o.customer_id",
        &[],
    ),
    demo(
        Rule::UnionToUnionAll,
        "SELECT id, note, 'a' AS kind FROM orders UNION SELECT id, name, 'b' AS kind FROM customers",
        &[],
    ),
    demo(
        Rule::HavingToWhere,
        "SELECT customer_id, count(*) FROM orders GROUP BY customer_id HAVING customer_id = $1",
        &["77"],
    ),
    demo(Rule::JsonToContainment, "SELECT id, note FROM orders WHERE doc ->> 'state' = 'open'", &[]),
    demo(
        Rule::LeftJoinToInner,
        "SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE c.name = $1",
        &["name 77"],
    ),
    demo(
        Rule::UnneededJoin,
        "SELECT o.id, o.note FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.quantity < 100",
        &[],
    ),
    demo(Rule::WildcardToColumns, "SELECT * FROM orders WHERE status = $1 ORDER BY id", &["sent"]),
    demo(Rule::SingleToBatch, "SELECT id, note FROM orders WHERE customer_id = $1", &["77"]),
];

/// Keys of the calls that become one batch.
const BATCH: i64 = 200;

/// What an execution cost.
#[derive(Default, Clone, Copy)]
struct Cost {
    buffers: u64,
    milliseconds: f64,
}

/// Measures every kind and returns how many cost at most a tenth, in pages or in time.
pub(crate) fn all() -> usize {
    let server = veritas_testkit::Postgres::start().database();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&server.url(), NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        let definitions = veritas_rewrite::fuzz::definitions(&schema(), Dialect::PostgreSql).join(";");
        client.batch_execute(&definitions).await.expect("the tables are created");
        for statement in CONTENT.split(";\n") {
            client.batch_execute(statement).await.expect("the tables are filled");
        }
        println!(
            "{:24} {:>10} {:>10} {:>8} {:>11} {:>11} {:>8}",
            "rule", "pages", "pages new", "factor", "ms", "ms new", "factor"
        );
        let mut tenfold = BTreeMap::new();
        for demo in DEMOS {
            let (before, after) = measured(&client, demo).await;
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let pages = before.buffers as f64 / after.buffers.max(1) as f64;
            let time = before.milliseconds / after.milliseconds.max(0.001);
            println!(
                "{:24} {:>10} {:>10} {pages:>8.1} {:>11.2} {:>11.2} {time:>8.1}",
                demo.rule.as_str(),
                before.buffers,
                after.buffers,
                before.milliseconds,
                after.milliseconds
            );
            tenfold.insert(demo.rule, pages.max(time) >= 10.0);
        }
        tenfold.values().filter(|reached| **reached).count()
    })
}

async fn measured(client: &Client, demo: &Demo) -> (Cost, Cost) {
    let case = Case { rule: demo.rule, sql: demo.sql, sqlite: false, mutants: &[] };
    let offered = rewrites_for(demo.sql, Dialect::PostgreSql, &schema(), &case.usage()).expect("it parses");
    let rewrite = offered.into_iter().find(|rewrite| rewrite.rule == demo.rule).expect("the rule applies");
    client.batch_execute("BEGIN").await.expect("a transaction begins");
    client.batch_execute(demo.scene).await.expect("the scene is set");
    let parameters: Vec<Value> =
        demo.parameters.iter().map(|parameter| Value::Text((*parameter).to_owned())).collect();
    let costs = match &rewrite.form {
        Form::Batch { .. } => {
            let mut before = Cost::default();
            for key in 1..=BATCH {
                let cost = explained(client, &written(demo.sql, &[Value::Integer(key)])).await;
                before.buffers += cost.buffers;
                before.milliseconds += cost.milliseconds;
            }
            let keys = Value::List((1..=BATCH).map(Value::Integer).collect());
            (before, explained(client, &written(&rewrite.sql, &[keys])).await)
        }
        Form::Pages { .. } => {
            let last = last_row(client, demo, &rewrite).await;
            (
                explained(client, &written(demo.sql, &parameters)).await,
                explained(client, &written(&rewrite.sql, &last)).await,
            )
        }
        _ => {
            let mapped = veritas_rewrite::fuzz::mapped(&rewrite.parameters, &parameters, &[], None);
            (
                explained(client, &written(demo.sql, &parameters)).await,
                explained(client, &written(&rewrite.sql, &mapped.expect("every source is there"))).await,
            )
        }
    };
    client.batch_execute("ROLLBACK").await.expect("the scene is undone");
    costs
}

/// Returns the new statement's parameters after the row before the page that the old one asks for.
async fn last_row(client: &Client, demo: &Demo, rewrite: &Rewrite) -> Vec<Value> {
    let offset: i64 = demo.parameters[0].parse().expect("the offset is a number");
    let before = written(demo.sql, &[Value::Integer(offset - 1)]);
    let rows = client.simple_query(&before).await.expect("the page before");
    let row = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.expect("there are so many rows");
    let ParameterMap(sources) = &rewrite.parameters;
    let value = |source: &ParameterSource| match source {
        ParameterSource::LastRow(column) => Value::Text(row.get(*column).expect("a key").to_owned()),
        other => panic!("{other:?} in a statement without other parameters"),
    };
    sources.iter().map(value).collect()
}

/// Writes values in the places of parameters: `EXPLAIN` takes none.
fn written(sql: &str, parameters: &[Value]) -> String {
    let mut text = sql.to_owned();
    for (index, value) in parameters.iter().enumerate().rev() {
        let mut literal = String::new();
        write!(literal, "'{}'", value.to_string().replace('\'', "''")).expect("a string takes it");
        text = text.replace(&format!("${}", index + 1), &literal);
    }
    text
}

/// Runs a statement twice, and returns what the second run cost.
async fn explained(client: &Client, sql: &str) -> Cost {
    let mut cost = Cost::default();
    for _ in 0..2 {
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {sql}");
        let lines = client.simple_query(&explain).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let lines: Vec<String> = lines
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect();
        let after = |line: &str, word: &str| -> f64 {
            let rest = line.split(word).nth(1).unwrap_or_default();
            let digits: String =
                rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
            digits.parse().unwrap_or_default()
        };
        // The first line of buffers is the whole plan's; temporary files count as pages, too.
        let buffers = lines.iter().find(|line| line.contains("Buffers:")).cloned().unwrap_or_default();
        let (shared, temporary) = buffers.split_once("temp").unwrap_or((&buffers, ""));
        let pages = ["hit=", "read="].iter().map(|word| after(shared, word)).sum::<f64>()
            + ["read=", "written="].iter().map(|word| after(temporary, word)).sum::<f64>();
        let time = ["Planning Time: ", "Execution Time: "]
            .iter()
            .map(|word| lines.iter().map(|line| after(line, word)).sum::<f64>())
            .sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of pages")]
        let buffers = pages as u64;
        cost = Cost { buffers, milliseconds: time };
    }
    cost
}
