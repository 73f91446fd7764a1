//! A trial: an index made on a copy of the tables, and the statement run with and without it.
//!
//! No such server can be asked what an index would do, so one is made, on a copy, in a
//! schema of our own (`veritas_scratch_…`) of the same server. That takes disk, and a
//! moment of the server's time: it is done only where [`TrialOptions::allowed`] says so.
//!
//! What counts is rows read (`Handler_read_*` of the session, reference manual, server
//! status variables): the same on a busy and on an idle machine. Results must be the same
//! rows, in any order. The schema is dropped at the end; one that a killed process left is
//! dropped by the next trial, which knows it by a lock that nobody holds.

mod batch;
mod candidates;
mod scratch;
mod values;

use std::collections::BTreeMap;

use mysql::Value;
use veritas_model::{Bytes, stable_hash};

use crate::{
    guard::Readable,
    session::{ConnectOptions, Session, SessionError, Texts, ident},
};
pub use batch::{Batched, batch};
pub use candidates::{Candidate, of as candidates};
use scratch::Scratch;

/// What a trial may do.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialOptions {
    /// Whether copies may be made on the server at all. Off by default.
    pub allowed: bool,
    /// The largest tables, together, that are copied.
    pub largest_copy: Bytes,
    /// How many indexes are tried at most.
    pub candidates: usize,
    /// The least share of rows read that an index must save.
    pub least_gain: f64,
}

impl Default for TrialOptions {
    /// Not allowed; up to 256 MiB, 6 indexes, a fifth saved.
    fn default() -> Self {
        Self { allowed: false, largest_copy: Bytes::new(256 << 20), candidates: 6, least_gain: 0.2 }
    }
}

/// Why there was no trial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// Copies are not allowed.
    #[error("copies on the server are not allowed")]
    NotAllowed,
    /// The tables are larger than what may be copied.
    #[error("failed to copy: the tables take {} bytes, and {} are allowed", .bytes.get(), .allowed.get())]
    TooLarge {
        /// What they take.
        bytes: Bytes,
        /// What is allowed.
        allowed: Bytes,
    },
    /// There is nothing to run the statement with.
    #[error("the meaning of a parameter is not known, and no call was kept")]
    NoValues,
    /// The statement compares and sorts by nothing that an index could hold.
    #[error("no plain column is compared or sorted by")]
    NoCandidate,
    /// The server refused or was lost on the way.
    #[error("failed to {step}")]
    Server {
        /// What was being done.
        step: &'static str,
        /// Why not.
        source: SessionError,
    },
}

/// What calls of a statement cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Rows that the storage engine was asked for, found or not.
    pub rows_read: u64,
    /// Rows that it returned.
    pub rows: u64,
    /// The returned rows of each call as a sum that does not see their order.
    pub digest: u64,
}

/// An index, and what the statement cost without and with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The index.
    pub candidate: Candidate,
    /// How many calls were run, each with other values.
    pub calls: u64,
    /// Whether the values were sampled from the columns, not taken from calls.
    pub sampled: bool,
    /// All of the calls without it.
    pub before: Measured,
    /// All of the calls with it.
    pub after: Measured,
    /// What the index takes on disk, on the copy; `None` where the server does not say.
    pub bytes: Option<Bytes>,
    /// The statement that makes it on the real table.
    pub create: String,
    /// The statement that takes it back.
    pub drop: String,
}

impl Tried {
    /// Returns the share of rows read that it saves; negative when it reads more.
    #[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
    pub fn saved(&self) -> f64 {
        1.0 - self.after.rows_read as f64 / (self.before.rows_read.max(1)) as f64
    }

    /// Returns whether it returned the same rows.
    pub const fn is_equal(&self) -> bool {
        self.before.digest == self.after.digest && self.before.rows == self.after.rows
    }
}

/// Tries indexes for one statement on copies of its tables, and returns those that save
/// enough and change no result, best first. `values` stand in place of its `?`.
///
/// # Errors
///
/// As [`run_each`].
pub fn run(
    options: &ConnectOptions,
    query: &Readable,
    values: &[Value],
    trial: &TrialOptions,
) -> Result<Vec<Tried>, TrialError> {
    run_each(options, query, &[values.to_vec()], trial)
}

