//! LRU: a cache of it, and all sizes of it at once by stack distances.

use std::collections::{BTreeMap, HashMap};

/// A cache that evicts what was used least recently; capacity in the unit of the weights.
///
/// What is heavier than the whole capacity is not stored. A request costs O(log n).
#[derive(Debug)]
pub struct Lru {
    capacity: u64,
    weight: u64,
    used: u64,
    entries: HashMap<u64, (u64, u32)>,
    order: BTreeMap<u64, u64>,
}

impl Lru {
    /// Creates an empty cache.
    pub fn new(capacity: u64) -> Self {
        Self { capacity, weight: 0, used: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }

    /// Looks `key` up and stores it when it was not there. Returns whether it hit.
    ///
    /// A hit keeps the weight that was stored.
    pub fn request(&mut self, key: u64, weight: u32) -> bool {
        self.used += 1;
        if let Some((last, _)) = self.entries.get_mut(&key) {
            self.order.remove(last);
            *last = self.used;
            self.order.insert(self.used, key);
            return true;
        }
        if u64::from(weight) > self.capacity {
            return false;
        }
        self.weight += u64::from(weight);
        while self.weight > self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            if let Some((_, freed)) = self.entries.remove(&oldest) {
                self.weight -= u64::from(freed);
            }
        }
        self.entries.insert(key, (self.used, weight));
        self.order.insert(self.used, key);
        false
    }
}

impl Lru {
    /// Removes `key`, and returns whether it was there.
    pub fn delete(&mut self, key: u64) -> bool {
        let Some((last, weight)) = self.entries.remove(&key) else { return false };
        self.order.remove(&last);
        self.weight -= u64::from(weight);
        true
    }
}

/// The exact miss-ratio curve of LRU over entries of equal weight, in one pass.
///
/// Mattson's stack distances ("Evaluation techniques for storage hierarchies",
/// IBM Systems Journal, 1970) counted with a Fenwick tree. A request costs
/// O(log n) of the longest trace that was announced.
#[derive(Debug)]
pub struct StackDistances {
    last: HashMap<u64, usize>,
    /// A Fenwick tree over positions in the trace: 1 where a key was last used.
    tree: Vec<u32>,
    position: usize,
    /// How many requests had exactly this distance, from 1.
    counts: Vec<u64>,
    requests: u64,
}

impl StackDistances {
    /// Creates one for a trace of at most `requests`; takes 4 bytes for each at once.
    pub fn new(requests: usize) -> Self {
        Self {
            last: HashMap::new(),
            tree: vec![0; requests + 1],
            position: 0,
            counts: Vec::new(),
            requests: 0,
        }
    }

    /// Counts one request, and returns its stack distance: the number of distinct
    /// keys since the last one for this key, itself included. `None` the first time.
    ///
    /// # Panics
    ///
    /// When more requests come than were announced.
    pub fn request(&mut self, key: u64) -> Option<usize> {
        self.position += 1;
        self.requests += 1;
        let position = self.position;
        assert!(position < self.tree.len(), "more requests than announced");
        let distance = self.last.insert(key, position).map(|last| {
            let between = self.sum(position - 1) - self.sum(last);
            self.add(last, u32::MAX); // minus one
            between as usize + 1
        });
        self.add(position, 1);
        if let Some(distance) = distance {
            if distance >= self.counts.len() {
                self.counts.resize((distance + 1).next_power_of_two(), 0);
            }
            self.counts[distance] += 1;
        }
        distance
    }

    /// Returns how many of the requests missed in a cache of so many entries.
    pub fn misses(&self, entries: usize) -> u64 {
        self.requests - self.counts.iter().take(entries.saturating_add(1)).sum::<u64>()
    }

    fn add(&mut self, mut index: usize, amount: u32) {
        while index < self.tree.len() {
            self.tree[index] = self.tree[index].wrapping_add(amount);
            index += index & index.wrapping_neg();
        }
    }

    fn sum(&self, mut index: usize) -> u32 {
        let mut sum = 0_u32;
        while index > 0 {
            sum = sum.wrapping_add(self.tree[index]);
            index &= index - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veritas_statistics::Rng;

    #[test]
    fn stack_distances_tell_what_a_cache_of_each_size_misses() {
        let mut rng = Rng::new(11);
        let keys: Vec<u64> = (0..5_000).map(|_| rng.below(40) * rng.below(40) / 8).collect();
        let mut distances = StackDistances::new(keys.len());
        for key in &keys {
            distances.request(*key);
        }
        for entries in [0, 1, 2, 7, 50, 199, 1_000] {
            let mut lru = Lru::new(entries);
            let misses = keys.iter().filter(|key| !lru.request(**key, 1)).count();
            assert_eq!(
                distances.misses(usize::try_from(entries).unwrap()),
                misses as u64,
                "{entries} entries"
            );
        }
    }

    #[test]
    fn weights_are_kept_within_the_capacity() {
        let mut lru = Lru::new(10);
        assert!(!lru.request(1, 6) && !lru.request(2, 4) && lru.request(1, 6));
        assert!(!lru.request(3, 5), "evicts 2, then 1");
        assert!(!lru.request(4, 11), "too heavy");
        assert!(lru.request(3, 5) && !lru.request(2, 4));
    }
}
