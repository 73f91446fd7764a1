//! Tables and columns, as the catalogues have them.

use tokio_postgres::Row;
use veritas_index_advisor::{
    ColumnFacts, Distinct, DistinctSet, DistinctSource, Layout, TableFacts, TableId,
};

use crate::session::{Session, SessionError};

/// Tables by name, with the rows that the planner would assume: `reltuples` by the pages
/// of then, times the pages of now. The last column lists extended statistics as
/// `{"columns": …, "counts": …}` pairs of text, where there are some that we may see.
const TABLES: &str = "
SELECT n.nspname::text, c.relname::text, c.oid,
       c.reltuples::float8,
       c.relpages::float8,
       (pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8)::float8,
       c.relallvisible::float8,
       coalesce((SELECT s.setting::float8 FROM pg_catalog.pg_settings s
                 WHERE s.name = 'default_statistics_target'), 100)
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE c.relkind IN ('r', 'm', 'p')
ORDER BY 1, 2";

/// Columns of tables by oid. The default B-tree operator class of a type is that of the
/// type itself, or of what it is: text for varchar, the pseudo-type of enums, arrays and
/// ranges. Its fourth support function (`btequalimage` and kin, B-Tree Support Functions in
/// the manual) tells whether equal values are identical.
const COLUMNS: &str = "
SELECT a.attrelid, a.attname::text, a.attlen, a.attalign::text,
       opclass.oid IS NOT NULL,
       CASE equalimage.function
         WHEN 'btequalimage' THEN true
         WHEN 'btvarstrequalimage' THEN coalesce(l.collisdeterministic, true)
         ELSE false
       END,
       EXISTS (SELECT FROM pg_catalog.pg_opclass h
               WHERE h.opcmethod = 405 AND h.opcdefault AND h.opcintype = opclass.opcintype),
       s.avg_width, s.null_frac, s.n_distinct, s.most_common_freqs, s.correlation,
       a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type own ON own.oid = a.atttypid
JOIN pg_catalog.pg_type t
  ON t.oid = CASE WHEN own.typtype = 'd' THEN own.typbasetype ELSE own.oid END
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
LEFT JOIN LATERAL (
  SELECT o.oid, o.opcfamily, o.opcintype
  FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_type i ON i.oid = o.opcintype
  WHERE o.opcmethod = 403 AND o.opcdefault
    AND (i.oid = t.oid
         OR i.typname = CASE t.typtype WHEN 'e' THEN 'anyenum' WHEN 'r' THEN 'anyrange'
                                       WHEN 'm' THEN 'anymultirange' END
         OR i.typname = CASE WHEN t.typcategory = 'A' THEN 'anyarray' END
         OR i.typname = CASE t.typname WHEN 'varchar' THEN 'text' WHEN 'cidr' THEN 'inet' END)
  ORDER BY i.oid = t.oid DESC LIMIT 1) opclass ON true
LEFT JOIN LATERAL (
  SELECT f.proname::text AS function
  FROM pg_catalog.pg_amproc p JOIN pg_catalog.pg_proc f ON f.oid = p.amproc
  WHERE p.amprocfamily = opclass.opcfamily AND p.amproclefttype = opclass.opcintype
    AND p.amprocrighttype = opclass.opcintype AND p.amprocnum = 4) equalimage ON true
LEFT JOIN pg_catalog.pg_stats s
  ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
  AND s.inherited = (c.relkind = 'p')
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

/// Extended statistics of tables by oid, as far as the role may see them.
const EXTENDED: &str = "
SELECT c.oid, e.attnames::text[], k.key, k.value::float8,
       (SELECT array_agg(a.attnum ORDER BY names.position)
        FROM unnest(e.attnames) WITH ORDINALITY AS names(name, position)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = names.name)::int2[]
FROM pg_catalog.pg_stats_ext e
JOIN pg_catalog.pg_namespace n ON n.nspname = e.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = e.tablename
CROSS JOIN LATERAL json_each_text(e.n_distinct::text::json) AS k(key, value)
WHERE c.oid = ANY ($1) AND e.n_distinct IS NOT NULL
LIMIT 10000";

/// Rows of a table that was never analyzed, per page: as many as the planner takes when it
/// knows nothing of them, roughly.
const ROWS_OF_A_PAGE: f64 = 60.0;

