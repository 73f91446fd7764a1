//! Copies of tables in a schema of our own, gone when the value is dropped.

use mysql::Value;
use veritas_database::server::Engine;
use veritas_model::Bytes;

use super::{Candidate, Measured, TrialError, measure, values};
use crate::{
    guard::Readable,
    session::{Session, SessionError, ident, qualified},
};

/// What the names of our schemas begin with.
const PREFIX: &str = "veritas_scratch_";

/// Schemas that look like ours.
const LEFT_OVER: &str = r"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'veritas\_scratch\_%' LIMIT 100";

/// What tables of the session's database take, and their names.
const SIZES: &str = "SELECT TABLE_NAME, COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0) \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' LIMIT 5000";

/// The columns of the indexes of our copies.
const INDEXED: &str = "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
     WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX LIMIT 5000";

/// The size of an index of our copies.
const INDEX_SIZE: &str = "SELECT stat_value * @@innodb_page_size FROM mysql.innodb_index_stats \
     WHERE database_name = DATABASE() AND index_name = ? AND stat_name = 'size'";

/// Copies.
pub(super) struct Scratch {
    session: Session,
    schema: String,
    database: String,
    /// The columns of each index that is there.
    existing: Vec<(String, Vec<String>)>,
}

fn server(step: &'static str) -> impl Fn(SessionError) -> TrialError {
    move |source| TrialError::Server { step, source }
}

impl Scratch {
    /// Copies `tables` of the session's database.
    pub(super) fn of(mut session: Session, tables: &[String], allowed: Bytes) -> Result<Self, TrialError> {
        let database = session.database().to_owned();
        let bytes = session
            .query(SIZES)
            .map_err(server("ask for the size of the tables"))?
            .into_iter()
            .filter_map(|row| <[Option<String>; 2]>::try_from(row).ok())
            .filter(|[name, _]| name.as_ref().is_some_and(|name| tables.contains(name)))
            .filter_map(|[_, bytes]| bytes?.parse::<u64>().ok())
            .sum();
        let bytes = Bytes::new(bytes);
        if bytes > allowed {
            return Err(TrialError::TooLarge { bytes, allowed });
        }
        sweep(&mut session);
        let id = session.query("SELECT CONNECTION_ID()").map_err(server("ask for our number"))?;
        let id = id.into_iter().next().and_then(|mut row| row.pop().flatten()).unwrap_or_default();
        let schema = format!("{PREFIX}{id}");
        let mut scratch = Self { session, schema, database, existing: Vec::new() };
        scratch.fill(tables)?;
        Ok(scratch)
    }

    fn fill(&mut self, tables: &[String]) -> Result<(), TrialError> {
        let Self { session, schema, database, .. } = self;
        // At this level the rows that are copied are read as they were, without a lock on
        // them: nobody who writes waits for us, nor we for him.
        session
            .run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .map_err(server("choose how rows are read"))?;
        // Copies are nothing for replicas; without the right to say so they go there too.
        drop(session.run("SET SESSION sql_log_bin = 0"));
        // Held for as long as we are connected: whoever sweeps sees that we live.
        session
            .query_with("SELECT GET_LOCK(?, 0)", vec![Value::from(schema.as_str())])
            .map_err(server("take a lock"))?;
        session
            .run(&format!("CREATE DATABASE {}", ident(schema)))
            .map_err(server("make a schema for the copies"))?;
        for table in tables {
            let (from, to) = (qualified(database, table), qualified(schema, table));
            session
                .run(&format!("CREATE TABLE {to} LIKE {from}"))
                .map_err(server("make a copy of a table"))?;
            session
                .run(&format!("INSERT INTO {to} SELECT * FROM {from}"))
                .map_err(server("copy the rows of a table"))?;
        }
        session.run(&format!("USE {}", ident(schema))).map_err(server("enter the schema of the copies"))?;
        for table in tables {
            session
                .run(&format!("ANALYZE TABLE {}", ident(table)))
                .map_err(server("gather statistics of a copy"))?;
        }
        for row in session.query(INDEXED).map_err(server("ask for the indexes of the copies"))? {
            let [Some(table), Some(index), Some(column)] = &row[..] else { continue };
            let name = format!("{table}.{index}");
            match self.existing.last_mut().filter(|(known, _)| *known == name) {
                Some((_, columns)) => columns.push(column.clone()),
                None => self.existing.push((name, vec![column.clone()])),
            }
        }
        Ok(())
    }

