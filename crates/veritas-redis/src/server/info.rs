//! What `INFO` tells: lines of names and values, of which each server leaves out some.

use std::{collections::HashMap, time::Duration};

use veritas_cache::server::{
    ClientsReading, DatabaseReading, EvictionPolicy, MemoryReading, NotRead, PersistenceReading,
    ReplicationReading, Section, ServerIdentity, ServerMode, TrafficReading,
};
use veritas_model::{Bytes, Timestamp};

/// Text longer than this is not read: a server with every section and a thousand
/// commands tells about 200 kB.
const LONGEST: usize = 4 << 20;

/// The lines of `INFO`.
pub(super) struct Info<'a> {
    fields: HashMap<&'a str, &'a str>,
}

impl<'a> Info<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let text = text.get(..LONGEST).unwrap_or(text);
        let fields =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        Self { fields: fields.map(|(name, value)| (name, value.trim_end())).collect() }
    }

    /// Returns the names that begin with `prefix`, without it, and their values.
    pub(super) fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).copied()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    fn bytes(&self, name: &str) -> Option<Bytes> {
        self.number(name).map(Bytes::new)
    }

    /// Returns a number of seconds; `None` when it is not told or negative, which
    /// stands for *never*.
    fn seconds(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_secs)
    }

    /// Tells whether the state `name` is there and is not `ok`.
    fn failed(&self, name: &str) -> bool {
        self.text(name).is_some_and(|state| state != "ok")
    }

    pub(super) fn identity(&self) -> Section<ServerIdentity> {
        let read = || {
            let product = self.text("server_name").unwrap_or("redis").to_owned();
            let own_version = self.text(&format!("{product}_version"));
            Some(ServerIdentity {
                version: own_version.or_else(|| self.text("redis_version"))?.to_owned(),
                product,
                mode: match self.text("redis_mode")? {
                    "cluster" => ServerMode::Cluster,
                    "sentinel" => ServerMode::Sentinel,
                    _ => ServerMode::Standalone,
                },
                run_id: self.text("run_id")?.to_owned(),
                uptime: self.seconds("uptime_in_seconds")?,
                server_time: self
                    .number::<i64>("server_time_usec")
                    .map(|micros| Timestamp::from_nanos(micros.saturating_mul(1_000))),
            })
        };
        read().ok_or(UNREADABLE)
    }

    pub(super) fn memory(&self) -> Section<MemoryReading> {
        let read = || {
            Some(MemoryReading {
                used: self.bytes("used_memory")?,
                resident: self.bytes("used_memory_rss"),
                peak: self.bytes("used_memory_peak")?,
                limit: self.bytes("maxmemory").filter(|limit| limit.get() > 0),
                policy: EvictionPolicy(self.text("maxmemory_policy").unwrap_or("noeviction").to_owned()),
                overhead: self.bytes("used_memory_overhead"),
                startup: self.bytes("used_memory_startup"),
                dataset: self.bytes("used_memory_dataset"),
                fragmentation: self.number("mem_fragmentation_ratio").filter(|ratio: &f64| ratio.is_finite()),
                replica_buffers: self.bytes("mem_clients_slaves"),
                client_buffers: self.bytes("mem_clients_normal"),
                machine: self.bytes("total_system_memory").filter(|machine| machine.get() > 0),
            })
        };
        read().ok_or(UNREADABLE)
    }

    pub(super) fn keyspace(&self) -> Section<Vec<DatabaseReading>> {
        let database = |(index, values): (&str, &str)| {
            let index = index.parse().ok()?;
            let value = |name: &str| {
                let pair =
                    values.split(',').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
                pair?.1.parse::<u64>().ok()
            };
            let mean_ttl = value("avg_ttl").filter(|millis| *millis > 0).map(Duration::from_millis);
            Some(DatabaseReading { index, keys: value("keys")?, expires: value("expires")?, mean_ttl })
        };
        // A server without keys tells of no database; one that tells nothing at all was cut short.
        let mut databases: Vec<DatabaseReading> = self.starting_with("db").filter_map(database).collect();
        databases.sort_by_key(|database| database.index);
        if self.text("redis_version").is_some() { Ok(databases) } else { Err(UNREADABLE) }
    }

    pub(super) fn traffic(&self) -> Section<TrafficReading> {
        let read = || {
            Some(TrafficReading {
                commands: self.number("total_commands_processed")?,
                commands_per_second: self.number("instantaneous_ops_per_sec")?,
                hits: self.number("keyspace_hits")?,
                misses: self.number("keyspace_misses")?,
                evicted: self.number("evicted_keys")?,
                expired: self.number("expired_keys")?,
                connections: self.number("total_connections_received")?,
                rejected_connections: self.number("rejected_connections")?,
                received: self.bytes("total_net_input_bytes")?,
                sent: self.bytes("total_net_output_bytes")?,
                errors: self.number("total_error_replies"),
                last_fork: self.number("latest_fork_usec").map(Duration::from_micros),
            })
        };
        read().ok_or(UNREADABLE)
    }

    pub(super) fn clients(&self) -> Section<ClientsReading> {
        let read = || {
            Some(ClientsReading {
                connected: self.number("connected_clients")?,
                blocked: self.number("blocked_clients")?,
                limit: self.number("maxclients"),
                tracking: self.number("tracking_clients"),
            })
        };
        read().ok_or(UNREADABLE)
    }

    pub(super) fn replication(&self) -> Section<ReplicationReading> {
        let read = || match self.text("role")? {
            "master" => {
                let offset: u64 = self.number("master_repl_offset").unwrap_or(0);
                let value = |line: &str, name: &str| {
                    let pair =
                        line.split(',').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
                    pair.map(|(_, value)| value.to_owned())
                };
                // `slave0:ip=…,state=online,offset=…`; other names begin with `slave` too.
                let behind = self.starting_with("slave").filter_map(|(number, line)| {
                    number.parse::<u32>().ok()?;
                    value(line, "state").filter(|state| state == "online")?;
                    let at: u64 = value(line, "offset")?.parse().ok()?;
                    Some(Bytes::new(offset.saturating_sub(at)))
                });
                Some(ReplicationReading::Primary {
                    replicas: self.number("connected_slaves")?,
                    behind: behind.collect(),
                })
            }
            _ => Some(ReplicationReading::Replica {
                linked: self.text("master_link_status")? == "up",
                silent: self.seconds("master_last_io_seconds_ago"),
            }),
        };
        read().ok_or(UNREADABLE)
    }

    pub(super) fn persistence(&self) -> Section<PersistenceReading> {
        let read = || {
            Some(PersistenceReading {
                loading: self.text("loading")? == "1",
                snapshot_failed: self.failed("rdb_last_bgsave_status"),
                unsaved_changes: self.number("rdb_changes_since_last_save")?,
                saved_at: self
                    .number::<i64>("rdb_last_save_time")
                    .filter(|seconds| *seconds > 0)
                    .map(|seconds| Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000))),
                log_enabled: self.text("aof_enabled")? == "1",
                log_write_failed: self.failed("aof_last_write_status"),
                log_rewrite_failed: self.failed("aof_last_bgrewrite_status"),
            })
        };
        read().ok_or(UNREADABLE)
    }
}

