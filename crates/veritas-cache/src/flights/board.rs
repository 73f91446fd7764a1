//! The loads under way in one namespace, by key.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use super::{
    super::sync::{AtomicUsize, Mutex, MutexGuard, Ordering},
    single::{Began, Flight, Outcome},
    waits,
};

const SHARDS: usize = 16;

/// A key: its encoded bytes and their hash, whose high bits choose the shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
}

/// What the caller is to do about a key that it missed.
pub(crate) enum Part<T> {
    /// Look again, run the loader, and publish its outcome.
    Lead(Lead<T>),
    /// Wait for the outcome of someone else's load.
    Follow(Arc<Flight<T>>),
    /// Run the loader and keep the value to itself: waiting would never end.
    Alone,
}

/// The loads under way.
pub(crate) struct Flights<T> {
    shards: [Shard<T>; SHARDS],
}

struct Shard<T> {
    flights: Mutex<HashMap<Arc<[u8]>, Place<T>>>,
    /// Their number, so that a set need not lock when nothing is loading. It is
    /// raised before a loader starts: a set that reads 0 came before the load.
    len: AtomicUsize,
}

struct Place<T> {
    flight: Arc<Flight<T>>,
    /// Whether it waits for its turn: then nobody may wait for it.
    scheduled: bool,
}

impl<T> Shard<T> {
    fn locked(&self) -> MutexGuard<'_, HashMap<Arc<[u8]>, Place<T>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Self {
        let shard = |_| Shard { flights: Mutex::new(HashMap::new()), len: AtomicUsize::new(0) };
        Self { shards: std::array::from_fn(shard) }
    }

    fn shard(&self, key: Key<'_>) -> &Shard<T> {
        &self.shards[Self::shard_index(key)]
    }

    fn shard_index(key: Key<'_>) -> usize {
        // The engine shards by bits of its own; four of the middle are ours.
        (key.hash >> 28) as usize % SHARDS
    }

    /// Joins the flight of a key or starts one.
    ///
    /// Who leads looks the key up once more before it loads: it may have been
    /// stored since it was missed, and from now on it cannot be by another load.
    /// So a burst of misses is one load.
    pub(crate) fn join(self: &Arc<Self>, key: Key<'_>, began: Began) -> Part<T> {
        let mut flights = self.shard(key).locked();
        if let Some(place) = flights.get(key.bytes) {
            // Of an earlier generation, or not begun: nothing to wait for.
            let outdated = place.flight.began().generation < began.generation;
            if !place.scheduled && !outdated {
                return if waits::is_running(place.flight.id) {
                    Part::Alone
                } else {
                    Part::Follow(Arc::clone(&place.flight))
                };
            }
        }
        let (lead, replaced) = self.put(&mut flights, key, began, false);
        drop(flights);
        drop(replaced);
        Part::Lead(lead)
    }

    /// Starts a refresh of a key, unless a load of it is under way or scheduled.
    pub(crate) fn refresh(self: &Arc<Self>, key: Key<'_>, began: Began) -> Option<Lead<T>> {
        self.put_refresh(key, began, false)
    }

    /// Schedules a refresh of a key, unless a load of it is under way or scheduled.
    pub(crate) fn schedule(self: &Arc<Self>, key: Key<'_>, began: Began) -> Option<Ticket<T>> {
        self.put_refresh(key, began, true).map(Ticket)
    }

    fn put_refresh(self: &Arc<Self>, key: Key<'_>, began: Began, scheduled: bool) -> Option<Lead<T>> {
        let mut flights = self.shard(key).locked();
        let is_current = |place: &Place<T>| place.flight.began().generation >= began.generation;
        if flights.get(key.bytes).is_some_and(is_current) {
            return None;
        }
        let (lead, replaced) = self.put(&mut flights, key, began, scheduled);
        drop(flights);
        drop(replaced);
        Some(lead)
    }

    fn put(
        self: &Arc<Self>,
        flights: &mut HashMap<Arc<[u8]>, Place<T>>,
        key: Key<'_>,
        began: Began,
        scheduled: bool,
    ) -> (Lead<T>, Option<Place<T>>) {
        let flight = Arc::new(Flight::new(began));
        let bytes: Arc<[u8]> = key.bytes.into();
        let place = Place { flight: Arc::clone(&flight), scheduled };
        let replaced = flights.insert(Arc::clone(&bytes), place);
        if replaced.is_none() {
            self.shard(key).len.fetch_add(1, Ordering::SeqCst);
        }
        let lead = Lead { board: Arc::clone(self), hash: key.hash, bytes, flight, finished: false };
        (lead, replaced)
    }

    /// Detaches the flight of a key, if there is one, and then changes what is
    /// stored: no load that began before can be stored after. The change may run
    /// under a lock of ours, so it returns what it removes instead of dropping it.
    pub(crate) fn overrule<R>(&self, key: Key<'_>, change: impl FnOnce() -> R) -> R {
        let shard = self.shard(key);
        if shard.len.load(Ordering::SeqCst) == 0 {
            return change();
        }
        let mut flights = shard.locked();
        let detached = flights.remove_entry(key.bytes);
        let changed = change();
        if detached.is_some() {
            shard.len.fetch_sub(1, Ordering::SeqCst);
        }
        drop(flights);
        drop(detached);
        changed
    }

    /// Takes the lead for a key away from whoever has it, and changes what is stored,
    /// as [`Self::overrule`] does: who misses it from now on waits for this lead.
    pub(crate) fn overtake<R>(
        self: &Arc<Self>,
        key: Key<'_>,
        began: Began,
        change: impl FnOnce() -> R,
    ) -> (Lead<T>, R) {
        let mut flights = self.shard(key).locked();
        let (lead, replaced) = self.put(&mut flights, key, began, false);
        let changed = change();
        drop(flights);
        drop(replaced);
        (lead, changed)
    }

    /// Detaches every flight.
    pub(crate) fn overrule_all(&self) {
        for shard in &self.shards {
            let mut flights = shard.locked();
            let detached = std::mem::take(&mut *flights);
            shard.len.fetch_sub(detached.len(), Ordering::SeqCst);
            drop(flights);
            drop(detached);
        }
    }

    /// Returns how many loads are under way or scheduled.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.locked().len()).sum()
    }
}

