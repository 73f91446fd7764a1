//! Health: reachability, connections, replication and persistence.

use veritas_cache::server::{NotRead, ReplicationReading};
use veritas_model::{FindingKind, Impact, Unit};

use super::{Case, float, percent, size};

/// From this share of the allowed connections on, the next burst is refused.
const CROWDED: f64 = 0.8;

/// A replica that is further behind has lost touch.
const BEHIND: u64 = 64 << 20;

pub(super) fn find(case: &mut Case<'_>) {
    reach(case);
    connections(case);
    replication(case);
    persistence(case);
}

fn reach(case: &mut Case<'_>) {
    if let Err(why @ (NotRead::Unreachable { .. } | NotRead::TimedOut)) = case.node.server.clone() {
        case.add_condition(
            FindingKind::RedisHealth,
            ("server", "reach"),
            why.to_string(),
            Impact::High,
            "Run veritas doctor --redis with the same address: it says which step fails.",
            Vec::new(),
        );
    }
}

fn connections(case: &mut Case<'_>) {
    let Ok(traffic) = case.node.traffic.clone() else { return };
    let limit = case.node.clients.as_ref().ok().and_then(|clients| Some((clients.connected, clients.limit?)));
    let now = case.rates.as_ref().map_or(0.0, |rates| rates.rejected_connections);
    let mut evidence =
        vec![case.measured("rejected_connections", float(traffic.rejected_connections), Unit::Count)];
    if let Some((connected, limit)) = limit {
        evidence.push(case.measured("connected_clients", float(connected), Unit::Count));
        evidence.push(case.measured("client_limit", float(limit), Unit::Count));
    }
    let crowded = limit.map(|(connected, limit)| float(connected) / float(limit.max(1)));
    let (detail, impact) = if now > 0.0 {
        (format!("{now:.1} connections a second are refused"), Impact::High)
    } else if crowded.is_some_and(|share| share >= CROWDED) {
        (format!("{} of the allowed connections are in use", percent(crowded.unwrap_or(1.0))), Impact::Medium)
    } else if traffic.rejected_connections > 0 && case.rates.is_none() {
        (
            format!("{} connections were refused since the server's start", traffic.rejected_connections),
            Impact::Low,
        )
    } else {
        return;
    };
    case.add_condition(
        FindingKind::RedisHealth,
        ("clients", "connections"),
        detail,
        impact,
        "Share connections in the applications, close idle ones (timeout), or raise maxclients.",
        evidence,
    );
}

fn replication(case: &mut Case<'_>) {
    match case.node.replication.clone() {
        Ok(ReplicationReading::Replica { linked: false, silent }) => {
            let evidence = silent
                .map(|silent| case.measured("silent", silent.as_secs_f64(), Unit::Seconds))
                .into_iter()
                .collect();
            case.add_condition(
                FindingKind::RedisHealth,
                ("replication", "replica"),
                "the replica has lost its primary: what it serves is old".into(),
                Impact::High,
                "Look at the network between them and at the primary; read from the primary meanwhile.",
                evidence,
            );
        }
        Ok(ReplicationReading::Primary { behind, .. }) => {
            let Some(furthest) =
                behind.iter().map(|behind| behind.get()).max().filter(|behind| *behind > BEHIND)
            else {
                return;
            };
            let evidence = vec![case.measured("replica_behind", float(furthest), Unit::Bytes)];
            case.add_condition(
                FindingKind::RedisHealth,
                ("replication", "replica"),
                format!("a replica is {} behind", size(furthest)),
                Impact::Medium,
                "Look at the replica's network and load, or raise repl-backlog-size: if it loses touch it copies everything again.",
                evidence,
            );
        }
        _ => {}
    }
}

fn persistence(case: &mut Case<'_>) {
    let Ok(saved) = case.node.persistence.clone() else { return };
    let unsaved = vec![case.measured("unsaved_changes", float(saved.unsaved_changes), Unit::Count)];
    let mut add = |part: &str, detail: &str, impact, recommendation: &str| {
        let evidence = unsaved.clone();
        case.add_condition(
            FindingKind::RedisHealth,
            ("persistence", part),
            detail.to_owned(),
            impact,
            recommendation,
            evidence,
        );
    };
    if saved.loading {
        add(
            "loading",
            "the server reads its file and does not serve yet",
            Impact::High,
            "Wait until it is read; applications get errors until then.",
        );
    }
    if saved.snapshot_failed {
        add(
            "snapshot",
            "the last snapshot failed; by default the server refuses writes then",
            Impact::High,
            "Look at the server's log: usually the disk is full, or the machine refuses the fork (vm.overcommit_memory).",
        );
    }
    if saved.log_enabled && saved.log_write_failed {
        add(
            "append-only file",
            "the last write to the append-only file failed; writes are refused",
            Impact::High,
            "Free space on the disk of the append-only file.",
        );
    }
    if saved.log_enabled && saved.log_rewrite_failed {
        add(
            "append-only file rewrite",
            "the last rewrite of the append-only file failed; it grows on",
            Impact::Medium,
            "Look at the server's log: usually the disk is full, or the machine refuses the fork (vm.overcommit_memory).",
        );
    }
}
