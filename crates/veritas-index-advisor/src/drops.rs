//! Which existing indexes can go, by rules: duplicates, those that another one
//! covers, those that nothing reads, and leftovers of failed builds.
//!
//! What a rule says is a proposal: whoever drops keeps the statement that makes
//! the index again.

use std::time::Duration;

use crate::{
    advice::{DropReason, Dropped},
    index::{ExistingIndex, IndexSpec, Key, Method},
    table::TableFacts,
};

/// What must hold before disuse counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long an index must have been watched.
    pub window: Duration,
    /// The most scans within that time that still count as disuse.
    pub most_scans: u64,
}

impl Default for Options {
    /// Seven days without a scan.
    fn default() -> Self {
        Self { window: Duration::from_hours(7 * 24), most_scans: 0 }
    }
}

/// Returns the indexes that can go, at most one reason each; a reason never
/// rests on an index that is itself in the answer.
///
/// Nothing that is unique, carries a constraint, or is protected otherwise is in
/// it, whatever else holds; only an invalid index is, when nothing but its
/// uniqueness protects it, for it enforces nothing.
pub fn of(facts: &[TableFacts], options: &Options) -> Vec<Dropped> {
    facts.iter().flat_map(|table| of_table(table, options)).collect()
}

fn of_table(table: &TableFacts, options: &Options) -> Vec<Dropped> {
    let mut reasons: Vec<Option<DropReason>> = vec![None; table.existing.len()];
    for (at, index) in table.existing.iter().enumerate() {
        if !index.valid && index.protections.is_empty() {
            reasons[at] = Some(DropReason::Invalid);
        }
    }
    // The one that stays among equals: protected, then most read, then by name.
    let mut order: Vec<usize> = (0..table.existing.len()).collect();
    order.sort_by(|&a, &b| precedence(&table.existing[a]).cmp(&precedence(&table.existing[b])));
    for (place, &at) in order.iter().enumerate() {
        let index = &table.existing[at];
        if index.is_protected() || reasons[at].is_some() {
            continue;
        }
        reasons[at] = order[..place]
            .iter()
            .filter(|&&other| reasons[other].is_none() && table.existing[other].valid)
            .find(|&&other| is_duplicate(&index.spec, &table.existing[other].spec))
            .map(|&other| DropReason::Duplicate { of: table.existing[other].name.clone() });
    }
    // Longer ones first, so that a chain of prefixes ends at the longest.
    order.sort_by_key(|&at| std::cmp::Reverse(table.existing[at].spec.keys.len()));
    for &at in order.iter().rev() {
        let index = &table.existing[at];
        if index.is_protected() || reasons[at].is_some() {
            continue;
        }
        let covering = order
            .iter()
            .filter(|&&other| other != at && reasons[other].is_none() && table.existing[other].valid)
            .filter(|&&other| {
                !is_unused(&table.existing[other], options) || table.existing[other].is_protected()
            })
            .find(|&&other| covers(&table.existing[other].spec, &index.spec));
        if let Some(&other) = covering {
            reasons[at] = Some(DropReason::Covered { by: table.existing[other].name.clone() });
        } else if is_unused(index, options) {
            reasons[at] = Some(DropReason::Unused);
        }
    }
    table
        .existing
        .iter()
        .zip(reasons)
        .filter_map(|(index, reason)| {
            Some(Dropped {
                table: table.table.clone(),
                name: index.name.clone(),
                bytes: index.bytes,
                reason: reason?,
            })
        })
        .collect()
}

fn precedence(index: &ExistingIndex) -> (bool, std::cmp::Reverse<u64>, &str) {
    let scans = index.usage.map_or(0, |usage| usage.scans);
    (!index.is_protected(), std::cmp::Reverse(scans), &index.name)
}

fn is_unused(index: &ExistingIndex, options: &Options) -> bool {
    index.usage.is_some_and(|usage| {
        usage.replicas_asked && usage.window >= options.window && usage.scans <= options.most_scans
    })
}

/// Returns whether two indexes hold the same keys in the same order, carry the
/// same columns and index the same rows. Uniqueness is not asked: the unique one
/// stays. How full pages are does not matter either.
fn is_duplicate(index: &IndexSpec, other: &IndexSpec) -> bool {
    index.method == other.method
        && index.keys.len() == other.keys.len()
        && index.predicate == other.predicate
        && same_direction(&index.keys, &other.keys)
        && index.include.iter().all(|column| other.include.contains(column))
        && other.include.len() == index.include.len()
}

/// Returns whether `wide` serves every read that `narrow` serves: its first keys
/// are the same, read forward or backward, and what `narrow` carries it has too.
///
/// ```
/// use veritas_index_advisor::{drops, IndexSpec, Key, TableId};
///
/// let on = |columns: &[&str]| IndexSpec::on(TableId::new("public", "t"), columns.iter().copied());
/// assert!(drops::covers(&on(&["a", "b"]), &on(&["a"])));
/// assert!(!drops::covers(&on(&["a", "b"]), &on(&["b"])));
/// ```
pub fn covers(wide: &IndexSpec, narrow: &IndexSpec) -> bool {
    wide.method == Method::BTree
        && narrow.method == Method::BTree
        && wide.table == narrow.table
        && wide.predicate == narrow.predicate
        && wide.keys.len() >= narrow.keys.len()
        && same_direction(&narrow.keys, &wide.keys[..narrow.keys.len()])
        && narrow.include.iter().all(|column| wide.columns().any(|held| held == column))
}

/// Returns whether keys are the same one by one, all as they are or all mirrored.
fn same_direction(keys: &[Key], others: &[Key]) -> bool {
    let pairs = || keys.iter().zip(others);
    pairs().all(|(a, b)| a.is_same_value(b))
        && (pairs().all(|(a, b)| a.descending == b.descending && a.nulls_first == b.nulls_first)
            || pairs().all(|(a, b)| a.descending != b.descending && a.nulls_first != b.nulls_first))
}