/// As [`run`], with a call for each of `vectors`; without any, with values that are sampled
/// from the columns of the copies.
///
/// # Errors
///
/// [`TrialError`]; whatever happens, nothing of ours stays behind that the next trial would
/// not remove.
pub fn run_each(
    options: &ConnectOptions,
    query: &Readable,
    vectors: &[Vec<Value>],
    trial: &TrialOptions,
) -> Result<Vec<Tried>, TrialError> {
    if !trial.allowed {
        return Err(TrialError::NotAllowed);
    }
    let server = |step| move |source| TrialError::Server { step, source };
    let candidates = candidates::of(query.sql());
    if candidates.is_empty() {
        return Err(TrialError::NoCandidate);
    }
    let session = Session::connect_writing(options).map_err(server("connect for the copies"))?;
    let mut scratch = Scratch::of(session, query.tables(), trial.largest_copy)?;
    let sampled = vectors.is_empty();
    let drawn;
    let vectors = if sampled {
        let values = scratch.sample(query).map_err(server("sample values from the copies"))?;
        drawn = values.ok_or(TrialError::NoValues)?;
        &drawn
    } else {
        vectors
    };
    let before = scratch.measure_each(query, vectors).map_err(server("run the statement on the copies"))?;
    let mut tried = Vec::new();
    for candidate in candidates.into_iter().take(trial.candidates) {
        if scratch.has(&candidate) {
            continue;
        }
        // Columns may be of a kind that no index takes, or belong to another table.
        let Ok(bytes) = scratch.make(&candidate) else { continue };
        let measured = scratch.measure_each(query, vectors);
        scratch.unmake(&candidate).map_err(server("drop an index of the copies"))?;
        let after = measured.map_err(server("run the statement on the copies"))?;
        let (create, drop) = candidate.live(scratch.database());
        let calls = vectors.len() as u64;
        let one = Tried { candidate, calls, sampled, before: before.clone(), after, bytes, create, drop };
        if one.is_equal() && one.saved() >= trial.least_gain {
            tried.push(one);
        }
    }
    // Fewest rows read; of equals the narrower.
    tried.sort_by_key(|one| (one.after.rows_read, one.candidate.columns.len()));
    Ok(tried)
}

/// What the session has read so far.
const HANDLERS: &str = "SHOW SESSION STATUS LIKE 'Handler_read%'";

fn handlers(session: &mut Session) -> Result<BTreeMap<String, u64>, SessionError> {
    let pair = |row: Texts| {
        let mut row = row.into_iter().flatten();
        Some((row.next()?, row.next()?.parse().ok()?))
    };
    Ok(session.query(HANDLERS)?.into_iter().filter_map(pair).collect())
}

/// Runs a statement and counts what it reads; of its rows the first columns are summed up. Asking for the counters reads too, always
/// the same: that is asked twice, and taken off.
fn measure(
    session: &mut Session,
    sql: &str,
    values: &[Value],
    columns: usize,
) -> Result<Measured, SessionError> {
    let read = |from: &BTreeMap<String, u64>, to: &BTreeMap<String, u64>| -> u64 {
        to.iter().map(|(name, count)| count - from.get(name).copied().unwrap_or(0).min(*count)).sum()
    };
    let (first, second) = (handlers(session)?, handlers(session)?);
    let rows = session.query_with(sql, values.to_vec())?;
    let third = handlers(session)?;
    let own = read(&first, &second);
    let digest =
        rows.iter().map(|row| digest(row.get(..columns).unwrap_or(row))).fold(0_u64, u64::wrapping_add);
    let rows_read = read(&second, &third).saturating_sub(own);
    Ok(Measured { rows_read, rows: rows.len() as u64, digest })
}

fn digest(row: &[Option<String>]) -> u64 {
    let mut bytes = Vec::new();
    for value in row {
        match value {
            None => bytes.push(0),
            Some(text) => {
                bytes.push(1);
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    stable_hash(&bytes)
}

impl Candidate {
    /// Returns the name of the index, the same for the same columns.
    pub fn name(&self) -> String {
        let words = std::iter::once(&self.table).chain(&self.columns);
        let plain = |word: &String| -> String {
            word.chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' })
                .collect()
        };
        let mut readable = words.map(plain).collect::<Vec<_>>().join("_");
        readable.truncate(40); // ASCII only; names end at 64 characters
        let hash = stable_hash(format!("{} {:?}", self.table, self.columns).as_bytes()) >> 32;
        format!("veritas_{readable}_{hash:08x}")
    }

    fn on(&self, schema: &str) -> String {
        crate::session::qualified(schema, &self.table)
    }

    fn create(&self, schema: &str) -> String {
        let columns = self.columns.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
        format!("CREATE INDEX {} ON {} ({columns})", ident(&self.name()), self.on(schema))
    }

    /// Returns the statements that make it on the live table beside the running load, or not
    /// at all, and take it back.
    pub fn live(&self, schema: &str) -> (String, String) {
        (format!("{} ALGORITHM=INPLACE LOCK=NONE", self.create(schema)), self.drop(schema))
    }

    fn drop(&self, schema: &str) -> String {
        format!("DROP INDEX {} ON {}", ident(&self.name()), self.on(schema))
    }
}
