//! Statements, as `performance_schema` counts them by digest.

use veritas_database::{
    StatementKind,
    fingerprint::{self, CUT_MARK},
    server::{NotRead, Section, ServerStatement},
};
use veritas_model::Moments;

use super::{Columns, FullScans, MOST, SwitchedOff, not_read};
use crate::session::Session;

/// What is lost while the instrument of tables is off.
pub(super) const INDEX_READS: &str = "how often each index is read";

/// Whether the server counts at all.
const IS_ON: &str = "SELECT @@performance_schema";
/// Whether digests are kept.
const DIGESTS: &str =
    "SELECT ENABLED FROM performance_schema.setup_consumers WHERE NAME = 'statements_digest'";
/// Whether statements are timed.
const TIMED: &str = "SELECT COUNT(*) FROM performance_schema.setup_instruments \
     WHERE NAME = 'statement/sql/select' AND ENABLED = 'YES' AND TIMED = 'YES'";
/// Whether reads of indexes are counted.
const TABLE_INSTRUMENT: &str = "SELECT ENABLED FROM performance_schema.setup_instruments \
     WHERE NAME = 'wait/io/table/sql/handler'";

/// Statements of the session's database, by total time. Times are in picoseconds.
const STATEMENTS: &str = "SELECT DIGEST, DIGEST_TEXT, COUNT_STAR, SUM_TIMER_WAIT, SUM_ROWS_SENT, SUM_ROWS_AFFECTED, \
     SUM_ROWS_EXAMINED, SUM_NO_INDEX_USED, SUM_CREATED_TMP_DISK_TABLES \
     FROM performance_schema.events_statements_summary_by_digest \
     WHERE SCHEMA_NAME = DATABASE() AND DIGEST IS NOT NULL ORDER BY SUM_TIMER_WAIT DESC LIMIT 500";

/// Returns what the server could tell and does not.
pub(super) fn switched_off(session: &mut Session) -> Vec<SwitchedOff> {
    let mut off = Vec::new();
    let mut says = |sql: &str| session.query(sql).ok()?.into_iter().next()?.pop()?;
    if says(IS_ON).as_deref() == Some("0") {
        off.push(SwitchedOff { what: "statements, waits and reads", fix: "performance_schema = ON" });
        off.push(SwitchedOff { what: INDEX_READS, fix: "performance_schema = ON" });
        return off;
    }
    if says(DIGESTS).as_deref() == Some("NO") {
        off.push(SwitchedOff {
            what: "statements",
            fix: "performance_schema_consumer_statements_digest = ON",
        });
    }
    if says(TIMED).as_deref() == Some("0") {
        off.push(SwitchedOff {
            what: "how long statements take",
            fix: "performance_schema_instrument = 'statement/%=ON'",
        });
    }
    if says(TABLE_INSTRUMENT).as_deref() != Some("YES") {
        off.push(SwitchedOff {
            what: INDEX_READS,
            fix: "performance_schema_instrument = 'wait/io/table/sql/handler=ON'",
        });
    }
    off
}

/// Reads the statements, and which of them ran without an index.
pub(super) fn read(session: &mut Session) -> Section<(Vec<ServerStatement>, Vec<FullScans>)> {
    let first = session.query(IS_ON).ok().and_then(|mut rows| rows.pop()?.pop()?);
    if first.as_deref() == Some("0") {
        let reason = "performance_schema is off: performance_schema = ON in the option file, and a restart";
        return Err(NotRead::NotKept { reason: reason.to_owned() });
    }
    let rows = session
        .query(STATEMENTS)
        .map_err(|error| not_read(&error, "the statements (GRANT SELECT ON performance_schema.*)"))?;
    let mut statements: Vec<ServerStatement> = Vec::new();
    let mut scans: Vec<FullScans> = Vec::new();
    for row in rows.into_iter().take(MOST) {
        let mut columns = Columns::of(row);
        let (Some(digest), Some(text)) = (columns.text(), columns.text()) else { continue };
        let (calls, picoseconds) = (columns.count(), columns.count());
        let (sent, affected, examined) = (columns.count(), columns.count(), columns.count());
        let (without_index, temporary) = (columns.count(), columns.count());
        let text = plain(&text);
        let normalized = fingerprint::statement(&text);
        let scan = FullScans {
            fingerprint: normalized.fingerprint,
            calls,
            without_index,
            rows_examined: examined,
            rows_kept: sent + affected,
        };
        let seconds = moments(calls, picoseconds);
        // The server tells apart what we do not (a list of one and of two): they are summed.
        if let Some(known) = statements.iter_mut().find(|known| known.fingerprint == normalized.fingerprint) {
            known.server_ids.push(number(&digest));
            known.seconds.count += seconds.count;
            known.seconds.sum += seconds.sum;
            known.seconds.sum_of_squares += seconds.sum_of_squares;
            known.rows += sent + affected;
            known.temporary_written += temporary;
            if let Some(known) = scans.iter_mut().find(|known| known.fingerprint == scan.fingerprint) {
                known.calls += scan.calls;
                known.without_index += scan.without_index;
                known.rows_examined += scan.rows_examined;
                known.rows_kept += scan.rows_kept;
            }
            continue;
        }
        scans.push(scan);
        statements.push(ServerStatement {
            fingerprint: normalized.fingerprint,
            normalized: normalized.text.to_string(),
            server_ids: vec![number(&digest)],
            tables: ServerStatement::of_text(&normalized.text).tables,
            writes: matches!(
                normalized.kind,
                StatementKind::Insert | StatementKind::Update | StatementKind::Delete
            ),
            text,
            seconds,
            rows: sent + affected,
            buffers_hit: 0,
            buffers_read: 0,
            temporary_written: temporary,
            wal_bytes: None,
            planning_seconds: None,
        });
    }
    scans.retain(|scan| scan.without_index > 0);
    scans.sort_by_key(|scan| std::cmp::Reverse(scan.rows_examined));
    Ok((statements, scans))
}

