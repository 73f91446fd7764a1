//! What the sessions of this database do: `pg_stat_activity`, without literals.

use tokio_postgres::{Error, Row};
use veritas_database::{
    fingerprint,
    server::{ActivityReading, Section, SessionReading},
};

use super::{
    count,
    part::{Parts, forbidden},
    span,
};

/// The most sessions that a reading shows, those with the oldest transactions.
pub const MOST_SESSIONS: usize = 50;
/// The most states and waits.
const MOST_GROUPS: usize = 32;

/// What is said of sessions that our role may not see.
const HIDDEN: &str = "not shown to this role";

// Sessions by state, ours left out. What is hidden has no state and a text that says so.
const STATES: &str = "
    SELECT CASE WHEN query = '<insufficient privilege>' THEN NULL ELSE coalesce(state, 'unknown') END, count(*)
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND (backend_type = 'client backend' OR query = '<insufficient privilege>')
      AND application_name IS DISTINCT FROM 'veritas'
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 32";

// What running statements wait for.
const WAITS: &str = "
    SELECT wait_event_type || ': ' || wait_event, count(*)
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND application_name IS DISTINCT FROM 'veritas'
      AND state = 'active' AND wait_event IS NOT NULL
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 32";

// Sessions with a transaction, the oldest first.
const SESSIONS: &str = "
    SELECT pid::int8, usename::text, application_name, state,
           extract(epoch FROM clock_timestamp() - xact_start)::float8,
           extract(epoch FROM clock_timestamp() - state_change)::float8,
           wait_event_type || ': ' || wait_event,
           query, octet_length(query) >= pg_size_bytes(current_setting('track_activity_query_size')) - 1
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND application_name IS DISTINCT FROM 'veritas' AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 50";

/// Reads what the sessions do.
pub(super) fn read(parts: &mut Parts<'_>, role: &str) -> Section<ActivityReading> {
    let group = |row: &Row| Ok::<_, Error>((row.try_get::<_, Option<String>>(0)?, count(row.try_get(1)?)));
    let states = parts.list(STATES, &[], group)?;
    if !states.is_empty() && states.iter().all(|(state, _)| state.is_none()) {
        return Err(forbidden("the sessions of other roles", role));
    }
    let name =
        |(state, sessions): (Option<String>, u64)| (state.unwrap_or_else(|| HIDDEN.to_owned()), sessions);
    let states = states.into_iter().take(MOST_GROUPS).map(name).collect();
    let waits = parts.list(WAITS, &[], group)?.into_iter().map(name).collect();
    let sessions = parts.list(SESSIONS, &[], session)?;
    Ok(ActivityReading { states, waits, sessions })
}

/// Reads a session off nine columns: number, role, application, state, two spans, wait,
/// text, and whether the text is cut off.
pub(super) fn session(row: &Row) -> Result<SessionReading, Error> {
    let text: Option<String> = row.try_get(7)?;
    let text = text.filter(|text| !text.is_empty() && text != "<insufficient privilege>");
    let cut: Option<bool> = row.try_get(8)?;
    let statement = text.as_deref().map(fingerprint::statement);
    Ok(SessionReading {
        pid: row.try_get(0)?,
        user: row.try_get(1)?,
        application: row.try_get::<_, Option<String>>(2)?.filter(|name| !name.is_empty()),
        state: row.try_get::<_, Option<String>>(3)?.unwrap_or_else(|| HIDDEN.to_owned()),
        transaction: span(row.try_get(4)?),
        in_state: span(row.try_get(5)?),
        wait: row.try_get(6)?,
        // A text that the server has cut off has another fingerprint than the statement.
        fingerprint: statement.as_ref().filter(|_| cut != Some(true)).map(|statement| statement.fingerprint),
        statement: statement.map(|statement| statement.text.to_string()),
    })
}