pub(super) fn read(session: &mut Session, tables: &[TableId]) -> Result<Vec<TableFacts>, SessionError> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let rows = session.query(TABLES, &[&schemas, &names])?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(2)).collect();
    let mut found: Vec<TableFacts> = rows.iter().map(table).collect();
    // The sample of ANALYZE: 300 rows for each unit of the target.
    let sampled = rows.first().map_or(100.0, |row| row.get::<_, f64>(7)) * 300.0;
    let at = |oid: u32| oids.iter().position(|known| *known == oid);
    for row in session.query(COLUMNS, &[&oids])? {
        if let Some(facts) = at(row.get(0)).and_then(|index| found.get_mut(index)) {
            let column = column(&row, facts.rows, sampled);
            facts.columns.push(column);
        }
    }
    // A view that another release has in another form costs only what it would tell.
    let extended = match session.query(EXTENDED, &[&oids]) {
        Err(error) if session.is_lost() => return Err(error),
        extended => extended.unwrap_or_default(),
    };
    for row in extended {
        if let Some(facts) = at(row.get(0)).and_then(|index| found.get_mut(index))
            && let Some(set) = extended_set(&row, facts.rows, sampled)
        {
            facts.distinct_sets.push(set);
        }
    }
    Ok(found)
}

fn table(row: &Row) -> TableFacts {
    let (tuples, pages_then, pages): (f64, f64, f64) = (row.get(3), row.get(4), row.get(5));
    let density = if tuples > 0.0 && pages_then > 0.0 { tuples / pages_then } else { ROWS_OF_A_PAGE };
    let rows = if tuples >= 0.0 && (pages_then - pages).abs() < 0.5 { tuples } else { density * pages };
    let mut facts =
        TableFacts::new(TableId::new(row.get::<_, String>(0), row.get::<_, String>(1)), rows, pages);
    let visible: f64 = row.get(6);
    facts.all_visible_share = if pages > 0.0 { (visible / pages).clamp(0.0, 1.0) } else { 0.0 };
    facts
}

fn column(row: &Row, rows: f64, sampled: f64) -> ColumnFacts {
    let length: i16 = row.get(2);
    let align = match row.get::<_, String>(3).as_str() {
        "d" => 8,
        "i" => 4,
        "s" => 2,
        _ => 1,
    };
    let layout = match u16::try_from(length) {
        Ok(bytes) => Layout::Fixed { bytes, align },
        Err(_) => Layout::Variable { align },
    };
    let width: Option<i32> = row.get(7);
    let default_width = if length > 0 { f64::from(length) } else { 32.0 };
    let null_share = row.get::<_, Option<f32>>(8).map_or(0.0, f64::from);
    let present = (rows * (1.0 - null_share)).max(1.0);
    // A negative number is a share of the rows, and 0 means that nobody knows.
    let count = match row.get::<_, Option<f32>>(9).map(f64::from) {
        Some(share) if share < 0.0 => -share * rows,
        Some(count) => count,
        None => 0.0,
    };
    ColumnFacts {
        name: row.get(1),
        layout,
        has_btree: row.get(4),
        deduplicates: row.get(5),
        average_bytes: width.map_or(default_width, f64::from),
        widths: None,
        widths_seen: 0.0,
        null_share,
        distinct: Distinct {
            count: count.min(present),
            source: DistinctSource::Sample { rows: sampled.min(rows.max(1.0)) },
        },
        most_common: row
            .get::<_, Option<Vec<f32>>>(10)
            .map_or_else(Vec::new, |shares| shares.into_iter().map(f64::from).collect()),
        correlation: row.get::<_, Option<f32>>(11).map(f64::from),
    }
}

/// Reads `{"1, 2": 333}`: the numbers are those of columns.
fn extended_set(row: &Row, rows: f64, sampled: f64) -> Option<DistinctSet> {
    let names: Vec<String> = row.get(1);
    let (key, count): (String, f64) = (row.get(2), row.get(3));
    let numbers: Vec<i16> = row.get::<_, Option<Vec<i16>>>(4)?;
    let columns: Option<Vec<String>> = key
        .split(',')
        .map(|number| {
            let number: i16 = number.trim().parse().ok()?;
            let at = numbers.iter().position(|known| *known == number)?;
            names.get(at).cloned()
        })
        .collect();
    let distinct = Distinct {
        count: count.clamp(1.0, rows.max(1.0)),
        source: DistinctSource::Sample { rows: sampled.min(rows.max(1.0)) },
    };
    Some(DistinctSet { columns: columns?, distinct })
}
