//! How many bytes an index takes on disk.
//!
//! `PostgreSQL` since version 13 stores equal keys of most types once, with a
//! list of rows; what takes sizes from hypothetical indexes does not know that,
//! and is up to four times too high. Here the build of a B-tree is followed step
//! by step: tuples with their alignment, posting lists, pages filled to the fill
//! factor, inner levels.

mod groups;
mod pages;
mod tuples;

use veritas_model::Bytes;

use self::{
    groups::End,
    pages::{Items, PAGE},
    tuples::Lean,
};
use crate::{
    index::{IndexSpec, Method},
    table::{ColumnFacts, Distinct, Layout, TableFacts},
};

/// The size of an index that may not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeEstimate {
    /// It is hardly smaller.
    pub low: Bytes,
    /// What to expect.
    pub mean: Bytes,
    /// It is hardly larger: what budgets are kept with.
    pub high: Bytes,
}

/// What is not modelled: rows that died but are not vacuumed, and the error of
/// the number of rows.
const MARGIN: f64 = 0.015;

/// What a hundred values tell of the widths of all of them; it falls with the root of how
/// many were seen.
const WIDTH_MARGIN: f64 = 0.02;
/// It does not fall below this: values that were seen on a page are alike.
const LEAST_WIDTH_MARGIN: f64 = 0.004;

/// Rows that one page of a BRIN summary stands for, in pages of the table
/// (`pages_per_range`).
const BRIN_RANGE: f64 = 128.0;

/// Returns the size of `spec` freshly built on the whole table; `None` when a
/// column is not known, a key is an expression, or the method is not one that we
/// have a model for (B-tree, hash, BRIN).
///
/// Takes some tenths of a millisecond; nothing is asked of a database.
pub fn bytes(spec: &IndexSpec, facts: &TableFacts) -> Option<SizeEstimate> {
    bytes_of_share(spec, facts, 1.0)
}

/// Returns the size of `spec` when it indexes only `share` of the rows (0 to 1):
/// a partial index. `None` as in [`bytes`].
pub fn bytes_of_share(spec: &IndexSpec, facts: &TableFacts, share: f64) -> Option<SizeEstimate> {
    let rows = (facts.rows * share.clamp(0.0, 1.0)).max(0.0);
    match spec.method {
        Method::BTree => btree(spec, facts, rows),
        Method::Hash => hash(spec, facts, rows),
        Method::Brin => brin(spec, facts),
        _ => None,
    }
}

fn columns<'a>(spec: &IndexSpec, facts: &'a TableFacts) -> Option<Vec<&'a ColumnFacts>> {
    if spec.keys.iter().any(|key| key.name().is_none()) {
        return None;
    }
    spec.columns().map(|name| facts.column(name)).collect()
}

fn btree(spec: &IndexSpec, facts: &TableFacts, rows: f64) -> Option<SizeEstimate> {
    let columns = columns(spec, facts)?;
    let (low, mean, high) = range(spec, facts, &columns, rows, (Lean::Low, Lean::High));
    let margin = MARGIN + columns.iter().map(|column| width_margin(column)).fold(0.0, f64::max);
    Some(estimate(low * (1.0 - margin), mean, high * (1.0 + margin) + 1.0))
}

/// Returns the fewest pages, those to expect, and the most.
fn range(
    spec: &IndexSpec,
    facts: &TableFacts,
    columns: &[&ColumnFacts],
    rows: f64,
    leans: (Lean, Lean),
) -> (f64, f64, f64) {
    let pages = |end, lean, is_even| btree_pages(spec, facts, columns, rows, Taken { end, lean, is_even });
    let mean = pages(End::Mean, Lean::Mean, false);
    let keys = &columns[..spec.keys.len()];
    let names: Vec<&str> = keys.iter().map(|column| column.name.as_str()).collect();
    let mut ends = vec![mean];
    if !are_counted(facts, keys, &names) || columns.iter().any(|column| width_is_guessed(column)) {
        ends.extend([pages(End::Low, leans.0, false), pages(End::High, leans.1, false)]);
    }
    if shares_lists(spec, keys) && facts.spread(&names).is_none() {
        ends.extend([pages(End::Low, leans.0, true), pages(End::High, leans.1, true)]);
    }
    // Not monotonous: a few rows more per key may fill a posting list better.
    let least = ends.iter().copied().fold(mean, f64::min);
    (least, mean, ends.iter().copied().fold(mean, f64::max))
}

/// Returns whether equal keys share their place. What `nbtsort.c` asks: every operator
/// class says that equal is identical (`btequalimage`), no included columns, no unique index.
fn shares_lists(spec: &IndexSpec, keys: &[&ColumnFacts]) -> bool {
    spec.deduplicate
        && !spec.unique
        && spec.include.is_empty()
        && keys.iter().all(|column| column.deduplicates)
}

/// Returns by what share of its size an index is not known because it is not known how
/// many of its keys are distinct, and how many rows each has; 0 when that does not matter.
/// `None` as in [`bytes`].
pub fn doubt(spec: &IndexSpec, facts: &TableFacts) -> Option<f64> {
    let columns = columns(spec, facts)?;
    if spec.method != Method::BTree || !shares_lists(spec, &columns[..spec.keys.len()]) {
        return Some(0.0);
    }
    let (low, mean, high) = range(spec, facts, &columns, facts.rows, (Lean::Mean, Lean::Mean));
    Some((high - low) / mean)
}

