//! Loads: a miss runs the loader, once for all who miss together.

mod loaded;

pub use loaded::Loaded;

use std::{
    any::Any,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use super::Cache;
use crate::{
    KeyPart,
    engine::{Keep, KeyRef, StoredKey},
    flight::{Lead, Outcome, Part},
    statistics::{Counters, Event},
};

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Looks a key up, and loads it when it is missing: however many threads miss
    /// a key together, one runs its loader and the others wait for it.
    ///
    /// The value is stored for the usual time, unless the key was set, deleted or
    /// cleared meanwhile: then it is returned and not stored. An error is stored
    /// nowhere; it goes to the one who ran the loader and to those who waited for
    /// it, so that a failing source is asked once and not by each of them in turn.
    /// (Who waited with another error type runs its own loader.) When a loader
    /// panics, the panic goes on in its caller, and one of those who waited takes over.
    ///
    /// Loaders may use the cache, other keys of it too. One that asks for its own
    /// key, or closes a ring of loads that wait for one another, does not wait: its
    /// inner loader runs, and that value is not stored.
    ///
    /// Blocks while another thread loads the key: in a future, use
    /// [`Self::get_or_load_async`].
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub fn get_or_load<K, E>(&self, key: &K, loader: impl FnOnce() -> Result<V, E>) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        self.fetch(key, || loader().map(Loaded::of)).map(of_a_value)
    }

    /// Looks a key up, and computes it when it is missing, as [`Self::get_or_load`]
    /// does with a loader that cannot fail.
    pub fn get_or_compute<K: KeyPart + ?Sized>(&self, key: &K, compute: impl FnOnce() -> V) -> V {
        match self.get_or_load::<K, Infallible>(key, || Ok(compute())) {
            Ok(value) => value,
            Err(impossible) => match *impossible {},
        }
    }

    /// Looks a key up, and loads it when it is missing, as [`Self::get_or_load`]
    /// does, without blocking and without any particular runtime.
    ///
    /// When the future that runs the loader is dropped, one of those that wait
    /// takes over. Synchronous and asynchronous callers share one load.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub async fn get_or_load_async<K, E, F>(&self, key: &K, loader: impl FnOnce() -> F) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>>,
    {
        let loading = self.fetch_async(key, || async { loader().await.map(Loaded::of) });
        loading.await.map(of_a_value)
    }

    /// Looks a key up, and fetches it when it is missing: what a tier below builds on.
    ///
    /// As [`Self::get_or_load`], with a loader that also says how to keep what it
    /// brings, and that may bring nothing.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub fn fetch<K, E>(
        &self,
        key: &K,
        loader: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        if let Some(value) = self.look_up(&key) {
            return Ok(Some(value));
        }
        let stored_key = key.to_stored();
        loop {
            match self.join(&stored_key, &key) {
                Part::Found(value) => return Ok(Some(value)),
                Part::Lead(lead) => {
                    let count = LoadCount::new(&self.namespace().counters);
                    let result = lead.run(loader);
                    return self.land(lead, count, &key, result);
                }
                Part::Follow(flight) => match self.shared.flights.wait(&flight) {
                    None => return self.alone(loader),
                    Some(outcome) => {
                        if let Some(result) = self.shared_outcome(outcome) {
                            return result;
                        }
                    }
                },
                Part::Alone => return self.alone(loader),
            }
        }
    }

    /// Looks a key up, and fetches it when it is missing, as [`Self::fetch`] does,
    /// without blocking and without any particular runtime.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub async fn fetch_async<K, E, F>(&self, key: &K, loader: impl FnOnce() -> F) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        let stored_key = {
            let encoded = self.encode(key);
            let key = self.key_ref(&encoded);
            if let Some(value) = self.look_up(&key) {
                return Ok(Some(value));
            }
            key.to_stored()
        };
        let key = stored_key.as_ref();
        loop {
            match self.join(&stored_key, &key) {
                Part::Found(value) => return Ok(Some(value)),
                Part::Lead(lead) => {
                    let count = LoadCount::new(&self.namespace().counters);
                    let mut loading = pin!(lead.run(loader));
                    let result = poll_fn(|context| lead.run(|| loading.as_mut().poll(context))).await;
                    return self.land(lead, count, &key, result);
                }
                Part::Follow(flight) => match self.shared.flights.wait_async(flight) {
                    None => return self.alone_async(loader).await,
                    Some(follow) => {
                        if let Some(result) = self.shared_outcome(follow.await) {
                            return result;
                        }
                    }
                },
                Part::Alone => return self.alone_async(loader).await,
            }
        }
    }

    fn join(&self, stored_key: &StoredKey, key: &KeyRef<'_>) -> Part<'_, V> {
        let part = self.shared.flights.join(stored_key, || self.peek(key));
        if let Part::Found(_) = part {
            self.namespace().counters.count(Event::Coalesced);
        }
        part
    }

    /// Ends the flight that one led: stores the value, tells the others.
    fn land<E: Send + Sync + 'static>(
        &self,
        lead: Lead<'_>,
        count: LoadCount<'_>,
        key: &KeyRef<'_>,
        result: Result<Loaded<V>, E>,
    ) -> Result<Option<V>, Arc<E>> {
        count.ended(result.is_ok());
        match result {
            Ok(loaded) => {
                let copy = loaded.value.clone();
                let outcome = Outcome::Loaded(Arc::new(loaded.value.clone()));
                let settings = &self.namespace().settings;
                let keep = Keep {
                    ttl: loaded.ttl.unwrap_or_else(|| {
                        settings.jittered_ttl(self.ttl, self.sampling_hash(key))
                    }),
                    stale: loaded.stale.unwrap_or_else(|| settings.stale()),
                    generation: self.namespace().generation(),
                    ..Keep::default()
                };
                lead.publish(outcome, || {
                    let copy = copy.filter(|_| loaded.store);
                    copy.map(|value| self.store(*key, Some(value), keep))
                });
                Ok(loaded.value)
            }
            Err(error) => {
                let error = Arc::new(error);
                lead.publish(Outcome::Failed(Arc::clone(&error) as Arc<dyn Any + Send + Sync>), || ());
                Err(error)
            }
        }
    }

    /// Takes the outcome of someone else's load, or `None` when it is of no use here.
    fn shared_outcome<E: Send + Sync + 'static>(
        &self,
        outcome: Outcome,
    ) -> Option<Result<Option<V>, Arc<E>>> {
        let result = match outcome {
            Outcome::Loaded(value) => Ok(value.downcast_ref::<Option<V>>()?.clone()),
            Outcome::Failed(error) => Err(error.downcast::<E>().ok()?),
            Outcome::Abandoned => return None,
        };
        if result.is_ok() {
            self.namespace().counters.count(Event::Coalesced);
        }
        Some(result)
    }

    fn alone<E>(&self, loader: impl FnOnce() -> Result<Loaded<V>, E>) -> Result<Option<V>, Arc<E>> {
        let count = LoadCount::new(&self.namespace().counters);
        let result = loader();
        count.ended(result.is_ok());
        result.map(|loaded| loaded.value).map_err(Arc::new)
    }

    async fn alone_async<E, F: Future<Output = Result<Loaded<V>, E>>>(
        &self,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>> {
        let count = LoadCount::new(&self.namespace().counters);
        let result = loader().await;
        count.ended(result.is_ok());
        result.map(|loaded| loaded.value).map_err(Arc::new)
    }
}

/// Takes the value out of what a loader brought that always brings one.
fn of_a_value<V>(value: Option<V>) -> V {
    value.unwrap_or_else(|| unreachable!("a plain loader brings a value"))
}

/// Counts a load when it ends, by whatever way.
struct LoadCount<'a> {
    counters: &'a Counters,
    good: bool,
}

impl<'a> LoadCount<'a> {
    fn new(counters: &'a Counters) -> Self {
        Self { counters, good: false }
    }

    fn ended(mut self, good: bool) {
        self.good = good;
    }
}

impl Drop for LoadCount<'_> {
    fn drop(&mut self) {
        self.counters.count(Event::Load);
        if !self.good {
            self.counters.count(Event::LoadError);
        }
    }
}
