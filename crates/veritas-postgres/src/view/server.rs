//! Which server and database it is, and how many connections there are.

use std::time::Duration;

use veritas_database::server::{Section, ServerConnections};
use veritas_model::Timestamp;

use super::{
    count,
    part::{Parts, forbidden},
    span, timestamp, versions,
};

/// What everybody may know.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) database: String,
    pub(super) role: String,
    pub(super) uptime: Option<Duration>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) is_replica: bool,
    pub(super) transaction_id_age: Option<u64>,
    pub(super) extensions: Vec<(String, String)>,
}

// Names, time since the start, kind of server, age of the oldest unfrozen transaction.
const IDENTITY: &str = "
    SELECT d.datname::text, current_user::text,
           extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8,
           pg_is_in_recovery(), age(d.datfrozenxid)::int8,
           extract(epoch FROM pg_postmaster_start_time())::float8
    FROM pg_database d WHERE d.datname = current_database()";

// What is installed in this database.
const EXTENSIONS: &str = "SELECT extname::text, extversion FROM pg_extension ORDER BY 1 LIMIT 200";

/// Reads who the server is.
pub(super) fn identity(parts: &mut Parts<'_>) -> Section<Identity> {
    let extensions = parts.list(EXTENSIONS, &[], |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
    parts.one(IDENTITY, &[], |row| {
        Ok(Identity {
            database: row.try_get(0)?,
            role: row.try_get(1)?,
            uptime: span(row.try_get(2)?),
            is_replica: row.try_get(3)?,
            transaction_id_age: row.try_get::<_, Option<i64>>(4)?.map(|age| count(Some(age))),
            started_at: timestamp(row.try_get(5)?),
            extensions: extensions.clone(),
        })
    })
}

/// Reads how many connections clients have, of all databases, and how many there may be.
pub(super) fn connections(parts: &mut Parts<'_>, role: &str) -> Section<ServerConnections> {
    let reserved = versions::reserved_connections(parts.version());
    // Of sessions that are hidden neither kind nor state is shown, and processes of the
    // server itself have no user; those of replication are counted apart by the server.
    let sql = format!(
        "SELECT count(*) FILTER (WHERE state IN ('active', 'fastpath function call')),
                count(*) FILTER (WHERE state = 'idle'),
                count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
                count(*), current_setting('max_connections')::int8, {reserved},
                count(*) FILTER (WHERE query = '<insufficient privilege>')
         FROM pg_stat_activity
         WHERE backend_type = 'client backend' OR (backend_type IS NULL AND usename IS NOT NULL)"
    );
    let (connections, hidden) = parts.one(&sql, &[], |row| {
        let number = |column: usize| Ok::<u64, tokio_postgres::Error>(count(row.try_get(column)?));
        let connections = ServerConnections {
            active: number(0)?,
            idle: number(1)?,
            idle_in_transaction: number(2)?,
            total: number(3)?,
            max: number(4)?,
            reserved: number(5)?,
        };
        Ok((connections, number(6)?))
    })?;
    if hidden > 0 {
        return Err(forbidden("the state of connections of other roles", role));
    }
    Ok(connections)
}
