//! Which indexes are worth asking about: from how plans read their tables, not
//! from every permutation of columns.
//!
//! A B-tree serves a scan by equal columns first, in any order among them, then
//! one range or the wanted order, then columns that are only carried along. The
//! freedom in the order of the equal columns is used to make one index serve
//! several statements (partial orders, as in Meta's AIM, ICDE 2023).

mod forms;
mod merge;
mod special;

use std::collections::BTreeMap;

use crate::{
    index::IndexSpec,
    table::{TableFacts, TableId},
    workload::Scan,
};

/// Bounds on what is proposed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The most keys of an index.
    pub most_keys: usize,
    /// The most columns that an index carries along.
    pub most_include: usize,
    /// The most candidates in all; those of the heaviest scans are kept.
    pub most: usize,
    /// The least share of all-visible pages for an index that is meant to be read
    /// without its table (0 to 1).
    pub least_visible: f64,
    /// The largest share of rows that a partial index may hold (0 to 1).
    pub most_partial: f64,
    /// The least share of executions that must carry the constant of a partial
    /// index (0 to 1).
    pub least_executions: f64,
    /// The least correlation, either way, of a BRIN index.
    pub least_correlation: f64,
    /// The least number of pages for a BRIN index.
    pub least_brin_pages: f64,
}

impl Default for Options {
    /// Four keys, eight carried columns, 200 candidates.
    fn default() -> Self {
        Self {
            most_keys: 4,
            most_include: 8,
            most: 200,
            least_visible: 0.5,
            most_partial: 0.2,
            least_executions: 0.95,
            least_correlation: 0.95,
            least_brin_pages: 10_000.0,
        }
    }
}

/// Returns the indexes to ask about, those of the heaviest scans first; those
/// that must be tried [elsewhere](IndexSpec::is_elsewhere) (partial, expression,
/// BRIN) come last.
///
/// Nothing that a table has already, or whose reads an index of it serves as
/// well, is in it, nor a column whose type no B-tree holds.
pub fn of(scans: &[Scan], facts: &[TableFacts], options: &Options) -> Vec<IndexSpec> {
    let mut weights: BTreeMap<IndexSpec, f64> = BTreeMap::new();
    let by_table = by_table(scans, facts);
    for (facts, scans) in &by_table {
        let order = forms::Preference::of(scans);
        for scan in scans {
            for spec in forms::of(scan, facts, &order, options) {
                *weights.entry(spec).or_default() += scan.weight.max(0.0);
            }
        }
        for (spec, weight) in merge::of(&weights, facts, options) {
            weights.entry(spec).or_insert(weight);
        }
    }
    weights.retain(|spec, _| {
        by_table.iter().any(|(facts, _)| facts.table == spec.table && !is_served(spec, facts))
    });
    let mut found = heaviest(weights, options.most);
    let mut elsewhere: BTreeMap<IndexSpec, f64> = BTreeMap::new();
    for (facts, scans) in &by_table {
        for scan in scans {
            for spec in special::of(scan, facts, options) {
                *elsewhere.entry(spec).or_default() += scan.weight.max(0.0);
            }
        }
    }
    let left = options.most.saturating_sub(found.len());
    found.extend(heaviest(elsewhere, left));
    found
}

fn by_table<'a>(scans: &'a [Scan], facts: &'a [TableFacts]) -> Vec<(&'a TableFacts, Vec<&'a Scan>)> {
    let mut tables: BTreeMap<&TableId, Vec<&Scan>> = BTreeMap::new();
    for scan in scans {
        tables.entry(&scan.table).or_default().push(scan);
    }
    tables
        .into_iter()
        .filter_map(|(table, scans)| Some((facts.iter().find(|facts| facts.table == *table)?, scans)))
        .collect()
}

/// Returns the heaviest of each table in turn, so that the large tables do not
/// crowd out the small ones, whose indexes cost next to nothing. Those of one
/// column come first: a search begins with them.
fn heaviest(weights: BTreeMap<IndexSpec, f64>, most: usize) -> Vec<IndexSpec> {
    let mut found: Vec<(IndexSpec, f64)> = weights.into_iter().collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut last: BTreeMap<TableId, u32> = BTreeMap::new();
    let mut placed: Vec<(bool, u32, IndexSpec)> = found
        .into_iter()
        .map(|(spec, _)| {
            let is_simple = spec.keys.len() == 1 && spec.include.is_empty();
            let place = last.entry(spec.table.clone()).or_default();
            *place += 1;
            (!is_simple, *place, spec)
        })
        .collect();
    placed.sort_by_key(|(is_compound, place, _)| (*is_compound, *place));
    placed.truncate(most);
    placed.into_iter().map(|(_, _, spec)| spec).collect()
}

/// Returns whether an index that the table has serves every read of `spec`.
fn is_served(spec: &IndexSpec, facts: &TableFacts) -> bool {
    facts.existing.iter().any(|index| index.valid && crate::drops::covers(&index.spec, spec))
}
