//! The view of a server: one bounded reading, part by part.
//!
//! Parts that may not be read, or that the server does not keep as it is set up, say so
//! with what would have to be otherwise; the rest is there all the same.

mod indexes;
mod sessions;
mod statements;
mod tables;

use std::{sync::Arc, time::Duration};

use veritas_database::server::{
    Engine, NotRead, ReplicationReading, Section, ServerConnections, ServerReading, SettingReading,
};
use veritas_model::{Bytes, Clock, Fingerprint, Timestamp};

use crate::session::{ConnectOptions, Session, SessionError, Texts};

/// How many statements, tables and indexes one reading holds at most.
pub const MOST: usize = 500;
/// How long a reading may take, one statement longer at most. What is not read by then
/// says that there was no answer in time.
const LONGEST: Duration = Duration::from_secs(10);

/// How often a kind of statement ran without an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullScans {
    /// The statement.
    pub fingerprint: Fingerprint,
    /// Its calls.
    pub calls: u64,
    /// Those that found no index to use.
    pub without_index: u64,
    /// Rows that its calls examined.
    pub rows_examined: u64,
    /// Rows that its calls returned or changed.
    pub rows_kept: u64,
}

/// Something that the server could tell, and was told not to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchedOff {
    /// What is not told.
    pub what: &'static str,
    /// The setting that makes it tell, as an option file has it.
    pub fix: &'static str,
}

/// A reading, and what only these servers tell.
#[derive(Debug, Clone, PartialEq)]
pub struct MySqlReading {
    /// The reading.
    pub reading: ServerReading,
    /// Statements that ran without an index, most rows examined first.
    pub full_scans: Vec<FullScans>,
    /// What is switched off.
    pub switched_off: Vec<SwitchedOff>,
}

/// The settings that matter for speed and safety.
const SETTINGS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_buffer_pool_size', \
     'innodb_flush_log_at_trx_commit', 'innodb_log_file_size', 'max_connections', 'sync_binlog', 'tmp_table_size', \
     'max_heap_table_size', 'sort_buffer_size', 'join_buffer_size', 'long_query_time', 'slow_query_log', \
     'performance_schema', 'performance_schema_max_digest_length', 'read_only', 'sql_mode', 'wait_timeout', \
     'innodb_lock_wait_timeout', 'max_statement_time', 'max_execution_time', 'innodb_doublewrite', 'log_bin', \
     'innodb_file_per_table', 'innodb_stats_persistent', 'query_cache_type')";

/// Counters of the server.
const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'Threads_connected', 'Threads_running', \
     'Max_used_connections', 'Performance_schema_digest_lost')";

/// Reads the server of `options`, which is called `name`. Blocks for ten seconds and one
/// statement at most. A server that is not reached is a reading whose parts say so.
pub fn read(name: &str, options: &ConnectOptions, clock: &Arc<dyn Clock>) -> MySqlReading {
    let (read_at, started) = (clock.now(), clock.monotonic());
    let mut reading = match Session::connect(options) {
        Ok(mut session) => {
            let late = || clock.monotonic().since(started) >= LONGEST;
            of_session(name, &mut session, read_at, &late)
        }
        Err(error) => unreached(name, &not_read(&error, "the server"), read_at),
    };
    reading.reading.took = clock.monotonic().since(started);
    reading
}

fn unreached(name: &str, why: &NotRead, read_at: Timestamp) -> MySqlReading {
    let reading = ServerReading {
        name: name.to_owned(),
        engine: Engine::MariaDb,
        version: String::new(),
        database: String::new(),
        read_at,
        took: Duration::ZERO,
        uptime: None,
        is_replica: false,
        statements: Err(why.clone()),
        statements_reset_at: None,
        statements_evicted: None,
        activity: Err(why.clone()),
        locks: Err(why.clone()),
        tables: Err(why.clone()),
        indexes: Err(why.clone()),
        settings: Err(why.clone()),
        replication: Err(why.clone()),
        connections: Err(why.clone()),
        extensions: Vec::new(),
        transaction_id_age: None,
    };
    MySqlReading { reading, full_scans: Vec::new(), switched_off: Vec::new() }
}

