//! Feeding: room for a table that was granted less than it asked for.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use super::Shared;
use crate::engine::{Any, Garbage, Now, enough_for};

/// A table that got less than it asked for.
#[derive(Clone, Copy)]
pub(crate) struct Hungry<'a> {
    pub(crate) table: &'a dyn Any,
    /// The hash of the key that is to be stored: its shard needs the room.
    pub(crate) hash: u64,
    /// What the entry weighs.
    pub(crate) need: u64,
    /// Whether the shard cannot admit the entry at all, even if others leave it.
    pub(crate) refused: bool,
}

impl Hungry<'_> {
    /// Returns how much its namespace has less than its share.
    fn lacks(&self) -> u64 {
        let grants = &self.table.namespace().grants;
        grants.entitled().min(grants.limit()).saturating_sub(grants.granted())
    }
}

impl Shared {
    /// Makes room for an entry: as far as its namespace has less than its share, out of those that
    /// have more; if that is not enough, out of tables of its namespace that have more than their
    /// part; and, if the entry was refused, out of other shards of its own table.
    /// Returns whether it may be admitted now. What left for it goes to `garbage`.
    pub(crate) fn feed(&self, hungry: Hungry<'_>, garbage: &mut Garbage) -> bool {
        let Hungry { table, hash, need, refused } = hungry;
        let tables = table.namespace().tables.load(Ordering::Relaxed);
        if hungry.lacks() < need && !refused && tables < 2 {
            return false;
        }
        // One at a time. Who has some room waits for its next turn; a value that is refused
        // has none. (Whoever feeds waits for no lock but the registry's and the shards'.)
        let _feeding = match self.feeding.try_lock() {
            Ok(feeding) => feeding,
            Err(_) if refused => self.feeding.lock().unwrap_or_else(PoisonError::into_inner),
            Err(_) => return false,
        };
        let now = self.clock.now();
        let (lacks, enough) = (hungry.lacks(), enough_for(need));
        // For what cannot fit in the end, nobody else is to leave.
        let is_due = if refused {
            lacks > 0 && table.capacity().saturating_add(lacks.max(self.budget.free())) >= enough
        } else {
            lacks >= need
        };
        let mut lacking = if is_due {
            self.feed_from_others(hungry, lacks, now, garbage)
        } else {
            table.grow(hash, 0, need)
        };
        if tables > 1 && (lacking > 0 || !is_due) {
            lacking = self.feed_from_siblings(hungry, tables, now, garbage);
        }
        if refused && lacking > 0 && table.capacity().saturating_add(self.budget.free()) >= enough {
            // Its own shards hold what it may have: a heavy value goes before lighter ones. They
            // give more than it weighs, since a shard admits 97 % of its capacity only.
            let room = lacking.max(enough.saturating_sub(lacks));
            let given = table.shrink(room, Some(hash), now, garbage);
            lacking = table.grow(hash, given, need);
        }
        lacking == 0
    }

    /// Takes room from the namespaces that are furthest above their shares; returns how much
    /// is lacking then.
    fn feed_from_others(&self, hungry: Hungry<'_>, lacks: u64, now: Now, garbage: &mut Garbage) -> u64 {
        let stores: Vec<Arc<dyn Any>> =
            self.registry().by_name.values().flat_map(|open| &open.stores).cloned().collect();
        let excess = |store: &Arc<dyn Any>| {
            let grants = &store.namespace().grants;
            grants.granted().saturating_sub(grants.entitled())
        };
        let wanted = enough_for(hungry.need).max(lacks / 8).min(lacks);
        feed_from(&stores, excess, wanted, hungry, now, garbage)
    }

    /// Takes room for a table for one type of values that has less than its part of what
    /// the namespace was granted, from the tables of other types that have more; returns how
    /// much is lacking then.
    fn feed_from_siblings(&self, hungry: Hungry<'_>, tables: u64, now: Now, garbage: &mut Garbage) -> u64 {
        let namespace = hungry.table.namespace();
        let part = namespace.grants.granted() / tables;
        let lacks = part.saturating_sub(hungry.table.capacity());
        let enough = enough_for(hungry.need);
        if lacks < enough {
            return hungry.table.grow(hungry.hash, 0, hungry.need);
        }
        let siblings = self.registry().by_name.get(&namespace.name).map(|open| open.stores.clone());
        let excess = |store: &Arc<dyn Any>| store.capacity().saturating_sub(part);
        feed_from(&siblings.unwrap_or_default(), excess, enough.max(lacks / 8), hungry, now, garbage)
    }
}

