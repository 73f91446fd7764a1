//! The steps that loads are made of: ask, join, lead, land, take what others loaded.

use std::{
    any::Any,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Cache, Loaded};
use crate::{
    engine::{Entry, Keep, KeyRef, Life, Now},
    flights::{Began, Landed, Lead, Outcome, Part},
    refresh,
    statistics::Event,
    tags::{EntryTags, Stamp},
};

/// What a caller takes for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Wants {
    /// A value: that there is nothing is a miss.
    AValue,
    /// A value, or that there is nothing.
    AnAnswer,
}

impl Wants {
    pub(super) const fn of(needs_value: bool) -> Self {
        if needs_value { Self::AValue } else { Self::AnAnswer }
    }

    const fn takes<T>(self, value: Option<&T>) -> bool {
        value.is_some() || matches!(self, Self::AnAnswer)
    }
}

/// What a look-up came to.
pub(super) enum Asked<V> {
    Found(Found<V>),
    Missed,
    /// The namespace neither stores nor serves.
    Bypassed,
}

/// What was found under a key.
pub(super) struct Found<V> {
    pub(super) value: Option<V>,
    /// Whether its finder is to renew it, if nobody else does.
    pub(super) is_due: bool,
    /// Until when it is fresh.
    pub(super) fresh_until: Now,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Looks a key up, and counts the look-up.
    #[inline]
    pub(super) fn ask(&self, key: &KeyRef<'_>, wants: Wants) -> Asked<V> {
        let settings = &self.namespace().settings;
        let now = self.shared.clock.now();
        if settings.is_bypassed() {
            self.missed(key, now);
            return Asked::Bypassed;
        }
        let mut life = Life::Expired;
        let found = self.store.read(key, |entry| {
            life = self.store.life(entry, now);
            if life.is_dead() || !wants.takes(entry.value.as_ref()) {
                return None;
            }
            let fresh_until = Now(entry.fresh_until());
            let left = fresh_until.0.saturating_sub(now.0);
            let is_due =
                life == Life::Stale || refresh::is_due(left, entry.cost_ns(), settings.early_refresh());
            Some(Found { value: entry.value.clone(), is_due, fresh_until })
        });
        match found {
            Some(Some(found)) => {
                self.hit(key, now);
                if found.value.is_none() {
                    self.namespace().counters.count(Event::NegativeHit);
                }
                if life == Life::Stale {
                    self.namespace().counters.count(Event::StaleServe);
                }
                Asked::Found(found)
            }
            absent_or_dead => {
                self.missed(key, now);
                if absent_or_dead.is_some() && life.is_dead() {
                    self.store.bury(key, now);
                }
                Asked::Missed
            }
        }
    }

    /// Returns what had happened to the namespace when what begins now began.
    pub(in crate::cache) fn began(&self) -> Began {
        let namespace = self.namespace();
        Began { generation: namespace.generation().into(), tags: namespace.tags.now() }
    }

    pub(in crate::cache) fn join(&self, key: &KeyRef<'_>, asked: Began) -> Part<Landed<V>> {
        self.store.flights.join(key.in_flight(), asked)
    }

    /// Looks once more for a key that its caller leads since it missed it: another
    /// load may have stored it in between.
    ///
    /// Those who wait for this flight are not told of what is found, but look
    /// themselves. They may have come after it was deleted: who deletes while
    /// nothing is loading takes no lock, and so may not have seen this flight.
    pub(super) fn found_after_all(
        &self,
        key: &KeyRef<'_>,
        wants: Wants,
        lead: Lead<Landed<V>>,
    ) -> Result<Option<V>, Lead<Landed<V>>> {
        let Some(found) = self.look_again(key, wants) else { return Err(lead) };
        self.namespace().counters.count(Event::Coalesced);
        drop(lead);
        Ok(found.value)
    }

    /// Looks a key up and counts nothing: what is there and fresh.
    pub(in crate::cache) fn look_again(&self, key: &KeyRef<'_>, wants: Wants) -> Option<Landed<V>> {
        let now = self.shared.clock.exact();
        let found = self.store.peek(key, |entry| {
            let serves = self.store.life(entry, now) == Life::Fresh && wants.takes(entry.value.as_ref());
            serves.then(|| Landed { value: entry.value.clone(), tags: entry.tags.clone() })
        });
        found.flatten()
    }

