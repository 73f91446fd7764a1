//! Memory: limits, what happens at them, evictions, and memory that is no data.

use veritas_cache::server::{DatabaseReading, MemoryReading, ReplicationReading};
use veritas_model::{FindingKind, Impact, Unit};

use super::{Case, float, percent, size};

/// From this share of the limit on, a server that cannot evict is about to refuse writes.
const NEAR: f64 = 0.85;

/// From this share on it refuses them.
const FULL: f64 = 0.98;

/// Wasted memory below this is not worth a finding, whatever the ratio.
const WASTE: u64 = 100 << 20;

/// Evicted keys in an hour, by the keys there are: above, what is cached is gone
/// before it was worth storing.
const TURNOVER_HIGH: f64 = 0.5;
const TURNOVER_MEDIUM: f64 = 0.1;

pub(super) fn find(case: &mut Case<'_>) {
    if let Ok(memory) = case.node.memory.clone() {
        match memory.limit {
            Some(limit) => limited(case, &memory, limit.get()),
            None => unlimited(case, &memory),
        }
        fragmentation(case, &memory);
    }
    evictions(case);
}

fn unlimited(case: &mut Case<'_>, memory: &MemoryReading) {
    // A replica follows its primary's limit, and has none of its own by default.
    if matches!(case.node.replication, Ok(ReplicationReading::Replica { .. })) {
        return;
    }
    let share = memory.machine.map(|machine| float(memory.used.get()) / float(machine.get()));
    let impact = match share {
        Some(share) if share >= 0.8 => Impact::High,
        Some(share) if share >= 0.5 => Impact::Medium,
        _ => Impact::Low,
    };
    let mut evidence = vec![case.measured("used_memory", float(memory.used.get()), Unit::Bytes)];
    if let Some(machine) = memory.machine {
        evidence.push(case.measured("machine_memory", float(machine.get()), Unit::Bytes));
    }
    let of_machine = share.map(|share| format!(", {} of the machine's", percent(share))).unwrap_or_default();
    case.add_condition(
        FindingKind::RedisMemory,
        ("memory", "limit"),
        format!("no memory limit is set; {} are used{of_machine}", size(memory.used.get())),
        impact,
        "Set maxmemory below the machine's memory, and a maxmemory-policy that fits: without a limit the \
         operating system ends the server when memory runs out.",
        evidence,
    );
}

fn limited(case: &mut Case<'_>, memory: &MemoryReading, limit: u64) {
    let share = float(memory.used.get()) / float(limit);
    let evidence = vec![
        case.measured("used_memory", float(memory.used.get()), Unit::Bytes),
        case.measured("memory_limit", float(limit), Unit::Bytes),
        case.measured("share_of_limit", share, Unit::Ratio),
    ];
    let used = format!("{} of {} are used ({})", size(memory.used.get()), size(limit), percent(share));
    let has_victims =
        !memory.policy.needs_ttl() || case.node.keyspace.as_ref().map_or(true, |databases| expire(databases));
    if share >= NEAR && !(memory.policy.evicts() && has_victims) {
        let why = if memory.policy.evicts() {
            format!("{used}, the policy is {}, and no key has a time to live", memory.policy.0)
        } else {
            format!("{used}, and the policy is noeviction")
        };
        let advice = "Give the server more memory, let keys expire, or choose a maxmemory-policy that evicts \
                      (allkeys-lfu for a cache): at the limit, writes are refused.";
        if share >= FULL {
            case.add_condition(
                FindingKind::RedisEviction,
                ("memory", "refused writes"),
                why,
                Impact::High,
                advice,
                evidence,
            );
        } else {
            case.add_condition(
                FindingKind::RedisMemory,
                ("memory", "limit"),
                why,
                Impact::Medium,
                advice,
                evidence,
            );
        }
    } else if let Some(machine) = memory.machine.filter(|machine| float(limit) > 0.9 * float(machine.get())) {
        case.add_condition(
            FindingKind::RedisMemory,
            ("memory", "limit"),
            format!("the limit of {} leaves nothing of the machine's {}", size(limit), size(machine.get())),
            Impact::Medium,
            "Lower maxmemory: buffers of clients and replicas and copies during a snapshot come on top of it.",
            evidence,
        );
    }
}

fn expire(databases: &[DatabaseReading]) -> bool {
    databases.iter().any(|database| database.expires > 0)
}

fn fragmentation(case: &mut Case<'_>, memory: &MemoryReading) {
    let (Some(resident), Some(ratio)) = (memory.resident, memory.fragmentation) else { return };
    let (resident, used) = (resident.get(), memory.used.get());
    let evidence = vec![
        case.measured("used_memory", float(used), Unit::Bytes),
        case.measured("resident_memory", float(resident), Unit::Bytes),
    ];
    if ratio >= 1.5 && resident.saturating_sub(used) >= WASTE {
        case.add_condition(
            FindingKind::RedisMemory,
            ("memory", "fragmentation"),
            format!("{} are resident for {} in use (ratio {ratio:.2})", size(resident), size(used)),
            if ratio >= 2.0 { Impact::Medium } else { Impact::Low },
            "Turn on activedefrag, or restart the server when it suits: the memory is held and not used.",
            evidence,
        );
    } else if ratio < 0.9 && used.saturating_sub(resident) >= WASTE {
        case.add_condition(
            FindingKind::RedisMemory,
            ("memory", "swap"),
            format!(
                "only {} of {} in use are in memory: the rest is swapped out",
                size(resident),
                size(used)
            ),
            Impact::High,
            "Give the machine more memory or lower maxmemory: a swapped key costs a read from disk.",
            evidence,
        );
    }
}

fn evictions(case: &mut Case<'_>) {
    let Ok(traffic) = case.node.traffic.clone() else { return };
    let (per_second, expired, since) = match (&case.rates, case.uptime()) {
        (Some(rates), _) => (rates.evicted, rates.expired, "now"),
        (None, Some(uptime)) => {
            let seconds = uptime.as_secs_f64();
            (float(traffic.evicted) / seconds, float(traffic.expired) / seconds, "since the server's start")
        }
        _ => return,
    };
    if per_second <= 0.0 {
        return;
    }
    let mut evidence = vec![
        case.measured("evicted_keys", per_second, Unit::PerSecond),
        case.measured("evicted_share_of_removals", per_second / (per_second + expired), Unit::Ratio),
    ];
    let turnover = case.node.keys().filter(|keys| *keys > 0).map(|keys| per_second * 3_600.0 / float(keys));
    if let Some(turnover) = turnover {
        evidence.push(case.measured("evicted_share_of_keys_per_hour", turnover, Unit::Ratio));
    }
    if let Some(ratio) = case.rates.as_ref().map_or(traffic.hit_ratio(), |rates| rates.hit_ratio) {
        evidence.push(case.measured("hit_ratio", ratio.get(), Unit::Ratio));
    }
    let impact = match turnover {
        Some(turnover) if turnover >= TURNOVER_HIGH => Impact::High,
        Some(turnover) if turnover >= TURNOVER_MEDIUM => Impact::Medium,
        _ => Impact::Low,
    };
    let hourly = turnover
        .map(|turnover| format!(", {} of all keys in an hour", percent(turnover)))
        .unwrap_or_default();
    case.add_condition(
        FindingKind::RedisEviction,
        ("stats", "evictions"),
        format!("{per_second:.1} keys a second are evicted {since}{hourly}"),
        impact,
        "Give the server more memory or store less: keys are removed before their time, and read again from the source.",
        evidence,
    );
}