    /// Returns the database that was copied from.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Returns whether an index is there that begins with the candidate's columns.
    pub(super) fn has(&self, candidate: &Candidate) -> bool {
        self.existing.iter().any(|(name, columns)| {
            name.split('.').next() == Some(&candidate.table)
                && columns.len() >= candidate.columns.len()
                && columns.iter().zip(&candidate.columns).all(|(has, wants)| has.eq_ignore_ascii_case(wants))
        })
    }

    /// Makes an index, and returns what it takes.
    pub(super) fn make(&mut self, candidate: &Candidate) -> Result<Option<Bytes>, SessionError> {
        let schema = self.schema.clone();
        self.session.run(&candidate.create(&schema))?;
        self.session.run(&format!("ANALYZE TABLE {}", qualified(&schema, &candidate.table)))?;
        let size = self.session.query_with(INDEX_SIZE, vec![Value::from(candidate.name())]);
        let size = size.ok().and_then(|rows| rows.into_iter().next()?.pop()?);
        Ok(size.and_then(|size| size.split('.').next()?.parse().ok()).map(Bytes::new))
    }

    pub(super) fn unmake(&mut self, candidate: &Candidate) -> Result<(), SessionError> {
        let schema = self.schema.clone();
        self.session.run(&candidate.drop(&schema))
    }

    /// Runs a statement with each vector, and adds up what it cost.
    pub(super) fn measure_each(
        &mut self,
        query: &Readable,
        vectors: &[Vec<Value>],
    ) -> Result<Measured, SessionError> {
        let mut all = Measured { rows_read: 0, rows: 0, digest: 0 };
        for values in vectors {
            let one = self.measure(query, values)?;
            all.rows_read += one.rows_read;
            all.rows += one.rows;
            // What one call returns more is not made good by another one.
            all.digest = all.digest.wrapping_mul(0x0100_0000_01b3).wrapping_add(one.digest);
        }
        Ok(all)
    }

    /// Samples values for the `?` of a statement from the copies.
    pub(super) fn sample(&mut self, query: &Readable) -> Result<Option<Vec<Vec<Value>>>, SessionError> {
        values::sampled(&mut self.session, query.sql())
    }

    /// Returns how many columns the rows of a statement have; the most there are of one without rows.
    pub(super) fn columns(&mut self, query: &Readable, values: &[Value]) -> Result<usize, SessionError> {
        let rows = self.session.query_with(query.sql(), values.to_vec())?;
        Ok(rows.first().map_or(usize::MAX, Vec::len))
    }

    fn measure(&mut self, query: &Readable, values: &[Value]) -> Result<Measured, SessionError> {
        self.measure_columns(query, values, usize::MAX)
    }

    /// Runs a statement; of its rows the first columns are compared.
    pub(super) fn measure_columns(
        &mut self,
        query: &Readable,
        values: &[Value],
        columns: usize,
    ) -> Result<Measured, SessionError> {
        // Once to read the pages and the statistics, once to count.
        measure(&mut self.session, query.sql(), values, columns)?;
        measure(&mut self.session, query.sql(), values, columns)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays because the connection is gone is swept by the next trial.
        drop(self.session.run(&format!("DROP DATABASE IF EXISTS {}", ident(&self.schema))));
    }
}

/// Drops schemas of trials whose connections are gone.
fn sweep(session: &mut Session) {
    debug_assert!(matches!(session.engine(), Engine::MariaDb | Engine::MySql));
    for row in session.query(LEFT_OVER).unwrap_or_default() {
        let Some(Some(schema)) = row.into_iter().next() else { continue };
        let is_ours = schema
            .strip_prefix(PREFIX)
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()));
        let free = session.query_with("SELECT IS_FREE_LOCK(?)", vec![Value::from(schema.as_str())]);
        let free = free.ok().and_then(|rows| rows.into_iter().next()?.pop()?);
        if is_ours && free.as_deref() == Some("1") {
            drop(session.run(&format!("DROP DATABASE IF EXISTS {}", ident(&schema))));
        }
    }
}
