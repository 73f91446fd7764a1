//! Candidates: the indexes that would serve an access.

use super::{
    access::Access,
    definition::{IndexDefinition, KeyColumn},
    schema::Table,
};

/// More key columns than these are rarely worth their writes.
const MOST_COLUMNS: usize = 4;

/// Returns the indexes that could serve `access`, the most promising first, at
/// most three: the equality columns (the most distinct first, as `distinct`
/// counts them), then either what the block sorts by or one range column.
pub(crate) fn candidates(
    access: &Access,
    table: &Table,
    mut distinct: impl FnMut(&str) -> u64,
) -> Vec<IndexDefinition> {
    if access.equal.iter().any(|column| table.is_rowid(column)) {
        return Vec::new(); // one row at most, found by its number
    }
    let mut equal: Vec<(u64, &String)> =
        access.equal.iter().map(|column| (distinct(column), column)).collect();
    equal.sort_by_key(|&(count, _)| std::cmp::Reverse(count)); // stable: ties keep the statement's order
    let equal: Vec<KeyColumn> =
        equal.into_iter().map(|(_, column)| KeyColumn { name: column.clone(), descending: false }).collect();
    let sort = sort_keys(access, table, &equal);
    let range = access
        .range
        .iter()
        .find(|column| !table.is_rowid(column) && !equal.iter().any(|key| key.name == **column))
        .map(|column| KeyColumn { name: column.clone(), descending: false });

    let mut variants: Vec<Vec<KeyColumn>> = Vec::new();
    // A sort is served by an index alone where rows are found by its first
    // columns or few are wanted; reading a whole table in the order of an index
    // costs a look-up for each row.
    let sort_is_served = !sort.is_empty() && (!equal.is_empty() || access.limited);
    if sort_is_served && access.limited {
        variants.push([equal.clone(), sort.clone()].concat());
    }
    if let Some(range) = range {
        variants.push([equal.clone(), vec![range]].concat());
    }
    if sort_is_served && !access.limited {
        variants.push([equal.clone(), sort].concat());
    }
    if !equal.is_empty() {
        variants.push(equal);
    }
    let mut definitions: Vec<IndexDefinition> = Vec::new();
    for mut columns in variants {
        columns.truncate(MOST_COLUMNS);
        let definition = IndexDefinition { table: table.name.clone(), columns };
        if !definitions.contains(&definition) {
            definitions.push(definition);
        }
    }
    definitions.truncate(3);
    definitions
}

/// Returns what follows the equality columns so that rows come out sorted.
fn sort_keys(access: &Access, table: &Table, equal: &[KeyColumn]) -> Vec<KeyColumn> {
    let mut keys: Vec<KeyColumn> = Vec::new();
    for (column, descending) in &access.sort {
        let constant = equal.iter().any(|key| key.name == *column);
        if !constant && !keys.iter().any(|key| key.name == *column) {
            keys.push(KeyColumn { name: column.clone(), descending: *descending });
        }
    }
    // One direction throughout: an index is read backwards as well as forwards,
    // and its entries end with the row's number anyway.
    if let Some(first) = keys.first().map(|key| key.descending)
        && keys.iter().all(|key| key.descending == first)
    {
        if keys.last().is_some_and(|key| table.is_rowid(&key.name)) {
            keys.pop();
        }
        for key in &mut keys {
            key.descending = false;
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(equal: &[&str], range: &[&str], sort: &[(&str, bool)], limited: bool, expected: &[&str]) {
        let table = Table {
            name: "t".into(),
            columns: ["id", "a", "b", "c", "d"].map(String::from).into(),
            rowid_alias: Some("id".into()),
        };
        let access = Access {
            table: "t".into(),
            shown: "t".into(),
            equal: equal.iter().copied().map(String::from).collect(),
            range: range.iter().copied().map(String::from).collect(),
            sort: sort.iter().map(|&(column, descending)| (column.to_owned(), descending)).collect(),
            limited,
            bound: Vec::new(),
        };
        let shown: Vec<String> = candidates(&access, &table, |column| if column == "b" { 100 } else { 2 })
            .into_iter()
            .map(|definition| {
                let keys = definition.columns.into_iter();
                keys.map(|key| key.name + if key.descending { "-" } else { "" }).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn equality_comes_first_and_the_most_distinct_of_it() {
        check(&["a", "b"], &[], &[], false, &["b a"]);
        check(&["a"], &["c", "d"], &[], false, &["a c", "a"]);
        check(&[], &["c"], &[], false, &["c"]);
        check(&[], &[], &[], false, &[]);
    }

    #[test]
    fn an_order_is_served_where_rows_are_found_or_few() {
        check(&["a"], &[], &[("c", true)], true, &["a c", "a"]);
        check(&["a"], &["d"], &[("c", true)], true, &["a c", "a d", "a"]);
        check(&["a"], &["d"], &[("c", true)], false, &["a d", "a c", "a"]);
        check(&[], &[], &[("c", false)], true, &["c"]);
        check(&[], &[], &[("c", false)], false, &[]);
    }

    #[test]
    fn a_direction_is_kept_only_where_they_differ() {
        check(&[], &[], &[("c", true), ("id", true)], true, &["c"]);
        check(&[], &[], &[("c", true), ("id", false)], true, &["c- id"]);
        check(&["a"], &[], &[("a", true), ("c", true), ("d", false)], true, &["a c- d", "a"]);
    }

    #[test]
    fn a_row_found_by_its_number_needs_no_index() {
        check(&["id", "a"], &[], &[], false, &[]);
        check(&["a"], &["id"], &[], false, &["a"]);
    }
}
