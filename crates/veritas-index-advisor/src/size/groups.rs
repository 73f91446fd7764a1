//! How rows are spread over distinct keys: what decides how well a B-tree
//! deduplicates.

use std::collections::BTreeMap;

use crate::table::{ColumnFacts, Distinct, Spread, TableFacts};

/// Rows that share keys.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    /// Rows in all.
    pub(super) rows: f64,
    /// Distinct keys in all, at least 1 and at most `rows`.
    pub(super) keys: f64,
    /// How often keys occur, and how wide they are; `None` when the rows fell on the keys at
    /// random.
    pub(super) kinds: Option<Vec<Alike>>,
}

/// Keys of a group that occur equally often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Alike {
    /// The rows of each.
    pub(super) times: u32,
    /// Their share of the group's keys.
    pub(super) share: f64,
    /// The width of the value in the one column whose widths vary.
    pub(super) width: Option<u32>,
}

impl Group {
    /// Returns the same group with as many rows for each key, unless it is known how many.
    pub(super) fn evened(self) -> Self {
        if self.kinds.is_some() || self.keys <= 1.5 {
            return self;
        }
        let mean = (self.rows / self.keys).clamp(1.0, 4e9);
        let part = mean.fract();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
        let times = mean as u32;
        let kinds = vec![
            Alike { times, share: 1.0 - part, width: None },
            Alike { times: times + 1, share: part, width: None },
        ];
        Self { kinds: Some(kinds), ..self }
    }

    /// Returns a group whose rows fell on its keys at random.
    pub(super) const fn random(rows: f64, keys: f64) -> Self {
        Self { rows, keys, kinds: None }
    }
}

/// Which end of what is known of distinct counts to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Low,
    Mean,
    High,
}

/// Possible keys, and the rows that fell on them at random.
#[derive(Debug, Clone, Copy)]
struct Cells {
    rows: f64,
    cells: f64,
}

/// How near a number of cells is searched for.
const NEAR: f64 = 1e-7;

/// How many kinds of cells are told apart while columns are combined.
const KINDS: usize = 40;

/// Returns how the rows of a table are spread over the distinct tuples of
/// `columns`.
///
/// As it was looked at, where it was ([`Spread`]). Else, one column: each most common
/// value and NULL by itself, the others evenly. Several: as if independent, then thinned
/// out or spread so that the number of distinct tuples is the known one, if it is known.
pub(super) fn of(facts: &TableFacts, columns: &[&ColumnFacts], rows: f64, end: End) -> Vec<Group> {
    let rows = rows.max(1.0);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    if let (Some(spread), Some(known)) = (facts.spread(&names), facts.distinct_set(&names)) {
        let has_nulls = columns.iter().all(|column| column.null_share > 0.0);
        return looked_at(spread, known, facts.rows, rows, end, has_nulls);
    }
    if let [column] = columns {
        return of_one(column, rows, pick(column.distinct, rows, end));
    }
    let mut cells = vec![Cells { rows, cells: 1.0 }];
    let mut at_least: f64 = 1.0;
    let mut at_most: f64 = 1.0;
    for column in columns {
        let count = pick(column.distinct, rows, end);
        at_least = at_least.max(count);
        // NULL is a key too.
        at_most *= count + 1.0;
        cells = combined(&cells, &cells_of(column, rows, count), rows);
    }
    let wanted = match facts.distinct_set(&names) {
        Some(known) => pick(known, rows, end).max(at_least),
        // A set that these columns contain has no more tuples than they have; one
        // that contains these has no fewer.
        None => known_subset(facts, &names, rows, end)
            .max(at_least)
            .max(match end {
                // Columns may determine each other.
                End::Low => 1.0,
                End::Mean => occupied(&cells, 1.0),
                // Or avoid each other, as the lines of an order do.
                End::High => at_most,
            })
            .min(known_superset(facts, &names, rows, end)),
    };
    spread(&cells, wanted.clamp(1.0, rows))
}

/// Returns the groups of a spread that was looked at, thinned out to `rows` of the
/// table's rows.
fn looked_at(
    spread: &Spread,
    known: Distinct,
    rows_of_table: f64,
    rows: f64,
    end: End,
    has_nulls: bool,
) -> Vec<Group> {
    let share = (rows / rows_of_table.max(1.0)).clamp(0.0, 1.0);
    let more_keys = pick(known, rows_of_table.max(1.0), end) / known.count.max(1.0);
    let mut groups = Vec::new();
    let present: f64 = spread.keys.iter().map(|alike| alike.rows * alike.keys).sum();
    let nulls = (rows_of_table - present) * share;
    if has_nulls && nulls >= 1.0 {
        groups.push(Group::random(nulls, 1.0));
    }
    let (mut keys_in_all, mut rows_in_all) = (0.0, 0.0);
    let mut keys_of: BTreeMap<(u32, Option<u32>), f64> = BTreeMap::new();
    for alike in &spread.keys {
        let (times, keys) = ((alike.rows / more_keys).max(1.0), alike.keys * more_keys);
        // Keys none of whose rows are taken are not in the index.
        let kept = if share < 1.0 { 1.0 - (1.0 - share).powf(times) } else { 1.0 };
        if kept <= 0.0 {
            continue;
        }
        let (times, keys) = ((times * share / kept).clamp(1.0, 4e9), keys * kept);
        let part = times.fract();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
        let whole = times as u32;
        *keys_of.entry((whole, alike.width)).or_default() += keys * (1.0 - part);
        if part > 0.0 {
            *keys_of.entry((whole + 1, alike.width)).or_default() += keys * part;
        }
        keys_in_all += keys;
        rows_in_all += times * keys;
    }
    if keys_in_all > 0.0 {
        let kinds = keys_of
            .into_iter()
            .map(|((times, width), keys)| Alike { times, share: keys / keys_in_all, width })
            .collect();
        groups.push(Group { rows: rows_in_all, keys: keys_in_all, kinds: Some(kinds) });
    }
    groups
}

