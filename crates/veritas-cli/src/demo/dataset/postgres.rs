//! The demo's data in a schema of its own of a `PostgreSQL` database.

use std::{fmt::Write as _, pin::Pin};

use anyhow::{Context as _, bail};
use futures_util::SinkExt as _;
use tokio_postgres::{Client, CopyInSink, NoTls};
use veritas::database::Value;

use super::{Table, draw};

/// The schema that the demo makes, uses and drops.
pub(in super::super) const SCHEMA: &str = "veritas_demo";
/// What marks it as ours: another of this name is not touched.
const MARK: &str = "made by veritas demo";
/// Bytes that are collected before they are sent.
const CHUNK: usize = 256 * 1024;

/// The tables. Planted: `content.author_id` has no index.
///
/// The pages of `verifications` have room for new versions of their rows, as one gives it to a
/// table that is updated a lot: no update has to touch an index, until one carries the verdict.
const TABLES: &str = "
    CREATE TABLE veritas_demo.authors (
        id bigint PRIMARY KEY,
        name text NOT NULL,
        affiliation text NOT NULL
    );
    CREATE TABLE veritas_demo.content (
        id bigint PRIMARY KEY,
        author_id bigint NOT NULL,
        kind text NOT NULL,
        title text NOT NULL,
        body text NOT NULL,
        status text NOT NULL,
        score double precision NOT NULL,
        created_at bigint NOT NULL
    );
    CREATE TABLE veritas_demo.verifications (
        id bigint PRIMARY KEY,
        content_id bigint NOT NULL,
        verifier text NOT NULL,
        verdict text NOT NULL,
        confidence double precision NOT NULL,
        checked_at bigint NOT NULL
    ) WITH (fillfactor = 80);
";

const INDEXES: &str = "
    CREATE INDEX content_by_kind ON veritas_demo.content (kind);
    CREATE INDEX verifications_by_content ON veritas_demo.verifications (content_id);
";

/// Run by another session than the one that filled the tables: a session tells what it inserted
/// when it ends, and what is told after the statistics were gathered counts as changed since.
/// It vacuums as well, as autovacuum would have done by the day of a visit.
const ANALYZE: &str =
    "VACUUM (ANALYZE) veritas_demo.authors, veritas_demo.content, veritas_demo.verifications";

/// Returns the address with the demo's schema as the one where tables are looked for.
pub(in super::super) fn in_schema(url: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}options=-csearch_path%3D{SCHEMA}")
}

/// Opens a connection as the demo's service uses it.
pub(in super::super) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("failed to connect to PostgreSQL")?;
    tokio::spawn(async move {
        // Its end is seen by whoever uses the client.
        connection.await.ok();
    });
    Ok(client)
}

/// Drops what an earlier demo left, if anything.
///
/// # Errors
///
/// When there is a schema of that name that is none of ours.
pub(in super::super) async fn clear(client: &Client) -> anyhow::Result<()> {
    let found = client
        .query_opt(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1",
            &[&SCHEMA],
        )
        .await?;
    let Some(row) = found else { return Ok(()) };
    if row.get::<_, Option<String>>(0).as_deref() != Some(MARK) {
        bail!("the database has a schema {SCHEMA} that no demo made");
    }
    client.batch_execute("DROP SCHEMA veritas_demo CASCADE").await?;
    Ok(())
}

/// Makes and fills the schema; `progress` hears the share done, 0 to 1. Blocks: not for an executor's thread.
pub(in super::super) fn build(
    runtime: &tokio::runtime::Handle,
    client: &Client,
    seed: u64,
    mut progress: impl FnMut(f64),
) -> anyhow::Result<()> {
    runtime.block_on(async {
        clear(client).await?;
        // Where commits are not waited for, a page that was filled just now can't be marked as
        // visible to all by the VACUUM that follows, and no index is read alone.
        client.batch_execute("SET synchronous_commit = on").await?;
        let made = format!("CREATE SCHEMA {SCHEMA}; COMMENT ON SCHEMA {SCHEMA} IS '{MARK}'; {TABLES}");
        client.batch_execute(&made).await.context("failed to create the demo's tables")
    })?;
    let mut copying = Copying { runtime, client, to: None };
    draw(seed, &mut progress, |table, row| copying.add(table, row))?;
    copying.end()?;
    runtime.block_on(client.batch_execute(INDEXES))?;
    progress(1.0);
    Ok(())
}

/// Gathers the statistics of the filled tables, and marks their pages as visible to all.
pub(in super::super) async fn analyze(url: &str) -> anyhow::Result<()> {
    Ok(connect(url).await?.batch_execute(ANALYZE).await?)
}

/// One COPY after the other.
struct Copying<'a> {
    runtime: &'a tokio::runtime::Handle,
    client: &'a Client,
    to: Option<Open>,
}

/// The table that is being filled.
struct Open {
    table: Table,
    sink: Pin<Box<CopyInSink<bytes::Bytes>>>,
    /// What was not sent yet.
    text: String,
}

impl Copying<'_> {
    fn add(&mut self, table: Table, row: &[Value]) -> anyhow::Result<()> {
        if self.to.as_ref().is_none_or(|open| open.table != table) {
            self.end()?;
            let sql = format!("COPY {SCHEMA}.{} FROM STDIN", table.as_str());
            let sink = self.runtime.block_on(self.client.copy_in(&sql))?;
            self.to = Some(Open { table, sink: Box::pin(sink), text: String::with_capacity(CHUNK) });
        }
        let Some(Open { sink, text, .. }) = &mut self.to else { return Ok(()) };
        for (position, value) in row.iter().enumerate() {
            if position > 0 {
                text.push('\t');
            }
            // The texts that are drawn have no character that COPY would read otherwise.
            match value {
                Value::Integer(value) => write!(text, "{value}")?,
                Value::Real(value) => write!(text, "{value}")?,
                Value::Text(value) => text.push_str(value),
                Value::Null | Value::Blob(_) => text.push_str("\\N"),
            }
        }
        text.push('\n');
        if text.len() >= CHUNK {
            let full = std::mem::replace(text, String::with_capacity(CHUNK));
            self.runtime.block_on(sink.send(bytes::Bytes::from(full)))?;
        }
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Some(Open { mut sink, text, .. }) = self.to.take() else { return Ok(()) };
        self.runtime.block_on(async {
            sink.send(bytes::Bytes::from(text)).await?;
            sink.as_mut().finish().await
        })?;
        Ok(())
    }
}
