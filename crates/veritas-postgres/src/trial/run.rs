//! One execution on a copy: its pages, its time, and what it returned.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use veritas_model::{Clock, stable_hash};

use crate::{
    guard::Explainable,
    plan::Plan,
    session::{Session, SessionError},
};

/// Counts pages and the time of the whole, not of each node: reading the clock for each
/// row would cost more than the rows.
const EXPLAIN: &str = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ";
/// How much longer than the server's limit we wait.
const GRACE: Duration = Duration::from_secs(2);

/// The copy, and what tells the time.
pub(super) struct Bench<'a> {
    pub(super) session: &'a mut Session,
    pub(super) clock: Arc<dyn Clock>,
}

/// What an execution does without, and what it drops and gets back.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) without: Option<&'a str>,
    pub(super) restored: Option<&'a str>,
}

/// What one execution cost and brought.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) pages: f64,
    pub(super) pages_read: f64,
    pub(super) seconds: f64,
    /// What was returned, when that was asked for.
    pub(super) result: Option<Returned>,
}

/// Rows as a multiset, and in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Returned {
    pub(super) rows: u64,
    pub(super) any_order: u64,
    pub(super) in_order: u64,
}

impl Bench<'_> {
    /// Executes a statement in a transaction that is rolled back.
    pub(super) fn execute(
        &mut self,
        statement: &Explainable,
        values: &[Option<String>],
        scene: Scene<'_>,
        compare: bool,
        limit: Duration,
    ) -> Result<Run, SessionError> {
        let limit = limit.max(Duration::from_millis(10));
        self.session.within(limit.saturating_add(GRACE)).batch(&begin(statement, scene, limit))?;
        let run = self.measure(statement, values, compare);
        if !self.session.is_lost() {
            let ended = self.session.within(GRACE).batch("ROLLBACK");
            self.session.within(limit.saturating_add(GRACE));
            return run.and_then(|run| ended.map(|()| run));
        }
        run
    }

    fn measure(
        &mut self,
        statement: &Explainable,
        values: &[Option<String>],
        compare: bool,
    ) -> Result<Run, SessionError> {
        let answer = |reason: &str| SessionError::Answer { reason: reason.to_owned() };
        let sent = statement.sent_values(values).ok_or_else(|| answer("other parameters than values"))?;
        let sent: Vec<AsText<'_>> = sent.iter().map(|value| AsText(value.as_deref())).collect();
        let sent: Vec<&(dyn ToSql + Sync)> = sent.iter().map(|value| value as _).collect();
        let started = self.clock.monotonic();
        let rows = self.session.query(&format!("{EXPLAIN}{}", statement.sql()), &sent)?;
        let elapsed = self.clock.monotonic().since(started).as_secs_f64();
        let raw: Raw<'_> =
            rows.first().and_then(|row| row.try_get(0).ok()).ok_or_else(|| answer("no plan"))?;
        let json = std::str::from_utf8(raw.bytes).map_err(|_| answer("a plan that is no text"))?;
        let plan = Plan::parse(json).map_err(|error| answer(&error.to_string()))?;
        let buffers = plan.root.actual.as_ref().and_then(|actual| actual.buffers);
        let buffers = buffers.ok_or_else(|| answer("a plan without pages"))?;
        let result = if compare { Some(self.returned(statement.sql(), &sent)?) } else { None };
        Ok(Run {
            pages: buffers.hit + buffers.read,
            pages_read: buffers.read,
            seconds: plan.execution_ms.map_or(elapsed, |ms| ms / 1_000.0),
            result,
        })
    }

    /// Runs the statement for its rows. They are not kept: only sums of their hashes are.
    fn returned(&mut self, sql: &str, sent: &[&(dyn ToSql + Sync)]) -> Result<Returned, SessionError> {
        let client = self.session.client()?;
        self.session.block_on(async {
            let rows = client.query_raw(sql, sent.iter().copied()).await?;
            let mut rows = pin!(rows);
            let mut returned = Returned { rows: 0, any_order: 0, in_order: 0 };
            let mut encoded = Vec::new();
            while let Some(row) = rows.next().await {
                let row = row?;
                encoded.clear();
                for column in 0..row.len() {
                    let value: Option<Raw<'_>> = row.try_get(column)?;
                    encode(value, &mut encoded);
                }
                let hash = stable_hash(&encoded);
                returned.rows += 1;
                // A sum does not see the order of the rows, and does see duplicates.
                returned.any_order = returned.any_order.wrapping_add(hash);
                returned.in_order = returned.in_order.wrapping_mul(0x0100_0000_01b3).wrapping_add(hash);
            }
            Ok(returned)
        })
    }
}

/// Begins a transaction in which an index is out of sight, or was dropped and is back. A
/// query may not write in it.
fn begin(statement: &Explainable, scene: Scene<'_>, limit: Duration) -> String {
    let mut sql = format!("BEGIN; SET LOCAL statement_timeout = {}", limit.as_millis());
    match (scene.without, scene.restored) {
        (Some(index), _) => sql.extend([format!("; DROP INDEX {index}")]),
        (None, Some(index)) => {
            sql.extend([format!("; SAVEPOINT before; DROP INDEX {index}; ROLLBACK TO before")]);
        }
        (None, None) => {}
    }
    if statement.is_query() {
        sql.push_str("; SET TRANSACTION READ ONLY");
    }
    sql
}

/// Encodes a value so that equal values, and only they, give equal bytes. Floats are
/// equal when 12 digits are: a sum taken in another order differs in the last ones.
fn encode(value: Option<Raw<'_>>, encoded: &mut Vec<u8>) {
    let Some(Raw { of, bytes }) = value else {
        encoded.push(0);
        return;
    };
    let mut append = |tag: u8, bytes: &[u8]| {
        encoded.push(tag);
        encoded.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        encoded.extend_from_slice(bytes);
    };
    if of == Type::FLOAT8 || of == Type::FLOAT4 {
        let read = f64::from_sql(&Type::FLOAT8, bytes).ok().filter(|_| of == Type::FLOAT8);
        let number = read.or_else(|| f32::from_sql(&Type::FLOAT4, bytes).ok().map(f64::from));
        if let Some(number) = number {
            let digits = if of == Type::FLOAT8 { format!("{number:.11e}") } else { format!("{number:.5e}") };
            return append(1, digits.as_bytes());
        }
    }
    append(2, bytes);
}

/// A value of any type, as the server sent it.
struct Raw<'a> {
    of: Type,
    bytes: &'a [u8],
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(of: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self { of: of.clone(), bytes })
    }

    fn accepts(_any: &Type) -> bool {
        true
    }
}

/// A value as text, whatever type the server wants.
#[derive(Debug)]
pub(super) struct AsText<'a>(pub(super) Option<&'a str>);

impl ToSql for AsText<'_> {
    fn to_sql(
        &self,
        _wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_any: &Type) -> bool {
        true
    }

    fn encode_format(&self, _any: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