    /// Takes the lead in renewing what was found to be due, unless someone else does
    /// or did.
    pub(super) fn renew(&self, key: &KeyRef<'_>, found: &Found<V>) -> Option<Lead<Landed<V>>> {
        if self.shared.background.holds_off(key.hash, self.shared.clock.now()) {
            return None;
        }
        let lead = self.store.flights.refresh(key.in_flight(), self.began())?;
        (!self.is_renewed(key, found.fresh_until)).then_some(lead)
    }

    /// Returns whether a key is fresh for longer than until `before`.
    pub(super) fn is_renewed(&self, key: &KeyRef<'_>, before: Now) -> bool {
        let until = self.store.peek(key, Entry::fresh_until);
        until.is_some_and(|until| until > before.0)
    }

    /// Runs the loader of a flight and ends the flight.
    pub(super) fn lead<E: Send + Sync + 'static>(
        &self,
        lead: Lead<Landed<V>>,
        renews: bool,
        loader: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<Option<V>, Arc<E>> {
        let run = Run::start(self, 1);
        let result = lead.run(loader);
        let took = run.ended(&[result.as_ref()]);
        self.land(lead, renews, took, result.map_err(Arc::new))
    }

    /// Runs the loader of a flight and ends the flight, without blocking.
    pub(super) async fn lead_async<E, F>(
        &self,
        lead: Lead<Landed<V>>,
        renews: bool,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        let run = Run::start(self, 1);
        let mut loading = pin!(lead.run(loader));
        let result = poll_fn(|context| lead.run(|| loading.as_mut().poll(context))).await;
        let took = run.ended(&[result.as_ref()]);
        self.land(lead, renews, took, result.map_err(Arc::new))
    }

