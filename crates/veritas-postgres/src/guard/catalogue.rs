//! What the catalogues say of whatever a statement may mean.
//!
//! Stored expressions (views, policies, checks, defaults, indexes) are read as the trees
//! that the server keeps: their numbers name the functions that are meant, whatever the
//! search path says. Whether a function is harmless is decided by one condition
//! (`safe!`) for calls and for trees alike.

use tokio_postgres::Row;

use super::{
    Refusal,
    meaning::{Meaning, Name},
};
use crate::{plan::Relation, session::Session};

/// A function `p` that came with the server, or with an extension whose functions are
/// known to compute and nothing else, and that no ordinary role could have written.
/// (12, 13 and 14 are the languages internal, C and SQL, 10 is the first superuser, 11 is
/// `pg_catalog`: numbers that every server has alike. 16384 is the first number that is
/// given after the server was set up.)
macro_rules! trusted {
    () => {
        "((p.oid < 16384 AND p.pronamespace = 11 AND p.proowner = 10 AND p.prolang IN (12, 13, 14)) \
         OR (p.prolang IN (12, 13) \
             AND (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = p.proowner) \
             AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
                         WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid \
                           AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' \
                           AND e.extname IN ('citext', 'hstore', 'ltree', 'pg_trgm', 'unaccent', \
                               'btree_gin', 'btree_gist', 'intarray', 'cube', 'seg', 'isn', \
                               'fuzzystrmatch', 'uuid-ossp', 'postgis', 'vector'))))"
    };
}

/// Functions that are declared stable, and yet run statements or take a transaction id.
macro_rules! denied {
    () => {
        "(p.proname IN ('txid_current', 'pg_current_xact_id') OR p.proname LIKE '%\\_to\\_xml%')"
    };
}

/// A function `p` that only computes. Of the volatile ones, which planning never calls,
/// those that change nothing when they are called.
macro_rules! safe {
    () => {
        concat!(
            "(",
            trusted!(),
            " AND NOT ",
            denied!(),
            " AND (p.provolatile IN ('i', 's') OR p.proname IN ('random', 'random_normal', \
               'clock_timestamp', 'timeofday', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'bernoulli', 'system', \
               'uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4')))"
        )
    };
}

/// The transaction of the questions: it changes nothing, and compiles nothing.
const BEGIN: &str = "BEGIN TRANSACTION READ ONLY; SET LOCAL jit = off";
/// Nothing stays.
const ROLLBACK: &str = "ROLLBACK";

/// The schemas in which the statement's names are looked up; from then on ours are looked
/// up in the server's own only, so that nobody's operators stand in for it.
const SEARCH_PATH: &str = "SELECT pg_catalog.current_schemas(true)::pg_catalog.text[], \
    pg_catalog.set_config('search_path', 'pg_catalog', true)";

/// The first function or operator that may be meant and is not harmless.
/// `$1` schemas, `$2` and `$3` schema and name of calls, `$4` attributes, `$5` operators.
const NAMED: &str = concat!(
    "SELECT 1 AS rank, 'function' AS kind, n.nspname || '.' || p.proname AS object, \
            CASE WHEN NOT ",
    trusted!(),
    " THEN 'foreign' ELSE 'effects' END AS reason \
     FROM unnest($2::text[], $3::text[]) AS w(schema, name) \
     JOIN pg_proc p ON p.proname = w.name::name \
     JOIN pg_namespace n ON n.oid = p.pronamespace \
     WHERE (n.nspname = w.schema OR (w.schema IS NULL AND n.nspname = ANY ($1::text[]))) AND NOT ",
    safe!(),
    " UNION ALL \
     SELECT 2, 'function', n.nspname || '.' || p.proname, 'foreign' \
     FROM unnest($4::text[]) AS w(name) \
     JOIN pg_proc p ON p.proname = w.name::name \
     JOIN pg_namespace n ON n.oid = p.pronamespace \
     JOIN pg_type t ON t.oid = p.proargtypes[0] \
     WHERE n.nspname = ANY ($1::text[]) AND p.pronargs - p.pronargdefaults <= 1 \
       AND (t.typtype IN ('c', 'd') OR t.oid IN (2249, 2276, 2283, 2776, 5077, 5079)) AND NOT ",
    safe!(),
    " UNION ALL \
     SELECT 3, 'operator', n.nspname || '.' || o.oprname, 'foreign' \
     FROM unnest($5::text[]) AS w(name) \
     JOIN pg_operator o ON o.oprname = w.name::name \
     JOIN pg_namespace n ON n.oid = o.oprnamespace \
     LEFT JOIN pg_proc p ON p.oid = o.oprcode \
     WHERE n.nspname = ANY ($1::text[]) AND (p.oid IS NULL OR NOT ",
    safe!(),
    ") ORDER BY 1 LIMIT 1"
);

