//! Dropping an index in two steps: it is hidden first, which can be taken back at once.
//!
//! A hidden index is kept up by writes and read by no statement. `MariaDB` (10.6 and
//! later) calls it ignored, `MySQL` (8.0) invisible; both change the schema's words only,
//! so that it takes no longer than a lock on the table is waited for.

use veritas_database::server::{Engine, IndexReading};

use crate::session::{ident, qualified};

/// The statements that retire an index, in order, and those that bring it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// Hides it: from now on no statement reads it.
    pub hide: String,
    /// Takes the first step back, at once.
    pub show: String,
    /// Drops it, after it was hidden for long enough.
    pub drop: String,
    /// Makes it again, which reads the whole table.
    pub make_again: String,
}

/// Returns how to retire `index`, or why it must stay.
///
/// # Errors
///
/// The reason, for people: it says that rows are unique, or a constraint needs it.
pub fn retirement(engine: Engine, index: &IndexReading) -> Result<Retirement, String> {
    if index.unique || index.constraint.is_some() {
        return Err(format!("{} says that rows are unique", index.name));
    }
    if let Some(reason) = &index.protected {
        return Err(reason.clone());
    }
    let table = qualified(&index.schema, &index.table);
    let name = ident(&index.name);
    let (hidden, shown) = match engine {
        Engine::MySql => ("INVISIBLE", "VISIBLE"),
        _ => ("IGNORED", "NOT IGNORED"),
    };
    Ok(Retirement {
        hide: format!("ALTER TABLE {table} ALTER INDEX {name} {hidden}"),
        show: format!("ALTER TABLE {table} ALTER INDEX {name} {shown}"),
        drop: format!("DROP INDEX {name} ON {table}"),
        make_again: index.definition.clone(),
    })
}