fn pick(distinct: Distinct, rows: f64, end: End) -> f64 {
    let (low, high) = distinct.bounds(rows);
    match end {
        End::Low => low,
        End::Mean => distinct.count.clamp(1.0, rows),
        End::High => high,
    }
}

fn known_subset(facts: &TableFacts, names: &[&str], rows: f64, end: End) -> f64 {
    facts
        .distinct_sets
        .iter()
        .filter(|set| set.columns.iter().all(|column| names.contains(&column.as_str())))
        .map(|set| pick(set.distinct, rows, end))
        .fold(1.0, f64::max)
}

fn known_superset(facts: &TableFacts, names: &[&str], rows: f64, end: End) -> f64 {
    facts
        .distinct_sets
        .iter()
        .filter(|set| names.iter().all(|name| set.columns.iter().any(|column| column == name)))
        .map(|set| pick(set.distinct, rows, end))
        .fold(rows, f64::min)
}

fn of_one(column: &ColumnFacts, rows: f64, count: f64) -> Vec<Group> {
    let (mut groups, rest, keys) = parts(column, rows, count);
    if rest >= 1.0 {
        groups.push(Group::random(rest, keys.clamp(1.0, rest)));
    }
    groups
}

/// Returns NULL and the common values, the rows that are left, and their keys.
fn parts(column: &ColumnFacts, rows: f64, count: f64) -> (Vec<Group>, f64, f64) {
    let mut groups = Vec::new();
    let mut rest = rows;
    let shares = std::iter::once(&column.null_share).chain(&column.most_common);
    for share in shares {
        let here = (rows * share).min(rest);
        if here >= 1.0 {
            groups.push(Group::random(here, 1.0));
            rest -= here;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a list of common values is short")]
    let common = column.most_common.len() as f64;
    // A list of common values that holds all of them leaves rounding only.
    let keys = count - common;
    if keys < 0.5 && rest < 0.02 * rows && !groups.is_empty() {
        let scale = rows / (rows - rest);
        for group in &mut groups {
            group.rows *= scale;
        }
        rest = 0.0;
    }
    (groups, rest, keys.max(1.0))
}

fn cells_of(column: &ColumnFacts, rows: f64, count: f64) -> Vec<Cells> {
    let (groups, rest, keys) = parts(column, rows, count);
    let mut cells: Vec<Cells> = groups.iter().map(|group| Cells { rows: group.rows, cells: 1.0 }).collect();
    if rest >= 1.0 {
        cells.push(Cells { rows: rest, cells: possible(rest, keys.clamp(1.0, rest)) });
    }
    compact(cells)
}

/// Returns how many cells leave `occupied` of them occupied when `rows` fall at random.
fn possible(rows: f64, occupied: f64) -> f64 {
    let (mut low, mut high) = (occupied, rows.max(occupied) * 1_000.0);
    while high > low * (1.0 + NEAR) {
        let middle = (low * high).sqrt();
        if filled(middle, rows) < occupied {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Returns how many of `cells` are hit when `rows` fall at random.
fn filled(cells: f64, rows: f64) -> f64 {
    // 1 - exp(-x), exact for small x.
    cells * -(-rows / cells).exp_m1()
}

fn combined(left: &[Cells], right: &[Cells], rows: f64) -> Vec<Cells> {
    let pairs = left.iter().flat_map(|a| {
        right.iter().map(move |b| Cells { rows: a.rows * b.rows / rows, cells: a.cells * b.cells })
    });
    compact(pairs.collect())
}

/// Merges kinds of about the same rows per cell until few are left.
fn compact(mut cells: Vec<Cells>) -> Vec<Cells> {
    cells.retain(|kind| kind.rows > 1e-9);
    cells.sort_by(|a, b| (a.rows / a.cells).total_cmp(&(b.rows / b.cells)));
    let mut ratio = 1.05;
    while cells.len() > KINDS {
        let mut merged: Vec<Cells> = Vec::with_capacity(cells.len());
        for kind in &cells {
            match merged.last_mut() {
                Some(last) if kind.rows / kind.cells < ratio * last.rows / last.cells => {
                    last.rows += kind.rows;
                    last.cells += kind.cells;
                }
                _ => merged.push(*kind),
            }
        }
        cells = merged;
        ratio *= 1.3;
    }
    cells
}

fn occupied(cells: &[Cells], scale: f64) -> f64 {
    cells.iter().map(|kind| filled((kind.cells * scale).max(1e-6), kind.rows)).sum()
}

/// Scales the number of cells so that `wanted` are occupied.
fn spread(cells: &[Cells], wanted: f64) -> Vec<Group> {
    let (mut low, mut high) = (1e-9_f64, 1e9_f64);
    while high > low * (1.0 + NEAR) {
        let middle = (low * high).sqrt();
        if occupied(cells, middle) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    cells
        .iter()
        .map(|kind| {
            let keys = filled((kind.cells * high).max(1e-6), kind.rows);
            Group::random(kind.rows, keys.clamp(kind.rows.min(1e-6), kind.rows))
        })
        .collect()
}

/// Returns the number of distinct tuples of `columns`, as [`of`] takes it.
pub(super) fn keys(facts: &TableFacts, columns: &[&ColumnFacts], rows: f64) -> f64 {
    of(facts, columns, rows, End::Mean).iter().map(|group| group.keys).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{DistinctSet, KeysAlike, TableId};

    fn table(columns: &[(&str, f64)]) -> TableFacts {
        let mut facts = TableFacts::new(TableId::new("public", "t"), 1e6, 1e4);
        for &(name, count) in columns {
            facts.columns.push(ColumnFacts::fixed(name, 8, 8, Distinct::exact(count)));
        }
        facts
    }

    fn keys_of(facts: &TableFacts) -> f64 {
        let columns: Vec<_> = facts.columns.iter().collect();
        keys(facts, &columns, facts.rows)
    }

    #[track_caller]
    fn check_about(actual: f64, expected: f64) {
        assert!((actual / expected - 1.0).abs() < 0.01, "{actual} is not about {expected}");
    }

    #[test]
    fn few_values_of_each_make_the_product() {
        check_about(keys_of(&table(&[("a", 10.0), ("b", 20.0)])), 200.0);
    }

    #[test]
    fn a_unique_column_makes_every_tuple_unique() {
        check_about(keys_of(&table(&[("a", 1e6), ("b", 2.0)])), 1e6);
    }

    #[test]
    fn a_known_number_of_tuples_is_taken() {
        let mut facts = table(&[("a", 1e5), ("b", 1e5)]);
        facts
            .distinct_sets
            .push(DistinctSet { columns: vec!["b".into(), "a".into()], distinct: Distinct::exact(2e5) });
        check_about(keys_of(&facts), 2e5);
    }

    #[test]
    fn what_a_part_is_known_to_have_the_whole_has_too() {
        let mut facts = table(&[("a", 1_000.0), ("b", 1_000.0), ("c", 2.0)]);
        facts
            .distinct_sets
            .push(DistinctSet { columns: vec!["a".into(), "b".into()], distinct: Distinct::exact(1e6) });
        check_about(keys_of(&facts), 1e6);
    }

    #[test]
    fn common_values_stand_by_themselves() {
        let mut facts = table(&[("a", 1_000.0)]);
        facts.columns[0].most_common = vec![0.5, 0.25];
        facts.columns[0].null_share = 0.1;
        let columns: Vec<_> = facts.columns.iter().collect();
        let groups = of(&facts, &columns, facts.rows, End::Mean);
        assert_eq!(groups.len(), 4);
        assert_eq!(groups[1], Group::random(5e5, 1.0));
        assert_eq!(groups[3].keys, 998.0);
        let rows: f64 = groups.iter().map(|group| group.rows).sum();
        check_about(rows, 1e6);
    }
    fn four_rows_each() -> TableFacts {
        let mut facts = table(&[("a", 250_000.0)]);
        facts.spreads.push(Spread {
            columns: vec!["a".into()],
            keys: vec![KeysAlike { rows: 4.0, keys: 250_000.0, width: None }],
        });
        facts
    }

    #[test]
    fn keys_that_were_looked_at_are_not_spread_at_random() {
        let facts = four_rows_each();
        let columns: Vec<_> = facts.columns.iter().collect();
        let groups = of(&facts, &columns, facts.rows, End::Mean);
        let kinds = Some(vec![Alike { times: 4, share: 1.0, width: None }]);
        assert_eq!(groups, [Group { rows: 1e6, keys: 250_000.0, kinds }]);
    }

    #[test]
    fn a_part_of_the_rows_has_a_part_of_the_keys() {
        let facts = four_rows_each();
        let columns: Vec<_> = facts.columns.iter().collect();
        let groups = of(&facts, &columns, facts.rows / 2.0, End::Mean);
        // One key in 16 has none of its four rows in a half of them.
        check_about(groups[0].keys, 250_000.0 * 15.0 / 16.0);
        check_about(groups[0].rows, 5e5);
    }
}
