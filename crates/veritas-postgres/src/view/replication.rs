//! Replicas of this server, slots, and how far this server is behind where it is a replica.

use veritas_database::server::{ReplicaReading, ReplicationReading, Section, SlotReading};
use veritas_model::Bytes;

use super::{
    count,
    part::{Parts, forbidden},
    span,
};

// The replicas that are connected. A replica may have replicas too: it passes on what it received.
const REPLICAS: &str = "
    SELECT application_name, state,
           pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                ELSE pg_current_wal_lsn() END, replay_lsn)::int8,
           extract(epoch FROM replay_lag)::float8
    FROM pg_stat_replication ORDER BY application_name, pid LIMIT 64";

// The slots, and what each makes the server keep.
const SLOTS: &str = "
    SELECT slot_name::text, active,
           pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                ELSE pg_current_wal_lsn() END, restart_lsn)::int8
    FROM pg_replication_slots ORDER BY slot_name LIMIT 64";

// How far a replica is behind: not at all when it has replayed all that it received.
const OWN_LAG: &str = "
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL
                WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8";

/// Reads replicas, slots and the own lag.
pub(super) fn read(parts: &mut Parts<'_>, role: &str) -> Section<ReplicationReading> {
    let replicas = parts.list(REPLICAS, &[], |row| {
        Ok(ReplicaReading {
            name: row.try_get::<_, Option<String>>(0)?.unwrap_or_default(),
            state: row.try_get::<_, Option<String>>(1)?.unwrap_or_default(),
            behind: row.try_get::<_, Option<i64>>(2)?.map(|bytes| Bytes::new(count(Some(bytes)))),
            lag: span(row.try_get(3)?),
        })
    })?;
    // Of what is hidden only the number of the process is shown.
    if replicas.iter().any(|replica| replica.state.is_empty()) {
        return Err(forbidden("the state of replicas", role));
    }
    let slots = parts.list(SLOTS, &[], |row| {
        Ok(SlotReading {
            name: row.try_get(0)?,
            active: row.try_get(1)?,
            held_back: row.try_get::<_, Option<i64>>(2)?.map(|bytes| Bytes::new(count(Some(bytes)))),
        })
    })?;
    let own_lag = span(parts.one(OWN_LAG, &[], |row| row.try_get(0))?);
    Ok(ReplicationReading { replicas, slots, own_lag })
}
