//! One execution of a statement, as a source of statements reports it.

use std::{fmt, panic::Location, time::Duration};

use veritas_model::Caller;

use crate::{
    Value,
    fingerprint::{NormalizedStatement, hash_key},
};

/// A place in the application's code, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSite<'a> {
    /// The source file.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u32,
}

impl From<&'static Location<'static>> for CallSite<'static> {
    fn from(location: &'static Location<'static>) -> Self {
        Self { file: location.file(), line: location.line() }
    }
}

impl<'a> From<&'a Caller> for CallSite<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self { file: &caller.file, line: caller.line }
    }
}

impl From<CallSite<'_>> for Caller {
    fn from(site: CallSite<'_>) -> Self {
        Self { file: site.file.to_owned(), line: site.line }
    }
}

/// One execution of a statement. `Debug` leaves out the text and the values.
#[derive(Clone, Copy)]
pub struct Execution<'a> {
    /// The text, as it was sent.
    pub sql: &'a str,
    /// Its label; `None`: the label of the thread, if there is one.
    pub label: Option<&'a str>,
    /// How long it took.
    pub elapsed: Duration,
    /// Rows that it returned.
    pub rows_returned: u64,
    /// Rows that it changed.
    pub rows_affected: u64,
    /// Steps of the database's virtual machine; `None` when not known.
    pub vm_steps: Option<u64>,
    /// Whether it failed or was cancelled.
    pub error: bool,
    /// Where it was called from; `None` when not known.
    pub caller: Option<CallSite<'a>>,
    /// The values bound to its parameters; empty when not known.
    pub parameters: &'a [Value],
}

impl<'a> Execution<'a> {
    /// Describes a successful execution of which only the time is known.
    pub const fn new(sql: &'a str, elapsed: Duration) -> Self {
        Self {
            sql,
            label: None,
            elapsed,
            rows_returned: 0,
            rows_affected: 0,
            vm_steps: None,
            error: false,
            caller: None,
            parameters: &[],
        }
    }

    /// Returns a hash of what the statement looked up: of its parameters, or of
    /// its literals when it has no parameters. `None` when the parameters are
    /// not known. `text` is a hash of the text.
    pub(crate) fn key(&self, statement: &NormalizedStatement, text: u64) -> Option<u64> {
        if !statement.has_parameters {
            return Some(text);
        }
        if self.parameters.is_empty() {
            return None;
        }
        let mut hash = text;
        for value in self.parameters {
            value.mix_into(|tag, bytes| {
                hash = (hash.rotate_left(23) ^ hash_key(bytes) ^ tag).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            });
        }
        Some(hash)
    }
}

impl fmt::Debug for Execution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("label", &self.label)
            .field("elapsed", &self.elapsed)
            .field("rows_returned", &self.rows_returned)
            .field("rows_affected", &self.rows_affected)
            .field("vm_steps", &self.vm_steps)
            .field("error", &self.error)
            .field("caller", &self.caller)
            .field("parameters", &self.parameters.len())
            .finish_non_exhaustive()
    }
}
