//! A real SQLite file to try things on: a shop with 200 000 orders and no index on them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rusqlite::Connection;
use veritas_database::{
    Recorder, RecorderOptions, Value,
    sqlite::{Advice, IndexActuator, IndexAdvisor, Observed, SqliteOptions, SqliteTarget},
};
use veritas_model::{Clock, Proposal};
use veritas_testkit::{TempDir, VirtualClock, data_dir};

/// Orders in the large shop.
pub(crate) const ORDERS: u64 = 200_000;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE users(id INTEGER PRIMARY KEY, email TEXT NOT NULL, team INT);
    CREATE TABLE orders(
        id INTEGER PRIMARY KEY, user_id INT NOT NULL, state TEXT NOT NULL, total REAL NOT NULL, made INT NOT NULL,
        year INT AS (made / 1000)
    );
    CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE prices(sku TEXT, region INT, price INT, PRIMARY KEY (sku, region)) WITHOUT ROWID;
    CREATE VIEW open_orders AS SELECT * FROM orders WHERE state = 'open';
    INSERT INTO tags(name) VALUES ('a'), ('b'), ('c');";

fn fill(connection: &Connection, orders: u64) {
    connection.execute_batch(SCHEMA).expect("the schema is right");
    connection
        .execute_batch(&format!(
            "BEGIN;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {orders})
             INSERT INTO orders(user_id, state, total, made)
             SELECT (i * 7919) % 2000, CASE i % 10 WHEN 0 THEN 'open' ELSE 'done' END, i * 0.1, (i * 104729) % 100000
             FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)
             INSERT INTO users(email, team) SELECT 'u' || i || '@example.org', i % 20 FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000)
             INSERT INTO prices SELECT 'sku' || i, i % 7, i % 500 FROM n;
             COMMIT; PRAGMA wal_checkpoint(TRUNCATE)"
        ))
        .expect("the rows are right");
}

/// The large file, built once.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = TEMPLATE.get_or_init(|| {
        let directory = data_dir();
        let path = directory.path().join("template.sqlite");
        fill(&Connection::open(&path).expect("a new file opens"), ORDERS);
        (directory, path)
    });
    path
}

/// The shop, its recorder, and ours to work on it.
pub(crate) struct Shop {
    pub(crate) directory: TempDir,
    pub(crate) connection: Connection,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) target: Arc<SqliteTarget>,
    clock: Arc<dyn Clock>,
}

impl Shop {
    /// The large shop.
    pub(crate) fn large(clock: Arc<dyn Clock>) -> Self {
        let directory = data_dir();
        let path = directory.path().join("shop.sqlite");
        std::fs::copy(template(), &path).expect("the template is there");
        Self::on(directory, clock, SqliteOptions::default(), true)
    }

    /// A shop of 3000 orders.
    pub(crate) fn small() -> Self {
        Self::small_with(SqliteOptions::default(), true)
    }

    /// A shop of 3000 orders and other options.
    pub(crate) fn small_with(options: SqliteOptions, keep_parameters: bool) -> Self {
        let directory = data_dir();
        fill(&Connection::open(directory.path().join("shop.sqlite")).expect("a new file opens"), 3_000);
        Self::on(directory, Arc::new(VirtualClock::new()), options, keep_parameters)
    }

    /// A shop of 3000 orders in which this clock tells the time.
    pub(crate) fn small_at(clock: Arc<dyn Clock>) -> Self {
        let directory = data_dir();
        fill(&Connection::open(directory.path().join("shop.sqlite")).expect("a new file opens"), 3_000);
        Self::on(directory, clock, SqliteOptions::default(), true)
    }

    fn on(directory: TempDir, clock: Arc<dyn Clock>, options: SqliteOptions, keep_parameters: bool) -> Self {
        let path = directory.path().join("shop.sqlite");
        let connection = Connection::open(&path).expect("the shop opens");
        let recording = RecorderOptions { keep_parameters, ..RecorderOptions::default() };
        let recorder = Arc::new(Recorder::new(recording, Arc::clone(&clock)));
        let target =
            SqliteTarget::open_with("main", path, options, Arc::clone(&clock)).expect("it is a database");
        Self { directory, connection, recorder, target: Arc::new(target), clock }
    }

    /// Runs a statement as the application, once for each vector.
    #[track_caller]
    pub(crate) fn run(&self, sql: &str, vectors: &[Vec<Value>]) {
        let observed = Observed::new(&self.connection, &self.recorder);
        for vector in vectors {
            observed.query(sql, vector, |_| Ok(())).expect("the application's statement runs");
        }
    }

    /// Runs a statement that has one number as its parameter.
    #[track_caller]
    pub(crate) fn run_numbers(&self, sql: &str, numbers: impl IntoIterator<Item = i64>) {
        let vectors: Vec<Vec<Value>> = numbers.into_iter().map(|number| vec![number.into()]).collect();
        self.run(sql, &vectors);
    }

    /// Asks for advice.
    pub(crate) fn advise(&self) -> Advice {
        IndexAdvisor::new(Arc::clone(&self.target)).advise(&self.recorder.snapshot(), self.clock.now())
    }

    /// Asks for advice and takes the only proposal.
    #[track_caller]
    pub(crate) fn only_proposal(&self) -> Proposal {
        let advice = self.advise();
        assert_eq!(advice.proposals.len(), 1, "{advice:#?}");
        advice.proposals[0].clone()
    }

    /// Returns an actuator whose data directory is beside the file.
    pub(crate) fn actuator(&self) -> IndexActuator {
        IndexActuator::new([Arc::clone(&self.target)], Arc::clone(&self.recorder), self.directory.path())
            .expect("the directory can be written")
    }

    /// Returns the plan that SQLite has for a statement.
    pub(crate) fn plan(&self, sql: &str) -> String {
        // EXPLAIN does not notice that another connection changed the schema; a real read does.
        self.connection.query_row("SELECT count(*) FROM tags", [], |_| Ok(())).expect("the table is there");
        let mut statement =
            self.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("it is right");
        let mut rows = statement.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().expect("a plan reads nothing") {
            lines.push(row.get::<_, String>(3).expect("the fourth column is the line"));
        }
        lines.join("\n")
    }

    /// Returns the names of our indexes in the file.
    pub(crate) fn our_indexes(&self) -> Vec<String> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE 'veritas%'";
        let mut statement = self.connection.prepare(sql).expect("the schema reads");
        let names = statement.query_map([], |row| row.get(0)).expect("the schema reads");
        names.collect::<Result<_, _>>().expect("names are text")
    }

    /// Returns what would show that something was written: the content of the
    /// main file and of the log, and what SQLite says of both.
    pub(crate) fn trace(&self) -> (Vec<u8>, Vec<u8>, i64) {
        let read = |name: &str| std::fs::read(self.directory.path().join(name)).unwrap_or_default();
        let version = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0));
        (read("shop.sqlite"), read("shop.sqlite-wal"), version.expect("the version reads"))
    }

    /// Returns how many copies lie in the data directory.
    pub(crate) fn copies(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("proofs")).map_or(0, Iterator::count)
    }
}
