//! Loads: a miss runs the loader, once for all who miss together.

mod loaded;
mod many;
mod renewal;
mod steps;

use std::{convert::Infallible, future::Future, sync::Arc};

pub use self::loaded::Loaded;
use self::steps::Asked;
pub(super) use self::steps::Wants;
use super::Cache;
use crate::{KeyPart, engine::KeyRef, flights::Part};

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Looks a key up, and loads it when it is missing: however many threads miss
    /// a key together, one runs its loader and the others wait for it.
    ///
    /// The value is stored for the usual time, unless the key was set, deleted or
    /// invalidated meanwhile: then it is returned and not stored. An error is stored
    /// nowhere; it goes to the one who ran the loader and to those who waited for
    /// it, so that a failing source is asked once and not by each of them in turn.
    /// (Who waited with another error type runs its own loader.) When a loader
    /// panics, the panic goes on in its caller, and one of those who waited takes over.
    ///
    /// A value that is past its time, or near to it (see
    /// [`NamespaceOptions`](crate::NamespaceOptions), `stale` and `early_refresh`), is
    /// renewed by one of those who find it, here and now; the others take it as it is.
    /// Should that load fail, the one who ran it gets the old value too, and nobody
    /// tries again for ten times as long as it took (100 ms at least, 10 s at most).
    ///
    /// Loaders may use the cache, other keys of it too. One that asks for its own
    /// key, or closes a ring of loads that wait for one another, does not wait: its
    /// inner loader runs, and that value is not stored. Only rings of which each link
    /// is known are seen: a loader that waits for a thread or a task that it started
    /// hides one.
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
        let encoded = self.encode(key);
        let loader = || loader().map(Loaded::of);
        self.resolve(self.key_ref(&encoded), Wants::AValue, loader).map(of_a_value)
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
    /// takes over. (One that is neither polled nor dropped holds them up.)
    /// Synchronous and asynchronous callers share one load.
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
        let encoded = self.encode(key);
        let loader = || async { loader().await.map(Loaded::of) };
        self.resolve_async(self.key_ref(&encoded), Wants::AValue, loader).await.map(of_a_value)
    }

    /// Looks a key up, and loads it when it is missing, as [`Self::get_or_load`]
    /// does, from a source that may have nothing under the key.
    ///
    /// That there is nothing is remembered for the namespace's `negative_ttl`, and
    /// not at all when it has none. Meanwhile [`Self::get`] misses, and a loader
    /// that always brings a value is run.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub fn get_or_load_optional<K, E>(
        &self,
        key: &K,
        loader: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        self.fetch(key, || loader().map(Loaded::from))
    }

    /// Looks a key up, and loads it when it is missing, as
    /// [`Self::get_or_load_optional`] does, without blocking.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub async fn get_or_load_optional_async<K, E, F>(
        &self,
        key: &K,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Option<V>, E>>,
    {
        self.fetch_async(key, || async { loader().await.map(Loaded::from) }).await
    }

    /// Looks a key up, and fetches it when it is missing: what a tier below builds on.
    ///
    /// As [`Self::get_or_load_optional`], with a loader that also says how to keep
    /// what it brings.
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
        self.resolve(self.key_ref(&encoded), Wants::AnAnswer, loader)
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
        let encoded = self.encode(key);
        self.resolve_async(self.key_ref(&encoded), Wants::AnAnswer, loader).await
    }

    /// Fetches as [`Self::fetch`] does, for a caller that may take no `None` for an answer.
    pub(crate) fn fetch_needing<K, E>(
        &self,
        key: &K,
        needs_value: bool,
        loader: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        let encoded = self.encode(key);
        self.resolve(self.key_ref(&encoded), Wants::of(needs_value), loader)
    }

    /// Fetches as [`Self::fetch_needing`] does, without blocking.
    pub(crate) async fn fetch_needing_async<K, E, F>(
        &self,
        key: &K,
        needs_value: bool,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        let encoded = self.encode(key);
        self.resolve_async(self.key_ref(&encoded), Wants::of(needs_value), loader).await
    }

    /// Answers a look-up, and renews what it finds when that is due.
    fn resolve<E: Send + Sync + 'static>(
        &self,
        key: KeyRef<'_>,
        wants: Wants,
        loader: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<Option<V>, Arc<E>> {
        match self.ask(&key, wants) {
            Asked::Bypassed => self.alone(&key, loader),
            Asked::Missed => self.load(key, wants, loader),
            Asked::Found(found) if !found.is_due => Ok(found.value),
            Asked::Found(found) => Ok(match self.renew(&key, &found) {
                None => found.value,
                Some(lead) => self.lead(lead, true, loader).unwrap_or(found.value),
            }),
        }
    }

    async fn resolve_async<E, F>(
        &self,
        key: KeyRef<'_>,
        wants: Wants,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        match self.ask(&key, wants) {
            Asked::Bypassed => self.alone_async(&key, loader).await,
            Asked::Missed => self.load_async(key, wants, loader).await,
            Asked::Found(found) if !found.is_due => Ok(found.value),
            Asked::Found(found) => Ok(match self.renew(&key, &found) {
                None => found.value,
                Some(lead) => self.lead_async(lead, true, loader).await.unwrap_or(found.value),
            }),
        }
    }

    /// Answers a look-up that missed.
    fn load<E: Send + Sync + 'static>(
        &self,
        key: KeyRef<'_>,
        wants: Wants,
        loader: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<Option<V>, Arc<E>> {
        loop {
            let asked = self.began();
            match self.join(&key, asked) {
                Part::Lead(lead) => match self.found_after_all(&key, wants, lead) {
                    Ok(value) => return Ok(value),
                    Err(lead) => return self.lead(lead, false, loader),
                },
                Part::Follow(flight) => {
                    let Some(outcome) = flight.wait() else { return self.alone(&key, loader) };
                    if let Some(result) = self.outcome_for(asked, wants, flight.began(), outcome) {
                        return result;
                    }
                }
                Part::Alone => return self.alone(&key, loader),
            }
        }
    }

    async fn load_async<E, F>(
        &self,
        key: KeyRef<'_>,
        wants: Wants,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        loop {
            let asked = self.began();
            match self.join(&key, asked) {
                Part::Lead(lead) => match self.found_after_all(&key, wants, lead) {
                    Ok(value) => return Ok(value),
                    Err(lead) => return self.lead_async(lead, false, loader).await,
                },
                Part::Follow(flight) => {
                    let began = flight.began();
                    let Some(follow) = flight.follow() else { return self.alone_async(&key, loader).await };
                    if let Some(result) = self.outcome_for(asked, wants, began, follow.await) {
                        return result;
                    }
                }
                Part::Alone => return self.alone_async(&key, loader).await,
            }
        }
    }
}

/// Takes the value out of what a loader brought that always brings one.
fn of_a_value<V>(value: Option<V>) -> V {
    value.unwrap_or_else(|| unreachable!("who wants a value is given no other answer"))
}
