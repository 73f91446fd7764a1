//! Indexes that a table has, and what they say of its values.

use tokio_postgres::Row;
use veritas_index_advisor::{
    Distinct, DistinctSource, ExistingIndex, IndexSpec, Key, KeyPart, Method, Protection, TableFacts,
};
use veritas_model::Bytes;

use crate::session::{Session, SessionError};

/// Indexes of tables by name, a row for each of their columns: key columns first.
/// `indoption` has 1 for descending and 2 for NULLs first. A foreign key needs the unique
/// index that it refers to (`conindid`), and its checks are served by an index of the
/// referring table that begins with its columns.
const INDEXES: &str = "
SELECT n.nspname::text, c.relname::text, x.relname::text, am.amname::text,
       i.indisunique, i.indisvalid AND i.indisready,
       pg_catalog.pg_get_expr(i.indpred, i.indrelid),
       pg_catalog.pg_relation_size(x.oid),
       coalesce((SELECT o.option_value::int2 FROM pg_catalog.pg_options_to_table(x.reloptions) o
                 WHERE o.option_name = 'fillfactor'), 90::int2),
       coalesce((SELECT o.option_value::bool FROM pg_catalog.pg_options_to_table(x.reloptions) o
                 WHERE o.option_name = 'deduplicate_items'), true),
       i.indisprimary, i.indisexclusion, i.indisreplident, i.indisclustered, x.relispartition,
       EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
               AND d.objid = x.oid AND d.deptype = 'e'),
       EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f'
               AND (f.conindid = x.oid
                    OR (f.conrelid = i.indrelid
                        AND (i.indkey::int2[])[0:array_length(f.conkey, 1) - 1] @> f.conkey))),
       k.position <= i.indnkeyatts,
       CASE WHEN (i.indkey::int2[])[k.position - 1] = 0 THEN NULL ELSE a.attname::text END,
       pg_catalog.pg_get_indexdef(x.oid, k.position, true),
       (i.indoption::int2[])[k.position - 1],
       CASE WHEN o.opcdefault THEN NULL ELSE o.opcname::text END,
       CASE WHEN l.oid IS NULL OR a.attnum IS NULL OR l.oid = a.attcollation THEN NULL ELSE l.collname::text END
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
JOIN pg_catalog.pg_index i ON i.indrelid = c.oid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_am am ON am.oid = x.relam
CROSS JOIN LATERAL generate_series(1, i.indnatts::int4) AS k(position)
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attnum = (i.indkey::int2[])[k.position - 1]
LEFT JOIN pg_catalog.pg_opclass o ON o.oid = (i.indclass::oid[])[k.position - 1]
LEFT JOIN pg_catalog.pg_collation l ON l.oid = (i.indcollation::oid[])[k.position - 1]
ORDER BY 1, 2, 3, k.position";

pub(super) fn read(session: &mut Session, tables: &mut [TableFacts]) -> Result<(), SessionError> {
    if tables.is_empty() {
        return Ok(());
    }
    let schemas: Vec<String> = tables.iter().map(|facts| facts.table.schema.clone()).collect();
    let names: Vec<String> = tables.iter().map(|facts| facts.table.name.clone()).collect();
    for row in session.query(INDEXES, &[&schemas, &names])? {
        let (schema, name): (&str, &str) = (row.get(0), row.get(1));
        let facts = tables.iter_mut().find(|facts| facts.table.schema == schema && facts.table.name == name);
        let Some(facts) = facts else { continue };
        let index: &str = row.get(2);
        if facts.existing.last().is_none_or(|last| last.name != index) {
            let new = existing(&row, facts);
            facts.existing.push(new);
        }
        if let Some(last) = facts.existing.last_mut() {
            column(&row, &mut last.spec);
        }
    }
    Ok(())
}

fn existing(row: &Row, facts: &TableFacts) -> ExistingIndex {
    let method = match row.get::<_, &str>(3) {
        "btree" => Method::BTree,
        "hash" => Method::Hash,
        "brin" => Method::Brin,
        "gin" => Method::Gin,
        "gist" => Method::Gist,
        other => Method::Other(other.to_owned()),
    };
    let spec = IndexSpec {
        method,
        predicate: row.get(6),
        unique: row.get(4),
        fillfactor: u8::try_from(row.get::<_, i16>(8)).unwrap_or(90),
        deduplicate: row.get(9),
        ..IndexSpec::btree(facts.table.clone(), Vec::new())
    };
    let reasons = [
        (10, Protection::PrimaryKey),
        (4, Protection::Unique),
        (11, Protection::Exclusion),
        (12, Protection::ReplicaIdentity),
        (13, Protection::Clustered),
        (14, Protection::Partition),
        (15, Protection::Extension),
        (16, Protection::ForeignKey),
    ];
    ExistingIndex {
        name: row.get(2),
        spec,
        bytes: row.get::<_, Option<i64>>(7).and_then(|bytes| u64::try_from(bytes).ok()).map(Bytes::new),
        protections: reasons
            .into_iter()
            .filter_map(|(at, reason)| row.get::<_, bool>(at).then_some(reason))
            .collect(),
        valid: row.get(5),
        usage: None,
    }
}

fn column(row: &Row, spec: &mut IndexSpec) {
    let (is_key, name): (bool, Option<String>) = (row.get(17), row.get(18));
    if !is_key {
        spec.include.extend(name);
        return;
    }
    let option = row.get::<_, Option<i16>>(20).unwrap_or(0);
    let part = name.map_or_else(|| KeyPart::Expression(row.get(19)), KeyPart::Column);
    spec.keys.push(Key {
        part,
        descending: option & 1 != 0,
        nulls_first: option & 2 != 0,
        opclass: row.get(21),
        collation: row.get(22),
    });
}

/// Takes what unique indexes say: one column alone has as many values as rows, and every
/// tuple of several is another.
pub(super) fn settle(facts: &mut TableFacts) {
    let rows = facts.rows;
    let unique: Vec<String> = facts
        .existing
        .iter()
        .filter(|index| index.spec.unique && index.valid && index.spec.predicate.is_none())
        .filter_map(|index| match index.spec.keys.as_slice() {
            [key] => key.name().map(str::to_owned),
            _ => None,
        })
        .collect();
    for column in &mut facts.columns {
        if unique.contains(&column.name) {
            column.distinct = Distinct::exact((rows * (1.0 - column.null_share)).max(1.0));
        } else if column.distinct.count <= 0.0 {
            // Nobody knows: the planner takes 200 then.
            let present = (rows * (1.0 - column.null_share)).max(1.0);
            let source = DistinctSource::Bounded { low: 1.0, high: present };
            column.distinct = Distinct { count: present.min(200.0), source };
        }
    }
}