/// Views through views deeper than this are not looked at.
const DEEPEST: i32 = 8;

/// All that the tables and types bring along which may be meant: what is not harmless
/// first, then the tables. `$1` schemas, `$2` and `$3` schema and name of what may be
/// tables or types, `$4` the depth beyond which nothing is looked at.
///
/// Functions in views, policies and conditions of domains must be harmless. Those of
/// defaults, checks and indexes only where planning may compute them: what is volatile
/// and not in SQL is never called.
const BROUGHT_ALONG: &str = concat!(
    "WITH RECURSIVE \
     words AS (SELECT w.schema, w.name::name AS name FROM unnest($2::text[], $3::text[]) AS w(schema, name)), \
     reach (oid, depth) AS ( \
       SELECT c.oid, 0 FROM words w JOIN pg_class c ON c.relname = w.name \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE (n.nspname = w.schema OR (w.schema IS NULL AND n.nspname = ANY ($1::text[]))) \
           AND c.relkind IN ('r', 'p', 'm', 'v', 'f') \
       UNION \
       SELECT further.oid, r.depth + 1 FROM reach r CROSS JOIN LATERAL ( \
           SELECT d.refobjid AS oid FROM pg_rewrite w \
             JOIN pg_class c ON c.oid = w.ev_class AND c.relkind <> 'm' \
             JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid \
               AND d.refclassid = 'pg_class'::regclass \
             WHERE w.ev_class = r.oid AND d.refobjid <> r.oid \
           UNION ALL \
           SELECT d.refobjid FROM pg_policy y \
             JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = y.oid \
               AND d.refclassid = 'pg_class'::regclass \
             WHERE y.polrelid = r.oid AND d.refobjid <> r.oid \
           UNION ALL \
           SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = r.oid) AS further \
         WHERE r.depth < $4::int4), \
     relations AS MATERIALIZED ( \
       SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltype, max(r.depth) AS depth \
       FROM reach r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
       WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') \
       GROUP BY c.oid, n.nspname, c.relname, c.relkind, c.reltype), \
     own_trees AS MATERIALIZED ( \
       SELECT r.oid, true AS strict, w.ev_action::text || coalesce(w.ev_qual::text, '') AS tree \
         FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE r.relkind <> 'm' \
       UNION ALL \
       SELECT r.oid, true, coalesce(y.polqual::text, '') || coalesce(y.polwithcheck::text, '') \
         FROM relations r JOIN pg_policy y ON y.polrelid = r.oid \
       UNION ALL \
       SELECT r.oid, false, a.adbin::text FROM relations r JOIN pg_attrdef a ON a.adrelid = r.oid \
       UNION ALL \
       SELECT r.oid, false, c.conbin::text FROM relations r \
         JOIN pg_constraint c ON c.conrelid = r.oid AND c.conbin IS NOT NULL \
       UNION ALL \
       SELECT r.oid, false, coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, '') \
         FROM relations r JOIN pg_index i ON i.indrelid = r.oid \
         WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL \
       UNION ALL \
       SELECT r.oid, false, p.partexprs::text FROM relations r \
         JOIN pg_partitioned_table p ON p.partrelid = r.oid AND p.partexprs IS NOT NULL \
       UNION ALL \
       SELECT r.oid, false, to_jsonb(s) ->> 'stxexprs' FROM relations r \
         JOIN pg_statistic_ext s ON s.stxrelid = r.oid), \
     types (oid) AS ( \
       (SELECT r.reltype AS oid FROM relations r \
        UNION \
        SELECT t.oid FROM words w JOIN pg_type t ON t.typname = w.name \
          JOIN pg_namespace n ON n.oid = t.typnamespace \
          WHERE (n.nspname = w.schema OR (w.schema IS NULL AND n.nspname = ANY ($1::text[]))) \
        UNION \
        SELECT m[1]::oid FROM own_trees o \
          CROSS JOIN LATERAL regexp_matches(o.tree, ':[a-z_]*type(?:id)? ([0-9]+)', 'g') AS m) \
       UNION \
       SELECT further.oid FROM types y JOIN pg_type t ON t.oid = y.oid CROSS JOIN LATERAL ( \
           SELECT t.typbasetype AS oid UNION ALL SELECT t.typelem \
           UNION ALL SELECT g.rngsubtype FROM pg_range g \
             WHERE g.rngtypid = t.oid OR (to_jsonb(g) ->> 'rngmultitypid')::oid = t.oid \
           UNION ALL SELECT a.atttypid FROM pg_attribute a \
             WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) \
         AS further WHERE further.oid <> 0), \
     trees AS MATERIALIZED ( \
       SELECT * FROM own_trees \
       UNION ALL \
       SELECT y.oid, true, c.conbin::text FROM types y \
         JOIN pg_constraint c ON c.contypid = y.oid AND c.contypid <> 0 AND c.conbin IS NOT NULL), \
     functions AS ( \
       SELECT t.oid, t.strict, m[1]::oid AS function FROM trees t \
         CROSS JOIN LATERAL regexp_matches(t.tree, \
           ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') AS m \
       UNION \
       SELECT t.oid, t.strict, o.oprcode FROM trees t \
         CROSS JOIN LATERAL regexp_matches(t.tree, ':(?:opno|eqop|sortop) ([0-9]+)', 'g') AS m \
         JOIN pg_operator o ON o.oid = m[1]::oid) \
     (SELECT 0 AS rank, 'deep' AS kind, '' AS schema, '' AS relation, '' AS object \
        FROM relations r WHERE r.depth >= $4::int4 \
      UNION ALL \
      SELECT 1, 'foreign', r.nspname, r.relname, '' FROM relations r WHERE r.relkind = 'f' \
      UNION ALL \
      SELECT 2, 'rule', r.nspname, r.relname, w.rulename FROM relations r \
        JOIN pg_rewrite w ON w.ev_class = r.oid AND w.ev_type <> '1' \
      UNION ALL \
      SELECT 3, 'lock', r.nspname, r.relname, '' FROM relations r JOIN trees t ON t.oid = r.oid \
        WHERE t.tree ~ ':(hasForUpdate|hasModifyingCTE) true' \
      UNION ALL \
      SELECT 4, 'function', coalesce(r.nspname, ''), coalesce(r.relname, format_type(f.oid, NULL)), p.proname \
        FROM functions f JOIN pg_proc p ON p.oid = f.function LEFT JOIN relations r ON r.oid = f.oid \
        WHERE CASE WHEN f.strict THEN NOT ",
    safe!(),
    " ELSE (NOT ",
    trusted!(),
    " AND (p.provolatile <> 'v' OR p.prolang = 14)) OR (p.provolatile <> 'v' AND ",
    denied!(),
    ") END \
      UNION ALL \
      SELECT 5, 'type', '', format_type(y.oid, NULL), format_type(y.oid, NULL) FROM types y \
        JOIN pg_type t ON t.oid = y.oid LEFT JOIN pg_range g ON g.rngtypid = y.oid \
        WHERE y.oid >= 16384 AND EXISTS (SELECT FROM pg_proc p \
          WHERE p.oid IN (t.typinput, t.typoutput, t.typmodin, g.rngcanonical, g.rngsubdiff) AND NOT ",
    safe!(),
    ") \
      UNION ALL \
      SELECT 6, 'cast', '', format_type(c.castsource, NULL), p.proname FROM pg_cast c \
        JOIN pg_proc p ON p.oid = c.castfunc \
        WHERE c.oid >= 16384 AND NOT ",
    safe!(),
    " AND ((c.castsource < 16384 AND c.casttarget < 16384) \
           OR EXISTS (SELECT FROM types y WHERE y.oid >= 16384 AND y.oid IN (c.castsource, c.casttarget))) \
      ORDER BY 1 LIMIT 1) \
     UNION ALL \
     (SELECT 9, 'relation', r.nspname, r.relname, r.relkind::text FROM relations r LIMIT 5001)"
);

