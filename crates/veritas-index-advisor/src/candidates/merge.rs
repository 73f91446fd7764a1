//! One index in place of two: what begins with the keys of one and goes on with
//! those of the other, and what carries the columns of both.

use std::collections::BTreeMap;

use super::Options;
use crate::{index::IndexSpec, table::TableFacts};

/// The most indexes of one table that are paired; the heaviest.
const PAIRED: usize = 24;

/// Returns merged indexes with the weight of the lighter one.
pub(super) fn of(
    weights: &BTreeMap<IndexSpec, f64>,
    facts: &TableFacts,
    options: &Options,
) -> Vec<(IndexSpec, f64)> {
    let mut mine: Vec<(&IndexSpec, f64)> = weights
        .iter()
        .filter(|(spec, _)| spec.table == facts.table)
        .map(|(spec, weight)| (spec, *weight))
        .collect();
    mine.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    mine.truncate(PAIRED);
    let mut merged = Vec::new();
    for (one, one_weight) in &mine {
        for (other, other_weight) in &mine {
            if let Some(spec) = (one != other).then(|| pair(one, other, options)).flatten() {
                merged.push((spec, one_weight.min(*other_weight)));
            }
        }
    }
    merged
}

/// Returns the index that serves both: when the keys of `short` begin `long`'s,
/// `long` carrying what either carries.
fn pair(long: &IndexSpec, short: &IndexSpec, options: &Options) -> Option<IndexSpec> {
    let begins = short.keys.len() <= long.keys.len() && long.keys[..short.keys.len()] == short.keys[..];
    if !begins || short.include.is_empty() {
        return None;
    }
    let mut include: Vec<&str> = long.include.iter().chain(&short.include).map(String::as_str).collect();
    include.retain(|column| !long.key_columns().any(|key| key == *column));
    include.sort_unstable();
    include.dedup();
    let is_new = include.len() > long.include.len();
    (is_new && include.len() <= options.most_include).then(|| long.clone().including(include))
}
