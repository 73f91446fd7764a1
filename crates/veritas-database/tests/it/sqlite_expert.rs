//! A workload of 24 statements, and SQLite's own advice for it: what `.expert` of its
//! command line says of each statement, all of it together.
//!
//! Included by the proof `prove_sqlite_expert` too, which runs the long form.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use rusqlite::{Connection, StatementStatus};
use veritas_database::sqlite::{
    SqliteOptions, SqliteTarget, WorkloadAdvice, WorkloadAdvisor, WorkloadOptions, WorkloadStatement,
};
use veritas_model::{Bytes, SystemClock};

/// The statements, with how often each is called. They hold their values, since `.expert`
/// plans without parameters otherwise, and ours would know more.
pub(crate) const STATEMENTS: [(&str, u64); 24] = [
    ("SELECT * FROM orders WHERE customer_id = 77", 900),
    ("SELECT id, total FROM orders WHERE customer_id = 77 ORDER BY made DESC LIMIT 10", 700),
    ("SELECT count(*) FROM orders WHERE state = 'open'", 50),
    ("SELECT id FROM orders WHERE state = 'open' AND made > 99000", 200),
    ("SELECT sum(total) FROM orders WHERE made BETWEEN 50000 AND 50500", 120),
    ("SELECT customer_id, count(*) FROM orders GROUP BY customer_id ORDER BY 2 DESC LIMIT 5", 5),
    ("SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.city = 'c17'", 60),
    ("SELECT name FROM customers WHERE email = 'u77@example.org'", 800),
    ("SELECT id FROM customers WHERE city = 'c17' ORDER BY name", 90),
    ("SELECT id, name FROM customers WHERE city = 'c17' AND joined > 900", 40),
    ("SELECT max(joined) FROM customers WHERE city = 'c3'", 30),
    ("SELECT * FROM items WHERE order_id = 4242", 1000),
    ("SELECT sum(quantity) FROM items WHERE product_id = 99", 300),
    ("SELECT i.product_id FROM items i JOIN orders o ON o.id = i.order_id WHERE o.customer_id = 77", 250),
    ("SELECT product_id, sum(quantity) FROM items GROUP BY product_id", 3),
    ("SELECT count(DISTINCT order_id) FROM items WHERE product_id = 7 AND quantity > 3", 80),
    ("SELECT p.name FROM products p WHERE p.category = 4 AND p.price < 100", 150),
    ("SELECT id FROM products WHERE category = 4 ORDER BY price LIMIT 20", 200),
    ("SELECT name FROM products WHERE sku = 'sku321'", 600),
    ("SELECT count(*) FROM events WHERE kind = 3 AND at > 9000", 100),
    ("SELECT at FROM events WHERE who = 123 ORDER BY at DESC LIMIT 1", 500),
    ("SELECT who, count(*) FROM events WHERE kind = 7 GROUP BY who", 20),
    ("SELECT * FROM events WHERE at BETWEEN 5000 AND 5010", 60),
    ("SELECT e.at FROM events e JOIN customers c ON c.id = e.who WHERE c.email = 'u9@example.org'", 90),
];

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT, joined INT, note TEXT);
    CREATE TABLE products(id INTEGER PRIMARY KEY, sku TEXT, name TEXT, category INT, price INT, text TEXT);
    CREATE TABLE orders(id INTEGER PRIMARY KEY, customer_id INT, state TEXT, made INT, total REAL, note TEXT);
    CREATE TABLE items(id INTEGER PRIMARY KEY, order_id INT, product_id INT, quantity INT, note TEXT);
    CREATE TABLE events(id INTEGER PRIMARY KEY, who INT, kind INT, at INT, data TEXT);";

