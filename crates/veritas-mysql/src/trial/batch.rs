//! A statement for each key against one for all keys, on a copy: the same rows, and what both read.

use mysql::Value;

use super::{Measured, Scratch, TrialError, TrialOptions};
use crate::{
    guard::Readable,
    session::{ConnectOptions, Session},
};

/// What single statements and their batch cost on a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched {
    /// How many single statements the batch stands for.
    pub keys: u64,
    /// The single statements together.
    pub before: Measured,
    /// The batch.
    pub after: Measured,
}

impl Batched {
    /// Returns whether the rows of the batch, without the key that it may have beyond them,
    /// are those of the single statements together, in any order.
    pub const fn is_equal(&self) -> bool {
        self.before.digest == self.after.digest && self.before.rows == self.after.rows
    }
}

/// Runs `single` with each of `keys`, then `batch` with all of them, on copies of the tables.
///
/// # Errors
///
/// [`TrialError`], as of [`run`](super::run).
pub fn batch(
    options: &ConnectOptions,
    single: &Readable,
    batch: &Readable,
    keys: &[Value],
    trial: &TrialOptions,
) -> Result<Batched, TrialError> {
    if !trial.allowed {
        return Err(TrialError::NotAllowed);
    }
    let server = |step| move |source| TrialError::Server { step, source };
    let session = Session::connect_writing(options).map_err(server("connect for the copies"))?;
    let mut scratch = Scratch::of(session, single.tables(), trial.largest_copy)?;
    let at = "run the statement on the copies";
    let columns = scratch.columns(single, keys.get(..1).unwrap_or_default()).map_err(server(at))?;
    let mut before = Measured { rows_read: 0, rows: 0, digest: 0 };
    for key in keys {
        let one = scratch.measure_columns(single, std::slice::from_ref(key), columns).map_err(server(at))?;
        before.rows_read += one.rows_read;
        before.rows += one.rows;
        before.digest = before.digest.wrapping_add(one.digest);
    }
    let after = scratch.measure_columns(batch, keys, columns).map_err(server(at))?;
    Ok(Batched { keys: keys.len() as u64, before, after })
}
