//! sea-orm: a metric callback that records what a connection runs, for every backend.
//!
//! ```no_run
//! use std::sync::Arc;
//! use sea_orm::DatabaseConnection;
//! use veritas_database::{Recorder, sea_orm_hook::record};
//!
//! fn watch(connection: &mut DatabaseConnection, recorder: &Arc<Recorder>) {
//!     record(connection, recorder);
//! }
//! ```
//!
//! What sea-orm tells: the text, the values, the time and whether it failed. What it does not
//! tell: the rows, and the line that called; `#[veritas::query]` around the calling function
//! gives the line. The `tracing` layer tells rows, but no values: sea-orm runs its statements
//! through sqlx, which logs them. Use one of the two, or each statement counts twice.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, metric::Info};

use crate::{Execution, Recorder, Value, fingerprint::hash_key};

/// Records into `recorder` what the connection runs from here on. Clones of the connection
/// that are made before do not take part.
pub fn record(connection: &mut DatabaseConnection, recorder: &Arc<Recorder>) {
    recorder.register_source();
    let recorder = Arc::clone(recorder);
    connection.set_metric_callback(move |info| record_one(&recorder, info));
}

fn record_one(recorder: &Recorder, info: &Info<'_>) {
    let statement = info.statement;
    let bound = statement.values.as_ref().map_or(&[][..], |values| &values.0);
    let parameters = bound.iter().map(value).collect::<Option<Vec<_>>>();
    let execution = Execution {
        error: info.failed,
        parameters: parameters.as_deref().unwrap_or_default(),
        ..Execution::new(&statement.sql, info.elapsed)
    };
    if parameters.is_none() {
        // A value of a kind that we do not read still tells one key from another.
        recorder.record_keyed(&execution, hash_key(format!("{bound:?}").as_bytes()));
    } else {
        recorder.record(&execution);
    }
}

/// Reads a value; `None` for the kinds that have no counterpart here.
fn value(value: &sea_orm::Value) -> Option<Value> {
    use sea_orm::Value as Bound;
    Some(match value {
        Bound::Bool(value) => (*value).into(),
        Bound::TinyInt(value) => (*value).into(),
        Bound::SmallInt(value) => (*value).into(),
        Bound::Int(value) => (*value).into(),
        Bound::BigInt(value) => (*value).into(),
        Bound::TinyUnsigned(value) => (*value).into(),
        Bound::SmallUnsigned(value) => (*value).into(),
        Bound::Unsigned(value) => (*value).into(),
        Bound::Float(value) => value.map(f64::from).into(),
        Bound::Double(value) => (*value).into(),
        Bound::Char(value) => value.map(String::from).into(),
        Bound::String(value) => value.clone().into(),
        Bound::Bytes(value) => value.clone().into(),
        _ => return None,
    })
}
