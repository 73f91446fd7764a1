//! Pending: what had to go from Redis and did not, because Redis could not be reached.
//!
//! A delete, a set or an invalidation that fails leaves an outdated value behind. It
//! is noted here and made good as soon as the server answers again, before anything
//! is believed that this process reads of the keys in question. So an outage makes
//! nothing stale that we knew to be so. A process that ends during the outage takes
//! its notes with it; its values then live until their time is over.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use veritas_model::{Clock, Monotonic};

use super::space::Space;
use crate::{RedisTier, TierError};

/// How many keys are noted one by one; beyond that their whole namespace is noted.
const MOST_KEYS: usize = 10_000;

/// How many keys are removed at a time.
const CHUNK: usize = 256;

/// How often it is tried while it fails.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// How many notes there are, so that it costs nothing when there are none.
    notes: AtomicUsize,
    state: Mutex<State>,
    /// One at a time makes good; others wait for it.
    turn: tokio::sync::Mutex<()>,
    /// Whether somebody goes on until there are none.
    chased: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    keys: usize,
    spaces: HashMap<Vec<u8>, Notes>,
    tried_at: Option<Monotonic>,
    /// The number of the last note: what is noted again while it is made good stays noted.
    last: u64,
}

#[derive(Debug)]
struct Notes {
    space: Arc<Space>,
    /// With the numbers of their latest notes, as below.
    keys: HashMap<Vec<u8>, u64>,
    tags: HashMap<u64, u64>,
    everything: Option<u64>,
}

/// One thing that has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outdated {
    /// The value under a key of Redis.
    Key(Vec<u8>),
    /// All that bears a tag.
    Tag(u64),
    /// The whole namespace.
    Everything,
}

/// A tag, or with `None` the whole namespace, and the number of its note.
type Numbered = (Option<u64>, u64);

impl Pending {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something that has to go.
    pub(crate) fn note(&self, space: &Arc<Space>, outdated: Outdated) {
        let mut state = self.locked();
        let full = state.keys >= MOST_KEYS;
        let State { keys, spaces, last, .. } = &mut *state;
        *last += 1;
        let notes = spaces.entry(space.keys.base().to_vec()).or_insert_with(|| Notes {
            space: Arc::clone(space),
            keys: HashMap::new(),
            tags: HashMap::new(),
            everything: None,
        });
        match outdated {
            _ if notes.everything.is_some() => notes.everything = Some(*last),
            Outdated::Key(_) | Outdated::Tag(_) if full => notes.everything = Some(*last),
            Outdated::Key(key) => *keys += usize::from(notes.keys.insert(key, *last).is_none()),
            Outdated::Tag(tag) => *keys += usize::from(notes.tags.insert(tag, *last).is_none()),
            Outdated::Everything => notes.everything = Some(*last),
        }
        if notes.everything.is_some() {
            *keys -= notes.keys.len() + notes.tags.len();
            notes.keys = HashMap::new();
            notes.tags = HashMap::new();
        }
        self.count(&state);
    }

    fn count(&self, state: &State) {
        let whole = state.spaces.values().filter(|notes| notes.everything.is_some()).count();
        self.notes.store(state.keys + whole, Ordering::Release);
    }

    /// Returns whether what is read of a key may be outdated.
    pub(crate) fn covers(&self, space: &Space, key: &[u8]) -> bool {
        self.notes.load(Ordering::Acquire) > 0
            && self.locked().spaces.get(space.keys.base()).is_some_and(|notes| {
                notes.everything.is_some() || !notes.tags.is_empty() || notes.keys.contains_key(key)
            })
    }

    /// Returns how many notes there are.
    pub(crate) fn len(&self) -> usize {
        self.notes.load(Ordering::Acquire)
    }

    /// Begins to go on until all is made good; false when somebody does so already.
    pub(crate) fn begin_chase(&self) -> bool {
        self.len() > 0 && !self.chased.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn end_chase(&self) {
        self.chased.store(false, Ordering::Release);
    }

    /// Makes good what can be made good now. Costs one load when there is nothing.
    pub(crate) async fn settle(&self, redis: &RedisTier, clock: &dyn Clock) {
        if self.notes.load(Ordering::Acquire) == 0 {
            return;
        }
        let _turn = self.turn.lock().await;
        let now = clock.monotonic();
        let spaces: Vec<Vec<u8>> = {
            let mut state = self.locked();
            if state.tried_at.is_some_and(|tried_at| now.since(tried_at) < PAUSE) {
                return;
            }
            state.tried_at = Some(now);
            state.spaces.keys().cloned().collect()
        };
        let mut failed = false;
        for base in spaces {
            failed |= !self.settle_space(redis, &base).await;
        }
        if !failed {
            // Nothing failed, so the next note is no sign of an outage.
            self.locked().tried_at = None;
        }
    }

    /// Returns whether all of it went well.
    async fn settle_space(&self, redis: &RedisTier, base: &[u8]) -> bool {
        let Some((space, versions)) = self.versions_of(base) else { return true };
        let mut well = true;
        for (tag, number) in versions {
            match space.versions.renew(redis, &space.keys, tag).await {
                Ok(()) => self.made_good(base, (tag, number)),
                Err(_) => well = false,
            }
        }
        let keys: Vec<(Vec<u8>, u64)> = self.locked().spaces.get(base).map_or_else(Vec::new, |notes| {
            notes.keys.iter().map(|(key, number)| (key.clone(), *number)).collect()
        });
        for chunk in keys.chunks(CHUNK) {
            let wanted: Vec<&[u8]> = chunk.iter().map(|(key, _)| key.as_slice()).collect();
            let answers = redis.delete_many(&wanted).await;
            let gone: Vec<&(Vec<u8>, u64)> =
                chunk.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(key, _)| key).collect();
            well &= gone.len() == chunk.len();
            self.removed(base, &gone);
            // With no connection at all the next chunk would fare no better.
            if answers.iter().all(|answer| matches!(answer, Err(TierError::Unavailable))) {
                return false;
            }
        }
        well
    }

