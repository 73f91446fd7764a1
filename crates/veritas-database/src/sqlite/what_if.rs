//! What-if: how SQLite would plan a statement if an index were there.
//!
//! The schema of the live file is built again in memory, without rows but with
//! its statistics (`sqlite_stat1`); SQLite's planner knows no more than that of
//! the real file, so it plans as it would there.

use rusqlite::Connection;

use super::{
    definition::IndexDefinition,
    guard::rows_only,
    plan::QueryPlan,
    schema::{ListedIndex, indexes},
};
use crate::Value;

/// A schema without rows.
pub(crate) struct WhatIf {
    connection: Connection,
}

/// What an index would do.
#[derive(Debug)]
pub(crate) enum Outlook {
    /// An index that is there serves the same.
    Covered {
        /// Its name.
        by: String,
    },
    /// The plan with the index.
    Plan(QueryPlan),
}

impl WhatIf {
    /// Builds the schema of `live`. What cannot be built (virtual tables,
    /// functions of the application) is left out; statements that need it then
    /// cannot be planned.
    pub(crate) fn of(live: &Connection) -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.pragma_update(None, "trusted_schema", false)?;
        let mut schema = live.prepare(
            "SELECT sql FROM sqlite_schema \
             WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             AND sql NOT LIKE 'CREATE VIRTUAL%' AND type IN ('table', 'index', 'view') \
             ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'view' THEN 1 ELSE 2 END, rowid",
        )?;
        let mut rows = schema.query([])?;
        while let Some(row) = rows.next()? {
            let sql: String = row.get(0)?;
            // A statement that needs what could not be built fails to plan and is skipped with that reason.
            let _unbuilt = connection.execute(&sql, []).err();
        }
        connection.execute_batch("ANALYZE")?; // makes an empty sqlite_stat1
        if let Ok(mut statistics) = live.prepare("SELECT tbl, idx, stat FROM sqlite_stat1") {
            let mut insert =
                connection.prepare("INSERT INTO sqlite_stat1(tbl, idx, stat) VALUES (?1, ?2, ?3)")?;
            let mut rows = statistics.query([])?;
            while let Some(row) = rows.next()? {
                let (table, index, stat): (Option<String>, Option<String>, Option<String>) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                insert.execute((table, index, stat))?;
            }
            connection.execute_batch("ANALYZE sqlite_schema")?; // loads them
        }
        Ok(Self { connection })
    }

    /// Plans `sql` with the index there.
    pub(crate) fn explain(
        &self,
        definition: &IndexDefinition,
        sql: &str,
        parameters: &[Value],
    ) -> rusqlite::Result<Outlook> {
        self.connection.execute(&definition.create(), [])?;
        let result = self.look(definition, sql, parameters);
        self.connection.execute(&definition.drop(), [])?;
        result
    }

    fn look(
        &self,
        definition: &IndexDefinition,
        sql: &str,
        parameters: &[Value],
    ) -> rusqlite::Result<Outlook> {
        let name = definition.name();
        let (ours, others): (Vec<ListedIndex>, Vec<ListedIndex>) =
            indexes(&self.connection, &definition.table)?.into_iter().partition(|index| index.name == name);
        if let Some(ours) = ours.first()
            && let Some(covering) = others.into_iter().find(|other| other.covers(ours))
        {
            return Ok(Outlook::Covered { by: covering.name });
        }
        rows_only(&self.connection, || QueryPlan::explain(&self.connection, sql, parameters))
            .map(Outlook::Plan)
    }
}
