//! A sample by value: a whole table is read once, and of each key that counts are wanted
//! of, the rows of some values are kept, all of them.
//!
//! A sample of rows or pages cannot tell how many values are rare (Charikar et al.,
//! "Towards estimation error guarantees for distinct values", 2000). A sample of values
//! can: a key is kept when the low bits of its hash are zero, so that of `2^bits` keys one
//! is, with each of its rows (Gibbons, "Distinct sampling for highly-accurate answers to
//! distinct values queries", 2001). The server groups what is kept by hash, and tells how
//! many keys have how many rows: a few hundred numbers for each key.

use std::fmt::Write as _;

use veritas_index_advisor::{ColumnFacts, Distinct, DistinctSource, KeysAlike, Layout, Spread, TableFacts};

use super::hash::Hashes;
use crate::session::{Session, SessionError, ident, qualified};

/// How many values of a key are to be kept. The count is off by one in the root of them.
const KEPT: f64 = 24_576.0;
/// How many rows of a key are to be kept at most, where that leaves [`FEWEST`] values.
const KEPT_ROWS: f64 = 500_000.0;
/// Fewer values than this are not enough to speak for the others.
const FEWEST: f64 = 400.0;
/// From here on, numbers of rows that differ by less than a twentieth are told together.
const TOLD_APART: u32 = 64;
/// How many standard deviations chance explains.
const DEVIATIONS: f64 = 3.0;
/// Groups of all keys of a table at most; far more than there are, for a few hundred numbers
/// of rows and widths are told apart.
const MOST_GROUPS: u32 = 100_000;
/// By how many bits the hash of each further column is turned: the low ones decide.
const TURN: usize = 7;

/// What was read of one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    /// One of `2^bits` values was kept.
    bits: u32,
    /// How many values were kept that have about as many rows.
    groups: Vec<KeysAlike>,
    /// The sum of the squares of the numbers of rows.
    squares: f64,
}

/// Reads a table once and keeps values of each of `keys`, in their order.
pub(super) fn read(
    session: &mut Session,
    facts: &TableFacts,
    keys: &[Vec<String>],
) -> Result<Vec<Kept>, SessionError> {
    let hashes = Hashes::read(session, &facts.table)?;
    let bits: Vec<u32> = keys.iter().map(|key| bits_of(facts, key)).collect();
    let mut kept: Vec<Kept> =
        bits.iter().map(|&bits| Kept { bits, groups: Vec::new(), squares: 0.0 }).collect();
    for row in session.query(&text(facts, keys, &bits, &hashes), &[])? {
        let key: i32 = row.get(0);
        let (values, rows, squares): (f64, f64, f64) = (row.get(1), row.get(2), row.get(3));
        let width: Option<i32> = row.get(4);
        if let Some(kept) = usize::try_from(key).ok().and_then(|key| kept.get_mut(key)) {
            let width = width.and_then(|width| u32::try_from(width).ok());
            kept.groups.push(KeysAlike { rows: rows / values, keys: values, width });
            kept.squares += squares;
        }
    }
    Ok(kept)
}

/// Returns how many bits of the hash must be zero, by what is known so far.
fn bits_of(facts: &TableFacts, key: &[String]) -> u32 {
    let rows = facts.rows.max(1.0);
    let names: Vec<&str> = key.iter().map(String::as_str).collect();
    let known = facts.distinct_set(&names).map_or((1.0, rows), |distinct| distinct.bounds(rows));
    let values = (known.0.max(1.0) * known.1.max(1.0)).sqrt();
    let enough = (values / KEPT).log2().floor();
    let few_rows = (rows / KEPT_ROWS).log2().ceil().min((values / FEWEST).log2().floor());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let bits = enough.max(few_rows).clamp(0.0, 20.0) as u32;
    bits
}

/// Writes the statement: names are quoted, numbers are ours. The condition on the table
/// itself comes first, for it spares most rows what follows.
fn text(facts: &TableFacts, keys: &[Vec<String>], bits: &[u32], hashes: &Hashes) -> String {
    let hash_of: Vec<String> = keys.iter().map(|key| hash_of(facts, key, hashes)).collect();
    let mask = |at: usize| (1_u64 << bits[at]) - 1;
    let mut values = String::new();
    let mut any = String::new();
    for (at, hash) in hash_of.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let width = width_of(facts, &keys[at]);
        let _written = write!(values, "{comma}({at}, {hash}, {}::int8, {width})", mask(at));
        let or = if at == 0 { "" } else { " OR " };
        let _written = write!(any, "{or}({hash}) & {} = 0", mask(at));
    }
    format!(
        "SELECT g.key, count(*)::float8, sum(g.times)::float8, sum(g.times::float8 * g.times), g.width
         FROM (SELECT v.key, v.hash, count(*) AS times, min(v.width) AS width
               FROM ONLY {} AS t CROSS JOIN LATERAL (VALUES {values}) AS v(key, hash, mask, width)
               WHERE ({any}) AND v.hash & v.mask = 0
               GROUP BY v.key, v.hash) AS g
         GROUP BY g.key, g.width, CASE WHEN g.times <= {TOLD_APART} THEN g.times
                                       ELSE {TOLD_APART} + floor(20 * ln(g.times))::int8 END
         LIMIT {MOST_GROUPS}",
        qualified(&facts.table.schema, &facts.table.name)
    )
}

