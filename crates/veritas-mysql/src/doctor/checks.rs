//! The checks, each a question to the reading or to the catalogue.

use veritas_database::server::{Check, NotRead, Severity};
use veritas_model::{Cause, Finding, FindingKind, Subject, Timestamp};

use crate::{
    findings::{self, FindingOptions},
    session::Session,
    view::MySqlReading,
};

/// Objects that are named in one fault.
const NAMED: usize = 10;

/// What a check looks at.
pub(super) struct Visit<'a> {
    pub(super) session: &'a mut Session,
    pub(super) whole: &'a MySqlReading,
    pub(super) limits: &'a FindingOptions,
}

/// What a check found.
pub(super) struct Found {
    pub(super) severity: Severity,
    pub(super) title: &'static str,
    pub(super) detail: &'static str,
    pub(super) fix: String,
    pub(super) evidence: Vec<String>,
}

/// A fault, none, or why it could not be asked.
type Answer = Result<Option<Found>, String>;
type Examine = fn(&mut Visit<'_>) -> Answer;

/// Every check but those of settings.
pub(super) const CHECKS: &[(Check, Examine)] = &[
    (Check { code: "slow_statements", title: "no statement is slow on average" }, slow_statements),
    (Check { code: "full_scans", title: "no statement reads many rows to keep few" }, full_scans),
    (
        Check { code: "temporary_on_disk", title: "no statement writes its temporary tables to disk" },
        temporary,
    ),
    (Check { code: "unused_index", title: "every index is read" }, unused),
    (Check { code: "duplicate_index", title: "no index is there twice" }, duplicate),
    (Check { code: "redundant_index", title: "no index is the beginning of another" }, redundant),
    (Check { code: "ignored_index", title: "every index that is kept up may be read" }, ignored),
    (Check { code: "lock_wait", title: "nobody waits for a lock" }, lock_wait),
    (Check { code: "idle_in_transaction", title: "no session holds a transaction and does nothing" }, idle),
    (Check { code: "long_transaction", title: "no transaction is open for long" }, long_transaction),
    (Check { code: "connections", title: "there are connections left" }, connections),
    (Check { code: "replication", title: "a replica follows its primary" }, replication),
    (Check { code: "no_primary_key", title: "every table has a primary key" }, no_primary_key),
    (Check { code: "not_transactional", title: "every table outlasts a crash" }, not_transactional),
    (Check { code: "auto_increment", title: "no counter nears the end of its type" }, auto_increment),
    (Check { code: "three_byte_text", title: "every column holds every character" }, three_byte_text),
];

fn why(reason: &NotRead) -> String {
    reason.to_string()
}

impl Visit<'_> {
    /// The findings of a kind, as evidence and the fixes that they name.
    fn of_kind(&self, kind: FindingKind) -> (Vec<String>, Vec<String>) {
        let found = findings::of(self.whole, self.limits, Timestamp::default());
        found.into_iter().filter(|finding| finding.kind == kind).take(NAMED).map(in_words).unzip()
    }

    fn fault(
        &self,
        kind: FindingKind,
        severity: Severity,
        title: &'static str,
        detail: &'static str,
    ) -> Option<Found> {
        let (evidence, mut fixes) = self.of_kind(kind);
        fixes.dedup();
        (!evidence.is_empty()).then(|| Found { severity, title, detail, fix: fixes.join("\n"), evidence })
    }

    fn list(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        self.session.query(sql).map_err(|error| error.to_string())
    }
}

/// Says a finding in a line, and what it advises.
fn in_words(finding: Finding) -> (String, String) {
    let seen = match (&finding.cause, &finding.subject) {
        (Cause::Index { table, index, detail, .. }, _) => format!("{index} on {table}: {detail}"),
        (Cause::ServerCondition { detail, .. }, _) => detail.clone(),
        (Cause::SequentialScan { rows_read, rows_kept, .. }, Subject::Statement { normalized, .. }) => {
            format!("{rows_read} rows read for {rows_kept} kept: {normalized}")
        }
        (_, Subject::Statement { normalized, .. }) => {
            let mean = finding.evidence.iter().find(|seen| seen.name == "mean_seconds");
            format!("{:.3} s on average: {normalized}", mean.map_or(0.0, |seen| seen.value))
        }
        (_, subject) => subject.name().to_owned(),
    };
    (seen, finding.recommendation)
}

fn slow_statements(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.statements.as_ref().map_err(why)?;
    let detail = "Each call takes this long on average, since the server counts.";
    Ok(visit.fault(FindingKind::SlowStatement, Severity::Warning, "Statements that are slow", detail))
}

fn full_scans(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.statements.as_ref().map_err(why)?;
    let detail = "They use no index, read a table, and throw most of it away.";
    let title = "Statements that read a table to keep little of it";
    Ok(visit.fault(FindingKind::SequentialScan, Severity::Warning, title, detail))
}