/// Moves up to `wanted` from the stores with the largest excess to who is hungry; returns how
/// much is lacking then.
fn feed_from(
    stores: &[Arc<dyn Any>],
    excess: impl Fn(&Arc<dyn Any>) -> u64,
    wanted: u64,
    hungry: Hungry<'_>,
    now: Now,
    garbage: &mut Garbage,
) -> u64 {
    let mut fed = 0;
    while fed < wanted {
        let richest = stores.iter().filter(|store| excess(store) > 0);
        let Some(richest) = richest.max_by_key(|store| (excess(store), store.capacity())) else { break };
        let given = richest.shrink((wanted - fed).min(excess(richest)), None, now, garbage);
        if given == 0 {
            break;
        }
        fed += given;
    }
    // At once, before the ones that it was taken from take it back.
    hungry.table.grow(hungry.hash, fed, hungry.need)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use veritas_model::Bytes;
    use veritas_testkit::VirtualClock;

    use super::*;
    use crate::{
        Cache, CacheOptions, HeapSize, NamespaceOptions, coarse::CoarseClock, engine::Store, key::KeyEncoder,
    };

    /// So much that there is more than one shard, on every machine.
    const CAPACITY: u64 = 2 * 1024 * 1024;

    type Space = (Cache<Vec<u8>>, Arc<Store<Vec<u8>>>);

    fn spaces(count: usize) -> Vec<Space> {
        let options = CacheOptions { capacity: Bytes::new(CAPACITY), ..CacheOptions::default() };
        let shared = Arc::new(Shared::new(options, CoarseClock::new(Arc::new(VirtualClock::new()))));
        let open = |index: usize| {
            let store = shared.open::<Vec<u8>>(&format!("namespace {index}"), NamespaceOptions::default());
            let prefix = KeyEncoder::new().as_bytes().into();
            (Cache::new(Arc::clone(&shared), Arc::clone(&store), prefix, None, Vec::heap_size), store)
        };
        (0..count).map(open).collect()
    }

    /// Returns keys for each shard of a table: shard by shard, wherever the hashes fall.
    fn keys_by_shard((cache, store): &Space, each: usize) -> Vec<Vec<u32>> {
        let mut by_shard: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for id in 0..16 * u32::try_from(each).unwrap() {
            let place = store.place(store.hasher.hash(&cache.encoded_key(&id)));
            by_shard.entry(place).or_default().push(id);
        }
        by_shard.into_values().map(|mut keys| keys.drain(..each).collect()).collect()
    }

    /// Fills all shards but one of each namespace until all have their share, then
    /// stores values of `bytes` in the last shard.
    #[track_caller]
    fn check(namespaces: usize, bytes: usize) {
        const LIGHT: usize = 500; // and weighs more, with its place
        let spaces = spaces(namespaces);
        let rounds = usize::try_from(CAPACITY).unwrap() / namespaces / LIGHT;
        let keys = keys_by_shard(&spaces[0], rounds);
        let (last, others) = keys.split_last().unwrap();
        assert!(!others.is_empty(), "one shard only");
        for key in (0..rounds).flat_map(|round| others.iter().map(move |keys| keys[round])) {
            for (cache, _) in &spaces {
                assert!(cache.set(&key, vec![0; LIGHT]));
            }
        }
        for key in &last[..4] {
            for (cache, _) in &spaces {
                assert!(cache.set(key, vec![0; bytes]), "{namespaces} {bytes} {}", cache.name());
            }
        }
    }

    #[test]
    fn a_value_as_heavy_as_the_share_is_stored_by_a_namespace_that_has_half_of_it() {
        let spaces = spaces(20);
        let ((late, _), early) = spaces.split_last().unwrap();
        // 48 KB of 104 KB.
        assert!((0..64_u32).all(|id| late.set(&id, vec![0; 500])));
        for id in 0..200_u32 {
            assert!(early.iter().all(|(cache, _)| cache.set(&id, vec![0; 500])));
        }
        assert!(late.set(&"heavy", vec![0; 96_000]));
    }

    #[test]
    fn the_first_value_of_a_shard_is_stored_though_the_others_hold_the_whole_share() {
        // 104 KB, and 20 KB, for each namespace.
        for namespaces in [20, 100] {
            for bytes in [1, 100, 500, 1_000, 16_000] {
                check(namespaces, bytes);
            }
        }
    }
}