/// Makes the file, with `orders` orders and what belongs to them.
pub(crate) fn fill(path: &Path, orders: u32) {
    let connection = Connection::open(path).expect("a new file opens");
    let customers = orders / 10;
    connection.execute_batch(SCHEMA).expect("the schema is right");
    connection
        .execute_batch(&format!(
            "BEGIN;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {customers})
             INSERT INTO customers SELECT i, 'n' || (i * 7919 % 5000), 'u' || i || '@example.org', 'c' || (i * i % 97),
             i * 31 % 1000, printf('%.*c', 60, 'x') FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000)
             INSERT INTO products SELECT i, 'sku' || i, 'p' || i, i % 12, i * 37 % 900, printf('%.*c', 80, 'x') FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {orders})
             INSERT INTO orders SELECT i, 1 + i * 7919 % {customers}, CASE i % 20 WHEN 0 THEN 'open' ELSE 'done' END,
             i * 104729 % 100000, i * 0.1, printf('%.*c', 40, 'x') FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {orders} * 2)
             INSERT INTO items SELECT i, 1 + i * 31 % {orders}, 1 + i * i % 1000, i % 9, printf('%.*c', 30, 'x') FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {orders})
             INSERT INTO events SELECT i, 1 + i * 13 % {customers}, i % 11, i * 7 % 10000, printf('%.*c', 50, 'x') FROM n;
             COMMIT; PRAGMA wal_checkpoint(TRUNCATE)"
        ))
        .expect("the rows are right");
}

/// Asks `.expert` for each statement, and returns the indexes that it names, each once.
pub(crate) fn expert(path: &Path) -> Vec<String> {
    let mut child = Command::new("sqlite3")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3 is not installed; run cargo xtask setup");
    let mut input = child.stdin.take().expect("it is piped");
    for (sql, _) in STATEMENTS {
        writeln!(input, ".expert\n{sql};").expect("it listens");
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut indexes: Vec<String> =
        said.lines().filter(|line| line.starts_with("CREATE INDEX")).map(str::to_owned).collect();
    indexes.sort();
    indexes.dedup();
    assert!(indexes.len() > 5, "{said}");
    indexes
}

/// What the workload costs, in steps weighted by calls, with `indexes` on a copy, and what they take.
pub(crate) fn cost(path: &Path, indexes: &[String]) -> (u64, u64) {
    let copy = path.with_extension("tried");
    std::fs::copy(path, &copy).expect("there is room");
    let result = on_copy(&copy, indexes);
    std::fs::remove_file(copy).expect("the copy is ours");
    result
}

fn on_copy(copy: &Path, indexes: &[String]) -> (u64, u64) {
    let connection = Connection::open(copy).expect("the copy opens");
    // One file, and no log beside it that would be taken for that of the next copy.
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).expect("nobody else has it");
    let pages =
        || -> i64 { connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("it counts") };
    let before = pages();
    for index in indexes {
        connection.execute_batch(index).expect("the index is right");
    }
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).expect("it has pages");
    let bytes = u64::try_from((pages() - before) * page).expect("indexes only add pages");
    let mut steps = 0;
    for (sql, calls) in STATEMENTS {
        let mut statement = connection.prepare(sql).expect("the statement is right");
        let mut rows = statement.raw_query();
        while rows.next().expect("it runs").is_some() {}
        drop(rows);
        steps +=
            calls * u64::try_from(statement.get_status(StatementStatus::VmStep)).expect("steps are counted");
    }
    (steps, bytes)
}

/// Asks ours, within as many bytes.
pub(crate) fn ours(path: &Path, budget: u64) -> WorkloadAdvice {
    let clock = Arc::new(SystemClock::new());
    let target =
        SqliteTarget::open_with("shop", path, SqliteOptions::default(), clock).expect("it is a database");
    let folder = path.parent().expect("it is in a folder");
    let advisor = WorkloadAdvisor::new(Arc::new(target), folder).expect("the folder can be written");
    let statements = STATEMENTS.map(|(sql, calls)| WorkloadStatement {
        name: sql.chars().take(40).collect(),
        sql: sql.to_owned(),
        vectors: vec![Vec::new()],
        calls,
    });
    let options = WorkloadOptions {
        budget: Bytes::new(budget),
        longest: std::time::Duration::from_mins(10),
        ..WorkloadOptions::default()
    };
    advisor.advise(&statements, &options).expect("the file can be copied")
}

/// Returns the statements that make the advised indexes.
pub(crate) fn creates(advice: &WorkloadAdvice) -> Vec<String> {
    advice.chosen.iter().map(|index| index.create.clone()).collect()
}