/// The right, and the duty, to load a key. Dropped without being published, the
/// flight is abandoned and a follower takes over.
pub(crate) struct Lead<T> {
    board: Arc<Flights<T>>,
    hash: u64,
    bytes: Arc<[u8]>,
    flight: Arc<Flight<T>>,
    finished: bool,
}

impl<T> Lead<T> {
    pub(crate) fn key(&self) -> Key<'_> {
        Key { hash: self.hash, bytes: &self.bytes }
    }

    /// Returns the bytes of its key, to be kept beyond its end.
    pub(crate) fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Returns what had happened when the load began.
    pub(crate) fn began(&self) -> Began {
        self.flight.began()
    }

    /// Returns the number that the flight goes by in [`running`](super::running).
    pub(crate) fn id(&self) -> u64 {
        self.flight.id
    }

    /// Runs a step of the loader; what it asks of the cache meanwhile is known to
    /// come from this flight.
    pub(crate) fn run<R>(&self, step: impl FnOnce() -> R) -> R {
        waits::running([self.flight.id], step)
    }

    /// Ends the flight. Unless it was overruled, `store` is run first, while
    /// nothing can overrule it, and what it returns is handed out: it runs under a
    /// lock of ours. The outcome is made when someone waits for it.
    pub(crate) fn publish<R>(
        mut self,
        outcome: impl FnOnce() -> Outcome<T>,
        store: impl FnOnce() -> R,
    ) -> Option<R> {
        let stored = self.detach(store);
        // Nobody can join any more. (Should the map's own reference still be on
        // its way out, an outcome is made for nobody.)
        if Arc::strong_count(&self.flight) > 1 {
            self.flight.finish(outcome());
        }
        self.finished = true;
        stored
    }

    /// Takes the flight off the board, unless it was taken off before.
    fn detach<R>(&self, then: impl FnOnce() -> R) -> Option<R> {
        let shard = self.board.shard(self.key());
        let mut flights = shard.locked();
        if flights.get(&self.bytes).is_none_or(|place| place.flight.id != self.flight.id) {
            return None;
        }
        let detached = flights.remove_entry(&self.bytes);
        let stored = then();
        // Not before: who reads 0 does not wait for the lock, and may have deleted
        // just before we store.
        shard.len.fetch_sub(1, Ordering::SeqCst);
        drop(flights);
        drop(detached);
        Some(stored)
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        if !self.finished {
            self.detach(|| ());
            self.flight.finish(Outcome::Abandoned);
        }
    }
}

