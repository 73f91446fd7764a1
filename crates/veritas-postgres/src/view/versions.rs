//! What differs between versions: columns, in one place.

/// The first version that tells when a wait for a lock began (`pg_locks.waitstart`).
const WAIT_START: u32 = 140_000;
/// The first version that tells when an index was last scanned.
const LAST_INDEX_SCAN: u32 = 160_000;
/// The first version with connections reserved for others than superusers.
const RESERVED_CONNECTIONS: u32 = 160_000;

/// Returns the column that tells when a wait began.
pub(super) const fn wait_start(version: u32) -> &'static str {
    if version >= WAIT_START { "l.waitstart" } else { "NULL::timestamptz" }
}

/// Returns the column that tells when an index was last scanned.
pub(super) const fn last_index_scan(version: u32) -> &'static str {
    if version >= LAST_INDEX_SCAN { "s.last_idx_scan" } else { "NULL::timestamptz" }
}

/// Returns how many connections are reserved.
pub(super) const fn reserved_connections(version: u32) -> &'static str {
    if version >= RESERVED_CONNECTIONS {
        "current_setting('superuser_reserved_connections')::int8 \
         + current_setting('reserved_connections')::int8"
    } else {
        "current_setting('superuser_reserved_connections')::int8"
    }
}

/// What a version of the extension `pg_stat_statements` has. It may be older than the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StatementColumns {
    /// Seconds of executing; before 1.8 there was one time for everything.
    pub(super) total: &'static str,
    pub(super) mean: &'static str,
    pub(super) deviation: &'static str,
    /// Milliseconds of planning, or nothing.
    pub(super) planning: &'static str,
    /// Bytes of write-ahead log, or nothing.
    pub(super) wal: &'static str,
    /// Whether there is `pg_stat_statements_info`.
    pub(super) has_info: bool,
}

impl StatementColumns {
    /// Returns the columns of a version (`1.10`); what cannot be read counts as new.
    pub(super) fn of(version: &str) -> Self {
        let minor: u32 = version.strip_prefix("1.").and_then(|minor| minor.parse().ok()).unwrap_or(u32::MAX);
        if minor >= 8 {
            Self {
                total: "s.total_exec_time",
                mean: "s.mean_exec_time",
                deviation: "s.stddev_exec_time",
                planning: "s.total_plan_time",
                wal: "s.wal_bytes::float8",
                has_info: minor >= 9,
            }
        } else {
            Self {
                total: "s.total_time",
                mean: "s.mean_time",
                deviation: "s.stddev_time",
                planning: "NULL::float8",
                wal: "NULL::float8",
                has_info: false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_follow_the_extension_and_not_the_server() {
        assert_eq!(StatementColumns::of("1.7").total, "s.total_time");
        assert!(!StatementColumns::of("1.8").has_info);
        assert!(StatementColumns::of("1.10").has_info && StatementColumns::of("1.9").has_info);
        assert_eq!(StatementColumns::of("2.0").wal, "s.wal_bytes::float8");
    }

    #[test]
    fn what_a_version_lacks_is_null() {
        assert_eq!(wait_start(130_010), "NULL::timestamptz");
        assert_eq!(wait_start(140_000), "l.waitstart");
        assert_eq!(last_index_scan(150_018), "NULL::timestamptz");
        assert!(reserved_connections(160_000).contains("'reserved_connections'"));
    }
}
