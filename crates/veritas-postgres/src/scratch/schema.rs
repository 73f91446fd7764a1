//! What tables consist of: read from the catalogues of the live server, written as statements for the copy.

use tokio_postgres::{Row, types::Type};
use veritas_model::Bytes;

use super::{
    ScratchError,
    types::{Extension, Types, literal},
};
use crate::{
    actuator::expression::{FRESH, PURE, harmless},
    plan::Relation,
    session::{Session, ident, qualified},
};

/// Most tables of a copy.
const MOST_TABLES: usize = 64;

/// A table by name.
const TABLE: &str = "
SELECT c.oid, c.relkind::text, pg_catalog.pg_table_size(c.oid), pg_catalog.pg_total_relation_size(c.oid),
    c.relallvisible::float8 / greatest(c.relpages, 1)::float8,
    (SELECT o FROM pg_catalog.unnest(c.reloptions) o WHERE o LIKE 'fillfactor=%' LIMIT 1)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = $2::text";
/// Its columns. What a default is made of is judged here.
const COLUMNS: &str = "
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnotnull,
    a.attidentity <> '', a.attgenerated <> '', coalesce(a.attstattarget, -1)::int4,
    CASE WHEN a.attcollation <> t.typcollation AND c.oid < 16384
        THEN pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(c.collname) END,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    (SELECT o FROM pg_catalog.unnest(a.attoptions) o WHERE o LIKE 'n_distinct=%' LIMIT 1)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = c.collnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
/// Its constraints: those that an index serves first, foreign keys last.
const CONSTRAINTS: &str = "
SELECT c.conname, c.contype::text, pg_catalog.pg_get_constraintdef(c.oid), fn.nspname, f.relname
FROM pg_catalog.pg_constraint c LEFT JOIN pg_catalog.pg_class f ON f.oid = c.confrelid
LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
WHERE c.conrelid = $1 AND c.contype IN ('p', 'u', 'x', 'c', 'f') ORDER BY c.contype = 'f', c.contype <> 'p', c.conname";
/// Its indexes that serve no constraint and can be used, and its extended statistics.
const INDEXES: &str = "
SELECT c.relname, pg_catalog.pg_get_indexdef(c.oid)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisvalid
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid)
FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = $1
ORDER BY 1";
/// The database's locale; its columns differ from version to version.
const LOCALE: &str = "
SELECT pg_catalog.to_jsonb(d)::text, pg_catalog.pg_encoding_to_char(d.encoding)
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
/// What bears on plans.
const SETTINGS: &str = "
SELECT name, setting FROM pg_catalog.pg_settings
WHERE (name LIKE 'enable\\_%' OR name IN ('seq_page_cost', 'random_page_cost', 'cpu_tuple_cost',
    'cpu_index_tuple_cost', 'cpu_operator_cost', 'parallel_setup_cost', 'parallel_tuple_cost',
    'min_parallel_table_scan_size', 'min_parallel_index_scan_size', 'effective_cache_size', 'work_mem',
    'hash_mem_multiplier', 'default_statistics_target', 'jit', 'max_parallel_workers_per_gather',
    'from_collapse_limit', 'join_collapse_limit', 'cursor_tuple_fraction', 'constraint_exclusion',
    'effective_io_concurrency', 'TimeZone', 'DateStyle', 'IntervalStyle'))
    AND context = 'user'";
/// The schemas that names without one are looked for in.
const PATH: &str = "SELECT pg_catalog.current_schemas(false)::text[]";

/// Everything that a copy is made of.
#[derive(Debug)]
pub(super) struct Blueprint {
    /// The clause of `CREATE DATABASE`.
    pub(super) locale: String,
    pub(super) extensions: Vec<Extension>,
    pub(super) types: Vec<String>,
    pub(super) tables: Vec<Table>,
    /// Statements that make the copy's planner think as the live one does.
    pub(super) settings: String,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) relation: Relation,
    /// Without indexes.
    pub(super) size: Bytes,
    /// With everything, in bytes.
    pub(super) on_disk: u64,
    pub(super) create: String,
    /// Quoted names of the columns that are copied.
    pub(super) columns: Vec<String>,
    /// Whether rows can be copied in the server's binary form.
    pub(super) binary: bool,
    /// Whether most pages are known to hold nothing but visible rows.
    pub(super) vacuumed: bool,
    /// What is made after the rows are there.
    pub(super) parts: Vec<Part>,
    pub(super) left_out: Vec<String>,
}

/// Something that is made after the rows are there; the copy does without it when it
/// cannot be made.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) sql: String,
    /// Whether it refers to the key of another table, and so comes after all the others.
    pub(super) is_last: bool,
}