/// The server keeps no spread of the times: every call counts as the mean.
#[expect(
    clippy::cast_precision_loss,
    reason = "picoseconds of a year need fewer than 65 bits, and 53 are enough"
)]
fn moments(calls: u64, picoseconds: u64) -> Moments {
    let sum = picoseconds as f64 / 1e12;
    let mean = if calls == 0 { 0.0 } else { sum / calls as f64 };
    Moments { count: calls, sum, sum_of_squares: sum * mean }
}

/// The first 60 bits of a digest, which is a hash in hexadecimal.
fn number(digest: &str) -> i64 {
    digest.get(..15).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// Writes a digest's text as an application would: `IN (...)` with a parameter, plain names
/// without quotes, no space where none is written. What the server cut ends with [`CUT_MARK`].
fn plain(digest: &str) -> String {
    let text = with_values(digest.trim_end()).replace("(...)", "( ? )");
    let cut = text.ends_with("...");
    let text = text.trim_end_matches("...");
    let mut written = String::with_capacity(text.len());
    let mut parts = text.split('`');
    written.push_str(parts.next().unwrap_or_default());
    // Every second part stands between quotes; a doubled quote makes an empty part between two.
    let mut quoted = true;
    for part in parts {
        if !quoted || is_plain(part) {
            written.push_str(part);
        } else {
            written.push('`');
            written.push_str(part);
            written.push('`');
        }
        quoted = !quoted;
    }
    let mut written = written.replace(" . ", ".").replace(" )", ")").replace(" ,", ",");
    if cut {
        written.push_str(CUT_MARK);
    }
    written
}

/// A row of values is written `(...)`, however many there are: as many as columns stand before it.
fn with_values(digest: &str) -> String {
    const ROW: &str = "VALUES (...)";
    let Some((before, after)) = digest.split_once(ROW) else { return digest.to_owned() };
    let columns = before.rsplit_once('(').map_or(0, |(_, list)| list.matches(',').count());
    format!("{before}VALUES ( ?{} ){after}", " , ?".repeat(columns))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(digest: &str, application: &str) {
        let of_server = fingerprint::statement(&plain(digest));
        let of_application = fingerprint::statement(application);
        assert_eq!(of_server.text, of_application.text);
    }

    #[test]
    fn a_digest_and_the_application_s_text_are_one_statement() {
        check("SELECT COUNT ( * ) FROM `t` WHERE `b` = ? ", "select count(*) from t where b = 7");
        check(
            "SELECT `c` FROM `t` WHERE `a` IN (...) AND `b` > ? LIMIT ? ",
            "SELECT c FROM t WHERE a IN (1, 2, 3) AND b > 5 LIMIT 1",
        );
        check(
            "SELECT `o` . `id` FROM `orders` `o` WHERE `o` . `user_id` = ?",
            "SELECT o.id FROM orders o WHERE o.user_id = 3",
        );
        check("INSERT INTO `t` ( `a` , `b` ) VALUES (...) ", "INSERT INTO t (a, b) VALUES (1, 2)");
        check("UPDATE `t` SET `a` = ? WHERE `id` = ? ", "UPDATE t SET a = 1 WHERE id = 2");
    }

    #[test]
    fn what_the_server_cut_is_marked() {
        assert!(plain("SELECT `a` , `b` , ...").ends_with(CUT_MARK));
    }

    #[test]
    fn tables_are_read_off_a_digest() {
        let tables = |digest: &str| ServerStatement::of_text(&plain(digest)).tables;
        assert_eq!(tables("SELECT `a` FROM `t` JOIN `u` ON `t` . `a` = `u` . `a`"), ["t", "u"]);
        assert_eq!(tables("INSERT INTO `t` ( `a` ) VALUES (...) "), ["t"]);
        assert_eq!(tables("UPDATE `t` SET `a` = ?"), ["t"]);
        assert_eq!(tables("SELECT * FROM ( SELECT `a` FROM `t` ) `x`"), ["t"]);
        assert_eq!(tables("SELECT EXTRACT ( YEAR FROM `at` ) FROM `t`"), ["t"]);
        assert_eq!(tables("SELECT TRIM ( LEADING ? FROM `name` ) FROM `t`"), ["t"]);
    }
}
