//! Hit ratios of ours, an LRU and `moka` on one sequence of keys.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use veritas_cache::{CacheOptions, Caches, NamespaceOptions};
use veritas_model::{Bytes, SystemClock};
use veritas_statistics::Rng;

/// The hit ratios on one workload at one size.
pub(crate) struct Cell {
    pub(crate) workload: &'static str,
    pub(crate) percent: u32,
    pub(crate) ours: f64,
    pub(crate) lru: f64,
    pub(crate) moka: f64,
}

/// Runs all workloads at 1 % and 10 % of `keys`.
pub(crate) fn compare(requests: usize, keys: u32) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (workload, sequence) in workloads(requests, keys) {
        for percent in [1, 10] {
            let size = keys * percent / 100;
            let (ours, lru, moka) = (ours(&sequence, size), lru(&sequence, size), moka(&sequence, size));
            cells.push(Cell { workload, percent, ours, lru, moka });
        }
    }
    cells
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
fn ratio(hits: usize, sequence: &[u32]) -> f64 {
    hits as f64 / sequence.len() as f64
}

/// Runs ours with room for `size` entries: their weight is measured first.
fn ours(sequence: &[u32], size: u32) -> f64 {
    let open = |capacity: u64| {
        let options = CacheOptions { capacity: Bytes::new(capacity), ..CacheOptions::default() };
        let caches = Caches::new(options, Arc::new(SystemClock::new()));
        let options = NamespaceOptions { ttl: Some(Duration::MAX), ..NamespaceOptions::default() };
        let cache = caches.namespace_with::<u32>("keys", options);
        (caches, cache)
    };
    let (caches, cache) = open(1 << 20);
    cache.set(&1_u32, 1);
    let weight = caches.namespaces()[0].weight.get();
    let (_caches, cache) = open(u64::from(size) * weight);
    let hits = sequence.iter().filter(|key| {
        let hit = cache.get(*key).is_some();
        if !hit {
            cache.set(*key, **key);
        }
        hit
    });
    ratio(hits.count(), sequence)
}

/// The exact least-recently-used policy.
fn lru(sequence: &[u32], size: u32) -> f64 {
    let (mut used_at, mut by_use) = (HashMap::new(), BTreeMap::new());
    let mut hits = 0;
    for (now, key) in sequence.iter().enumerate() {
        if let Some(before) = used_at.insert(*key, now) {
            by_use.remove(&before);
            hits += 1;
        } else if used_at.len() > size as usize
            && let Some((_, oldest)) = by_use.pop_first()
        {
            used_at.remove(&oldest);
        }
        by_use.insert(now, *key);
    }
    ratio(hits, sequence)
}

fn moka(sequence: &[u32], size: u32) -> f64 {
    let cache = moka::sync::Cache::<u32, u32>::new(size.into());
    let mut hits = 0;
    for key in sequence {
        if cache.get(key).is_some() {
            hits += 1;
        } else {
            cache.insert(*key, *key);
            // Else it would hold more than its size between its turns.
            cache.run_pending_tasks();
        }
    }
    ratio(hits, sequence)
}

/// Draws ranks by Zipf's law; rank and key are the same.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        Self(
            (1..=keys)
                .map(|rank| {
                    sum += f64::from(rank).powf(-exponent);
                    sum
                })
                .collect(),
        )
    }

    fn draw(&self, rng: &mut Rng) -> u32 {
        let all = self.0.last().copied().unwrap_or(0.0);
        let drawn = rng.next_f64() * all;
        u32::try_from(self.0.partition_point(|upto| *upto < drawn)).unwrap_or(0)
    }
}

type Draw = Box<dyn FnMut(&mut Rng, u32) -> u32>;

/// Returns the seeded workloads. All of it is synthetic.
fn workloads(requests: usize, keys: u32) -> Vec<(&'static str, Vec<u32>)> {
    let mut rng = Rng::new(20_261_123);
    let mut of = |name, mut draw: Draw| {
        let sequence = (0..requests).map(|at| draw(&mut rng, u32::try_from(at).unwrap_or(0)) % keys);
        (name, sequence.collect::<Vec<u32>>())
    };
    let zipf = |exponent| Zipf::new(keys, exponent);
    let (flat, usual, steep) = (zipf(0.7), zipf(0.99), zipf(1.2));
    let (drifting, mixed, crowded) = (zipf(0.99), zipf(0.9), zipf(0.9));
    vec![
        of("zipf 0.7", Box::new(move |rng, _| flat.draw(rng))),
        of("zipf 0.99", Box::new(move |rng, _| usual.draw(rng))),
        of("zipf 1.2", Box::new(move |rng, _| steep.draw(rng))),
        // The popular keys move by one place every hundred requests.
        of("drift", Box::new(move |rng, at| drifting.draw(rng) + at / 100)),
        // One request of seven belongs to a scan through everything.
        of("scan mix", Box::new(move |rng, at| if rng.below(7) == 0 { at / 7 } else { mixed.draw(rng) })),
        // For a tenth of each stretch, eight requests of ten go to 50 keys that were cold.
        of(
            "flash crowd",
            Box::new(move |rng, at| {
                let stretch = at / 50_000;
                if at % 50_000 < 5_000 && rng.below(10) < 8 {
                    let crowd = u32::try_from(rng.below(50)).unwrap_or(0);
                    keys / 2 + stretch * 50 + crowd
                } else {
                    crowded.draw(rng)
                }
            }),
        ),
        // Round and round, a little more than a tenth of the keys.
        of("loop", Box::new(move |_, at| at % (keys / 8))),
    ]
}