/// Tables beyond this are too many to be looked at.
const MOST_RELATIONS: usize = 5_000;

/// Decides whether all that may be meant is harmless; returns the tables.
pub(super) fn check(session: &mut Session, meaning: &Meaning) -> Result<Vec<Relation>, Refusal> {
    session.batch(BEGIN)?;
    let checked = ask(session, meaning);
    let ended = session.batch(ROLLBACK);
    let relations = checked?;
    ended?;
    Ok(relations)
}

fn ask(session: &mut Session, meaning: &Meaning) -> Result<Vec<Relation>, Refusal> {
    let path = session.query(SEARCH_PATH, &[])?;
    let path: Vec<String> = field(path.first().ok_or_else(unexpected)?, 0)?;

    let (schemas, names) = columns(&meaning.calls);
    let harmful =
        session.query(NAMED, &[&path, &schemas, &names, &meaning.attributes, &meaning.operators])?;
    if let Some(row) = harmful.first() {
        let object: String = field(row, 2)?;
        let kind: String = field(row, 1)?;
        let reason: String = field(row, 3)?;
        return Err(match (kind.as_str(), reason.as_str()) {
            ("operator", _) => Refusal::Operator { operator: object },
            (_, "foreign") => Refusal::Function { function: object, reason: "it is not the server's own" },
            _ => Refusal::Function { function: object, reason: "it does more than compute" },
        });
    }

    let (schemas, names) = columns(&meaning.names);
    let rows = session.query(BROUGHT_ALONG, &[&path, &schemas, &names, &DEEPEST])?;
    if rows.len() > MOST_RELATIONS {
        return Err(Refusal::TooMuch);
    }
    rows.iter().map(relation).collect()
}