/// Reads what is needed. The session is in a read-only snapshot with an empty search path.
pub(super) fn read(live: &mut Session, relations: &[Relation]) -> Result<Blueprint, ScratchError> {
    if relations.is_empty() || relations.len() > MOST_TABLES {
        return Err(ScratchError::Unsupported {
            relation: format!("{} tables", relations.len()),
            reason: format!("a copy has between 1 and {MOST_TABLES}"),
        });
    }
    let at = ScratchError::at("read the catalogues");
    let path: Vec<String> =
        live.query(PATH, &[]).map_err(&at)?.first().map(|row| row.get(0)).unwrap_or_default();
    let mut settings = path_setting(&path);
    for row in live.query(SETTINGS, &[]).map_err(&at)? {
        settings.extend([format!("; SET {} = {}", ident(row.get(0)), literal(row.get(1)))]);
    }
    // From here on the server writes every name with its schema.
    live.batch("SET LOCAL search_path = pg_catalog").map_err(&at)?;
    let locale = live.query(LOCALE, &[]).map_err(&at)?.first().map(locale).unwrap_or_default();
    let mut types = Types::default();
    let mut tables: Vec<Table> = Vec::new();
    for relation in relations {
        if !tables.iter().any(|table| table.relation == *relation) {
            tables.push(table(live, relation, relations, &mut types)?);
        }
    }
    let extensions = types.extensions(live).map_err(&at)?;
    Ok(Blueprint { locale, extensions, types: types.into_statements(), tables, settings })
}

fn path_setting(path: &[String]) -> String {
    let path: Vec<String> = path.iter().map(|schema| ident(schema)).collect();
    format!("SET search_path = {}", if path.is_empty() { "''".to_owned() } else { path.join(", ") })
}

