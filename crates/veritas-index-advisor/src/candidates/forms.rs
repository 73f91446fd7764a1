//! The forms of index that serve one scan.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use crate::{
    index::{IndexSpec, Key},
    table::TableFacts,
    workload::{Condition, Scan},
};

/// In which order columns that are all compared by `=` come: those that more of
/// the workload's scans compare come first, so that indexes begin alike.
#[derive(Debug)]
pub(super) struct Preference {
    weights: BTreeMap<String, f64>,
}

impl Preference {
    /// Counts over all scans of one table.
    pub(super) fn of(scans: &[&Scan]) -> Self {
        let mut weights: BTreeMap<String, f64> = BTreeMap::new();
        for scan in scans {
            let columns: BTreeSet<&str> = scan
                .equalities
                .iter()
                .chain(&scan.joins)
                .map(|condition| condition.column.as_str())
                .collect();
            for column in columns {
                *weights.entry(column.to_owned()).or_default() += scan.weight.max(0.0);
            }
        }
        Self { weights }
    }

    /// Sorts by weight, then by how few rows a value keeps, then by name.
    fn sort(&self, conditions: &mut Vec<&Condition>) {
        let weight = |condition: &Condition| self.weights.get(&condition.column).copied().unwrap_or_default();
        conditions.sort_by(|a, b| {
            weight(b)
                .total_cmp(&weight(a))
                .then(a.selectivity.total_cmp(&b.selectivity))
                .then_with(|| a.column.cmp(&b.column))
        });
        conditions.dedup_by(|a, b| a.column == b.column);
    }
}

/// Returns the B-trees that can serve a scan.
pub(super) fn of(
    scan: &Scan,
    facts: &TableFacts,
    order: &Preference,
    options: &Options,
) -> BTreeSet<IndexSpec> {
    let can = |name: &str| facts.column(name).is_some_and(|column| column.has_btree);
    let usable = |conditions: &'_ [Condition]| -> Vec<Condition> {
        conditions.iter().filter(|condition| can(&condition.column)).cloned().collect()
    };
    let (equal, ranges, joins) = (usable(&scan.equalities), usable(&scan.ranges), usable(&scan.joins));
    let mut keys: BTreeSet<Vec<Key>> = BTreeSet::new();

    let mut equalities: Vec<&Condition> = equal.iter().collect();
    order.sort(&mut equalities);
    let mut by_rows: Vec<&Condition> = equal.iter().collect();
    by_rows.sort_by(|a, b| a.selectivity.total_cmp(&b.selectivity).then_with(|| a.column.cmp(&b.column)));
    by_rows.dedup_by(|a, b| a.column == b.column);

    for equal in [&equalities, &by_rows] {
        let prefix: Vec<&str> = equal.iter().map(|condition| condition.column.as_str()).collect();
        heads(&mut keys, &prefix, scan, &ranges, options);
    }
    // Each join by itself: a look-up, alone, with what the scan compares besides,
    // and with several columns of one join.
    for join in &joins {
        let mut prefix = vec![join.column.as_str()];
        heads(&mut keys, &prefix, scan, &ranges, options);
        prefix.extend(equalities.iter().map(|condition| condition.column.as_str()));
        heads(&mut keys, &distinct(&prefix), scan, &ranges, options);
        let mut after: Vec<&str> = equalities.iter().map(|condition| condition.column.as_str()).collect();
        after.push(&join.column);
        heads(&mut keys, &distinct(&after), scan, &ranges, options);
        for range in &ranges {
            insert(&mut keys, &distinct(&[&range.column, &join.column]), &[], options);
        }
        for other in joins.iter().filter(|other| other.column != join.column) {
            insert(&mut keys, &[&join.column, &other.column], &[], options);
        }
    }
    // What is not selective alone may still be the only one that fits.
    for condition in equal.iter().chain(&ranges) {
        insert(&mut keys, &[&condition.column], &[], options);
    }
    let mut found: BTreeSet<IndexSpec> = BTreeSet::new();
    for keys in keys {
        let plain = IndexSpec::btree(facts.table.clone(), keys);
        if let Some(covering) = covering(scan, facts, &plain, options) {
            found.insert(covering);
        }
        found.insert(plain);
    }
    found.extend(narrow_table(scan, facts, options));
    found.retain(|spec| !spec.keys.is_empty());
    found
}