fn relation(row: &Row) -> Result<Relation, Refusal> {
    let kind: String = field(row, 1)?;
    let relation = Relation { schema: field(row, 2)?, name: field(row, 3)? };
    let object: String = field(row, 4)?;
    let shown = || match relation.schema.as_str() {
        "" => relation.name.clone(),
        schema => format!("{schema}.{}", relation.name),
    };
    Err(match kind.as_str() {
        "relation" => return Ok(relation),
        "deep" => Refusal::TooMuch,
        "foreign" => Refusal::Relation { relation: shown(), what: "a table of another server" },
        "rule" => {
            Refusal::Relation { relation: shown(), what: "a table whose changes are rewritten by a rule" }
        }
        "lock" => Refusal::Relation { relation: shown(), what: "a view that locks or changes rows" },
        "type" => Refusal::Type { type_name: object },
        "cast" => Refusal::BroughtAlong { relation: shown(), object: format!("the cast by {object}") },
        _ => Refusal::BroughtAlong { relation: shown(), object },
    })
}

fn columns(names: &[Name]) -> (Vec<Option<&str>>, Vec<&str>) {
    names.iter().map(|name| (name.schema.as_deref(), name.name.as_str())).unzip()
}

fn field<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Refusal> {
    row.try_get(column).map_err(|_other_type| unexpected())
}

fn unexpected() -> Refusal {
    Refusal::NotAsked("the answer has another form than was asked for".to_owned())
}
