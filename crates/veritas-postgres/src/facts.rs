//! What is known of tables: rows, columns, distinct values, indexes, writes.
//!
//! Catalogues first, and then a look of our own: `pg_stats` counts distinct values
//! from a sample of rows, and is off by a factor of four where equal values lie
//! side by side (TPC-H's `l_orderkey`: 390 thousand for 1.5 million). Index sizes
//! hang on these counts, so [`Facts::sample`] reads some pages, whole, and takes the
//! page as the unit that a value is in or not: see [`distinct`].
//!
//! A role that may not read something loses that part, and [`Facts::notes`] says why.

mod catalogue;
pub mod distinct;
mod indexes;
mod sample;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use veritas_index_advisor::{DistinctSet, IndexSpec, TableFacts, TableId};

use crate::session::{Session, SessionError};

pub use self::writes::{observed_writes, update_rates};

/// The most tables whose facts are read at once.
pub const MOST_TABLES: usize = 500;

/// The most columns whose tuples are counted together.
const MOST_COLUMNS: usize = 6;

/// How far a look at the tables goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleOptions {
    /// Pages of 8 KiB that are read of each table at most; a table that has no more is
    /// read whole, and counted exactly.
    pub pages: u32,
    /// Rows that are looked at of each table at most. A row costs 12 bytes of memory for
    /// each column, for as long as the facts are kept.
    pub rows: u32,
    /// Which pages, and the same ones every time.
    pub seed: u32,
}

impl Default for SampleOptions {
    /// 1000 pages (8 MiB), 100 000 rows.
    fn default() -> Self {
        Self { pages: 1_000, rows: 100_000, seed: 1 }
    }
}

/// Facts of some tables, and the samples that they rest on.
#[derive(Debug, Default)]
pub struct Facts {
    /// The tables that exist and that we may know of.
    pub tables: Vec<TableFacts>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
    samples: BTreeMap<TableId, sample::Sample>,
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The catalogues could not be read.
    #[error("failed to read the catalogues")]
    Catalogue(#[source] SessionError),
}

/// Reads what the catalogues know of `tables`, [`MOST_TABLES`] at most. Costs two
/// statements; nothing of the tables themselves is read.
///
/// What does not exist is not in the answer. Write rates stay zero: they come from
/// readings ([`observed_writes`]).
///
/// # Errors
///
/// [`FactsError::Catalogue`] when the server does not answer.
pub fn read(session: &mut Session, tables: &[TableId]) -> Result<Facts, FactsError> {
    let mut facts = Facts::default();
    let wanted = &tables[..tables.len().min(MOST_TABLES)];
    if wanted.len() < tables.len() {
        facts.notes.push(format!("{} tables are too many: {MOST_TABLES} are looked at", tables.len()));
    }
    facts.tables = catalogue::read(session, wanted).map_err(FactsError::Catalogue)?;
    indexes::read(session, &mut facts.tables).map_err(FactsError::Catalogue)?;
    for table in &facts.tables {
        if table.columns.iter().all(|column| column.distinct.count <= 0.0) && table.rows > 0.0 {
            facts
                .notes
                .push(format!("{} was never analyzed, or we may not read its statistics", table.table));
        }
    }
    facts.settle();
    Ok(facts)
}

impl Facts {
    /// Returns what is known of a table.
    pub fn table(&self, table: &TableId) -> Option<&TableFacts> {
        self.tables.iter().find(|facts| facts.table == *table)
    }

    /// Reads some pages of each table, and corrects what the statistics say of the given
    /// columns: how many values are distinct, how wide they are. Needs the right to read the
    /// table; without it, or when the server takes too long, the statistics stay as they
    /// are, with a note.
    ///
    /// # Errors
    ///
    /// [`SessionError::Lost`] and its like when the session is of no use any more.
    pub fn sample(
        &mut self,
        session: &mut Session,
        columns: &BTreeMap<TableId, BTreeSet<String>>,
        options: &SampleOptions,
    ) -> Result<(), SessionError> {
        for table in &mut self.tables {
            let Some(wanted) = columns.get(&table.table) else { continue };
            match sample::read(session, table, wanted, options) {
                Ok(Some(sample)) => {
                    sample.correct(table);
                    let _before = self.samples.insert(table.table.clone(), sample);
                }
                Ok(None) => {}
                Err(error) if session.is_lost() => return Err(error),
                Err(error) => {
                    let note = format!("{} was not sampled: {error}", table.table);
                    self.notes.push(note);
                }
            }
        }
        self.settle();
        Ok(())
    }

    /// Counts the distinct tuples of the keys of `specs` in what was sampled.
    pub fn count_tuples<'a>(&mut self, specs: impl IntoIterator<Item = &'a IndexSpec>) {
        for spec in specs {
            let columns: BTreeSet<&str> = spec.key_columns().collect();
            let columns: Vec<&str> = columns.into_iter().collect();
            if !(2..=MOST_COLUMNS).contains(&columns.len()) || !spec.include.is_empty() {
                continue;
            }
            let Some(sample) = self.samples.get(&spec.table) else { continue };
            let Some(table) = self.tables.iter_mut().find(|facts| facts.table == spec.table) else {
                continue;
            };
            let known = table.distinct_sets.iter().any(|set| {
                set.columns.len() == columns.len()
                    && columns.iter().all(|column| set.columns.iter().any(|name| name == column))
            });
            if known {
                continue;
            }
            if let Some(distinct) = sample.distinct(table, &columns) {
                let columns = columns.into_iter().map(str::to_owned).collect();
                table.distinct_sets.push(DistinctSet { columns, distinct });
            }
        }
    }

    /// Takes what constraints say over what was estimated: a unique column has as many
    /// values as rows, whatever a sample saw.
    fn settle(&mut self) {
        for table in &mut self.tables {
            indexes::settle(table);
        }
    }
}
