//! Settings that lose data, cut values, or waste what the machine has.

use veritas_database::server::{ServerReading, Severity};

use crate::view::{MySqlReading, SwitchedOff};

/// A setting that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// A word for what is wrong: `commits_not_flushed`. Stable.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it costs, and why.
    pub detail: String,
    /// The line of an option file that mends it.
    pub fix: String,
}

/// What a setting can be wrong in, and what holds when it is not.
pub const CODES: [(&str, &str); 9] = [
    ("not_counted", "the server counts what can be counted"),
    ("torn_pages", "a page that was half written is mended after a crash"),
    ("commits_not_flushed", "what was committed outlasts a crash"),
    ("binlog_not_synced", "the binary log outlasts a crash"),
    ("values_cut_silently", "a value that does not fit is an error"),
    ("buffer_pool_small", "the buffer pool fits the database"),
    ("temporary_table_limit", "temporary tables may grow as large as they are said to"),
    ("query_cache", "no lock is shared by all statements"),
    ("no_statement_limit", "a statement cannot run for ever"),
];

/// A buffer pool of a size nobody chose.
const DEFAULT_POOL: u64 = 128 << 20;

/// Judges the settings of a reading, worst first.
pub fn judge(reading: &MySqlReading) -> Vec<Judged> {
    let server = &reading.reading;
    let mut judged: Vec<Judged> = not_counted(&reading.switched_off).into_iter().collect();
    judged.extend(durability(server));
    judged.extend(capacity(server));
    judged.sort_by_key(|one| std::cmp::Reverse(one.severity)); // stable
    judged
}

fn not_counted(off: &[SwitchedOff]) -> Option<Judged> {
    if off.is_empty() {
        return None;
    }
    let what: Vec<&str> = off.iter().map(|off| off.what).collect();
    let mut fixes: Vec<&str> = off.iter().map(|off| off.fix).collect();
    fixes.dedup();
    Some(Judged {
        code: "not_counted",
        severity: Severity::Warning,
        detail: format!(
            "The server does not count: {}. Nobody sees what is slow or unused.",
            what.join(", ")
        ),
        fix: format!("in the option file, then a restart: {}", fixes.join("; ")),
    })
}

fn value<'a>(server: &'a ServerReading, name: &str) -> Option<&'a str> {
    let settings = server.settings.as_ref().ok()?;
    settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
}

fn number(server: &ServerReading, name: &str) -> Option<u64> {
    value(server, name)?.parse().ok()
}

fn is_off(word: &str) -> bool {
    ["OFF", "0", "NO"].iter().any(|off| word.eq_ignore_ascii_case(off))
}

fn durability(server: &ServerReading) -> Vec<Judged> {
    let mut judged = Vec::new();
    let mut says = |code, severity, detail: &str, fix: &str| {
        judged.push(Judged { code, severity, detail: detail.to_owned(), fix: fix.to_owned() });
    };
    if value(server, "innodb_doublewrite").is_some_and(is_off) {
        says(
            "torn_pages",
            Severity::Critical,
            "innodb_doublewrite is off: a power cut in the middle of a page leaves one that cannot be read.",
            "innodb_doublewrite = ON (a file system that writes whole pages is the exception)",
        );
    }
    if value(server, "innodb_flush_log_at_trx_commit").is_some_and(|value| value != "1") {
        says(
            "commits_not_flushed",
            Severity::Warning,
            "innodb_flush_log_at_trx_commit is not 1: up to a second of what was committed may be lost.",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and the same in the option file",
        );
    }
    let has_log = value(server, "log_bin").is_some_and(|value| !is_off(value));
    if has_log && number(server, "sync_binlog") == Some(0) {
        says(
            "binlog_not_synced",
            Severity::Warning,
            "sync_binlog is 0: after a crash replicas may have what the primary lost, or lack what it has.",
            "SET GLOBAL sync_binlog = 1, and the same in the option file",
        );
    }
    if value(server, "sql_mode").is_some_and(|mode| !mode.contains("STRICT_")) {
        says(
            "values_cut_silently",
            Severity::Warning,
            "sql_mode is not strict: a text that is too long is cut, and a number that is too large becomes another.",
            "SET GLOBAL sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES'), and the same in the option file",
        );
    }
    judged
}

fn capacity(server: &ServerReading) -> Vec<Judged> {
    let mut judged = Vec::new();
    let used: u64 =
        server.tables.iter().flatten().map(|table| table.size.get() + table.index_size.get()).sum();
    if let Some(pool) = number(server, "innodb_buffer_pool_size")
        && pool <= DEFAULT_POOL
        && used > 2 * pool
    {
        let mib = |bytes: u64| bytes >> 20;
        judged.push(Judged {
            code: "buffer_pool_small",
            severity: Severity::Warning,
            detail: format!(
                "The tables and indexes take {} MiB, and the buffer pool holds {} MiB.",
                mib(used),
                mib(pool)
            ),
            fix: "innodb_buffer_pool_size: half to three quarters of the memory of a machine of its own"
                .to_owned(),
        });
    }
    if let (Some(wanted), Some(most)) =
        (number(server, "tmp_table_size"), number(server, "max_heap_table_size"))
        && most < wanted
    {
        judged.push(Judged {
            code: "temporary_table_limit",
            severity: Severity::Note,
            detail: format!("tmp_table_size is {wanted}, and max_heap_table_size cuts it to {most}."),
            fix: format!("SET GLOBAL max_heap_table_size = {wanted}, and the same in the option file"),
        });
    }
    if value(server, "query_cache_type").is_some_and(|value| !is_off(value)) {
        judged.push(Judged {
            code: "query_cache",
            severity: Severity::Note,
            detail: "The query cache is on: every statement and every write takes its one lock.".to_owned(),
            fix: "query_cache_type = OFF; cache in the application, where one knows what is stale".to_owned(),
        });
    }
    let limit = ["max_statement_time", "max_execution_time"].into_iter().find_map(|name| {
        let limit: f64 = value(server, name)?.parse().ok()?;
        Some((name, limit))
    });
    if let Some((name, limit)) = limit
        && limit <= 0.0
    {
        judged.push(Judged {
            code: "no_statement_limit",
            severity: Severity::Note,
            detail: format!("{name} is 0: a statement that was forgotten runs until somebody ends it."),
            fix: format!("SET GLOBAL {name} to more than the slowest statement that is wanted takes"),
        });
    }
    judged
}
