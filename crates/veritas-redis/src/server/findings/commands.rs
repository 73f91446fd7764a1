//! Commands: those that read everything, and those that are slow.

use std::{collections::BTreeMap, time::Duration};

use veritas_cache::server::{CommandReading, SlowEntry};
use veritas_model::{Cause, FindingKind, Impact, Observation, Unit};

use super::{Case, Found, float, millis, percent};

/// Commands whose cost grows with what they read, and what to use instead.
const READ_EVERYTHING: [(&str, &str); 19] = [
    (
        "eval",
        "Split the script, or move what it computes into the application: nobody else is served while it runs.",
    ),
    (
        "evalsha",
        "Split the script, or move what it computes into the application: nobody else is served while it runs.",
    ),
    ("flushall", "Use FLUSHALL ASYNC: without it nobody is served until all is freed."),
    ("flushdb", "Use FLUSHDB ASYNC: without it nobody is served until all is freed."),
    ("hgetall", "Ask for the fields that are needed (HMGET), or read in parts (HSCAN)."),
    ("hkeys", "Read in parts (HSCAN)."),
    ("hvals", "Ask for the fields that are needed (HMGET), or read in parts (HSCAN)."),
    (
        "keys",
        "Use SCAN, or keep the names that are looked for in a set: KEYS reads all keys of the database.",
    ),
    ("lrange", "Read a page at a time, or trim the list (LTRIM)."),
    ("sdiff", "Keep the result (SDIFFSTORE), or compute it on a replica."),
    (
        "sinter",
        "Keep the result (SINTERSTORE), ask for its size only (SINTERCARD with LIMIT), or compute it on a replica.",
    ),
    ("smembers", "Ask for the members that are needed (SMISMEMBER), or read in parts (SSCAN)."),
    ("sort", "Keep a sorted set instead of sorting at every call."),
    ("sunion", "Keep the result (SUNIONSTORE), or compute it on a replica."),
    ("xrange", "Read a page at a time (COUNT)."),
    ("zrange", "Read a page at a time (LIMIT)."),
    ("zrangebyscore", "Read a page at a time (LIMIT)."),
    ("zrevrange", "Read a page at a time (LIMIT)."),
    ("zunion", "Keep the result (ZUNIONSTORE), or compute it on a replica."),
];

/// A command that reads everything is found from this mean time on: it read much.
const MUCH: Duration = Duration::from_millis(1);

/// Any command is found from this mean time on.
const SLOW: Duration = Duration::from_millis(5);

/// A command that is called less often than this is not judged by its mean.
const ENOUGH_CALLS: u64 = 10;

/// One call that takes this long is felt by everyone; ten times that is an outage.
const FELT: Duration = Duration::from_millis(100);

pub(super) fn find(case: &mut Case<'_>) {
    let slow = recent_slow(case);
    let commands = case.node.commands.clone().unwrap_or_default();
    let mut names: Vec<&str> = commands.iter().map(|command| command.name.as_str()).collect();
    names.extend(
        slow.keys().filter(|name| commands.iter().all(|command| command.name != **name)).map(String::as_str),
    );
    for name in names {
        let command = commands.iter().find(|command| command.name == name);
        let entries = slow.get(name).map_or(&[][..], Vec::as_slice);
        weigh(case, name, command, entries);
    }
    latency(case);
}

/// Returns the entries of the slow log of the last hour by command. Our own commands are not there.
fn recent_slow(case: &Case<'_>) -> BTreeMap<String, Vec<SlowEntry>> {
    let mut by_command: BTreeMap<String, Vec<SlowEntry>> = BTreeMap::new();
    let Ok(log) = &case.node.slow_log else { return by_command };
    for entry in log.entries.iter().filter(|entry| case.is_recent(entry.ran_at)) {
        if !matches!(entry.command.as_str(), "info" | "slowlog" | "latency" | "scan" | "randomkey") {
            by_command.entry(entry.command.clone()).or_default().push(entry.clone());
        }
    }
    by_command
}

