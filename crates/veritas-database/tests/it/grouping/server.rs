//! Runs statements on a real server and asks it which query id each had.

use std::collections::BTreeMap;

use tokio_postgres::{Client, NoTls};
use veritas_database::fingerprint::fingerprint;
use veritas_testkit::{Database, Postgres};

use super::{comparison::Seen, statements::Written};

/// Room for every statement of the longest run: nothing may be forgotten.
const SETTINGS: &str = "
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 50000
compute_query_id = on
";

/// A server that counts statements, and two connections to it.
pub(crate) struct Counting {
    database: Database,
    runs: Client,
    looks: Client,
    runner: i32,
}

impl Counting {
    pub(crate) async fn start(schema: &str) -> Self {
        let database = Postgres::start_alone(SETTINGS).database_with(schema);
        database.psql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
        let runs = connect(&database).await;
        let looks = connect(&database).await;
        let runner =
            runs.query_one("SELECT pg_backend_pid()", &[]).await.expect("a session has a process").get(0);
        Self { database, runs, looks, runner }
    }

    /// Runs a statement, takes back what it did, and returns its query id.
    pub(crate) async fn query_id(&self, sql: &str) -> Result<i64, String> {
        let asked = "SELECT query_id FROM pg_stat_get_activity($1)";
        must(&self.runs, "BEGIN").await;
        let ran = self.runs.simple_query(sql).await;
        let id = self.looks.query_one(asked, &[&self.runner]).await.expect("the activity is shown");
        must(&self.runs, "ROLLBACK").await;
        ran.map_err(|error| format!("{error:?}: {sql}"))?;
        id.get::<_, Option<i64>>(0).ok_or_else(|| format!("no query id: {sql}"))
    }

    /// Runs what was written, as both parties see it.
    ///
    /// # Panics
    ///
    /// When the server refuses a statement.
    pub(crate) async fn see(&self, written: Vec<Written>) -> Vec<Seen> {
        let mut seen = Vec::with_capacity(written.len());
        for statement in written {
            let theirs = self.query_id(&statement.sql).await.expect("the server takes it");
            seen.push(Seen {
                ours: fingerprint(&statement.sql).as_u64(),
                theirs,
                template: statement.template,
                lengths: statement.lengths,
                sql: statement.sql,
            });
        }
        seen
    }

    /// Forgets every statement seen so far.
    pub(crate) fn forget(&self) {
        self.database.psql("SELECT pg_stat_statements_reset()");
    }

    /// Returns the texts that `pg_stat_statements` shows, by query id and our fingerprint.
    pub(crate) fn texts(&self) -> BTreeMap<i64, BTreeMap<u64, String>> {
        let rows = self.database.psql(
            "SELECT s.queryid, replace(s.query, E'\\n', ' ' || chr(1)) FROM pg_stat_statements s \
             JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()",
        );
        let mut texts: BTreeMap<i64, BTreeMap<u64, String>> = BTreeMap::new();
        for row in rows.lines() {
            let Some((id, text)) = row.split_once('|') else { continue };
            let Ok(id) = id.parse() else { continue };
            let text = text.replace(" \u{1}", "\n");
            texts.entry(id).or_default().insert(fingerprint(&text).as_u64(), text);
        }
        texts
    }
}

async fn connect(database: &Database) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&database.url(), NoTls).await.expect("the server accepts");
    tokio::spawn(connection);
    client
}

async fn must(client: &Client, sql: &str) {
    client.batch_execute(sql).await.expect("transactions work");
}
