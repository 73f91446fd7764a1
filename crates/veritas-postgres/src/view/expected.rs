//! How large indexes should be, by what the statistics say that they hold.
//!
//! The size model of `veritas-index-advisor`, taken at its upper end, since statistics of
//! the server may count too few distinct values: what is larger than that is surely not
//! as it would be built. Nothing of the tables is read.

use std::collections::BTreeSet;

use veritas_database::server::IndexReading;
use veritas_index_advisor::{ColumnFacts, DistinctSource, TableFacts, TableId, size};

use super::part::Parts;
use crate::facts;

/// Smaller indexes are not worth the question.
const LEAST: u64 = 1 << 20;
/// The most tables whose statistics are asked for, those of the largest indexes.
const MOST_TABLES: usize = 100;

/// Fills in the size that the larger indexes should have, where it can be known: not for
/// partial indexes and expressions, nor without the right to see the statistics.
pub(super) fn fill(parts: &mut Parts<'_>, indexes: &mut [IndexReading]) {
    let mut tables: Vec<TableId> = Vec::new();
    let mut seen = BTreeSet::new();
    for index in indexes.iter().filter(|index| is_askable(index)) {
        if tables.len() < MOST_TABLES && seen.insert((&index.schema, &index.table)) {
            tables.push(TableId { schema: index.schema.clone(), name: index.table.clone() });
        }
    }
    if tables.is_empty() {
        return;
    }
    // Without an answer the sizes are not known, which is all that is to be said.
    let Ok(Ok(facts)) = parts.with_session(|session| facts::read(session, &tables)) else { return };
    for index in indexes.iter_mut().filter(|index| is_askable(index)) {
        let table = facts
            .tables
            .iter()
            .find(|table| table.table.schema == index.schema && table.table.name == index.table);
        index.expected_size = table.and_then(|table| expected(&index.name, table)).map(|size| size.high);
    }
}

fn is_askable(index: &IndexReading) -> bool {
    index.size.get() >= LEAST && index.predicate.is_none() && index.valid
}

fn expected(name: &str, table: &TableFacts) -> Option<size::SizeEstimate> {
    let spec = &table.existing.iter().find(|index| index.name == name)?.spec;
    // Without statistics the facts assume values and widths; that would be a guess.
    let is_known = |facts: &ColumnFacts| match facts.distinct.source {
        DistinctSource::Bounded { .. } => false,
        DistinctSource::Exact => facts.correlation.is_some(),
        _ => true,
    };
    let known = spec.columns().all(|column| table.column(column).is_some_and(is_known));
    size::bytes(spec, table).filter(|_| known && table.rows > 0.0)
}