fn weigh(case: &mut Case<'_>, name: &str, command: Option<&CommandReading>, slow: &[SlowEntry]) {
    let base = name.split('|').next().unwrap_or(name);
    let instead = READ_EVERYTHING.iter().find(|(reader, _)| *reader == base).map(|(_, instead)| *instead);
    let spent = command.and_then(|command| spent(case, command));
    let longest = slow.iter().map(|entry| entry.took).max();
    let mean = spent.map(|spent| spent.per_call);
    let is_found = match (instead, spent) {
        // It is never right on a server that others use.
        (Some(_), Some(spent)) if base == "keys" => spent.calls > 0,
        (Some(_), Some(spent)) => spent.per_call >= MUCH && spent.busy >= 0.001,
        (None, Some(spent)) => spent.per_call >= SLOW && spent.calls >= ENOUGH_CALLS,
        (_, None) => false,
    };
    if !is_found && longest.is_none_or(|longest| longest < FELT && instead.is_none()) {
        return;
    }
    let busy = spent.map_or(0.0, |spent| spent.busy);
    let by_longest = match longest {
        Some(longest) if longest >= 10 * FELT => Impact::High,
        Some(longest) if longest >= FELT => Impact::Medium,
        _ => Impact::Low,
    };
    let at_least = if base == "keys" && is_found { Impact::Medium } else { Impact::Low };
    let impact = Impact::of_time_share(busy).max(by_longest).max(at_least);
    let detail = detail(name, spent, slow);
    let recommendation = instead.map_or_else(
        || format!("Look at what {} is called with: it is slow for what it does.", name.to_ascii_uppercase()),
        ToOwned::to_owned,
    );
    let evidence = evidence(case, command, spent, mean, slow);
    case.add(Found {
        kind: FindingKind::RedisSlowCommand,
        part: name.to_owned(),
        cause: Cause::ServerCondition { section: "commandstats".into(), detail },
        impact,
        recommendation,
        evidence,
    });
}

/// What a command took, between the readings or since the start.
#[derive(Debug, Clone, Copy)]
struct Spent {
    calls: u64,
    per_second: Option<f64>,
    busy: f64,
    per_call: Duration,
}

fn spent(case: &Case<'_>, command: &CommandReading) -> Option<Spent> {
    if let Some(rates) = &case.rates {
        // What was not called between the readings is not found any more.
        let rate = rates.by_command.iter().find(|rate| rate.name == command.name)?;
        return Some(Spent {
            calls: command.calls,
            per_second: Some(rate.calls),
            busy: rate.busy.get(),
            per_call: rate.time_per_call,
        });
    }
    let uptime = case.uptime()?;
    Some(Spent {
        calls: command.calls,
        per_second: None,
        busy: command.time.as_secs_f64() / uptime.as_secs_f64(),
        per_call: command.time_per_call()?,
    })
}

fn detail(name: &str, spent: Option<Spent>, slow: &[SlowEntry]) -> String {
    let name = name.to_ascii_uppercase();
    let mut parts = Vec::new();
    if let Some(spent) = spent {
        parts.push(format!(
            "{name} takes {} a call and {} of the server's time",
            millis(spent.per_call),
            percent(spent.busy)
        ));
    }
    if let Some(longest) = slow.iter().max_by_key(|entry| entry.took) {
        let on = longest.pattern.as_ref().map(|pattern| format!(" on {pattern}")).unwrap_or_default();
        parts.push(format!(
            "the slow log holds {} of {name} from the last hour, the longest {}{on}",
            if slow.len() == 1 { "one call".to_owned() } else { format!("{} calls", slow.len()) },
            millis(longest.took)
        ));
    }
    parts.join("; ")
}