/// Returns whether nothing is open about how many keys are distinct.
fn are_counted(facts: &TableFacts, keys: &[&ColumnFacts], names: &[&str]) -> bool {
    let is_sure = |distinct: Distinct| {
        let (low, high) = distinct.bounds(facts.rows);
        high - low < 1e-9 * high
    };
    facts.distinct_set(names).is_some_and(is_sure) && keys.iter().all(|column| is_sure(column.distinct))
}

fn width_is_guessed(column: &ColumnFacts) -> bool {
    matches!(column.layout, Layout::Variable { .. }) && column.widths.is_none()
}

/// Returns what the widths of a column leave open.
fn width_margin(column: &ColumnFacts) -> f64 {
    let is_one = |widths: &Vec<(u32, f64)>| widths.iter().any(|(_, share)| *share > 0.98);
    if matches!(column.layout, Layout::Fixed { .. }) || column.widths.as_ref().is_some_and(is_one) {
        return 0.0;
    }
    let seen = column.widths_seen.max(100.0);
    (WIDTH_MARGIN * (100.0 / seen).sqrt()).max(LEAST_WIDTH_MARGIN)
}

/// What is taken of what is not known for sure.
#[derive(Debug, Clone, Copy)]
struct Taken {
    end: End,
    lean: Lean,
    /// Every key of a group has as many rows, where nobody looked; else they fell at random.
    is_even: bool,
}

fn btree_pages(
    spec: &IndexSpec,
    facts: &TableFacts,
    columns: &[&ColumnFacts],
    rows: f64,
    Taken { end, lean, is_even }: Taken,
) -> f64 {
    if rows < 1.0 {
        return 1.0;
    }
    let keys = &columns[..spec.keys.len()];
    let sizes = tuples::sizes(columns, lean);
    let (items, leaves) = if shares_lists(spec, keys) {
        groups::of(facts, keys, rows, end)
            .into_iter()
            .map(|group| if is_even { group.evened() } else { group })
            .map(|group| {
                Items::deduplicated(&group, |width| match width {
                    Some(width) => tuples::sizes_of_width(columns, lean, width),
                    None => sizes.clone(),
                })
            })
            .fold((0.0, 0.0), |(items, leaves), kind| {
                (items + kind.count(), leaves + kind.pages(spec.fillfactor))
            })
    } else {
        let kind = Items::single(&sizes, rows);
        (kind.count(), kind.pages(spec.fillfactor))
    };
    let leaves = leaves.max(1.0).ceil();
    let inner = pages::inner_pages(leaves, pivot_bytes(facts, keys, rows, items, lean));
    // One page of the index says where the root is.
    1.0 + leaves + inner
}

/// Returns the mean bytes of the keys between leaf pages: only as many columns as
/// tell two neighbours apart, and a row's address when all are equal
/// (`_bt_truncate`). Included columns are never in there.
fn pivot_bytes(facts: &TableFacts, keys: &[&ColumnFacts], rows: f64, items: f64, lean: Lean) -> f64 {
    let mut bytes = 0.0;
    let mut told_apart = 0.0_f64;
    for until in 1..=keys.len() {
        let prefix = &keys[..until];
        let share = (groups::keys(facts, prefix, rows) / items.max(1.0)).clamp(told_apart, 1.0);
        bytes += (share - told_apart) * tuples::mean(&tuples::sizes(prefix, lean));
        told_apart = share;
    }
    bytes + (1.0 - told_apart) * (tuples::mean(&tuples::sizes(keys, lean)) + 8.0)
}

/// A hash index: an entry of 8 bytes of header, 4 of hash, aligned, and a
/// pointer; buckets are a power of two or quarter steps of it, filled to 75 %.
fn hash(spec: &IndexSpec, facts: &TableFacts, rows: f64) -> Option<SizeEstimate> {
    columns(spec, facts)?;
    let pages = rows * 20.0 / (f64::from(PAGE) - 40.0);
    Some(estimate(pages, (pages / 0.75).max(4.0), (pages / 0.75 * 1.5).max(6.0)))
}

fn brin(spec: &IndexSpec, facts: &TableFacts) -> Option<SizeEstimate> {
    let columns = columns(spec, facts)?;
    let summary = 16.0 + columns.iter().map(|column| 2.0 * column.average_bytes + 8.0).sum::<f64>();
    let ranges = (facts.pages / BRIN_RANGE).ceil().max(1.0);
    // The metapage, the map of ranges (one page for 1360 of them), the summaries.
    let pages = 1.0 + (ranges / 1_360.0).ceil() + (ranges * summary / 8_000.0).ceil();
    Some(estimate(pages, pages, pages * 1.5 + 1.0))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of pages is finite and not negative; the cast saturates"
)]
fn estimate(low: f64, mean: f64, high: f64) -> SizeEstimate {
    let bytes = |pages: f64| Bytes::new(pages.max(1.0).round() as u64 * u64::from(PAGE));
    let mean = bytes(mean);
    SizeEstimate { low: bytes(low.floor()).min(mean), mean, high: bytes(high.ceil()).max(mean) }
}
