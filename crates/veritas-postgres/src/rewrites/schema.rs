//! What rewrites may rely on, read from the catalogues.

use tokio_postgres::Row;
use veritas_rewrite::schema::{Column, ColumnType, ForeignKey, Schema, Table};

use crate::{
    plan::Relation,
    session::{Session, SessionError},
};

/// Most columns that are read: of a catalogue larger than that, nothing is rewritten.
const MOST_COLUMNS: usize = 10_000;

/// Columns of the named tables. Only plain and partitioned tables without children of the old
/// inheritance (a key of theirs says nothing of the children's rows), and without row
/// security (a join to them hides rows that a foreign key promises). A collation under
/// which different texts are equal makes a type that rules do not know.
const COLUMNS: &str = "
SELECT n.nspname::text, c.relname::text, a.attname::text,
       CASE WHEN k.collisdeterministic IS FALSE THEN 'nondeterministic'
            ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END,
       NOT a.attnotnull
  FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w(schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation
 WHERE (c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relhassubclass) AND NOT c.relrowsecurity
 ORDER BY n.nspname, c.relname, a.attnum
 LIMIT 10001";

/// Unique keys: of all rows, valid, and checked at once.
const KEYS: &str = "
SELECT n.nspname::text, c.relname::text,
       ARRAY(SELECT a.attname::text FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) p
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[p]
              ORDER BY p)
  FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w(schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  JOIN pg_catalog.pg_index i ON i.indrelid = c.oid
 WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
 ORDER BY n.nspname, c.relname, i.indexrelid
 LIMIT 10001";

/// Foreign keys: validated, and checked at once.
const FOREIGN_KEYS: &str = "
SELECT n.nspname::text, c.relname::text, rn.nspname::text, r.relname::text,
       ARRAY(SELECT a.attname::text FROM pg_catalog.generate_subscripts(f.conkey, 1) p
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.conkey[p] ORDER BY p),
       ARRAY(SELECT a.attname::text FROM pg_catalog.generate_subscripts(f.confkey, 1) p
               JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum = f.confkey[p] ORDER BY p)
  FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w(schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  JOIN pg_catalog.pg_constraint f ON f.conrelid = c.oid AND f.contype = 'f'
  JOIN pg_catalog.pg_class r ON r.oid = f.confrelid
  JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
 WHERE f.convalidated AND NOT f.condeferrable
 ORDER BY n.nspname, c.relname, f.oid
 LIMIT 10001";

/// Reads the tables among `relations`. Three round trips; what is no table, or one on whose
/// promises nothing can rest, is left out.
///
/// Foreign keys to tables that are not among `relations` are left out, too.
///
/// # Errors
///
/// As [`Session::query`].
pub fn read(session: &mut Session, relations: &[Relation]) -> Result<Schema, SessionError> {
    let schemas: Vec<&str> = relations.iter().map(|relation| relation.schema.as_str()).collect();
    let names: Vec<&str> = relations.iter().map(|relation| relation.name.as_str()).collect();
    let columns = session.query(COLUMNS, &[&schemas, &names])?;
    let keys = session.query(KEYS, &[&schemas, &names])?;
    let foreign = session.query(FOREIGN_KEYS, &[&schemas, &names])?;
    let mut tables: Vec<Table> = Vec::new();
    if columns.len() > MOST_COLUMNS || keys.len() > MOST_COLUMNS || foreign.len() > MOST_COLUMNS {
        return Ok(Schema::default());
    }
    for row in &columns {
        let (schema, name) = place(row);
        let column = Column { name: row.get(2), kind: ColumnType::parse(row.get(3)), nullable: row.get(4) };
        match tables.last_mut() {
            Some(table) if table.name == name && table.schema.as_deref() == Some(schema) => {
                table.columns.push(column);
            }
            _ => tables.push(Table {
                schema: Some(schema.to_owned()),
                name: name.to_owned(),
                columns: vec![column],
                unique_keys: Vec::new(),
                foreign_keys: Vec::new(),
            }),
        }
    }
    for row in &keys {
        if let Some(table) = find(&tables, place(row)) {
            tables[table].unique_keys.push(row.get(2));
        }
    }
    for row in &foreign {
        let target = (row.get::<_, &str>(2), row.get::<_, &str>(3));
        // A name stands for one table only, or a key to it says nothing.
        let same_name = tables.iter().filter(|table| table.name == target.1).count();
        if let (Some(table), Some(_), 1) = (find(&tables, place(row)), find(&tables, target), same_name) {
            tables[table].foreign_keys.push(ForeignKey {
                columns: row.get(4),
                table: target.1.to_owned(),
                referenced: row.get(5),
            });
        }
    }
    Ok(Schema { tables })
}

fn place(row: &Row) -> (&str, &str) {
    (row.get(0), row.get(1))
}

fn find(tables: &[Table], (schema, name): (&str, &str)) -> Option<usize> {
    tables.iter().position(|table| table.name == name && table.schema.as_deref() == Some(schema))
}