fn evidence(
    case: &Case<'_>,
    command: Option<&CommandReading>,
    spent: Option<Spent>,
    mean: Option<Duration>,
    slow: &[SlowEntry],
) -> Vec<Observation> {
    let mut evidence = Vec::new();
    if let Some(spent) = spent {
        evidence.push(case.measured("calls", float(spent.calls), Unit::Count));
        evidence
            .extend(spent.per_second.map(|rate| case.measured("calls_per_second", rate, Unit::PerSecond)));
        evidence.push(case.measured("share_of_server_time", spent.busy, Unit::Ratio));
    }
    evidence.extend(mean.map(|mean| case.measured("time_per_call", mean.as_secs_f64(), Unit::Seconds)));
    let quantiles = command.map(|command| command.quantiles.as_slice()).unwrap_or_default();
    if let Some(p99) = quantiles.iter().find(|quantile| quantile.quantile == 0.99) {
        evidence.push(case.measured("time_p99", p99.time.as_secs_f64(), Unit::Seconds));
    }
    if let Some(longest) = slow.iter().map(|entry| entry.took).max() {
        evidence.push(case.measured("slow_log_entries", float(slow.len() as u64), Unit::Count));
        evidence.push(case.measured("slow_log_longest", longest.as_secs_f64(), Unit::Seconds));
    }
    evidence
}

/// Spikes that the server's latency monitor has seen in the last hour, and long forks.
fn latency(case: &mut Case<'_>) {
    for event in case.node.latency_events.clone().unwrap_or_default() {
        // Slow commands have findings of their own, which say what to do.
        let is_told = event.event == "command" && case.node.slow_log.is_ok();
        if is_told || !case.is_recent(event.last_at) {
            continue;
        }
        let impact = match event.last {
            last if last >= 10 * FELT => Impact::High,
            last if last >= FELT => Impact::Medium,
            _ => Impact::Low,
        };
        let evidence = vec![
            case.measured("last_spike", event.last.as_secs_f64(), Unit::Seconds),
            case.measured("longest_spike", event.longest.as_secs_f64(), Unit::Seconds),
        ];
        case.add_condition(
            FindingKind::RedisLatency,
            ("latency", &event.event),
            format!(
                "{} stopped the server for {}, {} at the longest",
                event.event,
                millis(event.last),
                millis(event.longest)
            ),
            impact,
            advice(&event.event),
            evidence,
        );
    }
    let told = case
        .node
        .latency_events
        .as_ref()
        .is_ok_and(|events| events.iter().any(|event| event.event == "fork"));
    if let (Ok(traffic), false) = (&case.node.traffic, told)
        && let Some(fork) = traffic.last_fork.filter(|fork| *fork >= FELT)
    {
        let evidence = vec![case.measured("last_fork", fork.as_secs_f64(), Unit::Seconds)];
        let impact = if fork >= 10 * FELT { Impact::High } else { Impact::Medium };
        let detail = format!("the last fork stopped the server for {}", millis(fork));
        case.add_condition(
            FindingKind::RedisLatency,
            ("stats", "fork"),
            detail,
            impact,
            advice("fork"),
            evidence,
        );
    }
}

/// Says what helps against a kind of spike, in the words of the manual.
fn advice(event: &str) -> &'static str {
    match event {
        "fork" => {
            "Turn transparent huge pages off, save less often, or let a replica save: a fork copies the table of \
             all pages while nobody is served."
        }
        "expire-cycle" => "Spread the times to live: many keys expire in the same moment.",
        "eviction-cycle" | "eviction-del" => "Give the server more memory, or set lazyfree-lazy-eviction.",
        "aof-write"
        | "aof-fsync-always"
        | "aof-write-pending-fsync"
        | "aof-write-active-child"
        | "aof-fstat" => {
            "Put the append-only file on a faster disk, or set no-appendfsync-on-rewrite: writes wait for the disk."
        }
        "fast-command" => {
            "Look at the machine: commands that take a microsecond took milliseconds, so the server was not run."
        }
        "active-defrag-cycle" => "Lower active-defrag-cycle-max.",
        _ => "See LATENCY DOCTOR on the server for what it makes of it.",
    }
}