fn temporary(visit: &mut Visit<'_>) -> Answer {
    let statements = visit.whole.reading.statements.as_ref().map_err(why)?;
    let evidence: Vec<String> = statements
        .iter()
        .filter(|statement| statement.temporary_written > 0)
        .take(NAMED)
        .map(|statement| {
            format!(
                "{} tables in {} calls: {}",
                statement.temporary_written, statement.seconds.count, statement.normalized
            )
        })
        .collect();
    Ok((!evidence.is_empty()).then(|| Found {
        severity: Severity::Note,
        title: "Temporary tables on disk",
        detail: "Groups and sorts that do not fit, or that hold long texts, are written to disk at each call.",
        fix: "an index in the order of the GROUP BY or ORDER BY; fewer long columns; else a larger tmp_table_size \
              and max_heap_table_size"
            .to_owned(),
        evidence,
    }))
}

fn unused(visit: &mut Visit<'_>) -> Answer {
    let indexes = visit.whole.reading.indexes.as_ref().map_err(why)?;
    if indexes.iter().all(|index| index.scans.is_none()) && !indexes.is_empty() {
        return Err("reads of indexes are not counted: see not_counted".to_owned());
    }
    let uptime = visit.whole.reading.uptime.unwrap_or_default();
    if uptime < visit.limits.disuse {
        return Err(format!("the server is up for {:.1} days only", uptime.as_secs_f64() / 86_400.0));
    }
    let detail = "Writes keep them up, and nothing reads them on this server. Replicas count for themselves.";
    Ok(visit.fault(FindingKind::UnusedIndex, Severity::Note, "Indexes that are never read", detail))
}

fn duplicate(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.indexes.as_ref().map_err(why)?;
    let detail = "Each write keeps both up, and both take the buffer pool's room.";
    Ok(visit.fault(FindingKind::DuplicateIndex, Severity::Warning, "Indexes that are there twice", detail))
}

fn redundant(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.indexes.as_ref().map_err(why)?;
    let detail = "The longer index finds the same rows.";
    Ok(visit.fault(FindingKind::RedundantIndex, Severity::Note, "Indexes with which another begins", detail))
}

fn ignored(visit: &mut Visit<'_>) -> Answer {
    let indexes = visit.whole.reading.indexes.as_ref().map_err(why)?;
    let hidden: Vec<_> = indexes.iter().filter(|index| !index.valid).take(NAMED).collect();
    let steps = |index: &&veritas_database::server::IndexReading| {
        crate::hide::retirement(visit.whole.reading.engine, index)
            .map_or_else(|_| index.name.clone(), |steps| format!("{}; or {}", steps.drop, steps.show))
    };
    Ok((!hidden.is_empty()).then(|| Found {
        severity: Severity::Note,
        title: "Indexes that are hidden",
        detail: "Writes keep them up, and no statement may read them: drop what was watched for long enough.",
        fix: hidden.iter().map(steps).collect::<Vec<_>>().join("\n"),
        evidence: hidden.iter().map(|index| format!("{} on {}", index.name, index.table)).collect(),
    }))
}

fn lock_wait(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.locks.as_ref().map_err(why)?;
    let detail = "They do nothing until the other one ends its transaction.";
    Ok(visit.fault(FindingKind::LockWait, Severity::Warning, "Sessions that wait for locks", detail))
}

fn idle(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.activity.as_ref().map_err(why)?;
    let detail = "Its locks stay, and so does every old version of a row since it began.";
    let title = "Sessions that hold a transaction open and do nothing";
    Ok(visit.fault(FindingKind::IdleInTransaction, Severity::Warning, title, detail))
}

fn long_transaction(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.activity.as_ref().map_err(why)?;
    let detail = "Every old version of a row since it began is kept and read over.";
    let title = "Transactions that are open for long";
    Ok(visit.fault(FindingKind::LongTransaction, Severity::Warning, title, detail))
}

fn connections(visit: &mut Visit<'_>) -> Answer {
    visit.whole.reading.connections.as_ref().map_err(why)?;
    let detail = "The next ones are refused when none is left.";
    Ok(visit.fault(FindingKind::Connections, Severity::Critical, "Few connections are left", detail))
}

/// A replica that is further behind than this answers from the past.
const BEHIND: std::time::Duration = std::time::Duration::from_secs(30);

fn replication(visit: &mut Visit<'_>) -> Answer {
    let replication = visit.whole.reading.replication.as_ref().map_err(why)?;
    let Some(lag) = replication.own_lag.filter(|lag| *lag > BEHIND) else { return Ok(None) };
    let years = lag.as_secs() > u64::from(u32::MAX);
    let seen = if years { "it does not replicate".to_owned() } else { format!("{} s behind", lag.as_secs()) };
    Ok(Some(Found {
        severity: Severity::Critical,
        title: "The replica does not follow",
        detail: "Whoever reads here reads the past, and it cannot take over.",
        fix: "SHOW REPLICA STATUS (SHOW SLAVE STATUS) says why; mend that, then START REPLICA".to_owned(),
        evidence: vec![seen],
    }))
}

