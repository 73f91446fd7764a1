//! What is known of tables: rows, columns, distinct values, indexes, writes.
//!
//! Catalogues first, and then a look of our own: `pg_stats` counts distinct values
//! from a sample of rows, and is off by a factor of four where equal values lie
//! side by side (TPC-H's `l_orderkey`: 390 thousand for 1.5 million). Index sizes
//! hang on these counts, so [`Facts::sample`] reads some pages, whole, and takes the
//! page as the unit that a value is in or not: see [`distinct`]. Where pages cannot tell,
//! and the size of an index hangs on it, [`Facts::scan`] reads the table once, as a
//! sequential scan, and keeps all rows of some values.
//!
//! A role that may not read something loses that part, and [`Facts::notes`] says why.

mod catalogue;
pub mod distinct;
mod hash;
mod indexes;
mod sample;
mod scan;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use veritas_index_advisor::{Distinct, DistinctSet, IndexSpec, Spread, TableFacts, TableId, size};

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

/// How many rows are hashed by one statement at most, a row once for each key, unless one
/// key has more: so that a statement stays within its time.
const HASHED_AT_ONCE: f64 = 12e6;

/// Which tables are read whole, once, for counts that pages cannot tell.
///
/// One sequential scan serves several counts, as many as hash 12 million rows together: what
/// the table has of bytes is read (through a ring of 256 KiB of the server's cache, so that
/// little is pushed out of it), and one core is busy. The statement time-out of the session
/// bounds each scan.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanOptions {
    /// Pages of 8 KiB that a table may have; a larger one keeps its estimates, and their
    /// bounds say how little is known. 0: no table is read.
    pub pages: u32,
    /// Keys of a table that are counted at most, those that leave most open.
    pub keys: usize,
    /// What is left as it is: counts that leave less than this share of an index's size open.
    pub doubt: f64,
}

impl Default for ScanOptions {
    /// 262 144 pages (2 GiB), 16 keys, a twentieth of the size.
    fn default() -> Self {
        Self { pages: 262_144, keys: 16, doubt: 0.05 }
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

    /// Reads each table of `specs` once, whole, where it is not known well enough how many
    /// keys an index would have: see [`ScanOptions`] for what that costs. Afterwards the
    /// count is a [`DistinctSource::Sketch`](veritas_index_advisor::DistinctSource) of about
    /// 24 thousand keys, and it is known how many keys have how many rows. Only hashes and
    /// numbers leave the server.
    ///
    /// What cannot be read, is too large, or takes too long keeps what was known, with a note.
    ///
    /// # Errors
    ///
    /// [`SessionError::Lost`] and its like when the session is of no use any more.
    pub fn scan<'a>(
        &mut self,
        session: &mut Session,
        specs: impl IntoIterator<Item = &'a IndexSpec>,
        options: &ScanOptions,
    ) -> Result<(), SessionError> {
        if options.pages == 0 {
            return Ok(());
        }
        for (table, keys) in self.doubtful(specs, options) {
            let Some(facts) = self.tables.iter_mut().find(|facts| facts.table == table) else { continue };
            if facts.pages > f64::from(options.pages) {
                let note = format!(
                    "{table} has {} pages, and at most {} are read to count its keys: sizes of indexes are less sure",
                    facts.pages, options.pages
                );
                self.notes.push(note);
                continue;
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            let at_once = (HASHED_AT_ONCE / facts.rows.max(1.0)).clamp(1.0, 64.0) as usize;
            for few in keys.chunks(at_once) {
                match scan::read(session, facts, few) {
                    Ok(all) => {
                        for (key, kept) in few.iter().zip(all) {
                            if let Some((distinct, spread)) = kept.told(key, scan::present(facts, key)) {
                                learn(facts, key, distinct, spread);
                            }
                        }
                    }
                    Err(error) if session.is_lost() => return Err(error),
                    Err(error) => {
                        self.notes.push(format!("{table} was not read to count its keys: {error}"));
                        break;
                    }
                }
            }
        }
        self.settle();
        Ok(())
    }

    /// Returns the keys whose counts leave more than a share of a size open, those that
    /// leave most open first.
    fn doubtful<'a>(
        &self,
        specs: impl IntoIterator<Item = &'a IndexSpec>,
        options: &ScanOptions,
    ) -> BTreeMap<TableId, Vec<Vec<String>>> {
        let mut found: BTreeMap<TableId, BTreeMap<Vec<String>, f64>> = BTreeMap::new();
        for spec in specs {
            let Some(facts) = self.table(&spec.table) else { continue };
            let doubt = size::doubt(spec, facts).unwrap_or(0.0);
            if doubt <= options.doubt {
                continue;
            }
            let key: BTreeSet<&str> = spec.key_columns().collect();
            if key.len() <= MOST_COLUMNS {
                let key = key.into_iter().map(str::to_owned).collect();
                let most = found.entry(spec.table.clone()).or_default().entry(key).or_default();
                *most = most.max(doubt);
            }
        }
        let sorted = found.into_iter().map(|(table, keys)| {
            let mut keys: Vec<(Vec<String>, f64)> = keys.into_iter().collect();
            keys.sort_by(|left, right| right.1.total_cmp(&left.1));
            keys.truncate(options.keys);
            (table, keys.into_iter().map(|(key, _)| key).collect())
        });
        sorted.collect()
    }

    /// Takes what constraints say over what was estimated: a unique column has as many
    /// values as rows, whatever a sample saw.
    fn settle(&mut self) {
        for table in &mut self.tables {
            indexes::settle(table);
        }
    }
}

/// Puts a count in place of what was known of a key, with how its rows are spread.
fn learn(facts: &mut TableFacts, key: &[String], distinct: Distinct, spread: Spread) {
    let is_it =
        |columns: &[String]| columns.len() == key.len() && columns.iter().all(|column| key.contains(column));
    facts.spreads.retain(|known| !is_it(&known.columns));
    facts.spreads.push(spread);
    if let [one] = key {
        if let Some(column) = facts.columns.iter_mut().find(|column| column.name == *one) {
            column.distinct = distinct;
        }
        return;
    }
    facts.distinct_sets.retain(|known| !is_it(&known.columns));
    facts.distinct_sets.push(DistinctSet { columns: key.to_vec(), distinct });
}
