//! How a column's values are hashed by the server: what leaves it are hashes, never values.

use std::collections::BTreeMap;

use veritas_index_advisor::TableId;

use crate::session::{Session, SessionError, ident};

/// What hashes the columns of a table, by name: the extended hash function of the type's
/// default operator class, where it is the server's own and takes the type as it is, and
/// whether there is such a class at all (405 is `hash`). Values that are equal to a B-tree
/// are equal to that class.
const HASHES: &str = "
SELECT a.attname::text,
       CASE WHEN f.pronamespace = 'pg_catalog'::regnamespace
             AND (f.proargtypes[0] IN (t.oid, i.oid) AND (i.oid = t.oid OR i.typtype = 'p')
                  OR t.typname = 'varchar' AND f.proargtypes[0] = 'text'::regtype)
            THEN f.proname::text END
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type own ON own.oid = a.atttypid
JOIN pg_catalog.pg_type t
  ON t.oid = CASE WHEN own.typtype = 'd' THEN own.typbasetype ELSE own.oid END
JOIN pg_catalog.pg_opclass h ON h.opcmethod = 405 AND h.opcdefault
JOIN pg_catalog.pg_type i ON i.oid = h.opcintype
LEFT JOIN pg_catalog.pg_amproc p
  ON p.amprocfamily = h.opcfamily AND p.amproclefttype = h.opcintype
  AND p.amprocrighttype = h.opcintype AND p.amprocnum = 2
LEFT JOIN pg_catalog.pg_proc f ON f.oid = p.amproc
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
  AND (i.oid = t.oid OR (t.typname = 'varchar' AND i.typname = 'text')
       OR (t.typtype = 'e' AND i.typname = 'anyenum'))";

/// How each column of a table is hashed.
#[derive(Debug)]
pub(super) struct Hashes {
    /// The function of each column that has a hash operator class; `None` when it cannot
    /// be called with the column as it is.
    known: BTreeMap<String, Option<String>>,
    /// Whether the server has `hash_record_extended` (version 14).
    hashes_records: bool,
}

impl Hashes {
    pub(super) fn read(session: &mut Session, table: &TableId) -> Result<Self, SessionError> {
        let rows = session.query(HASHES, &[&table.schema, &table.name])?;
        let known = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(Self { known, hashes_records: session.version() >= 140_000 })
    }

    /// Returns the expression of a column's hash, a `bigint`: NULL for NULL. `t` is the table.
    pub(super) fn of(&self, name: &str) -> String {
        let column = format!("t.{}", ident(name));
        match self.known.get(name) {
            Some(Some(function)) => format!("pg_catalog.{}({column}, 0)", ident(function)),
            Some(None) if self.hashes_records => {
                format!(
                    "CASE WHEN {column} IS NOT NULL THEN pg_catalog.hash_record_extended(ROW({column}), 0) END"
                )
            }
            // By its text: a kind of value without a hash, or an old server.
            _ => format!("pg_catalog.hashtextextended({column}::text, 0)"),
        }
    }
}
