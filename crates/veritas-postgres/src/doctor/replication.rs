//! Replicas, slots, and what they hold back.

use super::{
    Fault, Severity,
    visit::{Examination, Found, Visit, count, seconds},
};

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("slot_inactive", "every slot is read", inactive),
    Examination::new("slot_lost", "no slot has lost its log", lost),
    Examination::new("slot_unbounded", "slots cannot fill the disk", unbounded),
    Examination::new("replica_lag", "replicas keep up", lag),
    Examination::new("replica_disconnected", "the replica is connected to its primary", disconnected),
    Examination::new("synchronous_replica_missing", "a synchronous replica is there", synchronous),
];

/// Slots that nobody reads and that hold back `$1` bytes. The position is that of the
/// end of the log, on a replica of what was received.
const INACTIVE: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('slot %s holds back %s bytes', s.slot_name, h.bytes), pg_catalog.quote_literal(s.slot_name) \
     FROM pg_catalog.pg_replication_slots s, LATERAL (SELECT pg_catalog.pg_wal_lsn_diff( \
     CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() \
     ELSE pg_catalog.pg_current_wal_lsn() END, s.restart_lsn)::bigint AS bytes) h \
     WHERE NOT s.active AND h.bytes >= $1::bigint ORDER BY h.bytes DESC LIMIT $2::bigint";

fn inactive(visit: &mut Visit<'_>) -> Found {
    let (limit, most) = (count(visit.limits.held_back), visit.objects());
    let listed = visit.list(INACTIVE, &[&limit, &most])?;
    let detail = "The log is kept for a reader that is not there, until the disk is full; rows that it may want are \
                  not cleaned either.";
    Ok(listed.fault(Severity::Critical, "Slots that nobody reads hold the log back", detail, drop_slot))
}

fn drop_slot(row: &[String]) -> String {
    format!(
        "start its reader, or SELECT pg_drop_replication_slot({})",
        row.first().map_or("", String::as_str)
    )
}

/// Slots whose log was removed.
const LOST: &str = "SELECT count(*) OVER ()::text, s.slot_name::text, pg_catalog.quote_literal(s.slot_name) \
     FROM pg_catalog.pg_replication_slots s WHERE s.wal_status IN ('lost', 'unreserved') \
     ORDER BY s.slot_name LIMIT $1::bigint";

fn lost(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(LOST, &[&most])?;
    let detail = "What their readers have not read yet was removed: they must be made anew.";
    Ok(listed.fault(Severity::Critical, "Slots lose their log", detail, drop_slot))
}

/// All slots.
const SLOTS: &str = "SELECT count(*) OVER ()::text, s.slot_name::text FROM pg_catalog.pg_replication_slots s \
     ORDER BY s.slot_name LIMIT $1::bigint";

fn unbounded(visit: &mut Visit<'_>) -> Found {
    if visit.setting("max_slot_wal_keep_size")?.value != "-1" {
        return Ok(None);
    }
    let most = visit.objects();
    let listed = visit.list(SLOTS, &[&most])?;
    let detail =
        "A reader that stays away makes the server keep its log until the disk is full, and then it stops.";
    Ok(listed.fault(Severity::Note, "Slots may hold back the log without a bound", detail, |_| {
        "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf() (less than what the disk has free)"
            .to_owned()
    }))
}

/// Replicas that are `$1` seconds or `$2` bytes behind.
const LAGGING: &str = "SELECT count(*) OVER ()::text, pg_catalog.format('%s (%s): %s s, %s bytes behind', \
     r.application_name, r.state, COALESCE(floor(extract(epoch FROM r.replay_lag)), 0), b.bytes) \
     FROM pg_catalog.pg_stat_replication r, LATERAL (SELECT pg_catalog.pg_wal_lsn_diff( \
     pg_catalog.pg_current_wal_lsn(), COALESCE(r.replay_lsn, r.flush_lsn, r.sent_lsn))::bigint AS bytes) b \
     WHERE extract(epoch FROM r.replay_lag)::float8 >= $1::float8 OR b.bytes >= $2::bigint \
     ORDER BY b.bytes DESC LIMIT $3::bigint";

/// How far this replica is behind: none when it has replayed what it received.
const OWN_LAG: &str = "SELECT extract(epoch FROM clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8::text \
     WHERE pg_catalog.pg_last_wal_receive_lsn() IS DISTINCT FROM pg_catalog.pg_last_wal_replay_lsn()";

fn lag(visit: &mut Visit<'_>) -> Found {
    let title = "Replicas are behind";
    let detail = "Readers there see what was; if the primary is lost now, so is what they lack.";
    let fix = "look at the replica's disk, network and long queries; max_standby_streaming_delay lets queries hold it up";
    let limit = seconds(visit.limits.replica_lag);
    if visit.is_replica {
        let rows = visit.ask(OWN_LAG, &[])?;
        let behind = rows.first().and_then(|row| row.first()?.parse::<f64>().ok()).unwrap_or(0.0);
        let fault = Fault::new(Severity::Warning, "This replica is behind", detail, fix);
        return Ok((behind >= limit).then(|| fault.seen(vec![format!("{behind:.0} s behind")])));
    }
    visit.must_see_sessions()?;
    let (bytes, most) = (count(visit.limits.held_back), visit.objects());
    let listed = visit.list(LAGGING, &[&limit, &bytes, &most])?;
    Ok(listed.fault(Severity::Warning, title, detail, |_| fix.to_owned()))
}

/// Whether the replica receives.
const RECEIVERS: &str = "SELECT count(*)::text FROM pg_catalog.pg_stat_wal_receiver";

fn disconnected(visit: &mut Visit<'_>) -> Found {
    if !visit.is_replica {
        return Ok(None);
    }
    let receivers = visit.numbers(RECEIVERS, &[])?.first().copied().flatten().unwrap_or(0.0);
    if receivers > 0.0 {
        return Ok(None);
    }
    let detail = "It replays at most what is in the archive, and is a copy of the past.";
    let fix = "look at its log, at primary_conninfo, and whether the primary still has the log that it wants";
    Ok(Some(Fault::new(Severity::Critical, "The replica receives nothing from its primary", detail, fix)))
}

/// Replicas that a commit may wait for.
const SYNCHRONOUS: &str = "SELECT count(*)::text FROM pg_catalog.pg_stat_replication r \
     WHERE r.sync_state IN ('sync', 'quorum') AND r.state = 'streaming'";

fn synchronous(visit: &mut Visit<'_>) -> Found {
    let names = visit.setting("synchronous_standby_names")?.value.clone();
    if visit.is_replica || names.is_empty() {
        return Ok(None);
    }
    visit.must_see_sessions()?;
    let there = visit.numbers(SYNCHRONOUS, &[])?.first().copied().flatten().unwrap_or(0.0);
    if there > 0.0 {
        return Ok(None);
    }
    let detail = "Every commit waits for a replica that is not connected: writes hang.";
    let fix =
        "start the replica, or ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()";
    let fault = Fault::new(Severity::Critical, "No synchronous replica is connected", detail, fix);
    Ok(Some(fault.seen(vec![format!("synchronous_standby_names = {names}")])))
}
