//! What is put into a random database, within the promises of its schema.

use std::collections::BTreeSet;

use veritas_statistics::Rng;

use crate::{
    Dialect,
    fuzz::{Value, pool::Pool},
    rules::ident,
    schema::{ColumnType, Schema, Table},
};

/// Rows for each table of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// For each table of the schema, in its order: the rows, each with a value for each column.
    pub tables: Vec<Vec<Vec<Value>>>,
    /// The tables in an order in which they can be filled: what is referred to comes first.
    pub order: Vec<usize>,
}

/// Returns the statements that create the tables of `schema`, in the order in which they
/// can run. Types that are not known become texts.
pub fn definitions(schema: &Schema, dialect: Dialect) -> Vec<String> {
    let order = order(schema).unwrap_or_else(|| (0..schema.tables.len()).collect());
    order.into_iter().map(|index| definition(&schema.tables[index], dialect)).collect()
}

fn definition(table: &Table, dialect: Dialect) -> String {
    let list =
        |names: &[String]| names.iter().map(|name| ident(name, dialect)).collect::<Vec<_>>().join(", ");
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let kind = match &column.kind {
                ColumnType::Other(_) => "TEXT",
                kind => kind.name(),
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("{} {kind}{null}", ident(&column.name, dialect))
        })
        .collect();
    lines.extend(table.unique_keys.iter().map(|key| format!("UNIQUE ({})", list(key))));
    lines.extend(table.foreign_keys.iter().map(|key| {
        format!(
            "FOREIGN KEY ({}) REFERENCES {} ({})",
            list(&key.columns),
            ident(&key.table, dialect),
            list(&key.referenced)
        )
    }));
    format!("CREATE TABLE {} ({})", ident(&table.name, dialect), lines.join(", "))
}

/// Returns the tables so that each comes after those it refers to; `None` for a circle. A
/// table that refers to itself is none: its rows are filled one after the other.
pub(super) fn order(schema: &Schema) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < schema.tables.len() {
        let next = (0..schema.tables.len()).find(|index| {
            !order.contains(index)
                && schema.tables[*index].foreign_keys.iter().all(|key| {
                    key.table == schema.tables[*index].name
                        || order.iter().any(|done| schema.tables[*done].name == key.table)
                })
        })?;
        order.push(next);
    }
    Some(order)
}

impl Content {
    pub(super) fn random(
        schema: &Schema,
        order: &[usize],
        pool: &Pool,
        most_rows: u64,
        rng: &mut Rng,
    ) -> Self {
        let mut content = Self { tables: vec![Vec::new(); schema.tables.len()], order: order.to_vec() };
        for index in order {
            let rows = match rng.below(10) {
                0 => 0,
                1 => 1,
                _ => 2 + rng.below(most_rows.saturating_sub(1)),
            };
            content.add_rows(schema, *index, rows, pool, rng);
        }
        content
    }

    fn add_rows(&mut self, schema: &Schema, index: usize, rows: u64, pool: &Pool, rng: &mut Rng) {
        let table = &schema.tables[index];
        // Few values for each column, and how often it is NULL, are drawn once.
        let columns: Vec<(Vec<Value>, u64)> = table
            .columns
            .iter()
            .map(|column| {
                let is_key = table.unique_keys.iter().any(|key| key.contains(&column.name));
                let different = if is_key { rows + 2 } else { 1 + rng.below(4) };
                let values = (0..different).map(|_| pool.value(&column.kind, is_key, rng)).collect();
                (
                    values,
                    if column.nullable { [0, 20, 60][usize::try_from(rng.below(3)).unwrap_or(0)] } else { 0 },
                )
            })
            .collect();
        let mut keys: Vec<BTreeSet<Vec<Value>>> = vec![BTreeSet::new(); table.unique_keys.len()];
        for _ in 0..rows {
            let mut row: Vec<Value> = columns
                .iter()
                .map(
                    |(values, nulls)| {
                        if rng.below(100) < *nulls { Value::Null } else { pick(values, rng).clone() }
                    },
                )
                .collect();
            let referring = self.refer(schema, index, &mut row, rng);
            let key_of = |key: &[String]| -> Option<Vec<Value>> {
                let values: Vec<Value> =
                    key.iter().filter_map(|name| Some(row[place(table, name)?].clone())).collect();
                (!values.contains(&Value::Null)).then_some(values)
            };
            let taken = table
                .unique_keys
                .iter()
                .zip(&keys)
                .any(|(key, taken)| key_of(key).is_some_and(|values| taken.contains(&values)));
            if !referring || taken {
                continue;
            }
            for (key, taken) in table.unique_keys.iter().zip(&mut keys) {
                taken.extend(key_of(key));
            }
            self.tables[index].push(row);
        }
    }

    /// Makes a row fulfil its foreign keys; returns whether it can.
    fn refer(&self, schema: &Schema, index: usize, row: &mut [Value], rng: &mut Rng) -> bool {
        let table = &schema.tables[index];
        for key in &table.foreign_keys {
            let Some(target) = schema.tables.iter().position(|table| table.name == key.table) else {
                return false;
            };
            let places: Vec<usize> = key.columns.iter().filter_map(|name| place(table, name)).collect();
            if places.iter().any(|place| row[*place] == Value::Null) {
                continue;
            }
            let partners = &self.tables[target];
            if partners.is_empty() {
                let Some(nullable) = places.iter().find(|place| table.columns[**place].nullable) else {
                    return false;
                };
                row[*nullable] = Value::Null;
                continue;
            }
            let partner = pick(partners, rng);
            for (at, name) in places.iter().zip(&key.referenced) {
                let Some(from) = place(&schema.tables[target], name) else { return false };
                row[*at] = partner[from].clone();
            }
            // A partner whose key is NULL is none.
            if places.iter().any(|place| row[*place] == Value::Null && !table.columns[*place].nullable) {
                return false;
            }
        }
        true
    }
}

fn place(table: &Table, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| column.name == name)
}

/// Returns one of some values, which are never none.
pub(super) fn pick<'v, T>(values: &'v [T], rng: &mut Rng) -> &'v T {
    &values[usize::try_from(rng.below(values.len() as u64)).unwrap_or_default()]
}
