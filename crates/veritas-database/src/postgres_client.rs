//! Clients of tokio-postgres that record what they run: connections, transactions, and
//! whatever a pool hands out (deadpool's and bb8's connections are these clients underneath).
//!
//! ```no_run
//! use tokio_postgres::Client;
//! use veritas_database::{Recorder, postgres_client::Record as _};
//!
//! async fn name(client: &Client, recorder: &Recorder, id: i64) -> Result<String, tokio_postgres::Error> {
//!     let rows = client.recorded(recorder).label("user_name");
//!     Ok(rows.query_one("SELECT name FROM users WHERE id = $1", &[&id]).await?.get(0))
//! }
//! ```
//!
//! Recorded are the text, the time until the last row, the rows, whether it failed (a future
//! that is dropped half-way failed), the line that called, and the values of the parameters:
//! for telling one key from another, and some of them for proofs, in memory only.
//!
//! Not recorded: streams of rows (`query_raw`), COPY, and what is called on the client itself.

mod values;

use std::{ops::Deref, panic::Location};

use tokio_postgres::{
    Error, GenericClient, Row, Statement,
    types::{ToSql, Type},
};

use crate::{Recorder, StatementCall, StatementKind, fingerprint};

/// Gives every client of tokio-postgres the method that records.
pub trait Record: GenericClient + Sync + Sized {
    /// Returns the client, recording what it runs from here on.
    fn recorded<'a>(&'a self, recorder: &'a Recorder) -> Recorded<'a, Self> {
        Recorded { client: self, recorder, label: None }
    }
}

impl<C: GenericClient + Sync> Record for C {}

/// A prepared statement that still knows its text.
#[derive(Debug, Clone)]
pub struct Prepared {
    sql: Box<str>,
    statement: Statement,
}

impl Prepared {
    /// Joins a statement to the text that it was prepared from, for statements that a pool
    /// keeps (`prepare_cached`).
    pub fn new(sql: &str, statement: Statement) -> Self {
        Self { sql: sql.into(), statement }
    }
}

impl Deref for Prepared {
    type Target = Statement;

    fn deref(&self) -> &Statement {
        &self.statement
    }
}

mod sealed {
    pub trait Sealed {}
}

/// What can be run: a text, or a [`Prepared`] statement.
pub trait Sendable: sealed::Sealed + Sync {
    /// Returns the text.
    fn sql(&self) -> &str;

    /// Returns the statement, when it is prepared.
    fn prepared(&self) -> Option<&Statement>;
}

impl sealed::Sealed for str {}
impl sealed::Sealed for Prepared {}

impl Sendable for str {
    fn sql(&self) -> &str {
        self
    }

    fn prepared(&self) -> Option<&Statement> {
        None
    }
}

impl Sendable for Prepared {
    fn sql(&self) -> &str {
        &self.sql
    }

    fn prepared(&self) -> Option<&Statement> {
        Some(&self.statement)
    }
}

/// A client that records what it runs; made by [`Record::recorded`]. As on the client itself,
/// a text with parameters is prepared first, which is a round trip of its own.
pub struct Recorded<'a, C> {
    client: &'a C,
    recorder: &'a Recorder,
    label: Option<&'a str>,
}

impl<C> Clone for Recorded<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Recorded<'_, C> {}

impl<C> std::fmt::Debug for Recorded<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("label", &self.label).finish_non_exhaustive()
    }
}

impl<'a, C: GenericClient + Sync> Recorded<'a, C> {
    /// Names what is run; without it, the label around it does.
    pub const fn label(mut self, label: &'a str) -> Self {
        self.label = Some(label);
        self
    }

