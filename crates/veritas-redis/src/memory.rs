//! Memory: how many bytes each namespace takes in Redis, from few samples.
//!
//! `MEMORY USAGE` tells what a key and its value take, but not their places in the
//! server's tables (main and expires): some 60 bytes a key, a third of what a small
//! entry takes. What all of it takes *together* the server knows exactly
//! (`MEMORY STATS`: the data set and the tables). So:
//!
//! 1. Scan, within a time limit, and count the keys of each namespace. Keys lie in
//!    the server's table by a keyed hash, so that the first part of a scan is a
//!    random sample; a scan that came to its end is a count.
//! 2. Ask for `MEMORY USAGE` of at most 400 keys, spread over the namespaces.
//! 3. Reconcile ([`reconcile`]): the unknown means and the unknown cost of the tables
//!    are moved, each in proportion to how uncertain it is, until they add up to
//!    the total. Values all of one size leave nothing but the tables uncertain, and
//!    those come out of the total; where sizes differ wildly, the total corrects
//!    their means instead.
//!
//! The error bound is 1.96 standard deviations of what remains uncertain, and half a percent.

mod reconcile;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use redis::Value;
use veritas_cache::{TierMemory, TierNamespaceMemory};
use veritas_model::{Bytes, Provenance};

use self::reconcile::{Stratum, Total, reconcile};
use crate::{
    ScanCursor, TierError,
    key::{Place, base_of},
    tiered::{Space, Tiers, random},
};

/// How many keys are asked for their size.
const SAMPLES: usize = 400;

/// How long the scan may take, over all nodes, when nobody says otherwise.
pub(crate) const SCAN_TIME: Duration = Duration::from_millis(35);

/// How many keys of the server one step looks at: some 500 µs of the server's time.
const STEP: u32 = 2_000;

/// How long a server may take to sum itself up.
const SUM_TIME: Duration = Duration::from_millis(200);

/// Everything that is none of ours, or none that is open here.
const OTHERS: &str = "";

/// Keys of one namespace, as far as the scan came.
#[derive(Debug, Default)]
struct Seen {
    keys: u64,
    /// A random choice of them.
    kept: Vec<Vec<u8>>,
}

impl Seen {
    /// Keeps each of the keys with the same chance (Vitter's algorithm R).
    fn add(&mut self, key: Vec<u8>) {
        self.keys += 1;
        if self.kept.len() < SAMPLES {
            self.kept.push(key);
        } else {
            let place = random() % self.keys;
            if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.kept.get_mut(place)) {
                *kept = key;
            }
        }
    }
}

