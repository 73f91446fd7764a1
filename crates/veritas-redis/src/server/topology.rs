//! Which nodes are read: the one server, the primary that sentinels name, or the
//! primaries of a cluster.

use std::collections::BTreeMap;

use redis::{Value, cmd};
use tokio::time::Instant;
use veritas_cache::server::NotRead;

use super::{
    dialogue::Dialogue,
    reply::{accepted, count, items, text},
};
use crate::options::{Endpoint, Topology};

/// Returns the nodes to read, in the order of their addresses.
pub(super) async fn nodes(topology: &Topology, deadline: Instant) -> Result<Vec<Endpoint>, NotRead> {
    match topology {
        Topology::Single(endpoint) => Ok(vec![endpoint.clone()]),
        Topology::Sentinel { sentinels, master, server } => {
            let mut why = NotRead::TimedOut;
            for sentinel in sentinels {
                match primary(sentinel, master, server, deadline).await {
                    Ok(primary) => return Ok(vec![primary]),
                    Err(trouble) => why = trouble,
                }
            }
            Err(why)
        }
        Topology::Cluster(seeds) => {
            let mut why = NotRead::TimedOut;
            for seed in seeds {
                match primaries(seed, deadline).await {
                    Ok(primaries) => return Ok(primaries),
                    Err(trouble) => why = trouble,
                }
            }
            Err(why)
        }
    }
}

async fn primary(
    sentinel: &Endpoint,
    master: &str,
    server: &Endpoint,
    deadline: Instant,
) -> Result<Endpoint, NotRead> {
    const COMMAND: &str = "SENTINEL GET-MASTER-ADDR-BY-NAME";
    let mut command = cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let reply = Dialogue::begin(sentinel, share(deadline)).await?.ask_one(command).await?;
    let reply = accepted(COMMAND, Some(&reply))?;
    if matches!(reply, Value::Nil) {
        return Err(NotRead::Unreachable { reason: format!("the sentinels know no primary {master:?}") });
    }
    let read = || {
        let [host, port] = items(reply)? else { return None };
        Some(server.at(&text(host)?, text(port)?.parse().ok()?))
    };
    read().ok_or(NotRead::Unreadable { command: COMMAND })
}

async fn primaries(seed: &Endpoint, deadline: Instant) -> Result<Vec<Endpoint>, NotRead> {
    const COMMAND: &str = "CLUSTER SLOTS";
    let mut command = cmd("CLUSTER");
    command.arg("SLOTS");
    let reply = Dialogue::begin(seed, share(deadline)).await?.ask_one(command).await?;
    let ranges = items(accepted(COMMAND, Some(&reply))?).ok_or(NotRead::Unreadable { command: COMMAND })?;
    let mut primaries = BTreeMap::new();
    for range in ranges {
        if let Some((host, port)) = primary_of(range, seed) {
            primaries.entry((host.clone(), port)).or_insert_with(|| seed.at(&host, port));
        }
    }
    if primaries.is_empty() {
        return Err(NotRead::Unreachable { reason: "the cluster has assigned no slot".into() });
    }
    Ok(primaries.into_values().collect())
}

/// Returns the address of the primary of a range of slots. A node that does not know
/// its own host is meant by the address under which it was asked.
fn primary_of(range: &Value, seed: &Endpoint) -> Option<(String, u16)> {
    let node = items(items(range)?.get(2)?)?;
    let host = node.first().and_then(text).filter(|host| !host.is_empty() && *host != "?");
    let host = match host {
        Some(host) => host.into_owned(),
        None => seed.host_and_port()?.0.to_owned(),
    };
    Some((host, u16::try_from(count(node.get(1)?)?).ok()?))
}

/// Returns half of the time that is left: a dead seed or sentinel must leave time for the next.
fn share(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}
