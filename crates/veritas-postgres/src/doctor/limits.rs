//! From where on something counts as a fault.

use std::time::Duration;

use veritas_model::Bytes;

/// What the data lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Storage {
    /// Flash: a page anywhere costs what the next page costs.
    Flash,
    /// Spinning disks.
    Disk,
}

/// From where on something counts as a fault, and how long looking may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// How long the whole examination may take.
    pub deadline: Duration,
    /// How many objects a fault names at most; it counts all.
    pub objects: u32,
    /// The memory of the server's machine; `None` where not known. It cannot be asked
    /// for over a connection.
    pub machine_memory: Option<Bytes>,
    /// What the data lie on; `None` where not known.
    pub storage: Option<Storage>,
    /// Tables with fewer rows are too small to matter.
    pub rows: u32,
    /// What is smaller does not waste enough to matter.
    pub wasted: Bytes,
    /// How long an index must be unread to be called unused.
    pub disuse: Duration,
    /// How long a transaction may be open.
    pub transaction: Duration,
    /// How long a session may do nothing inside of a transaction.
    pub idle_in_transaction: Duration,
    /// How long a session may wait for a lock.
    pub lock_wait: Duration,
    /// How long a prepared transaction may wait for its end.
    pub prepared: Duration,
    /// Age of the oldest unfrozen transaction id, of some 2,100,000,000.
    pub transaction_id_age: u32,
    /// The share of the connections, and of a sequence's numbers, that may be in use.
    pub used_share: f64,
    /// What a slot that nobody reads may hold back.
    pub held_back: Bytes,
    /// How far a replica may be behind.
    pub replica_lag: Duration,
    /// Bytes of temporary files since the counters were reset.
    pub temporary: Bytes,
    /// How many pages must have been asked for before the share found is judged.
    pub page_requests: u64,
    /// How many transactions must have ended before the share rolled back is judged.
    pub transactions: u64,
    /// How many sequential scans of a table, requested checkpoints, deadlocks, evictions are too many.
    pub occurrences: u32,
}

impl Default for Limits {
    /// 30 s; 10 objects; tables from 1,000 rows; waste from 10 MiB; 7 days unread;
    /// transactions up to 10 min, 1 min idle; locks 1 s; prepared 5 min; ids 500 M;
    /// 80 % used; slots 1 GiB; lag 30 s; 1 GiB of temporary files; 1 M pages; 10 k
    /// transactions; 20 occurrences.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            objects: 10,
            machine_memory: None,
            storage: None,
            rows: 1_000,
            wasted: Bytes::new(10 << 20),
            disuse: Duration::from_hours(7 * 24),
            transaction: Duration::from_mins(10),
            idle_in_transaction: Duration::from_mins(1),
            lock_wait: Duration::from_secs(1),
            prepared: Duration::from_mins(5),
            transaction_id_age: 500_000_000,
            used_share: 0.8,
            held_back: Bytes::new(1 << 30),
            replica_lag: Duration::from_secs(30),
            temporary: Bytes::new(1 << 30),
            page_requests: 1_000_000,
            transactions: 10_000,
            occurrences: 20,
        }
    }
}
