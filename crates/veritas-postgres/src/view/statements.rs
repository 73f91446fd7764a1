//! What the server counts of statements: `pg_stat_statements`.

use std::collections::{BTreeMap, btree_map::Entry};

use tokio_postgres::{Error, Row};
use veritas_database::server::{NotRead, Section, ServerStatement};
use veritas_model::{Fingerprint, Moments, Timestamp};

use super::{
    count,
    part::{Parts, forbidden},
    timestamp,
    versions::StatementColumns,
};
use crate::session::ident;

/// The most statements that a reading holds.
pub const MOST_STATEMENTS: usize = 500;
/// Entries that are fetched: several may be one statement, and ours are left out.
const FETCHED: i64 = 750;

const EXTENSION: &str = "pg_stat_statements";
const HINT: &str = "add pg_stat_statements to shared_preload_libraries, restart the server, and run \
                    CREATE EXTENSION pg_stat_statements";

/// Reads the costliest statements of this database, the costliest first.
pub(super) fn read(
    parts: &mut Parts<'_>,
    role: &str,
    extensions: &[(String, String)],
) -> Section<Vec<ServerStatement>> {
    let (columns, view) = installed(parts, extensions, EXTENSION)?;
    let StatementColumns { total, mean, deviation, planning, wal, .. } = columns;
    // Costliest first; a text is never longer than what a fingerprint reads of it. No
    // identifier and no number of a version here comes from outside, but for the quoted
    // schema of the extension.
    let sql = format!(
        "SELECT s.queryid, left(s.query, 65536), s.calls, {total}, {mean}, {deviation}, s.rows,
                s.shared_blks_hit, s.shared_blks_read, s.temp_blks_written, {wal}, {planning}
         FROM {view} AS s
         WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         ORDER BY {total} DESC
         LIMIT {FETCHED}"
    );
    let entries = parts.list(&sql, &[], entry).map_err(not_loaded)?;
    let hidden = entries.iter().any(Option::is_none);
    let statements = merged(entries.into_iter().flatten());
    if statements.is_empty() && hidden {
        return Err(forbidden("the statements of other roles", role));
    }
    Ok(statements)
}

/// When the counters were reset, and what was forgotten since.
#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) reset_at: Option<Timestamp>,
    pub(super) evicted: Option<u64>,
}

/// Reads what the extension says of itself.
pub(super) fn info(parts: &mut Parts<'_>, extensions: &[(String, String)]) -> Section<Info> {
    let (columns, view) = installed(parts, extensions, "pg_stat_statements_info")?;
    if !columns.has_info {
        return Ok(Info::default());
    }
    let sql = format!("SELECT dealloc, extract(epoch FROM stats_reset)::float8 FROM {view}");
    parts.one(&sql, &[], |row| {
        Ok(Info { reset_at: timestamp(row.try_get(1)?), evicted: Some(count(row.try_get(0)?)) })
    })
}

/// Returns the columns of the extension that is installed, and one of its views with its schema.
fn installed(
    parts: &mut Parts<'_>,
    extensions: &[(String, String)],
    view: &str,
) -> Section<(StatementColumns, String)> {
    // The schema that the extension was put into.
    const SCHEMA: &str =
        "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                          WHERE e.extname = 'pg_stat_statements'";
    let Some((_, version)) = extensions.iter().find(|(name, _)| name == EXTENSION) else {
        // Where even the list of extensions could not be read, the reason is told instead.
        let _answers = parts.ask("SELECT 1", &[])?;
        return Err(missing());
    };
    let schema: String = parts.one(SCHEMA, &[], |row| row.try_get(0))?;
    Ok((StatementColumns::of(version), format!("{}.{}", ident(&schema), ident(view))))
}

fn missing() -> NotRead {
    NotRead::NoExtension { extension: EXTENSION.to_owned(), hint: HINT.to_owned() }
}

/// The extension may be installed in the database while the server has not loaded it.
fn not_loaded(why: NotRead) -> NotRead {
    // object_not_in_prerequisite_state
    if why == (NotRead::Refused { code: "55000".into() }) { missing() } else { why }
}

