//! What the answers of a server mean, and what to do about them.

use std::time::Duration;

use redis::Value;
use veritas_cache::server::{NotRead, ServerMode};
use veritas_model::Timestamp;

use super::{
    super::{
        dialogue::WRONG_PASSWORD,
        info::Info,
        reply::{count, items, refusal, text},
    },
    Check, Verdict,
    examine::{Answer, Trial},
};
use crate::options::{Endpoint, Topology};

/// A server whose clock is further off confuses whoever compares times.
const SKEW: Duration = Duration::from_secs(1);

/// The least that the view and the tier of a cache need, for the hints.
const VIEW_RIGHTS: &str = "the rights that the view needs: +info +ping +slowlog|get +slowlog|len +latency|latest \
                           +scan +randomkey +memory|usage +pttl +object|freq +type, and %R~*";

pub(super) fn silent(why: &NotRead) -> Check {
    Check::new("answer", Verdict::Wrong, format!("it lets us in and does not answer: {why}"))
        .hint("it may be stopped, swapping, or busy with one long command: look at its log and its machine")
}

/// Says why no server was reached.
pub(super) fn unreached(topology: &Topology, why: &NotRead) -> Check {
    let says = format!("{topology}: {why}");
    let reason = why.to_string();
    if reason.contains(WRONG_PASSWORD) {
        return Check::new("log-in", Verdict::Wrong, says)
            .hint("ACL GETUSER on the server shows whether the user exists and is on");
    }
    if reason.contains("NOAUTH") {
        return Check::new("log-in", Verdict::Wrong, says).hint("the server wants a user and a password");
    }
    if reason.contains("to the log-in") {
        return Check::new("log-in", Verdict::Wrong, says)
            .hint("a database must exist (SELECT), and a password be set on the server where one is given");
    }
    let hint = match why {
        NotRead::TimedOut => "nobody answers: look for a firewall, a wrong address, or a server that hangs",
        NotRead::Refused { .. } | NotRead::Unknown { .. } | NotRead::Unreadable { .. } => match topology {
            Topology::Cluster(_) => "it is no cluster: write redis:// instead of redis-cluster://",
            Topology::Sentinel { .. } => "it is no sentinel: their port is usually 26379",
            Topology::Single(_) => "another program may be listening there",
        },
        NotRead::Forbidden { .. } => "grant the user the command that it names",
        _ if reason.contains("knows no") || reason.contains("know no") => {
            "SENTINEL MASTERS on a sentinel lists the names"
        }
        _ if reason.contains("certificate") => {
            "name the authority that signed the server's certificate, or renew it"
        }
        _ => "start the server, or correct the address",
    };
    Check::new("reachable", Verdict::Wrong, says).hint(hint)
}

/// Says what was reached, and which nodes were not.
pub(super) fn reached(
    topology: &Topology,
    node: &Endpoint,
    count: usize,
    dead: &[(String, NotRead)],
) -> Check {
    if let Some((address, why)) = dead.first() {
        return Check::new(
            "reachable",
            Verdict::Wrong,
            format!("{} of {count} nodes are not: {address}: {why}", dead.len()),
        )
        .hint("clients must reach every node of a cluster at the address that it announces");
    }
    let says = match topology {
        Topology::Single(_) => format!("{node}"),
        Topology::Sentinel { .. } => format!("the sentinels name {node}"),
        Topology::Cluster(_) => format!("{count} primaries"),
    };
    Check::new("reachable", Verdict::Fine, says)
}

/// Says what the server is; returns whether nothing else can be learned.
pub(super) fn kind(
    topology: &Topology,
    reply: &Value,
    info: Option<&Info<'_>>,
    checks: &mut Vec<Check>,
) -> bool {
    if let Value::ServerError(error) = reply {
        match refusal("INFO", error) {
            NotRead::Forbidden { .. } => {
                checks.push(
                    Check::new("version", Verdict::Note, "the user may not run INFO")
                        .hint("without it the server view is empty; the caches work"),
                );
                return false;
            }
            NotRead::Refused { code, .. } if code == "NOAUTH" => {
                // Knocking was for free, but nothing else is.
                checks.retain(|check| check.name != "log-in");
                checks.push(
                    Check::new("log-in", Verdict::Wrong, "the server wants a password")
                        .hint("write redis://user:password@host, or set targets.redis_password_file"),
                );
                return true;
            }
            why => {
                checks.push(
                    Check::new("version", Verdict::Wrong, why.to_string()).hint("look at the server's log"),
                );
                return true;
            }
        }
    }
    let Some(Ok(identity)) = info.map(Info::identity) else {
        checks.push(
            Check::new("version", Verdict::Wrong, "what answers is no Redis")
                .hint("another program may be listening there"),
        );
        return true;
    };
    let major: u32 = identity.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let says = format!("{} {}", identity.product, identity.version);
    checks.push(if major >= 6 {
        Check::new("version", Verdict::Fine, says)
    } else {
        Check::new("version", Verdict::Note, says)
            .hint("from Redis 6 on, processes are told of changes, and users have rights of their own")
    });
    let wrong = |says: &str, hint: &str| Check::new("kind", Verdict::Wrong, says).hint(hint);
    match (identity.mode, topology) {
        (ServerMode::Sentinel, _) => {
            checks.push(wrong(
                "it is a sentinel, which holds no keys",
                "write redis-sentinel://host:port/NAME",
            ));
            return true;
        }
        (ServerMode::Cluster, Topology::Single(_) | Topology::Sentinel { .. }) => {
            checks.push(wrong("it is a node of a cluster", "write redis-cluster:// instead of redis://"));
        }
        _ => {}
    }
    if info.is_some_and(|info| info.text("role") == Some("slave")) {
        // To look at, that is right; what writes is told below.
        checks.push(
            Check::new("kind", Verdict::Note, "it is a replica, which takes no writes")
                .hint("to cache in it, name the primary or the sentinels that know it"),
        );
    }
    if info.is_some_and(|info| info.text("loading") == Some("1")) {
        checks.push(wrong("it is reading its file and does not serve yet", "wait until it has"));
    }
    false
}

