//! Indexes that are tried away from the primary: partial, on an expression, BRIN.

use super::Options;
use crate::{
    index::{IndexSpec, Key, Method},
    table::TableFacts,
    workload::Scan,
};

/// Returns them for one scan.
pub(super) fn of(scan: &Scan, facts: &TableFacts, options: &Options) -> Vec<IndexSpec> {
    let mut found = Vec::new();
    for condition in &scan.expressions {
        let mut spec = IndexSpec::btree(facts.table.clone(), vec![Key::expression(&condition.sql)]);
        if condition.equality {
            // The range or order behind it is served too.
            let next = scan.ranges.first().map(|range| Key::column(&range.column));
            spec.keys.extend(next.or_else(|| scan.order.first().cloned()));
        }
        found.push(spec);
    }
    for fixed in &scan.fixed {
        let is_worth = fixed.selectivity <= options.most_partial
            && fixed.share_of_executions >= options.least_executions;
        if is_worth {
            found.extend(partial(scan, facts, fixed.sql.clone(), &fixed.columns, options));
        }
    }
    for range in &scan.ranges {
        let follows = facts
            .column(&range.column)
            .and_then(|column| column.correlation)
            .is_some_and(|correlation| correlation.abs() >= options.least_correlation);
        if follows && facts.pages >= options.least_brin_pages {
            let mut spec = IndexSpec::on(facts.table.clone(), [range.column.as_str()]);
            spec.method = Method::Brin;
            found.push(spec);
        }
    }
    found.retain(|spec| !facts.existing.iter().any(|index| index.spec == *spec));
    found
}

/// Returns the partial index: what the predicate fixes needs no key.
fn partial(
    scan: &Scan,
    facts: &TableFacts,
    predicate: String,
    fixed: &[String],
    options: &Options,
) -> Option<IndexSpec> {
    let can = |name: &str| facts.column(name).is_some_and(|column| column.has_btree);
    let mut keys: Vec<Key> = Vec::new();
    let compared = scan.equalities.iter().chain(&scan.joins).chain(scan.ranges.iter().take(1));
    for condition in compared.filter(|condition| can(&condition.column) && !fixed.contains(&condition.column))
    {
        keys.push(Key::column(&condition.column));
    }
    keys.extend(scan.order.iter().cloned());
    let mut distinct: Vec<Key> = Vec::new();
    for key in keys {
        if !distinct.iter().any(|other| other.part == key.part) {
            distinct.push(key);
        }
    }
    distinct.truncate(options.most_keys);
    if distinct.is_empty() {
        // Nothing but the predicate: the rows themselves are what is looked up.
        distinct.extend(fixed.iter().find(|name| can(name)).map(Key::column));
    }
    (!distinct.is_empty())
        .then(|| IndexSpec { predicate: Some(predicate), ..IndexSpec::btree(facts.table.clone(), distinct) })
}
