//! Some pages of a table, read whole: values as hashes, nothing else is kept of them.

use std::{collections::BTreeSet, fmt::Write as _};

use veritas_index_advisor::{Distinct, Layout, TableFacts};

use super::{SampleOptions, distinct::Incidence, hash::Hashes};
use crate::session::{Session, SessionError, ident, qualified};

/// Wider values are no keys, and hashing them would read what is stored out of line.
const WIDEST: f64 = 1_000.0;

/// The most columns that are looked at in a table.
const MOST_COLUMNS: usize = 40;

/// What was read of one table.
#[derive(Debug)]
pub(super) struct Sample {
    /// Pages with rows that were read, and pages that there are.
    pages: f64,
    all_pages: f64,
    /// The page of each row.
    page_of: Vec<u32>,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// The hash of each row's value; `None` for NULL.
    hashes: Vec<Option<u64>>,
    /// How many values have each width, where widths differ.
    widths: Vec<(u32, u32)>,
}

/// Reads a sample; `None` when there is nothing to learn.
pub(super) fn read(
    session: &mut Session,
    facts: &TableFacts,
    wanted: &BTreeSet<String>,
    options: &SampleOptions,
) -> Result<Option<Sample>, SessionError> {
    let columns: Vec<(&str, bool)> = facts
        .columns
        .iter()
        .filter(|column| wanted.contains(&column.name) && column.has_btree && column.average_bytes <= WIDEST)
        .map(|column| (column.name.as_str(), matches!(column.layout, Layout::Variable { .. })))
        .take(MOST_COLUMNS)
        .collect();
    if columns.is_empty() || facts.pages < 1.0 {
        return Ok(None);
    }
    let rows_of_a_page = (facts.rows / facts.pages).max(1.0);
    let most = f64::from(options.pages).min(f64::from(options.rows) / rows_of_a_page).max(1.0);
    let whole = facts.pages <= most;
    let hashes = Hashes::read(session, &facts.table)?;
    let sql = text(facts, &columns, &hashes, (!whole).then_some((most, options)));
    let rows = session.query(&sql, &[])?;
    let mut sample = Sample {
        pages: 0.0,
        all_pages: facts.pages,
        page_of: Vec::with_capacity(rows.len()),
        columns: columns
            .iter()
            .map(|(name, _)| Column {
                name: (*name).to_owned(),
                hashes: Vec::with_capacity(rows.len()),
                widths: Vec::new(),
            })
            .collect(),
    };
    let mut widths: Vec<Vec<u32>> = vec![Vec::new(); columns.len()];
    for row in &rows {
        sample.page_of.push(u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX));
        let mut at = 1;
        for ((column, (_, is_variable)), widths) in sample.columns.iter_mut().zip(&columns).zip(&mut widths) {
            let hash: Option<i64> = row.get(at);
            column.hashes.push(hash.map(i64::cast_unsigned));
            at += 1;
            if *is_variable {
                let width: Option<i32> = row.get(at);
                widths.extend(width.and_then(|width| u32::try_from(width).ok()));
                at += 1;
            }
        }
    }
    for (column, mut widths) in sample.columns.iter_mut().zip(widths) {
        widths.sort_unstable();
        column.widths = widths
            .chunk_by(|left, right| left == right)
            .map(|same| (same[0], u32::try_from(same.len()).unwrap_or(u32::MAX)))
            .collect();
    }
    let pages: BTreeSet<u32> = sample.page_of.iter().copied().collect();
    #[expect(clippy::cast_precision_loss, reason = "a sample has few pages")]
    let read = pages.len() as f64;
    sample.pages = if whole { facts.pages } else { read };
    Ok((read > 0.0).then_some(sample))
}

/// Writes the statement that reads pages: names are quoted, numbers are ours.
fn text(
    facts: &TableFacts,
    columns: &[(&str, bool)],
    hashes: &Hashes,
    drawn: Option<(f64, &SampleOptions)>,
) -> String {
    let mut sql = String::from("SELECT ((t.ctid::text)::point)[0]::int8");
    for (name, is_variable) in columns {
        let _written = write!(sql, ", {}", hashes.of(name));
        if *is_variable {
            let _written = write!(sql, ", pg_column_size(t.{})", ident(name));
        }
    }
    let _written = write!(sql, " FROM ONLY {} AS t", qualified(&facts.table.schema, &facts.table.name));
    if let Some((pages, options)) = drawn {
        let percent = (100.0 * pages / facts.pages).clamp(1e-6, 100.0);
        let _written = write!(sql, " TABLESAMPLE SYSTEM ({percent:.9}) REPEATABLE ({})", options.seed);
    }
    // The number of pages is an estimate, and pages may be fuller than the mean.
    let limit = drawn.map_or(u64::from(u32::MAX), |(_, options)| 2 * u64::from(options.rows));
    let _written = write!(sql, " LIMIT {limit}");
    sql
}

impl Sample {
    /// Puts what the sample shows in place of what the statistics say.
    pub(super) fn correct(&self, facts: &mut TableFacts) {
        let seen = |name: &str| self.columns.iter().find(|column| column.name == name);
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        if self.pages >= self.all_pages {
            #[expect(clippy::cast_precision_loss, reason = "a sample has few rows")]
            let rows = self.page_of.len() as f64;
            facts.rows = rows;
        }
        for name in names {
            let (Some(column), Some(distinct)) = (seen(&name), self.distinct(facts, &[&name])) else {
                continue;
            };
            let Some(known) = facts.columns.iter_mut().find(|known| known.name == name) else { continue };
            // What ANALYZE saw was there, if only among other rows.
            let was_seen = known.most_common.len();
            #[expect(clippy::cast_precision_loss, reason = "a list of common values is short")]
            let at_least = was_seen as f64;
            known.distinct = Distinct { count: distinct.count.max(at_least), ..distinct };
            let values: u32 = column.widths.iter().map(|(_, count)| *count).sum();
            if values > 0 {
                known.widths_seen = f64::from(values);
                let of_all = |count: u32| f64::from(count) / f64::from(values);
                known.average_bytes =
                    column.widths.iter().map(|(width, count)| f64::from(*width) * of_all(*count)).sum();
                known.widths =
                    Some(column.widths.iter().map(|(width, count)| (*width, of_all(*count))).collect());
            }
        }
    }

    /// Estimates the distinct tuples of some columns; `None` when one was not sampled.
    pub(super) fn distinct(&self, facts: &TableFacts, columns: &[&str]) -> Option<Distinct> {
        let found: Option<Vec<&Column>> =
            columns.iter().map(|name| self.columns.iter().find(|column| column.name == *name)).collect();
        let found = found?;
        let mut values: Vec<(u64, u32)> = Vec::with_capacity(self.page_of.len());
        for (row, page) in self.page_of.iter().enumerate() {
            let parts = found.iter().map(|column| column.hashes.get(row).copied().flatten());
            if let Some(hash) = combined(parts) {
                values.push((hash, *page));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a sample has few rows")]
        let present = values.len() as f64 / self.page_of.len().max(1) as f64;
        Some(Incidence::of(values, self.pages, self.all_pages, facts.rows * present).estimate())
    }
}

/// Hashes a tuple; `None` when all of it is NULL.
fn combined(parts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let (mut hash, mut has_value) = (0_u64, false);
    for part in parts {
        has_value |= part.is_some();
        hash = (hash.rotate_left(23) ^ part.unwrap_or(0x5bd1_e995)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    has_value.then_some(hash)
}
