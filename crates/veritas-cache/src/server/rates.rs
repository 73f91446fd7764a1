//! Rates: what happens per second, from two readings of a node.

use std::time::Duration;

use veritas_model::Ratio;

use super::{CommandReading, NodeReading};

/// What a node did per second between two readings.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRates {
    /// The time between the readings, on the server's clock where it tells it.
    pub window: Duration,
    /// Commands, ours included.
    pub commands: f64,
    /// Look-ups that found a key. What the earlier reading's own sample added is taken off.
    pub hits: f64,
    /// Look-ups that found none.
    pub misses: f64,
    /// The share of look-ups that found a key; `None` without look-ups.
    pub hit_ratio: Option<Ratio>,
    /// Keys evicted.
    pub evicted: f64,
    /// Keys expired.
    pub expired: f64,
    /// Connections accepted.
    pub connections: f64,
    /// Connections refused.
    pub rejected_connections: f64,
    /// Bytes received.
    pub received: f64,
    /// Bytes sent.
    pub sent: f64,
    /// Commands that were called, the one that kept the server busiest first. Empty
    /// when either reading has no commands.
    pub by_command: Vec<CommandRate>,
}

/// What one command did between two readings.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRate {
    /// The command in lower case.
    pub name: String,
    /// Calls per second.
    pub calls: f64,
    /// The share of the window that the server spent in it.
    pub busy: Ratio,
    /// The mean time of one call.
    pub time_per_call: Duration,
}

impl NodeRates {
    /// Returns what `later` has more than `earlier`, per second.
    ///
    /// `None` when one of them has no traffic, no time has passed, the server was
    /// restarted in between, or its counters were reset: nothing can be said then.
    pub fn between(earlier: &NodeReading, later: &NodeReading) -> Option<Self> {
        let (server_before, server_after) = (earlier.server.as_ref().ok()?, later.server.as_ref().ok()?);
        if server_before.run_id != server_after.run_id {
            return None;
        }
        let window = match (server_before.server_time, server_after.server_time) {
            (Some(before), Some(after)) => after.since(before),
            _ => later.read_at.since(earlier.read_at),
        };
        let seconds = window.as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let (before, after) = (earlier.traffic.as_ref().ok()?, later.traffic.as_ref().ok()?);
        let probes = earlier.sample.as_ref().map_or(0, |sample| sample.probes);
        let hits = after.hits.checked_sub(before.hits)?.saturating_sub(probes);
        let misses = after.misses.checked_sub(before.misses)?;
        let per_second =
            |after: u64, before: u64| after.checked_sub(before).map(|more| float(more) / seconds);
        Some(Self {
            window,
            commands: per_second(after.commands, before.commands)?,
            hits: float(hits) / seconds,
            misses: float(misses) / seconds,
            hit_ratio: Ratio::of(hits, hits.saturating_add(misses)),
            evicted: per_second(after.evicted, before.evicted)?,
            expired: per_second(after.expired, before.expired)?,
            connections: per_second(after.connections, before.connections)?,
            rejected_connections: per_second(after.rejected_connections, before.rejected_connections)?,
            received: per_second(after.received.get(), before.received.get())?,
            sent: per_second(after.sent.get(), before.sent.get())?,
            by_command: match (&earlier.commands, &later.commands) {
                (Ok(before), Ok(after)) => by_command(before, after, seconds),
                _ => Vec::new(),
            },
        })
    }
}

fn by_command(before: &[CommandReading], after: &[CommandReading], seconds: f64) -> Vec<CommandRate> {
    let mut rates: Vec<CommandRate> = after
        .iter()
        .filter_map(|command| {
            let earlier = before.iter().find(|earlier| earlier.name == command.name);
            let (calls, time) = earlier.map_or((0, Duration::ZERO), |earlier| (earlier.calls, earlier.time));
            let calls = command.calls.checked_sub(calls).filter(|calls| *calls > 0)?;
            let time = command.time.checked_sub(time)?;
            Some(CommandRate {
                name: command.name.clone(),
                calls: float(calls) / seconds,
                busy: Ratio::new(time.as_secs_f64() / seconds)?,
                time_per_call: time.div_f64(float(calls)),
            })
        })
        .collect();
    rates.sort_by(|one, other| other.busy.get().total_cmp(&one.busy.get()));
    rates
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits of a count")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use veritas_model::{Bytes, Monotonic, Timestamp};

    use super::*;
    use crate::server::{NotRead, ServerIdentity, ServerMode, TrafficReading};

    fn reading(run_id: &str, seconds: u64, hits: u64) -> NodeReading {
        let read_at = Monotonic::from_origin(Duration::from_secs(seconds));
        NodeReading {
            server: Ok(ServerIdentity {
                product: "redis".into(),
                version: "7.0.15".into(),
                mode: ServerMode::Standalone,
                run_id: run_id.into(),
                uptime: Duration::from_secs(seconds),
                server_time: Some(Timestamp::default().plus(Duration::from_secs(2 * seconds))),
            }),
            traffic: Ok(TrafficReading { hits, misses: 10, sent: Bytes::new(hits), ..Default::default() }),
            commands: Ok(vec![CommandReading {
                name: "get".into(),
                calls: hits,
                time: Duration::from_millis(hits),
                failed: None,
                rejected: None,
                quantiles: Vec::new(),
            }]),
            ..NodeReading::missing("redis:6379".into(), read_at, &NotRead::TimedOut)
        }
    }

    #[test]
    fn rates_are_of_the_servers_own_seconds() {
        let rates = NodeRates::between(&reading("a", 10, 100), &reading("a", 15, 300)).unwrap();
        assert_eq!(rates.window, Duration::from_secs(10));
        assert_eq!((rates.hits, rates.misses, rates.sent), (20.0, 0.0, 20.0));
        assert_eq!(rates.hit_ratio.map(Ratio::percent), Some(100.0));
        let get = &rates.by_command[0];
        assert_eq!((get.calls, get.busy.get()), (20.0, 0.02));
        assert_eq!(get.time_per_call, Duration::from_millis(1));
    }

    #[test]
    fn a_restart_a_reset_and_no_time_have_no_rates() {
        let before = reading("a", 10, 100);
        assert_eq!(NodeRates::between(&before, &reading("b", 15, 300)), None);
        assert_eq!(NodeRates::between(&before, &reading("a", 15, 99)), None);
        assert_eq!(NodeRates::between(&before, &before), None);
    }
}
