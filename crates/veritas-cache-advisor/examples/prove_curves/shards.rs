//! What we compare with: the LRU curve by SHARDS with a fixed-size sample and the adjustment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Fixed-size SHARDS-adj (Waldspurger et al., FAST 2015, with the authors' later
/// adjustment): LRU stack distances of at most `keys` sampled keys.
pub(crate) struct Shards {
    keys: usize,
    threshold: u64,
    last: HashMap<u64, u64>,
    order: BTreeSet<(u64, u64)>,
    by_hash: BTreeSet<u64>,
    clock: u64,
    /// Requests by scaled distance; those of a first time are not in it.
    distances: BTreeMap<u64, f64>,
    sampled: f64,
    requests: u64,
}

impl Shards {
    pub(crate) fn new(keys: usize) -> Self {
        Self {
            keys,
            threshold: u64::MAX,
            last: HashMap::new(),
            order: BTreeSet::new(),
            by_hash: BTreeSet::new(),
            clock: 0,
            distances: BTreeMap::new(),
            sampled: 0.0,
            requests: 0,
        }
    }

    pub(crate) fn request(&mut self, hash: u64) {
        self.requests += 1;
        if hash > self.threshold {
            return;
        }
        self.clock += 1;
        let weight = u64::MAX as f64 / self.threshold as f64;
        self.sampled += weight;
        if let Some(last) = self.last.insert(hash, self.clock) {
            let distance = self.order.range((last, 0)..).count() as f64 * weight;
            *self.distances.entry(distance.round() as u64).or_default() += weight;
            self.order.remove(&(last, hash));
        }
        self.order.insert((self.clock, hash));
        self.by_hash.insert(hash);
        while self.last.len() > self.keys {
            let Some(highest) = self.by_hash.pop_last() else { return };
            if let Some(last) = self.last.remove(&highest) {
                self.order.remove(&(last, highest));
            }
            self.threshold = highest - 1;
        }
    }

    pub(crate) fn miss_ratio(&self, entries: u64) -> f64 {
        let hits: f64 = self.distances.range(..=entries).map(|(_, weight)| weight).sum();
        // The adjustment: requests too few or too many are counted at the smallest distance.
        let all = self.requests as f64;
        (1.0 - (hits + all - self.sampled) / all).clamp(0.0, 1.0)
    }
}
