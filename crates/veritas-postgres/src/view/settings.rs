//! The settings that matter for speed and safety.

use veritas_database::server::{Section, SettingReading};

use super::part::Parts;

/// Memory, planner, parallel work, autovacuum, log, time-outs, durability, connections, replication.
const SETTINGS: [&str; 60] = [
    "autovacuum",
    "autovacuum_analyze_scale_factor",
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_work_mem",
    "block_size",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "deadlock_timeout",
    "default_statistics_target",
    "default_transaction_isolation",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_hashjoin",
    "enable_indexscan",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_seqscan",
    "fsync",
    "full_page_writes",
    "hash_mem_multiplier",
    "hot_standby_feedback",
    "huge_pages",
    "idle_in_transaction_session_timeout",
    "jit",
    "jit_above_cost",
    "lock_timeout",
    "log_lock_waits",
    "log_min_duration_statement",
    "log_temp_files",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "plan_cache_mode",
    "random_page_cost",
    "seq_page_cost",
    "shared_buffers",
    "statement_timeout",
    "superuser_reserved_connections",
    "synchronous_commit",
    "temp_buffers",
    "track_counts",
    "track_io_timing",
    "vacuum_failsafe_age",
    "wal_buffers",
    "wal_level",
    "work_mem",
];

// What a session of our role gets that sets nothing. Our own session has set its limits, under
// which the value of the configuration file cannot be seen any more: of those only what was set
// for the role or the database is told.
const READ: &str = "
    SELECT s.name, coalesce(d.setting, s.reset_val), CASE WHEN d.setting IS NULL THEN s.unit END,
           CASE WHEN d.setting IS NULL THEN s.source ELSE 'database or role' END
    FROM pg_settings s
    LEFT JOIN LATERAL (
        SELECT substr(one, strpos(one, '=') + 1) AS setting
        FROM pg_db_role_setting r, unnest(r.setconfig) AS one
        WHERE s.source IN ('client', 'session') AND split_part(one, '=', 1) = s.name
          AND r.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
          AND r.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        ORDER BY r.setrole = 0, r.setdatabase = 0 LIMIT 1
    ) d ON true
    WHERE s.name = ANY($1) AND (s.source NOT IN ('client', 'session') OR d.setting IS NOT NULL)
    ORDER BY s.name";

/// Reads the settings; those that this version does not have are left out,
/// and our own limits where only the configuration file could tell what they hide.
pub(super) fn read(parts: &mut Parts<'_>) -> Section<Vec<SettingReading>> {
    parts.list(READ, &[&&SETTINGS[..]], |row| {
        Ok(SettingReading {
            name: row.try_get(0)?,
            value: row.try_get::<_, Option<String>>(1)?.unwrap_or_default(),
            unit: row.try_get(2)?,
            source: row.try_get(3)?,
        })
    })
}