/// A refresh that waits for its turn. Dropped, it never was.
pub(crate) struct Ticket<T>(Lead<T>);

impl<T> Ticket<T> {
    /// Begins the load, unless the key was overruled or taken over meanwhile.
    pub(crate) fn start(self, began: Began) -> Option<Lead<T>> {
        let ticket = &self.0;
        let mut flights = ticket.board.shard(ticket.key()).locked();
        if flights.get(&ticket.bytes).is_none_or(|place| place.flight.id != ticket.flight.id) {
            return None;
        }
        let (lead, replaced) = ticket.board.put(&mut flights, ticket.key(), began, false);
        drop(flights);
        drop(replaced);
        Some(lead)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::sync::checked, *};

    const KEY: Key<'static> = Key { hash: 7, bytes: b"key" };
    const FIRST: Began = Began { generation: 0, tags: 0 };
    const LATER: Began = Began { generation: 1, tags: 0 };

    fn board() -> Arc<Flights<u8>> {
        Arc::new(Flights::new())
    }

    fn lead(board: &Arc<Flights<u8>>, began: Began) -> Lead<u8> {
        match board.join(KEY, began) {
            Part::Lead(lead) => lead,
            Part::Follow(_) | Part::Alone => panic!("someone else leads"),
        }
    }

    fn publish(lead: Lead<u8>, value: u8) -> bool {
        lead.publish(|| Outcome::Loaded(Arc::new(value)), || ()).is_some()
    }

    #[test]
    fn nothing_is_left_of_flights_that_ended() {
        checked(|| {
            let board = board();
            assert!(publish(lead(&board, FIRST), 1));
            drop(lead(&board, FIRST));
            drop(board.schedule(KEY, FIRST));
            let overruled = lead(&board, FIRST);
            board.overrule(KEY, || ());
            assert!(!publish(overruled, 2));
            assert_eq!(board.len(), 0);
            assert!(board.shards.iter().all(|shard| shard.len.load(Ordering::SeqCst) == 0));
        });
    }

    #[test]
    fn nobody_follows_a_load_of_an_earlier_generation() {
        checked(|| {
            let board = board();
            let early = lead(&board, FIRST);
            assert!(matches!(board.join(KEY, FIRST), Part::Follow(_)));
            let late = lead(&board, LATER);
            assert!(matches!(board.join(KEY, FIRST), Part::Follow(flight) if flight.began() == LATER));
            assert!(!publish(early, 1), "it may not be stored");
            assert!(publish(late, 2));
        });
    }

    #[test]
    fn who_misses_a_scheduled_key_takes_the_load_over() {
        checked(|| {
            let board = board();
            let ticket = board.schedule(KEY, FIRST).unwrap();
            assert!(board.schedule(KEY, FIRST).is_none() && board.refresh(KEY, FIRST).is_none());
            let taken = lead(&board, FIRST);
            assert!(ticket.start(FIRST).is_none());
            assert!(publish(taken, 1));
        });
    }

    #[test]
    fn a_scheduled_load_that_starts_is_followed() {
        checked(|| {
            let board = board();
            let lead = board.schedule(KEY, FIRST).unwrap().start(LATER).unwrap();
            let Part::Follow(flight) = board.join(KEY, LATER) else { panic!("nobody leads") };
            assert!(publish(lead, 9));
            assert!(matches!(flight.wait(), Some(Outcome::Loaded(value)) if *value == 9));
        });
    }

    #[test]
    fn an_overruled_ticket_never_starts() {
        checked(|| {
            let board = board();
            let ticket = board.schedule(KEY, FIRST).unwrap();
            board.overrule(KEY, || ());
            assert!(ticket.start(FIRST).is_none());
        });
    }
}