pub(super) fn round_trip(fastest: Option<Duration>, deadline: Duration) -> Check {
    let Some(fastest) = fastest else {
        return Check::new("round trip", Verdict::Wrong, "PING had no answer in time");
    };
    let millis = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1e3);
    let says = format!("{}, of the {} that a call may take", millis(fastest), millis(deadline));
    if fastest * 5 <= deadline {
        Check::new("round trip", Verdict::Fine, says)
    } else if fastest < deadline {
        Check::new("round trip", Verdict::Note, says)
            .hint("a second tier helps only where it is much faster than the source: use a server nearby")
    } else {
        Check::new("round trip", Verdict::Wrong, says).hint("every call would time out: use a server nearby")
    }
}

/// Compares the server's clock with ours, `now`, at the end of a round trip that `took` so long.
pub(super) fn clock(reply: &Answer, now: Timestamp, took: Duration) -> Check {
    let read = |reply: &Value| {
        let [seconds, micros] = items(reply)? else { return None };
        let nanos =
            count(seconds)?.checked_mul(1_000_000_000)?.checked_add(count(micros)?.checked_mul(1_000)?)?;
        Some(Timestamp::from_nanos(i64::try_from(nanos).ok()?))
    };
    let Some(server) = reply.as_ref().ok().and_then(read) else {
        return Check::new("clock", Verdict::Note, "the server does not tell its time")
            .hint("grant +time; it is compared with the times of cached values");
    };
    // It looked at its clock some time during the round trip.
    let middle = now.minus(took / 2);
    let off = server.since(middle).max(middle.since(server)).saturating_sub(took / 2);
    let says =
        format!("{:.0} ms apart, give or take {:.1}", off.as_secs_f64() * 1e3, took.as_secs_f64() * 500.0);
    if off <= SKEW {
        Check::new("clock", Verdict::Fine, says)
    } else {
        Check::new("clock", Verdict::Note, says).hint("keep both clocks in time, for example with chrony")
    }
}

pub(super) fn memory(info: &Info<'_>) -> Option<Check> {
    let memory = info.memory().ok()?;
    let policy = memory.policy.0.clone();
    let Some(limit) = memory.limit else {
        return Some(
            Check::new("memory", Verdict::Note, "no limit is set")
                .hint("set maxmemory: without it the operating system ends the server when memory runs out"),
        );
    };
    let says = format!("limit {:.0} MiB, {policy}", limit.mebibytes());
    Some(if !memory.policy.evicts() {
        Check::new("memory", Verdict::Note, says)
            .hint("for a cache choose allkeys-lfu: under noeviction writes are refused at the limit")
    } else if memory.policy.needs_ttl() {
        Check::new("memory", Verdict::Fine, says)
            .hint("only keys with a time to live are evicted; all of ours have one")
    } else {
        Check::new("memory", Verdict::Fine, says)
    })
}

pub(super) fn cluster(state: &Answer) -> Check {
    let told = state.as_ref().ok().and_then(text);
    let Some(told) = told else {
        return Check::new("cluster", Verdict::Note, "the user may not run CLUSTER INFO")
            .hint("grant +cluster|info");
    };
    let info = Info::parse(&told);
    let served = info.text("cluster_slots_ok").unwrap_or("0");
    let says = format!(
        "state {}, {served} of 16384 slots are served",
        info.text("cluster_state").unwrap_or("unknown")
    );
    if info.text("cluster_state") == Some("ok") && served == "16384" {
        Check::new("cluster", Verdict::Fine, says)
    } else {
        Check::new("cluster", Verdict::Wrong, says).hint("CLUSTER NODES shows which node is missing")
    }
}

/// Judges what the view of the server may read: less is less to see, nothing worse.
pub(super) fn view(trials: &[Trial], replies: &Result<Vec<Value>, NotRead>) -> Check {
    let replies = match replies {
        Ok(replies) => replies,
        Err(why) => return Check::new("server view", Verdict::Note, why.to_string()),
    };
    let missing = refused(trials, replies);
    if missing.is_empty() {
        return Check::new("server view", Verdict::Fine, "everything that it reads may be read");
    }
    Check::new("server view", Verdict::Note, format!("may not: {}", missing.join(", "))).hint(VIEW_RIGHTS)
}

