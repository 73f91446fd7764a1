//! Types of columns that are not the server's own: extensions, enumerations and domains.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use super::ScratchError;
use crate::{
    actuator::expression::{PURE, harmless},
    plan::Relation,
    session::{Session, SessionError, ident, qualified},
};

/// The first number that is not the server's own.
const FIRST_USER_OID: u32 = 16_384;
/// Types within types.
const DEEPEST: u32 = 10;

/// What a type is.
const TYPE: &str = "
SELECT t.typtype::text, n.nspname, t.typname, t.typcategory = 'A' AND t.typelem <> 0, t.typelem, t.typbasetype,
    pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typnotnull, e.extname, en.nspname,
    ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder),
    ARRAY(SELECT pg_catalog.pg_get_constraintdef(c.oid) FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid
        AND c.contype = 'c')
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid
    AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
LEFT JOIN pg_catalog.pg_namespace en ON en.oid = e.extnamespace
WHERE t.oid = $1";

/// Extensions that only bring types, operators and functions that compute: they are made
/// on the copy too, where they can be, for statements and indexes that use them.
const EXTENSIONS: &str = "
SELECT e.extname, n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname IN ('btree_gin', 'btree_gist', 'citext', 'cube', 'earthdistance', 'fuzzystrmatch', 'hstore',
    'intarray', 'isn', 'ltree', 'pg_trgm', 'pgcrypto', 'postgis', 'seg', 'tsm_system_rows', 'unaccent',
    'uuid-ossp', 'vector') ORDER BY 1";

/// An extension, with whether the tables cannot be made without it.
#[derive(Debug)]
pub(super) struct Extension {
    name: String,
    schema: String,
    needed: bool,
}

/// Statements that make types, in order.
#[derive(Debug, Default)]
pub(super) struct Types {
    seen: BTreeSet<u32>,
    statements: Vec<String>,
    extensions: BTreeSet<(String, String)>,
}

impl Types {
    /// Notes what a type needs. Returns whether its binary form holds numbers of types,
    /// which are others on the copy.
    pub(super) fn need(&mut self, live: &mut Session, oid: u32, of: &Relation) -> Result<bool, ScratchError> {
        self.need_within(live, oid, of, DEEPEST)
    }

    fn need_within(
        &mut self,
        live: &mut Session,
        oid: u32,
        of: &Relation,
        depth: u32,
    ) -> Result<bool, ScratchError> {
        if oid < FIRST_USER_OID {
            return Ok(false);
        }
        let unsupported = |reason: String| ScratchError::Unsupported {
            relation: format!("{}.{}", of.schema, of.name),
            reason,
        };
        if depth == 0 {
            return Err(unsupported("its types are nested too deeply".to_owned()));
        }
        let rows = live.query_typed(TYPE, &[(&oid, Type::OID)]).map_err(ScratchError::at("read a type"))?;
        let row = rows.first().ok_or_else(|| unsupported("a type is gone".to_owned()))?;
        let (kind, schema, name): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (is_array, element, base): (bool, u32, u32) = (row.get(3), row.get(4), row.get(5));
        if let (Some(extension), Some(home)) = (row.get::<_, Option<String>>(8), row.get(9)) {
            self.extensions.insert((extension, home));
            return Ok(is_array);
        }
        if is_array {
            self.need_within(live, element, of, depth - 1)?;
            return Ok(true);
        }
        let within = if kind == "d" { self.need_within(live, base, of, depth - 1)? } else { false };
        if !self.seen.insert(oid) {
            return Ok(within);
        }
        let full = qualified(&schema, &name);
        match kind.as_str() {
            "e" => {
                let labels: Vec<String> = row.get(10);
                let labels: Vec<String> = labels.iter().map(|label| literal(label)).collect();
                self.make(&schema, &format!("CREATE TYPE {full} AS ENUM ({})", labels.join(", ")));
            }
            "d" => {
                let mut sql = format!("CREATE DOMAIN {full} AS {}", row.get::<_, String>(6));
                if row.get(7) {
                    sql.push_str(" NOT NULL");
                }
                for check in row.get::<_, Vec<String>>(11) {
                    // A check that calls functions of the application is not taken over.
                    let inner = check.strip_prefix("CHECK ");
                    if inner.is_some_and(|inner| harmless(inner, &[PURE]).is_some()) {
                        sql.extend([format!(" {check}")]);
                    }
                }
                self.make(&schema, &sql);
            }
            _ => {
                return Err(unsupported(format!(
                    "the type {schema}.{name} is neither an enumeration nor a domain"
                )));
            }
        }
        Ok(within)
    }

    fn make(&mut self, schema: &str, sql: &str) {
        self.statements.push(format!("CREATE SCHEMA IF NOT EXISTS {}; {sql}", ident(schema)));
    }

    /// Returns the extensions to make, needed ones and those that may help.
    pub(super) fn extensions(&self, live: &mut Session) -> Result<Vec<Extension>, SessionError> {
        let useful = live.query(EXTENSIONS, &[])?;
        let useful = useful.iter().map(|row| (row.get(0), row.get(1)));
        let all: BTreeSet<(String, String)> = useful.chain(self.extensions.iter().cloned()).collect();
        let needed = |(name, schema): (String, String)| {
            let needed = self.extensions.contains(&(name.clone(), schema.clone()));
            Extension { name, schema, needed }
        };
        Ok(all.into_iter().map(needed).collect())
    }

    /// Returns the statements that make the others, in order.
    pub(super) fn into_statements(self) -> Vec<String> {
        self.statements
    }
}

/// Makes extensions and types on the copy.
pub(super) fn create(
    session: &mut Session,
    extensions: &[Extension],
    types: &[String],
) -> Result<(), ScratchError> {
    for Extension { name, schema, needed } in extensions {
        let sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {}; CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {} CASCADE",
            ident(schema),
            ident(name),
            ident(schema)
        );
        match session.batch(&sql) {
            Err(error) if *needed => return Err(ScratchError::at("create an extension")(error)),
            Err(error @ (SessionError::Lost | SessionError::TimedOut)) => {
                return Err(ScratchError::at("create an extension")(error));
            }
            // Statements that use it will fail, and say so.
            Ok(()) | Err(_) => {}
        }
    }
    for sql in types {
        session.batch(sql).map_err(ScratchError::at("create a type"))?;
    }
    Ok(())
}

/// Quotes a text of the catalogues.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}
