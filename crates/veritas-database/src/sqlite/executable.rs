//! Executables: the text and the values with which a recorded statement can be run again.

use crate::{StatementStatistics, Value};

/// A recorded statement as it can be run.
#[derive(Clone)]
pub(crate) struct Executable {
    /// Its text: as the application sent it where that is kept, else normalized.
    pub(crate) sql: String,
    /// The parameter vectors kept of real calls; empty without any.
    pub(crate) vectors: Vec<Vec<Value>>,
}

impl Executable {
    /// Takes what the recorder kept.
    pub(crate) fn of(statistics: &StatementStatistics) -> Self {
        match &statistics.sample_sql {
            Some(sql) => Self { sql: sql.to_string(), vectors: statistics.sample_parameters.clone() },
            None => Self { sql: statistics.normalized.to_string(), vectors: Vec::new() },
        }
    }
}