/// Measures what all namespaces take. Takes what the scan may take and some 5 ms.
pub(crate) async fn measure(tiers: &Tiers, scan_time: Duration) -> Result<TierMemory, TierError> {
    let mut spaces = ByBase::new();
    for space in tiers.spaces.all() {
        spaces.entry(space.keys.base().to_vec()).or_default().push(space);
    }
    let sizes = tiers.redis.command_on_nodes(&redis::cmd("DBSIZE"), SUM_TIME).await;
    let sizes: Vec<u64> = sizes.into_iter().map(|(_, size)| read_count(&size?)).collect::<Result<_, _>>()?;
    let mut stats = redis::cmd("MEMORY");
    stats.arg("STATS");
    let stats = tiers.redis.command_on_nodes(&stats, SUM_TIME).await;

    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    // What one node's part of a scan tells is of that node: each is scaled by itself.
    let mut strata: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (node, size) in sizes.iter().enumerate() {
        let share = scan_time / u32::try_from(sizes.len()).unwrap_or(u32::MAX);
        let counted = scan_node(tiers, &spaces, node, share, &mut seen).await?;
        let total: u64 = counted.by_name.values().sum();
        // A whole scan may see a key twice while the table grows; a part is scaled up.
        let scale = if total == 0 { 1.0 } else { as_float(*size) / as_float(total) };
        let complete = counted.complete;
        for (name, keys) in counted.by_name {
            let (count, variance) = strata.entry(name).or_default();
            *count += as_float(keys) * scale;
            if !complete {
                // A share of a random sample: binomial.
                let share = as_float(keys) / as_float(total);
                *variance += as_float(*size).powi(2) * share * (1.0 - share) / as_float(total);
            }
        }
    }
    let (mut all, mut by_name) = (Vec::new(), Vec::new());
    let names: Vec<String> = strata.keys().cloned().collect();
    for (name, most) in names.iter().zip(allot(&strata)) {
        let (count, count_variance) = strata[name];
        let kept = seen.remove(name).map(|seen| seen.kept).unwrap_or_default();
        let asked = &kept[..kept.len().min(most)];
        let usages = tiers.redis.memory_usage(asked, 0).await;
        let usages: Vec<f64> =
            usages.into_iter().filter_map(|usage| usage.ok().flatten()).map(as_float).collect();
        all.extend_from_slice(&usages);
        by_name.push((name.clone(), count, count_variance, usages));
    }
    let sampled = all.len() as u64;
    let rows: Vec<(String, Stratum)> = by_name
        .into_iter()
        .map(|(name, count, variance, usages)| (name, Stratum::of(count, variance, &usages, &all)))
        .collect();
    let total = stats
        .into_iter()
        .map(|(_, stats)| stats.ok().as_ref().and_then(read_total))
        .collect::<Option<Vec<_>>>()
        .map(|totals| totals.iter().fold(Total::default(), |sum, one| sum.plus(*one)))
        // Other databases of the server count there, and are not scanned here.
        .filter(|total| (total.keys - as_float(sizes.iter().sum())).abs() <= 0.01 * total.keys + 16.0);
    let strata: Vec<Stratum> = rows.iter().map(|(_, stratum)| *stratum).collect();
    let figures = reconcile(&strata, total);
    let mut memory = TierMemory {
        entries: 0,
        bytes: Bytes::new(0),
        error_bound: Bytes::new(0),
        provenance: Provenance::Estimated,
        sampled,
        namespaces: Vec::new(),
    };
    for ((name, stratum), figure) in rows.iter().zip(figures).filter(|((name, _), _)| name != OTHERS) {
        let row = TierNamespaceMemory {
            entries: as_count(stratum.keys),
            bytes: Bytes::new(as_count(figure.bytes)),
            error_bound: Bytes::new(as_count(figure.error_bound)),
        };
        memory.entries += row.entries;
        memory.bytes = Bytes::new(memory.bytes.get() + row.bytes.get());
        // Taken as if all erred in one direction: never too small.
        memory.error_bound = Bytes::new(memory.error_bound.get() + row.error_bound.get());
        memory.namespaces.push((name.clone(), row));
    }
    Ok(memory)
}

/// What the scan of one node found.
struct Counted {
    by_name: BTreeMap<String, u64>,
    complete: bool,
}

async fn scan_node(
    tiers: &Tiers,
    spaces: &ByBase,
    node: usize,
    time: Duration,
    seen: &mut BTreeMap<String, Seen>,
) -> Result<Counted, TierError> {
    let began_at = tiers.clock.monotonic();
    let mut counted = Counted { by_name: BTreeMap::new(), complete: false };
    let start: Option<ScanCursor> = format!("{node}-0").parse().ok();
    let mut at = start.unwrap_or_default();
    loop {
        // All keys of the server, ours or not: the total is of all of them.
        let page = tiers.redis.scan(b"", at, STEP).await?;
        for key in page.keys {
            let name = name_of(tiers, spaces, &key);
            *counted.by_name.entry(name.to_owned()).or_default() += 1;
            seen.entry(name.to_owned()).or_default().add(key);
        }
        match page.next {
            // The cursor of the next node: this one is done.
            Some(next) if next.to_string().starts_with(&format!("{node}-")) => at = next,
            _ => {
                counted.complete = true;
                return Ok(counted);
            }
        }
        if tiers.clock.monotonic().since(began_at) >= time {
            return Ok(counted);
        }
    }
}

/// The open namespaces by what their keys begin with: each key of the server is looked up.
type ByBase = HashMap<Vec<u8>, Vec<Arc<Space>>>;

