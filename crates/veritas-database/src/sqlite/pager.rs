//! The page cache's counters, which rusqlite does not wrap.

#![expect(unsafe_code, reason = "sqlite3_db_status is reachable through the raw interface only")]

use std::ffi::c_int;

use rusqlite::{Connection, ffi};

/// Returns how many pages the connection has read into its cache since it was
/// asked last (or opened); `None` when SQLite does not say.
pub(crate) fn take_page_reads(connection: &Connection) -> Option<u64> {
    let (mut current, mut highest): (c_int, c_int) = (0, 0);
    // SAFETY: the handle is used within this call only, while `connection` is
    // borrowed, so it is open; it is not closed nor given away.
    let handle = unsafe { connection.handle() };
    // SAFETY: `handle` is an open connection that no other thread uses
    // (`Connection` is not `Sync`); both out-pointers are valid for writes for
    // the time of the call; SQLite writes one `int` to each.
    let code = unsafe {
        ffi::sqlite3_db_status(
            handle,
            ffi::SQLITE_DBSTATUS_CACHE_MISS,
            &raw mut current,
            &raw mut highest,
            1, // start again from 0
        )
    };
    if code == ffi::SQLITE_OK { u64::try_from(current).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use veritas_testkit::data_dir;

    use super::*;

    #[test]
    fn a_cold_read_counts_its_pages_and_a_warm_one_none() {
        let directory = data_dir();
        let connection = Connection::open(directory.path().join("pages.sqlite")).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(x);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100)
                 INSERT INTO t SELECT zeroblob(3000) FROM n",
            )
            .unwrap();
        let read = || {
            let sum: i64 =
                connection.query_row("SELECT sum(length(x)) FROM t", [], |row| row.get(0)).unwrap();
            assert_eq!(sum, 300_000);
            take_page_reads(&connection).unwrap()
        };
        connection.release_memory().unwrap();
        assert!(take_page_reads(&connection).is_some());
        let cold = read();
        assert!((90..140).contains(&cold), "{cold}");
        assert_eq!(read(), 0);
    }
}