const NO_PRIMARY_KEY: &str = "SELECT t.TABLE_NAME FROM information_schema.TABLES t \
     LEFT JOIN information_schema.TABLE_CONSTRAINTS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA \
     AND c.TABLE_NAME = t.TABLE_NAME AND c.CONSTRAINT_TYPE = 'PRIMARY KEY' \
     WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' AND c.CONSTRAINT_NAME IS NULL \
     ORDER BY t.TABLE_ROWS DESC LIMIT 10";

fn no_primary_key(visit: &mut Visit<'_>) -> Answer {
    let evidence: Vec<String> = visit.list(NO_PRIMARY_KEY)?.into_iter().flatten().flatten().collect();
    Ok((!evidence.is_empty()).then(|| Found {
        severity: Severity::Warning,
        title: "Tables without a primary key",
        detail: "The server adds a hidden one that nobody can ask by; replicas look for each changed row by reading \
                 the table.",
        fix: "ALTER TABLE … ADD COLUMN id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, or name the columns that are one"
            .to_owned(),
        evidence,
    }))
}

const NOT_TRANSACTIONAL: &str = "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' \
     AND ENGINE IN ('MyISAM', 'Aria', 'MEMORY', 'CSV', 'ARCHIVE') ORDER BY TABLE_ROWS DESC LIMIT 10";

fn not_transactional(visit: &mut Visit<'_>) -> Answer {
    let rows = visit.list(NOT_TRANSACTIONAL)?;
    let words = |row: Vec<Option<String>>| row.into_iter().flatten().collect::<Vec<_>>().join(": ");
    let evidence: Vec<String> = rows.into_iter().map(words).collect();
    Ok((!evidence.is_empty()).then(|| Found {
        severity: Severity::Warning,
        title: "Tables of an engine without transactions",
        detail: "A ROLLBACK does not undo what was written to them, writers lock the whole table, and a crash may lose \
                 rows.",
        fix: "ALTER TABLE … ENGINE = InnoDB".to_owned(),
        evidence,
    }))
}

const COUNTERS: &str = "SELECT c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, t.AUTO_INCREMENT \
     FROM information_schema.COLUMNS c JOIN information_schema.TABLES t \
     ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME \
     WHERE c.TABLE_SCHEMA = DATABASE() AND c.EXTRA LIKE '%auto_increment%' AND t.AUTO_INCREMENT IS NOT NULL \
     ORDER BY t.AUTO_INCREMENT DESC LIMIT 500";

/// The share of a counter's values that may be used.
const USED: f64 = 0.7;
/// Beyond this it ends soon.
const NEARLY_ALL: f64 = 0.95;

/// Returns the largest value of an integer type as the catalogue writes it (`int(10) unsigned`).
fn largest(kind: &str) -> Option<f64> {
    let bits = match kind.split(['(', ' ']).next()? {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" => 32,
        "bigint" => 64,
        _ => return None,
    };
    let bits = if kind.contains("unsigned") { bits } else { bits - 1 };
    Some(2_f64.powi(bits) - 1.0)
}

fn auto_increment(visit: &mut Visit<'_>) -> Answer {
    let mut worst = 0.0_f64;
    let mut evidence = Vec::new();
    for row in visit.list(COUNTERS)? {
        let [Some(table), Some(column), Some(kind), Some(next)] = &row[..] else { continue };
        let (Some(most), Ok(next)) = (largest(kind), next.parse::<f64>()) else { continue };
        let used = next / most;
        if used >= USED && evidence.len() < NAMED {
            worst = worst.max(used);
            evidence.push(format!("{table}.{column} {kind}: {:.0} % used", used * 100.0));
        }
    }
    Ok((!evidence.is_empty()).then(|| Found {
        severity: if worst >= NEARLY_ALL { Severity::Critical } else { Severity::Warning },
        title: "Counters that near the end of their type",
        detail: "When it is reached, every INSERT fails.",
        fix: "ALTER TABLE … MODIFY … BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, with the columns that refer to it"
            .to_owned(),
        evidence,
    }))
}

const THREE_BYTES: &str = "SELECT CONCAT(c.TABLE_NAME, '.', c.COLUMN_NAME) FROM information_schema.COLUMNS c \
     JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME \
     WHERE c.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' \
     AND c.CHARACTER_SET_NAME IN ('utf8', 'utf8mb3') ORDER BY 1 LIMIT 10";

fn three_byte_text(visit: &mut Visit<'_>) -> Answer {
    let evidence: Vec<String> = visit.list(THREE_BYTES)?.into_iter().flatten().flatten().collect();
    Ok((!evidence.is_empty()).then(|| Found {
        severity: Severity::Note,
        title: "Texts of three bytes a character",
        detail: "Characters beyond them (emoji, some names) are refused or lost; comparing them with utf8mb4 texts \
                 converts, and then no index serves.",
        fix: "ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4".to_owned(),
        evidence,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_ends_where_its_bits_do() {
        assert_eq!(largest("tinyint(4)"), Some(127.0));
        assert_eq!(largest("int(10) unsigned"), Some(4_294_967_295.0));
        assert_eq!(largest("int"), Some(2_147_483_647.0));
        assert_eq!(largest("decimal(10,2)"), None);
    }
}
