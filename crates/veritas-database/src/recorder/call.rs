//! The guard around one execution of a statement.

use std::{fmt, panic::Location};

use veritas_model::Monotonic;

use super::{CallSite, Execution, Recorder};
use crate::{StatementKind, Value, fingerprint::of_text};

impl Recorder {
    /// Starts to time a statement; what calls this is recorded as the caller.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use veritas_database::{Recorder, RecorderOptions};
    /// # let recorder = Recorder::new(RecorderOptions::default(), Arc::new(veritas_model::SystemClock::new()));
    /// let parameters = [7_i64.into()];
    /// let call = recorder.statement("SELECT name FROM users WHERE id = ?").parameters(&parameters);
    /// // … run it …
    /// call.finish(1, None);
    /// assert_eq!(recorder.snapshot().total, 1);
    /// ```
    #[track_caller]
    pub fn statement<'a>(&'a self, sql: &'a str) -> StatementCall<'a> {
        StatementCall {
            recorder: self,
            sql,
            label: None,
            parameters: &[],
            caller: Location::caller().into(),
            started: self.clock().monotonic(),
            is_finished: false,
        }
    }
}

/// A statement that is running. Dropped without [`Self::finish`] it counts as
/// failed: an error that was returned early, a cancelled future, a panic. `Debug`
/// leaves out the text and the values.
#[must_use = "a call that is dropped at once counts as failed"]
pub struct StatementCall<'a> {
    recorder: &'a Recorder,
    sql: &'a str,
    label: Option<&'a str>,
    parameters: &'a [Value],
    caller: CallSite<'a>,
    started: Monotonic,
    is_finished: bool,
}

impl<'a> StatementCall<'a> {
    /// Names the statement; without it, the label around it does.
    pub const fn label(mut self, label: &'a str) -> Self {
        self.label = Some(label);
        self
    }

    /// Tells the bound values: for proofs, and to tell a repeated look-up of
    /// different keys from one of the same key.
    pub const fn parameters(mut self, parameters: &'a [Value]) -> Self {
        self.parameters = parameters;
        self
    }

    /// Replaces the caller.
    pub const fn caller(mut self, caller: CallSite<'a>) -> Self {
        self.caller = caller;
        self
    }

    /// Ends a successful execution. `rows` were returned by a statement that
    /// reads, changed by one that writes; `vm_steps` is the work of the
    /// database's virtual machine, where the driver tells it.
    pub fn finish(mut self, rows: u64, vm_steps: Option<u64>) {
        self.record(Rows::Of(rows), vm_steps, false);
    }

    /// Ends a successful execution that may have returned and changed rows
    /// (`INSERT … RETURNING`).
    pub fn finish_with(mut self, rows_returned: u64, rows_affected: u64, vm_steps: Option<u64>) {
        self.record(Rows::Both { rows_returned, rows_affected }, vm_steps, false);
    }

    /// Ends an execution that failed.
    pub fn fail(self) {
        drop(self);
    }

    fn record(&mut self, rows: Rows, vm_steps: Option<u64>, error: bool) {
        self.is_finished = true;
        let elapsed = self.recorder.clock().monotonic().since(self.started);
        let statement = of_text(self.sql);
        let (rows_returned, rows_affected) = match rows {
            Rows::Of(rows) if statement.0.kind == StatementKind::Select => (rows, 0),
            Rows::Of(rows) => (0, rows),
            Rows::Both { rows_returned, rows_affected } => (rows_returned, rows_affected),
        };
        let execution = Execution {
            sql: self.sql,
            label: self.label,
            elapsed,
            rows_returned,
            rows_affected,
            vm_steps,
            error,
            caller: Some(self.caller),
            parameters: self.parameters,
        };
        self.recorder.record_statement(&execution, &statement, None, None);
    }
}

/// The rows of an execution.
#[derive(Clone, Copy)]
enum Rows {
    /// Returned by a statement that reads, changed by one that writes.
    Of(u64),
    Both {
        rows_returned: u64,
        rows_affected: u64,
    },
}

impl fmt::Debug for StatementCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementCall")
            .field("label", &self.label)
            .field("caller", &self.caller)
            .field("parameters", &self.parameters.len())
            .finish_non_exhaustive()
    }
}

impl Drop for StatementCall<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.record(Rows::Of(0), None, true);
        }
    }
}