    /// Returns the versions that a namespace is to be given anew, with the numbers of their notes.
    fn versions_of(&self, base: &[u8]) -> Option<(Arc<Space>, Vec<Numbered>)> {
        let state = self.locked();
        let notes = state.spaces.get(base)?;
        let tags = notes.tags.iter().map(|(tag, number)| (Some(*tag), *number));
        let whole = notes.everything.map(|number| (None, number));
        Some((Arc::clone(&notes.space), whole.into_iter().chain(tags).collect()))
    }

    fn made_good(&self, base: &[u8], (tag, number): Numbered) {
        self.done(base, |notes| match tag {
            Some(tag) => notes.tags.retain(|noted, at| *noted != tag || *at != number),
            None => drop(notes.everything.take_if(|at| *at == number)),
        });
    }

    fn removed(&self, base: &[u8], gone: &[&(Vec<u8>, u64)]) {
        self.done(base, |notes| {
            for (key, number) in gone {
                if notes.keys.get(key) == Some(number) {
                    notes.keys.remove(key);
                }
            }
        });
    }

    fn done(&self, base: &[u8], change: impl FnOnce(&mut Notes)) {
        let mut state = self.locked();
        let State { keys, spaces, .. } = &mut *state;
        if let Some(notes) = spaces.get_mut(base) {
            *keys -= notes.keys.len() + notes.tags.len();
            change(notes);
            *keys += notes.keys.len() + notes.tags.len();
            if notes.keys.is_empty() && notes.tags.is_empty() && notes.everything.is_none() {
                spaces.remove(base);
            }
        }
        self.count(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TieredOptions;

    fn space(name: &str) -> Arc<Space> {
        Arc::new(Space::new("p", name, TieredOptions::default()))
    }

    #[test]
    fn a_note_covers_its_key_and_no_other() {
        let (pending, one, other) = (Pending::default(), space("one"), space("other"));
        assert!(!pending.covers(&one, b"k"));
        pending.note(&one, Outdated::Key(b"k".to_vec()));
        pending.note(&one, Outdated::Key(b"k".to_vec()));
        assert_eq!(pending.len(), 1);
        assert!(pending.covers(&one, b"k"));
        assert!(!pending.covers(&one, b"l"));
        assert!(!pending.covers(&other, b"k"));
        pending.done(one.keys.base(), |notes| notes.keys.clear());
        assert!(!pending.covers(&one, b"k"));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn what_is_noted_again_while_it_is_made_good_stays_noted() {
        let (pending, one) = (Pending::default(), space("one"));
        pending.note(&one, Outdated::Tag(7));
        pending.note(&one, Outdated::Key(b"k".to_vec()));
        let (_, versions) = pending.versions_of(one.keys.base()).unwrap();
        let number = pending.locked().spaces[one.keys.base()].keys[b"k".as_slice()];
        // Meanwhile another delete of the key, and of the tag, fails.
        pending.note(&one, Outdated::Tag(7));
        pending.note(&one, Outdated::Key(b"k".to_vec()));
        pending.made_good(one.keys.base(), versions[0]);
        pending.removed(one.keys.base(), &[&(b"k".to_vec(), number)]);
        assert_eq!(pending.len(), 2);
        let (_, versions) = pending.versions_of(one.keys.base()).unwrap();
        pending.made_good(one.keys.base(), versions[0]);
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn a_tag_covers_its_namespace_since_nobody_knows_who_bears_it() {
        let (pending, one) = (Pending::default(), space("one"));
        pending.note(&one, Outdated::Tag(7));
        assert!(pending.covers(&one, b"k"));
    }

    #[test]
    fn too_many_keys_become_their_namespace() {
        let (pending, one, other) = (Pending::default(), space("one"), space("other"));
        for index in 0..=MOST_KEYS {
            pending.note(&one, Outdated::Key(index.to_be_bytes().to_vec()));
        }
        assert!(pending.covers(&one, b"any"));
        assert_eq!(pending.len(), 1, "one note instead of ten thousand");
        pending.note(&other, Outdated::Key(b"k".to_vec()));
        assert!(!pending.covers(&other, b"any"));
        pending.note(&one, Outdated::Everything);
        assert_eq!(pending.len(), 2);
    }
}