/// Writes the width of the one value of a key whose width varies.
fn width_of(facts: &TableFacts, key: &[String]) -> String {
    // A tuple of one short value is aligned to 8 bytes: more is not told apart.
    if let [one] = key
        && facts.column(one).is_some_and(|column| matches!(column.layout, Layout::Variable { .. }))
    {
        let width = format!("pg_column_size(t.{})", ident(one));
        return format!("CASE WHEN {width} <= 120 THEN ({width} + 7) / 8 * 8 ELSE {width} END");
    }
    let is_variable = |column: &&ColumnFacts| matches!(column.layout, Layout::Variable { .. });
    let mut variable = key.iter().filter_map(|name| facts.column(name)).filter(is_variable);
    match (variable.next(), variable.next()) {
        (Some(column), None) => format!("coalesce(pg_column_size(t.{}), 0)", ident(&column.name)),
        _ => "NULL::int4".to_owned(),
    }
}

/// Writes the hash of a tuple: NULL when all of it is.
fn hash_of(facts: &TableFacts, key: &[String], hashes: &Hashes) -> String {
    if let [one] = key {
        return hashes.of(one);
    }
    let parts = key.iter().enumerate().map(|(at, name)| match at {
        0 => format!("coalesce({}, 1)", hashes.of(name)),
        _ => format!("(coalesce({}, {}) >> {})", hashes.of(name), at + 1, (at * TURN) % 61),
    });
    let mixed = parts.collect::<Vec<_>>().join(" # ");
    let is_nullable = |name: &String| facts.column(name).is_none_or(|column| column.null_share > 0.0);
    if !key.iter().all(is_nullable) {
        return format!("({mixed})");
    }
    let nulls = key.iter().map(|name| format!("t.{}", ident(name))).collect::<Vec<_>>();
    format!("CASE WHEN num_nonnulls({}) > 0 THEN {mixed} END", nulls.join(", "))
}

impl Kept {
    /// Returns how many values there are, and how many rows each has, in a table with
    /// `present` rows that have a value; `None` when nothing was kept.
    ///
    /// A value stands for `2^bits`, and a little more or less by its rows, so that those
    /// of all values together are the rows that there are: the regression estimator of
    /// survey sampling (Särndal, Swensson, Wretman, "Model assisted survey sampling",
    /// 1992, 6.4). Where each value has as many rows, the count is exact; where few
    /// values have most of the rows, nothing is gained. When more rows are missing than
    /// the values that were kept explain, there is a value with many rows among the others.
    pub(super) fn told(&self, columns: &[String], present: f64) -> Option<(Distinct, Spread)> {
        let values: f64 = self.groups.iter().map(|alike| alike.keys).sum();
        let rows: f64 = self.groups.iter().map(|alike| alike.rows * alike.keys).sum();
        if values < 1.0 {
            return None;
        }
        let columns = columns.to_vec();
        if self.bits == 0 {
            return Some((Distinct::exact(values), Spread { columns, keys: self.groups.clone() }));
        }
        let each = 2_f64.powi(i32::try_from(self.bits).unwrap_or(0));
        let left_out = 1.0 - 1.0 / each;
        let missing = present - each * rows;
        let explained = missing.abs() <= DEVIATIONS * each * (left_out * self.squares).sqrt();
        let slope = if explained { missing / (each * self.squares) } else { 0.0 };
        // A value stands for itself at least.
        let stands_for = |times: f64| (each * (1.0 + slope * times)).max(1.0);
        let mut keys: Vec<KeysAlike> = self
            .groups
            .iter()
            .map(|alike| KeysAlike { keys: alike.keys * stands_for(alike.rows), ..*alike })
            .collect();
        let count: f64 = keys.iter().map(|alike| alike.keys).sum();
        if !explained && missing >= 1.0 {
            keys.push(KeysAlike { rows: missing, keys: 1.0, width: None });
        }
        let by_rows = if explained { rows * rows / (values * self.squares) } else { 0.0 };
        let error = (left_out * (1.0 - by_rows.clamp(0.0, 1.0)) / values).sqrt();
        let distinct =
            Distinct { count: count.clamp(1.0, present.max(1.0)), source: DistinctSource::Sketch { error } };
        Some((distinct, Spread { columns, keys }))
    }
}

/// Returns the rows of a table of which not all of these columns are NULL, as if NULLs
/// were independent.
pub(super) fn present(facts: &TableFacts, columns: &[String]) -> f64 {
    let nulls: f64 = columns
        .iter()
        .map(|name| facts.column(name).map_or(0.0, |column| column.null_share.clamp(0.0, 1.0)))
        .product();
    facts.rows * (1.0 - nulls)
}