/// Returns the namespace that a key's bytes count for: values and, of little weight, leases and versions.
fn name_of<'a>(tiers: &Tiers, spaces: &'a ByBase, key: &[u8]) -> &'a str {
    let Some(base) = base_of(&tiers.redis.options().prefix, key) else { return OTHERS };
    let holds =
        |space: &&Arc<Space>| matches!(space.keys.place(key), Some(Place::Value(_) | Place::HashedValue(_)));
    spaces.get(base).and_then(|open| open.iter().find(holds)).map_or(OTHERS, |space| &space.name)
}

/// Spreads the samples: half of them evenly, so that no namespace goes without, and
/// half by how many keys there are.
fn allot(strata: &BTreeMap<String, (f64, f64)>) -> Vec<usize> {
    let all: f64 = strata.values().map(|(count, _)| count).sum();
    let even = (SAMPLES / 2) / strata.len().max(1);
    strata
        .values()
        .map(|(count, _)| even + as_index((as_float((SAMPLES / 2) as u64) * count / all.max(1.0)).floor()))
        .collect()
}

fn read_count(value: &Value) -> Result<u64, TierError> {
    match value {
        Value::Int(count) => u64::try_from(*count).map_err(|_| TierError::Unexpected),
        _ => Err(TierError::Unexpected),
    }
}

/// Reads what the data and the tables take, and how many keys there are, out of `MEMORY STATS`.
fn read_total(stats: &Value) -> Option<Total> {
    let field = |map: &Value, name: &str| -> Option<Value> {
        map.as_map_iter()?
            .find(|(key, _)| redis::from_redis_value_ref::<String>(key).is_ok_and(|key| key == name))
            .map(|(_, value)| value.clone())
    };
    let number = |map: &Value, name: &str| -> Option<f64> {
        redis::from_redis_value_ref::<f64>(&field(map, name)?).ok()
    };
    let mut tables = 0.0;
    for (key, value) in stats.as_map_iter()? {
        if redis::from_redis_value_ref::<String>(key).is_ok_and(|key| key.starts_with("db.")) {
            tables += number(value, "overhead.hashtable.main").unwrap_or(0.0);
            tables += number(value, "overhead.hashtable.expires").unwrap_or(0.0);
        }
    }
    Some(Total { bytes: number(stats, "dataset.bytes")? + tables, keys: number(stats, "keys.count")? })
}

#[expect(clippy::cast_precision_loss, reason = "a float keeps 8 PiB to a byte")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float-to-int cast saturates")]
fn as_count(figure: f64) -> u64 {
    figure.round() as u64
}

fn as_index(figure: f64) -> usize {
    usize::try_from(as_count(figure)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_is_sampled_and_large_ones_more() {
        let strata =
            BTreeMap::from([("large".to_owned(), (90_000.0, 0.0)), ("small".to_owned(), (10_000.0, 0.0))]);
        let samples = allot(&strata);
        assert_eq!(samples, [280, 120]);
        assert!(samples.iter().sum::<usize>() <= SAMPLES);
    }

    #[test]
    fn a_choice_is_bounded_and_made_of_all() {
        let mut seen = Seen::default();
        for index in 0..4_000_u32 {
            seen.add(index.to_be_bytes().to_vec());
        }
        assert_eq!((seen.keys, seen.kept.len()), (4_000, SAMPLES));
        let late = seen
            .kept
            .iter()
            .filter(|key| u32::from_be_bytes((**key).as_slice().try_into().unwrap()) >= 2_000);
        // Half of them, within ten standard deviations.
        assert!((100..300).contains(&late.count()));
    }

    #[test]
    fn the_total_is_read_from_what_the_server_says() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let db = Value::Map(vec![
            (bulk("overhead.hashtable.main"), Value::Int(100)),
            (bulk("overhead.hashtable.expires"), Value::Int(20)),
        ]);
        let stats = Value::Map(vec![
            (bulk("keys.count"), Value::Int(3)),
            (bulk("dataset.bytes"), Value::Int(1_000)),
            (bulk("db.0"), db),
        ]);
        assert_eq!(read_total(&stats), Some(Total { bytes: 1_120.0, keys: 3.0 }));
        assert_eq!(read_total(&Value::Nil), None);
    }
}