/// Writes the clause of `CREATE DATABASE` from the row of `pg_database`.
fn locale(row: &Row) -> String {
    let json: serde_json::Value = serde_json::from_str(row.get(0)).unwrap_or_default();
    let text = |key: &str| json[key].as_str().map(literal);
    let mut clause = format!("ENCODING {}", literal(row.get(1)));
    if let (Some(collate), Some(ctype)) = (text("datcollate"), text("datctype")) {
        clause.extend([format!(" LC_COLLATE {collate} LC_CTYPE {ctype}")]);
    }
    let provided = text("datlocale").or_else(|| text("daticulocale"));
    match (json["datlocprovider"].as_str(), provided) {
        (Some("i"), Some(locale)) => clause.extend([format!(" LOCALE_PROVIDER icu ICU_LOCALE {locale}")]),
        (Some("b"), Some(locale)) => {
            clause.extend([format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}")]);
        }
        _ => {}
    }
    clause
}

fn table(
    live: &mut Session,
    relation: &Relation,
    all: &[Relation],
    types: &mut Types,
) -> Result<Table, ScratchError> {
    let at = ScratchError::at("read a table");
    let unsupported = |reason: &str| ScratchError::Unsupported {
        relation: format!("{}.{}", relation.schema, relation.name),
        reason: reason.to_owned(),
    };
    let named = live.query(TABLE, &[&relation.schema, &relation.name]).map_err(&at)?;
    let found = named.first().ok_or_else(|| unsupported("it is gone"))?;
    match found.get::<_, &str>(1) {
        "r" | "m" => {}
        "p" => return Err(unsupported("it is partitioned")),
        "v" => return Err(unsupported("it is a view")),
        _ => return Err(unsupported("it is not a table")),
    }
    let oid: u32 = found.get(0);
    let full = qualified(&relation.schema, &relation.name);
    let mut made = Table {
        relation: relation.clone(),
        size: Bytes::new(u64::try_from(found.get::<_, i64>(2)).unwrap_or(0)),
        on_disk: u64::try_from(found.get::<_, i64>(3)).unwrap_or(0),
        create: String::new(),
        columns: Vec::new(),
        binary: true,
        vacuumed: found.get::<_, f64>(4) > 0.5,
        parts: Vec::new(),
        left_out: Vec::new(),
    };
    let mut columns = Vec::new();
    for row in live.query_typed(COLUMNS, &[(&oid, Type::OID)]).map_err(&at)? {
        made.binary &= !types.need(live, row.get(2), relation)?;
        columns.push(column(&row, &full, &mut made));
    }
    let with =
        found.get::<_, Option<String>>(5).map(|option| format!(" WITH ({option})")).unwrap_or_default();
    made.create = format!(
        "CREATE SCHEMA IF NOT EXISTS {}; CREATE TABLE {full} ({}){with}",
        ident(&relation.schema),
        columns.join(", ")
    );
    constraints(live, oid, &full, all, &mut made)?;
    for row in live.query_typed(INDEXES, &[(&oid, Type::OID)]).map_err(&at)? {
        made.parts.push(Part { name: row.get(0), sql: row.get(1), is_last: false });
    }
    Ok(made)
}

/// Writes one column, without what might do something when a row is written.
fn column(row: &Row, full: &str, made: &mut Table) -> String {
    let name: &str = row.get(0);
    let quoted = ident(name);
    let mut sql = format!("{quoted} {}", row.get::<_, &str>(1));
    if let Some(collation) = row.get::<_, Option<&str>>(7) {
        sql.extend([format!(" COLLATE {collation}")]);
    }
    if row.get(3) {
        sql.push_str(" NOT NULL");
    }
    let (identity, generated): (bool, bool) = (row.get(4), row.get(5));
    let default: Option<&str> = row.get(8);
    match default {
        Some(expression) if generated => {
            if harmless(expression, &[PURE]).is_some() {
                sql.extend([format!(" GENERATED ALWAYS AS ({expression}) STORED")]);
            } else {
                made.left_out.push(format!("the expression that generates {name}"));
            }
        }
        Some(expression) if expression.starts_with("nextval(") => {
            identity_column(&mut sql, &quoted, full, made);
        }
        Some(expression) if harmless(expression, &[PURE, FRESH]).is_some() => {
            sql.extend([format!(" DEFAULT {expression}")]);
        }
        Some(_) => made.left_out.push(format!("the default of {name}")),
        None if identity => identity_column(&mut sql, &quoted, full, made),
        None => {}
    }
    if !(generated && sql.ends_with(" STORED")) {
        made.columns.push(quoted.clone());
    }
    let target: i32 = row.get(6);
    if target >= 0 {
        let sql = format!("ALTER TABLE {full} ALTER COLUMN {quoted} SET STATISTICS {target}");
        made.parts.push(Part { name: format!("the statistics target of {name}"), sql, is_last: false });
    }
    if let Some(option) = row.get::<_, Option<&str>>(9) {
        let sql = format!("ALTER TABLE {full} ALTER COLUMN {quoted} SET ({option})");
        made.parts.push(Part { name: format!("n_distinct of {name}"), sql, is_last: false });
    }
    sql
}

/// Gives a column numbers of its own, that go on after the largest one there.
fn identity_column(sql: &mut String, quoted: &str, full: &str, made: &mut Table) {
    sql.push_str(" GENERATED BY DEFAULT AS IDENTITY");
    let largest = format!("(SELECT coalesce(max({quoted}), 0)::int8 FROM {full})");
    made.parts.push(Part {
        name: format!("the numbers of {quoted}"),
        sql: format!(
            "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence({}, {}), greatest({largest}, 1), {largest} >= 1)",
            literal(full),
            literal(&quoted[1..quoted.len() - 1].replace("\"\"", "\"")),
        ),
        is_last: false,
    });
}

fn constraints(
    live: &mut Session,
    oid: u32,
    full: &str,
    all: &[Relation],
    made: &mut Table,
) -> Result<(), ScratchError> {
    let rows = live.query_typed(CONSTRAINTS, &[(&oid, Type::OID)]);
    for row in rows.map_err(ScratchError::at("read a table"))? {
        let (name, kind, mut definition): (String, &str, String) = (row.get(0), row.get(1), row.get(2));
        if kind == "c" {
            let inner = definition.strip_prefix("CHECK ").map(|text| {
                text.trim_end_matches(" NOT VALID")
                    .trim_end_matches(" NO INHERIT")
                    .trim_end_matches(" NOT VALID")
            });
            if inner.is_none_or(|inner| harmless(inner, &[PURE]).is_none()) {
                made.left_out.push(format!("the check {name}"));
                continue;
            }
        }
        if kind == "f" {
            let to = row.get::<_, Option<String>>(3).zip(row.get::<_, Option<String>>(4));
            let is_here = to.is_some_and(|(schema, name)| all.contains(&Relation { schema, name }));
            if !is_here {
                continue; // The table that it refers to is not copied.
            }
            if !definition.ends_with(" NOT VALID") {
                // The rows are as they are; only later ones are checked.
                definition.push_str(" NOT VALID");
            }
        }
        let sql = format!("ALTER TABLE {full} ADD CONSTRAINT {} {definition}", ident(&name));
        made.parts.push(Part { is_last: kind == "f", name, sql });
    }
    Ok(())
}
