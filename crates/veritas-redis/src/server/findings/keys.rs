//! Keys: those that never expire, the big ones and the hot ones.

use veritas_cache::server::{KeySample, Share};
use veritas_model::{Cause, FindingKind, Impact, Unit};

use super::{Case, Found, float, percent, size};

/// Below this share, keys that never expire are what a cache keeps beside its entries.
const NOTABLE: f64 = 0.05;

/// A key is big from here on: it takes milliseconds to send, and to free.
const BIG: u64 = 1 << 20;

/// A key is hot from this share of all uses on.
const HOT: f64 = 0.1;

/// Counters below this are too random to rank keys by.
const CERTAIN: u8 = 20;

/// How many keys of a kind are found in one reading.
const MOST: usize = 5;

pub(super) fn find(case: &mut Case<'_>) {
    let sample = case.node.sample.clone().ok();
    without_ttl(case, sample.as_ref());
    if let Some(sample) = sample {
        big(case, &sample);
        hot(case, &sample);
    }
}

fn without_ttl(case: &mut Case<'_>, sample: Option<&KeySample>) {
    let Ok(memory) = case.node.memory.clone() else { return };
    // A server that may evict any key needs no time to live to make room.
    if memory.policy.evicts() && !memory.policy.needs_ttl() && memory.limit.is_some() {
        return;
    }
    let sampled = sample.and_then(|sample| sample.without_ttl.as_ref().ok());
    let counted = case.node.without_ttl().map(veritas_model::Ratio::get);
    // The server's own count is exact; the sample says which keys they are.
    let (share, surely) = match (counted, sampled) {
        (Some(counted), _) => (counted, counted),
        (None, Some(sampled)) => (sampled.share.get(), sampled.interval.low),
        (None, None) => return,
    };
    if surely < NOTABLE {
        return;
    }
    let full = memory.limit.map_or(0.0, |limit| float(memory.used.get()) / float(limit.get()));
    let impact = match full {
        full if full >= 0.9 => Impact::High,
        full if full >= 0.7 => Impact::Medium,
        _ => Impact::Low,
    };
    let mut evidence = Vec::new();
    if let Some(counted) = counted {
        evidence.push(case.measured("keys_without_ttl", counted, Unit::Ratio));
    }
    if let Some(sampled) = sampled {
        evidence.push(case.estimated("keys_without_ttl_sampled", sampled.share.get(), Unit::Ratio));
        evidence.push(case.estimated("keys_without_ttl_low", sampled.interval.low, Unit::Ratio));
        evidence.push(case.estimated("keys_without_ttl_high", sampled.interval.high, Unit::Ratio));
        evidence.push(case.measured("keys_sampled", float(sampled.sampled), Unit::Count));
    }
    let patterns =
        sample.and_then(|sample| sample.lasting_patterns.as_ref().ok()).map_or(&[][..], Vec::as_slice);
    let most: Vec<String> =
        patterns.iter().take(3).map(|one| format!("{} ({})", one.pattern, within(&one.lasting))).collect();
    let which = if most.is_empty() { String::new() } else { format!("; most of them: {}", most.join(", ")) };
    case.add_condition(
        FindingKind::RedisKeysWithoutTtl,
        ("keyspace", "keys without a time to live"),
        format!("{} of the keys never expire{which}", percent(share)),
        impact,
        "Give a time to live to what is a cache, or choose an allkeys policy: what never expires is never removed.",
        evidence,
    );
}

/// Returns a share with its interval, for people.
fn within(share: &Share) -> String {
    let ends = share.interval;
    format!("{}, {} to {} at 95 %", percent(share.share.get()), percent(ends.low), percent(ends.high))
}

fn big(case: &mut Case<'_>, sample: &KeySample) {
    let Ok(biggest) = &sample.biggest else { return };
    let used = case.node.memory.as_ref().ok().map(|memory| memory.used.get());
    for key in biggest.iter().filter(|key| key.bytes.get() >= BIG).take(MOST) {
        let bytes = key.bytes.get();
        let share = used.map(|used| float(bytes) / float(used.max(1)));
        let impact = match share {
            Some(share) if share >= 0.2 => Impact::High,
            _ if bytes >= 100 * BIG => Impact::High,
            _ if bytes >= 10 * BIG => Impact::Medium,
            _ => Impact::Low,
        };
        let mut evidence = vec![case.estimated("bytes", float(bytes), Unit::Bytes)];
        evidence.extend(share.map(|share| case.estimated("share_of_memory", share, Unit::Ratio)));
        evidence.push(case.measured("keys_looked_at", float(sample.scanned + sample.drawn), Unit::Count));
        evidence.push(case.measured("passes_over_all_keys", float(sample.passes), Unit::Count));
        let kind = key.kind.as_deref().unwrap_or("key");
        case.add(Found {
            kind: FindingKind::BigKey,
            part: key.key.clone(),
            cause: Cause::BigKey { bytes },
            impact,
            recommendation: format!(
                "Split this {kind} of {} into smaller keys, compress it, or store less in it; delete it with UNLINK: \
                 nobody else is served while it is sent or freed.",
                size(bytes)
            ),
            evidence,
        });
    }
}

fn hot(case: &mut Case<'_>, sample: &KeySample) {
    let Ok(hottest) = &sample.hottest else { return };
    for key in hottest.keys.iter().filter(|key| key.counter >= CERTAIN).take(MOST) {
        let Some(share) = key.use_share.map(veritas_model::Ratio::get).filter(|share| *share >= HOT) else {
            continue;
        };
        let impact = match share {
            share if share >= 0.5 => Impact::High,
            share if share >= 0.2 => Impact::Medium,
            _ => Impact::Low,
        };
        let evidence = vec![
            case.estimated("share_of_uses", share, Unit::Ratio),
            case.estimated("recent_uses", key.uses, Unit::Count),
            case.measured("frequency_counter", f64::from(key.counter), Unit::Count),
        ];
        case.add(Found {
            kind: FindingKind::HotKey,
            part: key.key.clone(),
            cause: Cause::HotKey { request_share: share },
            impact,
            recommendation:
                "Keep it in the processes that read it (an in-process tier that the server invalidates), \
                             or split it: one key is served by one core of one node."
                    .to_owned(),
            evidence,
        });
    }
}
