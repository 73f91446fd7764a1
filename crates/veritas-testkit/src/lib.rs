//! Real PostgreSQL, `MariaDB` and Redis, a virtual clock, seeded workloads: for tests only.
//!
//! What it gives:
//! - [`VirtualClock`]: a [`Clock`](veritas_model::Clock) that a test moves by hand, wall time both ways;
//! - [`wait_for`]: waits for a condition with a deadline, so that no test sleeps;
//! - [`Postgres`], [`MariaDb`], [`Redis`]: servers of the test's own, on private Unix sockets (Redis on
//!   a free loopback port too, where asked);
//! - [`RedisCluster`], [`RedisSentinel`]: Redis with several nodes, whose nodes die on demand;
//! - [`FaultProxy`]: a bad network between a client and a server;
//! - [`workload`]: operations and popularity from a seed that can be printed;
//! - [`data_dir`]: an empty directory of one test, gone when the test ends.
//!
//! What it does not: it mocks no server, and it knows no crate of ours but `veritas-model`.
//! Servers need Linux (`prctl`, `/proc`); a missing one is a loud failure that names
//! the setup command, never a test that is left out.
//!
//! ```
//! use std::time::Duration;
//! use veritas_model::Clock;
//! use veritas_testkit::{VirtualClock, wait_for};
//!
//! let clock = VirtualClock::new();
//! let before = clock.monotonic();
//! clock.advance(Duration::from_secs(10));
//! assert_eq!(clock.monotonic().since(before), Duration::from_secs(10));
//!
//! let worker = std::thread::spawn(|| 42);
//! wait_for(Duration::from_secs(10), || worker.is_finished());
//! ```

mod account;
mod clock;
mod mariadb;
mod orphan;
mod port;
mod postgres;
mod proxy;
mod redis;
mod server;
mod template;
mod wait;
mod wire;
pub mod workload;

pub use clock::VirtualClock;
pub use mariadb::{MariaDatabase, MariaDb};
pub use postgres::{Database, Frozen, Postgres};
pub use proxy::{Fault, FaultProxy, Upstream};
pub use redis::{Redis, RedisCluster, RedisSentinel, SlotMove};
pub use tempfile::TempDir;
pub use wait::{Answer, wait_for};

/// Creates an empty directory that is removed when the returned guard is dropped.
///
/// # Panics
///
/// When the directory cannot be created.
pub fn data_dir() -> TempDir {
    match tempfile::Builder::new().prefix("veritas-").tempdir() {
        Ok(directory) => directory,
        Err(error) => panic!("failed to create a directory for the test: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_dir_is_gone_with_its_guard() {
        let directory = data_dir();
        let path = directory.path().to_path_buf();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }
}