/// Returns one entry; `None` when its text may not be seen.
fn entry(row: &Row) -> Result<Option<ServerStatement>, Error> {
    // Where the text is hidden, the number is too.
    let (Some(id), Some(text)) = (row.try_get::<_, Option<i64>>(0)?, row.try_get::<_, Option<String>>(1)?)
    else {
        return Ok(None);
    };
    let milliseconds = |column| Ok::<f64, Error>(row.try_get::<_, Option<f64>>(column)?.unwrap_or(0.0));
    let calls = count(row.try_get(2)?);
    let (total, mean, deviation) = (milliseconds(3)? / 1e3, milliseconds(4)? / 1e3, milliseconds(5)? / 1e3);
    Ok(Some(ServerStatement {
        server_ids: vec![id],
        seconds: moments(calls, total, mean, deviation),
        rows: count(row.try_get(6)?),
        buffers_hit: count(row.try_get(7)?),
        buffers_read: count(row.try_get(8)?),
        temporary_written: count(row.try_get(9)?),
        wal_bytes: row.try_get::<_, Option<f64>>(10)?.map(whole),
        planning_seconds: row.try_get::<_, Option<f64>>(11)?.map(|milliseconds| milliseconds / 1e3),
        ..ServerStatement::of_text(&text)
    }))
}

/// Returns count, sum and sum of squares from what the server tells: its deviation is that
/// of the whole, not of a sample (`pg_stat_statements.c`: the root of the sum of squared
/// differences by calls).
#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn moments(calls: u64, total: f64, mean: f64, deviation: f64) -> Moments {
    Moments {
        count: calls,
        sum: total,
        sum_of_squares: calls as f64 * mean.mul_add(mean, deviation * deviation),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float-to-int cast saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// Returns the statements of applications, entries of the same one added up, the costliest first.
fn merged(entries: impl Iterator<Item = ServerStatement>) -> Vec<ServerStatement> {
    let mut known: BTreeMap<Fingerprint, ServerStatement> = BTreeMap::new();
    for entry in entries.filter(|entry| !is_about_the_server(entry)) {
        match known.entry(entry.fingerprint) {
            Entry::Vacant(place) => drop(place.insert(entry)),
            Entry::Occupied(mut place) => place.get_mut().add(entry),
        }
    }
    let mut statements: Vec<ServerStatement> = known.into_values().collect();
    statements.sort_by(|one, other| other.seconds.sum.total_cmp(&one.seconds.sum));
    statements.truncate(MOST_STATEMENTS);
    statements
}

/// Tells whether a statement only asks the server about itself, as we do and tools do: it reads
/// catalogues, and nothing else but what it makes itself.
fn is_about_the_server(statement: &ServerStatement) -> bool {
    const OTHERS: [&str; 5] = [
        "select pg_catalog.set_config(",
        "select case when not pg_is_in_recovery()",
        "reset ",
        "set ",
        "explain ",
    ];
    let text = statement.normalized.as_str();
    let is_catalogue = |table: &String| {
        let name = table.rsplit('.').next().unwrap_or(table);
        name.trim_matches('"').starts_with("pg_") || table.starts_with("information_schema.")
    };
    // A name that the statement gives to a part of itself, a function, or a column that is taken apart.
    let is_own = |table: &String| {
        let named = [" as (", " as materialized(", " as materialized (", "("];
        named.iter().any(|after| text.contains(&format!("{table}{after}")))
            || text.contains(&format!("extract(? from {table})"))
    };
    OTHERS.iter().any(|start| text.starts_with(start))
        || (statement.tables.iter().any(is_catalogue)
            && statement.tables.iter().all(|table| is_catalogue(table) || is_own(table)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_squares_come_back_from_mean_and_deviation() {
        // 1, 2 and 3 seconds: the deviation of the whole is the root of 2/3.
        let moments = moments(3, 6.0, 2.0, (2.0_f64 / 3.0).sqrt());
        assert!((moments.sum_of_squares - 14.0).abs() < 1e-9, "{moments:?}");
        assert!((moments.variance().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_only_asks_the_server_about_itself_is_left_out() {
        let own = |text| is_about_the_server(&ServerStatement::of_text(text));
        assert!(own("SELECT relname FROM pg_catalog.pg_class c JOIN pg_namespace n ON true"));
        assert!(own("SELECT * FROM information_schema.tables"));
        assert!(!own("SELECT * FROM orders JOIN pg_class ON true"));
        assert!(own(
            "WITH a AS MATERIALIZED (SELECT oid FROM pg_class) SELECT * FROM a, generate_series(1, 2)"
        ));
        assert!(!own("WITH a AS (SELECT id FROM orders) SELECT * FROM a, pg_class"));
        assert!(own("SELECT extract($1 FROM replay_lag) FROM pg_stat_replication"));
        assert!(!own("SELECT * FROM newest_orders($1)"));
        assert!(!own("SELECT $1"));
        assert!(!own("BEGIN"));
    }
}
