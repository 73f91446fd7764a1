//! Observed statements: for applications on rusqlite.

use std::panic::Location;

use rusqlite::{Connection, Row, StatementStatus};

use super::binding::bind;
use crate::{CallSite, Recorder, Value};

/// A connection whose statements are timed, and whose work is counted in steps
/// of SQLite's virtual machine.
///
/// The statement is prepared once and cached by the connection. What it costs
/// beyond the statement itself: four counter reads, two clock reads, and one
/// [`Recorder::record`].
///
/// ```
/// # use std::sync::Arc;
/// use rusqlite::Connection;
/// use veritas_database::{Recorder, RecorderOptions, sqlite::Observed};
///
/// # let recorder = Recorder::new(RecorderOptions::default(), Arc::new(veritas_model::SystemClock::new()));
/// let connection = Connection::open_in_memory()?;
/// let observed = Observed::new(&connection, &recorder);
/// observed.execute("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)", &[])?;
/// observed.execute("INSERT INTO users(name) VALUES (?)", &["Ada".into()])?;
/// let names: Vec<String> =
///     observed.label("user_names").query("SELECT name FROM users WHERE id = ?", &[1.into()], |row| row.get(0))?;
/// assert_eq!(names, ["Ada"]);
/// assert!(recorder.snapshot().statements.iter().all(|statement| statement.vm_steps.count == 1));
/// # Ok::<(), rusqlite::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    connection: &'a Connection,
    recorder: &'a Recorder,
    label: Option<&'a str>,
}

impl<'a> Observed<'a> {
    /// Observes what is run through it on `connection`.
    pub const fn new(connection: &'a Connection, recorder: &'a Recorder) -> Self {
        Self { connection, recorder, label: None }
    }

    /// Names the statements that follow.
    pub const fn label(self, label: &'a str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// Runs a statement that returns rows, and maps each.
    ///
    /// # Errors
    ///
    /// As SQLite says, or the mapping. The call then counts as failed.
    #[track_caller]
    pub fn query<T>(
        &self,
        sql: &str,
        parameters: &[Value],
        mut map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.run(sql, parameters, Location::caller().into(), |statement| {
            let mut mapped = Vec::new();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                mapped.push(map(row)?);
            }
            let count = mapped.len() as u64;
            Ok((mapped, count, 0))
        })
    }

    /// Runs a statement that returns no rows; returns how many it changed.
    ///
    /// # Errors
    ///
    /// As SQLite says. The call then counts as failed.
    #[track_caller]
    pub fn execute(&self, sql: &str, parameters: &[Value]) -> rusqlite::Result<usize> {
        self.run(sql, parameters, Location::caller().into(), |statement| {
            let changed = statement.raw_execute()?;
            Ok((changed, 0, changed as u64))
        })
    }

    fn run<T>(
        &self,
        sql: &str,
        parameters: &[Value],
        caller: CallSite<'static>,
        work: impl FnOnce(&mut rusqlite::Statement<'_>) -> rusqlite::Result<(T, u64, u64)>,
    ) -> rusqlite::Result<T> {
        let mut call = self.recorder.statement(sql).caller(caller).parameters(parameters);
        if let Some(label) = self.label {
            call = call.label(label);
        }
        let mut statement = self.connection.prepare_cached(sql)?;
        if statement.parameter_count() != parameters.len() {
            return Err(rusqlite::Error::InvalidParameterCount(
                parameters.len(),
                statement.parameter_count(),
            ));
        }
        bind(&mut statement, parameters)?;
        statement.reset_status(StatementStatus::VmStep);
        let (result, returned, changed) = work(&mut statement)?;
        let steps = u64::try_from(statement.get_status(StatementStatus::VmStep)).ok();
        call.finish_with(returned, changed, steps);
        Ok(result)
    }
}