/// A server that leaves out what every version tells.
const UNREADABLE: NotRead = NotRead::Unreadable { command: "INFO" };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_text_makes_it_panic_or_up() {
        let info = Info::parse("");
        assert_eq!(info.identity(), Err(UNREADABLE));
        assert_eq!(info.keyspace(), Err(UNREADABLE));
    }

    #[test]
    fn replicas_are_told_from_other_names_that_begin_alike() {
        let text = "role:master\r\nconnected_slaves:2\r\nmaster_repl_offset:500\r\nslave_read_only:1\r\n\
                    slave0:ip=::1,port=1,state=online,offset=400,lag=0\r\nslave1:ip=x,port=2,state=wait_bgsave,offset=0,lag=0\r\n";
        let expected = ReplicationReading::Primary { replicas: 2, behind: vec![Bytes::new(100)] };
        assert_eq!(Info::parse(text).replication(), Ok(expected));
    }

    #[test]
    fn a_relative_of_redis_tells_its_own_version() {
        let text = "redis_version:7.2.4\nserver_name:valkey\nvalkey_version:8.0.1\nredis_mode:standalone\n\
                    run_id:x\nuptime_in_seconds:5\n";
        let identity = Info::parse(text).identity().unwrap();
        assert_eq!((identity.product.as_str(), identity.version.as_str()), ("valkey", "8.0.1"));
        assert_eq!(identity.server_time, None);
    }

    proptest! {
        #[test]
        fn hostile_text_is_read_or_refused(text in "([a-z_0-9]{0,12}[:,=#\\r\\n]{0,2}[-0-9.a-zé]{0,20}[\\n]?){0,40}") {
            let info = Info::parse(&text);
            drop((info.identity(), info.memory(), info.keyspace(), info.traffic()));
            drop((info.clients(), info.replication(), info.persistence()));
        }
    }
}