/// Judges what the second tier of the caches may do.
pub(super) fn tier(trials: &[Trial], replies: &Result<Vec<Value>, NotRead>) -> Check {
    let replies = match replies {
        Ok(replies) => replies,
        Err(why) => return Check::new("second tier", Verdict::Wrong, why.to_string()),
    };
    let missing = refused(trials, replies);
    if !missing.is_empty() {
        let rights: Vec<String> = missing.iter().map(|right| format!("+{right}")).collect();
        let hint = format!("to cache in this server, grant {}, and our keys: ~PREFIX:*", rights.join(" "));
        // A user who may neither read nor write our keys was made to look only.
        let only_looks = ["get", "set"].iter().all(|right| missing.contains(right));
        let verdict = if only_looks { Verdict::Note } else { Verdict::Wrong };
        return Check::new("second tier", verdict, format!("may not: {}", missing.join(", "))).hint(hint);
    }
    // The right is there and the server still refuses: its state, not its rules.
    let refusing = replies.iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(error.code()).filter(|code| !matches!(*code, "MOVED" | "ASK")),
        _ => None,
    });
    match refusing {
        None => Check::new("second tier", Verdict::Fine, "everything that it does may be done"),
        Some("READONLY") => Check::new("second tier", Verdict::Wrong, "the server takes no writes")
            .hint("name the primary, or the sentinels that know it"),
        Some("OOM") => Check::new("second tier", Verdict::Wrong, "the server is full and refuses writes")
            .hint("raise maxmemory, or choose allkeys-lfu"),
        Some("MISCONF") => {
            Check::new("second tier", Verdict::Wrong, "the server cannot save and refuses writes")
                .hint("look at the server's log: usually the disk is full")
        }
        Some(code) => Check::new("second tier", Verdict::Wrong, format!("the server answered {code}"))
            .hint("look at the server's log"),
    }
}

/// Returns the rights that are missing, each once.
fn refused(trials: &[Trial], replies: &[Value]) -> Vec<&'static str> {
    let mut missing: Vec<&'static str> = Vec::new();
    for (trial, reply) in trials.iter().zip(replies) {
        let Value::ServerError(error) = reply else { continue };
        let is_missing =
            matches!(refusal(trial.right, error), NotRead::Forbidden { .. } | NotRead::Unknown { .. });
        if is_missing && !missing.contains(&trial.right) {
            missing.push(trial.right);
        }
    }
    missing
}

/// Judges whether processes are told of changes.
pub(super) fn tracking(replies: &Result<Vec<Value>, NotRead>) -> Vec<Check> {
    let replies = match replies {
        Ok(replies) => replies,
        Err(why) => return vec![Check::new("RESP3", Verdict::Note, why.to_string())],
    };
    let consequence =
        "without it, cached values live 1 s at most in the processes, so that none is stale longer";
    match replies.first() {
        Some(Value::ServerError(error)) => {
            return vec![
                Check::new("RESP3", Verdict::Note, format!("the server answered {}", error.code()))
                    .hint(consequence),
            ];
        }
        None => return vec![Check::new("RESP3", Verdict::Note, "no answer in time")],
        Some(_) => {}
    }
    let tracking = match replies.get(1) {
        Some(Value::Okay) => Check::new("tracking", Verdict::Fine, "processes are told of changes"),
        Some(Value::ServerError(error)) => {
            let hint = format!("grant +client|tracking where the server has it; {consequence}");
            Check::new(
                "tracking",
                Verdict::Note,
                format!("CLIENT TRACKING: the server answered {}", error.code()),
            )
            .hint(hint)
        }
        _ => Check::new("tracking", Verdict::Note, "CLIENT TRACKING was answered oddly").hint(consequence),
    };
    vec![Check::new("RESP3", Verdict::Fine, "spoken"), tracking]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_clock(server: u64, now: f64, took: u64, verdict: Verdict) {
        let reply = Ok(Value::Array(vec![Value::Int(server.cast_signed()), Value::Int(0)]));
        let check = clock(&reply, Timestamp::from_seconds(now), Duration::from_millis(took));
        assert_eq!(check.verdict, verdict, "{check:?}");
    }

    #[test]
    fn a_clock_is_judged_within_what_the_round_trip_leaves_open() {
        check_clock(1_000, 1_000.5, 1, Verdict::Fine);
        check_clock(1_000, 1_002.0, 1, Verdict::Note);
        check_clock(1_002, 1_000.0, 1, Verdict::Note);
        check_clock(1_000, 1_002.5, 3_000, Verdict::Fine);
        assert_eq!(clock(&Ok(Value::Nil), Timestamp::default(), Duration::ZERO).verdict, Verdict::Note);
    }

    #[test]
    fn a_server_far_away_is_no_second_tier() {
        let judged =
            |millis| round_trip(Some(Duration::from_millis(millis)), Duration::from_millis(50)).verdict;
        assert_eq!([judged(1), judged(20), judged(60)], [Verdict::Fine, Verdict::Note, Verdict::Wrong]);
    }
}