    /// Prepares a statement. Nothing is recorded: it did not run yet.
    ///
    /// # Errors
    ///
    /// As [`GenericClient::prepare`].
    pub async fn prepare(&self, sql: &str) -> Result<Prepared, Error> {
        Ok(Prepared::new(sql, self.client.prepare(sql).await?))
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    ///
    /// As [`GenericClient::query`].
    #[track_caller]
    pub fn query<'s, T: Sendable + ?Sized>(
        &'s self,
        statement: &'s T,
        parameters: &'s [&'s (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send + 's {
        let place = Location::caller();
        async move {
            let call = self.start(statement.sql(), place);
            let prepared = self.prepared(statement).await?;
            let values = values::of(prepared.params(), parameters);
            let call = call.parameters(&values);
            let rows = self.client.query(&prepared, parameters).await?;
            finish(call, statement.sql(), rows.len());
            Ok(rows)
        }
    }

    /// Runs a statement and returns its only row.
    ///
    /// # Errors
    ///
    /// As [`GenericClient::query_one`]: another number of rows is an error, and is recorded as one.
    #[track_caller]
    pub fn query_one<'s, T: Sendable + ?Sized>(
        &'s self,
        statement: &'s T,
        parameters: &'s [&'s (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Row, Error>> + Send + 's {
        let place = Location::caller();
        async move {
            let call = self.start(statement.sql(), place);
            let prepared = self.prepared(statement).await?;
            let values = values::of(prepared.params(), parameters);
            let call = call.parameters(&values);
            let row = self.client.query_one(&prepared, parameters).await?;
            finish(call, statement.sql(), 1);
            Ok(row)
        }
    }

    /// Runs a statement and returns its row, if there is one.
    ///
    /// # Errors
    ///
    /// As [`GenericClient::query_opt`]: a second row is an error, and is recorded as one.
    #[track_caller]
    pub fn query_opt<'s, T: Sendable + ?Sized>(
        &'s self,
        statement: &'s T,
        parameters: &'s [&'s (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Option<Row>, Error>> + Send + 's {
        let place = Location::caller();
        async move {
            let call = self.start(statement.sql(), place);
            let prepared = self.prepared(statement).await?;
            let values = values::of(prepared.params(), parameters);
            let call = call.parameters(&values);
            let row = self.client.query_opt(&prepared, parameters).await?;
            finish(call, statement.sql(), usize::from(row.is_some()));
            Ok(row)
        }
    }

    /// Runs a statement whose parameters' types are given, in one round trip, and returns its rows.
    ///
    /// # Errors
    ///
    /// As [`GenericClient::query_typed`].
    #[track_caller]
    pub fn query_typed<'s>(
        &'s self,
        sql: &'s str,
        parameters: &'s [(&'s (dyn ToSql + Sync), Type)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send + 's {
        let place = Location::caller();
        async move {
            let values = values::typed(parameters.iter().map(|(value, kind)| (*value, kind)));
            let call = self.start(sql, place).parameters(&values);
            let rows = self.client.query_typed(sql, parameters).await?;
            finish(call, sql, rows.len());
            Ok(rows)
        }
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    ///
    /// As [`GenericClient::execute`].
    #[track_caller]
    pub fn execute<'s, T: Sendable + ?Sized>(
        &'s self,
        statement: &'s T,
        parameters: &'s [&'s (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<u64, Error>> + Send + 's {
        let place = Location::caller();
        async move {
            let call = self.start(statement.sql(), place);
            let prepared = self.prepared(statement).await?;
            let values = values::of(prepared.params(), parameters);
            let call = call.parameters(&values);
            let rows = self.client.execute(&prepared, parameters).await?;
            call.finish(rows, None);
            Ok(rows)
        }
    }

    /// Runs statements without parameters, in one go; they are recorded as one text.
    ///
    /// # Errors
    ///
    /// As [`GenericClient::batch_execute`].
    #[track_caller]
    pub fn batch_execute<'s>(&'s self, sql: &'s str) -> impl Future<Output = Result<(), Error>> + Send + 's {
        let place = Location::caller();
        async move {
            let call = self.start(sql, place);
            self.client.batch_execute(sql).await?;
            call.finish(0, None);
            Ok(())
        }
    }

    fn start<'s>(&'s self, sql: &'s str, place: &'static Location<'static>) -> StatementCall<'s> {
        let call = self.recorder.statement(sql).caller(place.into());
        match self.label {
            Some(label) => call.label(label),
            None => call,
        }
    }

    async fn prepared<T: Sendable + ?Sized>(&self, statement: &T) -> Result<Statement, Error> {
        match statement.prepared() {
            Some(prepared) => Ok(prepared.clone()),
            None => self.client.prepare(statement.sql()).await,
        }
    }
}

/// Ends a call that returned rows: of a statement that writes (`RETURNING`), each is one that
/// it changed.
fn finish(call: StatementCall<'_>, sql: &str, rows: usize) {
    let rows = rows as u64;
    match fingerprint::statement(sql).kind {
        StatementKind::Insert | StatementKind::Update | StatementKind::Delete => {
            call.finish_with(rows, rows, None);
        }
        StatementKind::Select | StatementKind::Other => call.finish_with(rows, 0, None),
    }
}