/// Adds the prefix with nothing, a range, the wanted order, and the group behind it.
fn heads(
    keys: &mut BTreeSet<Vec<Key>>,
    prefix: &[&str],
    scan: &Scan,
    ranges: &[Condition],
    options: &Options,
) {
    insert(keys, prefix, &[], options);
    for range in ranges {
        insert(keys, prefix, &[Key::column(&range.column)], options);
    }
    for pattern in &scan.prefixes {
        let opclass = Some(pattern.opclass.clone());
        insert(keys, prefix, &[Key { opclass, ..Key::column(&pattern.column) }], options);
    }
    // Equal columns need no place in the order.
    let order: Vec<Key> = scan
        .order
        .iter()
        .filter(|key| key.name().is_none_or(|name| !prefix.contains(&name)))
        .cloned()
        .collect();
    insert(keys, prefix, &forward(order), options);
    let group: Vec<Key> = scan.group.iter().map(Key::column).collect();
    insert(keys, prefix, &group, options);
}

fn insert(keys: &mut BTreeSet<Vec<Key>>, prefix: &[&str], tail: &[Key], options: &Options) {
    let mut all: Vec<Key> = prefix.iter().copied().map(Key::column).collect();
    for key in tail {
        if !all.iter().any(|other| other.part == key.part) {
            all.push(key.clone());
        }
    }
    all.truncate(options.most_keys);
    if !all.is_empty() {
        keys.insert(all);
    }
}

/// Turns an order around when all of it runs down: a B-tree is read both ways,
/// only mixed directions need an index of their own.
fn forward(order: Vec<Key>) -> Vec<Key> {
    if order.iter().all(|key| key.descending && key.nulls_first) {
        order.into_iter().map(|key| Key { descending: false, nulls_first: false, ..key }).collect()
    } else {
        order
    }
}

fn distinct<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.iter().copied().filter(|name| seen.insert(*name)).collect()
}

/// Returns the index that also carries everything that the statement needs.
fn covering(scan: &Scan, facts: &TableFacts, plain: &IndexSpec, options: &Options) -> Option<IndexSpec> {
    let needed = scan.needed.as_ref()?;
    let include: BTreeSet<&str> = needed
        .iter()
        .map(String::as_str)
        .filter(|name| !plain.key_columns().any(|key| key == *name))
        .collect();
    // A column that updates set costs their heap-only updates: not for carrying.
    let is_updated = |name: &&str| {
        facts.writes.updates.iter().any(|update| {
            update.hot_share > 0.5 && update.rows > 0.0 && update.columns.iter().any(|column| column == *name)
        })
    };
    let fits = !include.is_empty()
        && include.len() <= options.most_include
        && facts.all_visible_share >= options.least_visible
        && include.iter().all(|name| facts.column(name).is_some())
        && !include.iter().any(is_updated);
    fits.then(|| plain.clone().including(include))
}

/// Returns an index that only stands for a narrower table: for scans that read
/// much but need few columns.
fn narrow_table(scan: &Scan, facts: &TableFacts, options: &Options) -> Option<IndexSpec> {
    let needed = scan.needed.as_ref()?;
    let total: f64 = facts.columns.iter().map(|column| column.average_bytes).sum();
    let kept: f64 =
        needed.iter().filter_map(|name| facts.column(name)).map(|column| column.average_bytes).sum();
    let first = needed.iter().find(|name| facts.column(name).is_some_and(|column| column.has_btree))?;
    let is_narrow = kept + 16.0 < total / 2.0
        && needed.len() <= options.most_include + 1
        && facts.all_visible_share >= options.least_visible
        && scan.equalities.is_empty()
        && scan.ranges.is_empty();
    let plain = IndexSpec::on(facts.table.clone(), [first.as_str()]);
    is_narrow.then(|| covering(scan, facts, &plain, options).unwrap_or(plain))
}