fn of_session(
    name: &str,
    session: &mut Session,
    read_at: Timestamp,
    late: &dyn Fn() -> bool,
) -> MySqlReading {
    let mut whole = unreached(name, &NotRead::TimedOut, read_at);
    whole.switched_off = statements::switched_off(session);
    let counts_reads = !whole.switched_off.iter().any(|off| off.what == statements::INDEX_READS);
    let reading = &mut whole.reading;
    reading.engine = session.engine();
    session.version().clone_into(&mut reading.version);
    session.database().clone_into(&mut reading.database);
    let status = if late() { Err(NotRead::TimedOut) } else { pairs(session, STATUS, "the status") };
    let of_status = |name: &str| -> Option<u64> {
        status.as_ref().ok()?.iter().find(|(known, _)| known == name)?.1.parse().ok()
    };
    reading.uptime = of_status("Uptime").map(Duration::from_secs);
    reading.statements_evicted = of_status("Performance_schema_digest_lost");
    if !late() {
        reading.settings = pairs(session, SETTINGS, "the settings").map(|pairs| {
            let setting =
                |(name, value)| SettingReading { name, value, unit: None, source: "global".to_owned() };
            pairs.into_iter().map(setting).collect()
        });
    }
    if !late() {
        reading.statements = statements::read(session).map(|(statements, scans)| {
            whole.full_scans = scans;
            statements
        });
    }
    if !late() {
        reading.activity = sessions::activity(session);
    }
    if !late() {
        reading.locks = sessions::locks(session);
    }
    if !late() {
        reading.tables = tables::read(session, counts_reads);
    }
    if !late() {
        reading.indexes = indexes::read(session, counts_reads);
    }
    if !late() {
        reading.replication = replication(session);
    }
    reading.is_replica = reading.replication.as_ref().is_ok_and(|replication| replication.own_lag.is_some());
    reading.connections = connections(reading, of_status("Threads_connected"));
    whole
}

/// Counts the connections, from what the sessions, the settings and the status say.
fn connections(reading: &ServerReading, total: Option<u64>) -> Section<ServerConnections> {
    let max = reading.settings.as_ref().ok().and_then(|settings| {
        settings.iter().find(|setting| setting.name == "max_connections")?.value.parse().ok()
    });
    match (&reading.activity, max, total) {
        (Ok(activity), Some(max), Some(total)) => {
            let of = |state: &str| {
                activity.states.iter().find(|(known, _)| known == state).map_or(0, |(_, count)| *count)
            };
            Ok(ServerConnections {
                active: of(sessions::ACTIVE),
                idle: of(sessions::IDLE),
                idle_in_transaction: of(sessions::IDLE_IN_TRANSACTION),
                total,
                max,
                reserved: 0,
            })
        }
        (Err(why), ..) => Err(why.clone()),
        _ => Err(NotRead::NotKept {
            reason: "the server does not say how many connections there may be".to_owned(),
        }),
    }
}

/// What a replica says of itself. `Seconds_Behind_Master` is null while it is not connected.
fn replication(session: &mut Session) -> Section<ReplicationReading> {
    let is_mysql = session.engine() == Engine::MySql;
    let (sql, column) = if is_mysql { ("SHOW REPLICA STATUS", 32) } else { ("SHOW SLAVE STATUS", 32) };
    let rows =
        session.query(sql).map_err(|error| not_read(&error, "the replication (GRANT SLAVE MONITOR)"))?;
    let own_lag = rows.first().map(|row| {
        let seconds = row.get(column).cloned().flatten().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(u64::MAX / 4))
    });
    Ok(ReplicationReading { replicas: Vec::new(), slots: Vec::new(), own_lag })
}

fn pairs(session: &mut Session, sql: &str, what: &str) -> Section<Vec<(String, String)>> {
    let rows = session.query(sql).map_err(|error| not_read(&error, what))?;
    let pair = |row: Texts| {
        let mut row = row.into_iter().flatten();
        Some((row.next()?, row.next()?))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// Says why a part is not there.
fn not_read(error: &SessionError, what: &str) -> NotRead {
    match error {
        SessionError::Denied { code: 1045 | 1698, message } => {
            NotRead::Unreachable { reason: message.clone() }
        }
        SessionError::Denied { message, .. } => {
            NotRead::Forbidden { what: what.to_owned(), grant: message.clone() }
        }
        SessionError::TimedOut | SessionError::LockNotAvailable => NotRead::TimedOut,
        SessionError::Refused { code } => NotRead::Refused { code: code.to_string() },
        other => NotRead::Unreachable { reason: other.to_string() },
    }
}

/// A row of a reading, column by column.
struct Columns(std::vec::IntoIter<Option<String>>);

impl Columns {
    fn of(row: Texts) -> Self {
        Self(row.into_iter())
    }

    fn text(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    fn name(&mut self) -> String {
        self.text().unwrap_or_default()
    }

    fn number(&mut self) -> Option<u64> {
        let text = self.text()?;
        // Sums of numbers are decimals to the server.
        text.split('.').next()?.parse().ok()
    }

    fn count(&mut self) -> u64 {
        self.number().unwrap_or(0)
    }

    fn bytes(&mut self) -> Bytes {
        Bytes::new(self.count())
    }
}