    /// Ends the flight that one led: stores the value, tells the others.
    pub(super) fn land<E: Send + Sync + 'static>(
        &self,
        lead: Lead<Landed<V>>,
        renews: bool,
        took: Duration,
        result: Result<Loaded<V>, Arc<E>>,
    ) -> Result<Option<V>, Arc<E>> {
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                if renews {
                    let now = self.shared.clock.exact();
                    self.shared.background.hold_off(lead.key().hash, now, took);
                }
                lead.publish(|| Outcome::Failed(Arc::clone(&error) as Arc<dyn Any + Send + Sync>), || ());
                return Err(error);
            }
        };
        if renews && !loaded.from_tier {
            self.namespace().counters.count(Event::Refresh);
        }
        Ok(self.publish(lead, renews, took, loaded).0)
    }

    /// Ends a flight with what was loaded; returns its value, and whether it was stored.
    ///
    /// What is stored, what it weighs and what it replaces is made and dropped
    /// outside of the flights' lock: none of it is code of ours.
    pub(in crate::cache) fn publish(
        &self,
        lead: Lead<Landed<V>>,
        renews: bool,
        took: Duration,
        loaded: Loaded<V>,
    ) -> (Option<V>, bool) {
        let (hash, bytes) = (lead.key().hash, Arc::clone(lead.bytes()));
        let key = KeyRef::new(hash, &bytes);
        let tags = Stamp::new(lead.began().tags, &loaded.tags);
        let keep = self.keep(&key, &loaded, took, tags.clone(), lead.began());
        let landed = Landed { value: loaded.value, tags };
        let prepared = keep.map(|keep| self.prepare(&key, landed.value.clone(), keep));
        let stored = lead.publish(
            || Outcome::Loaded(Arc::new(landed.clone())),
            || match prepared {
                Some(prepared) => Some(self.put(&key, prepared)),
                // What it renews is outdated, and nothing takes its place.
                None if renews => Some(self.put_nothing(&key)),
                None => None,
            },
        );
        (landed.value, stored.flatten().is_some_and(|stored| stored.kept))
    }

    /// Says how to keep what was loaded, or `None` when it is not to be kept.
    fn keep(
        &self,
        key: &KeyRef<'_>,
        loaded: &Loaded<V>,
        took: Duration,
        tags: EntryTags,
        began: Began,
    ) -> Option<Keep> {
        // What was flushed, or lost a tag, since it began would be dead on arrival.
        let is_dead = began.generation != u64::from(self.namespace().generation())
            || !self.namespace().tags.is_alive(&tags);
        if !loaded.store || is_dead {
            return None;
        }
        let settings = &self.namespace().settings;
        let ttl = match (loaded.ttl, &loaded.value) {
            (Some(ttl), _) => ttl,
            (None, Some(_)) => settings.jittered_ttl(self.ttl, self.sampling_hash(key)),
            (None, None) => settings.negative_ttl()?,
        };
        let usual_stale = if loaded.value.is_some() { settings.stale() } else { Duration::ZERO };
        let stale = loaded.stale.unwrap_or(usual_stale);
        #[expect(clippy::cast_possible_truncation, reason = "it was made of 32 bits")]
        let generation = began.generation as u32;
        Some(Keep { ttl, stale, cost: loaded.cost.unwrap_or(took), tags, generation })
    }

    /// Takes the outcome of a load that `began` for who `asked` and waited, or
    /// returns `None` when it is of no use to it.
    pub(super) fn outcome_for<E: Send + Sync + 'static>(
        &self,
        asked: Began,
        wants: Wants,
        began: Began,
        outcome: Outcome<Landed<V>>,
    ) -> Option<Result<Option<V>, Arc<E>>> {
        match outcome {
            Outcome::Loaded(landed) => {
                // One of its tags may have been invalidated before we asked.
                let is_new = asked.tags <= began.tags || self.namespace().tags.is_alive(&landed.tags);
                if !is_new || !wants.takes(landed.value.as_ref()) {
                    return None;
                }
                self.namespace().counters.count(Event::Coalesced);
                Some(Ok(landed.value.clone()))
            }
            Outcome::Failed(error) => error.downcast::<E>().ok().map(Err),
            Outcome::Abandoned => None,
        }
    }

    /// Tells the tap what a cache that only watches would have stored now. Nothing is.
    pub(super) fn would_store(&self, key: &KeyRef<'_>, loaded: &Loaded<V>, took: Duration) {
        if !self.namespace().settings.is_bypassed() || self.namespace().tapped.load(Ordering::Relaxed) == 0 {
            return;
        }
        let began = self.began();
        let tags = Stamp::new(began.tags, &loaded.tags);
        if let Some(keep) = self.keep(key, loaded, took, tags, began) {
            let prepared = self.prepare(key, loaded.value.clone(), keep);
            self.tap_unstored(key, &prepared);
        }
    }

    /// Runs a loader for its caller alone.
    pub(super) fn alone<E>(
        &self,
        key: &KeyRef<'_>,
        loader: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<Option<V>, Arc<E>> {
        let run = Run::start(self, 1);
        let result = loader();
        let took = run.ended(&[result.as_ref()]);
        if let Ok(loaded) = &result {
            self.would_store(key, loaded, took);
        }
        result.map(|loaded| loaded.value).map_err(Arc::new)
    }

    pub(super) async fn alone_async<E, F: Future<Output = Result<Loaded<V>, E>>>(
        &self,
        key: &KeyRef<'_>,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>> {
        let run = Run::start(self, 1);
        let result = loader().await;
        let took = run.ended(&[result.as_ref()]);
        if let Ok(loaded) = &result {
            self.would_store(key, loaded, took);
        }
        result.map(|loaded| loaded.value).map_err(Arc::new)
    }
}

/// A loader that runs, for one key or several. Dropped before its end, it failed for all.
pub(super) struct Run<'a, V: Clone + Send + Sync + 'static> {
    cache: &'a Cache<V>,
    start: Now,
    keys: u32,
    ended: bool,
}

impl<'a, V: Clone + Send + Sync + 'static> Run<'a, V> {
    pub(super) fn start(cache: &'a Cache<V>, keys: usize) -> Self {
        let keys = u32::try_from(keys).unwrap_or(u32::MAX).max(1);
        Self { cache, start: cache.shared.clock.exact(), keys, ended: false }
    }

    /// Counts what the loader brought, and returns how long it took for each key.
    pub(super) fn ended<E>(mut self, results: &[Result<&Loaded<V>, &E>]) -> Duration {
        self.ended = true;
        let took = self.took();
        for result in results {
            if !result.is_ok_and(|loaded| loaded.from_tier) {
                self.cache.namespace().counters.count_load(took, result.is_ok());
            }
        }
        took
    }

    fn took(&self) -> Duration {
        self.cache.shared.clock.exact().since(self.start) / self.keys
    }
}

impl<V: Clone + Send + Sync + 'static> Drop for Run<'_, V> {
    fn drop(&mut self) {
        if !self.ended {
            let took = self.took();
            (0..self.keys).for_each(|_| self.cache.namespace().counters.count_load(took, false));
        }
    }
}
