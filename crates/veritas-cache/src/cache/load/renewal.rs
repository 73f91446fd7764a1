//! Renewal in the background: who finds a value that is due takes it as it is.

use std::{future::Future, sync::Arc};

use super::{
    Cache, Loaded, of_a_value,
    steps::{Asked, Found, Wants},
};
use crate::{
    KeyPart,
    engine::{KeyRef, Now},
    flights::{Landed, Lead, Ticket},
    statistics::Event,
};

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Looks a key up, and loads it when it is missing, as [`Self::get_or_load`]
    /// does; but a value that is past its time or near to it is renewed in the
    /// background, by one of at most two threads for all caches together. Whoever
    /// finds a value that may still be served never waits.
    ///
    /// A key is renewed once at a time. At most 1024 renewals wait for their turn;
    /// one more is not made, which is counted (`errors`), and the next reader tries
    /// again. After one that failed, a key is left alone for ten times as long as
    /// it took, at least 100 ms and at most 10 s.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, when there was nothing to serve.
    pub fn get_or_refresh<K, E>(
        &self,
        key: &K,
        loader: impl FnOnce() -> Result<V, E> + Send + 'static,
    ) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        let loader = || loader().map(Loaded::of);
        self.refreshed(key, Wants::AValue, loader).map(of_a_value)
    }

    /// Looks a key up, and fetches it when it is missing, as [`Self::fetch`] does,
    /// renewing it in the background as [`Self::get_or_refresh`] does.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, when there was nothing to serve.
    pub fn fetch_or_refresh<K, E>(
        &self,
        key: &K,
        loader: impl FnOnce() -> Result<Loaded<V>, E> + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        self.refreshed(key, Wants::AnAnswer, loader)
    }

    /// Fetches as [`Self::fetch_or_refresh`] does, for a caller that may take no `None` for an answer.
    pub(crate) fn fetch_needing_or_refresh<K, E>(
        &self,
        key: &K,
        needs_value: bool,
        loader: impl FnOnce() -> Result<Loaded<V>, E> + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        self.refreshed(key, Wants::of(needs_value), loader)
    }

    /// Fetches as [`Self::fetch_needing_or_refresh`] does, without blocking.
    pub(crate) async fn fetch_needing_or_refresh_async<K, E, F>(
        &self,
        key: &K,
        needs_value: bool,
        loader: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        self.refreshed_async(key, Wants::of(needs_value), loader).await
    }

    fn refreshed<K, E>(
        &self,
        key: &K,
        wants: Wants,
        loader: impl FnOnce() -> Result<Loaded<V>, E> + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        match self.ask(&key, wants) {
            Asked::Bypassed => self.alone(&key, loader),
            Asked::Missed => self.load(key, wants, loader),
            Asked::Found(found) => {
                if found.is_due
                    && let Some(ticket) = self.schedule(&key)
                {
                    let (cache, before) = (self.clone(), found.fresh_until);
                    let job = move || {
                        if let Some(lead) = cache.start(ticket, before) {
                            // Nobody is there to take it; it is stored, and counted.
                            let _result = cache.lead(lead, true, loader);
                        }
                    };
                    if self.shared.background.submit(Box::new(job)).is_err() {
                        self.namespace().counters.count(Event::Error);
                    }
                }
                Ok(found.value)
            }
        }
    }

    /// Looks a key up, and loads it when it is missing, as
    /// [`Self::get_or_load_async`] does, renewing it in the background as
    /// [`Self::get_or_refresh`] does: on the runtime that
    /// [`Caches::set_spawn`](crate::Caches::set_spawn) was given, at most 1024 at a
    /// time. Without one, the reader that is to renew the value does so itself, and waits.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, when there was nothing to serve.
    pub async fn get_or_refresh_async<K, E, F>(
        &self,
        key: &K,
        loader: impl FnOnce() -> F + Send + 'static,
    ) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let loader = || async { loader().await.map(Loaded::of) };
        self.refreshed_async(key, Wants::AValue, loader).await.map(of_a_value)
    }

    /// Looks a key up, and fetches it when it is missing, as [`Self::fetch_async`]
    /// does, renewing it in the background as [`Self::get_or_refresh_async`] does.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, when there was nothing to serve.
    pub async fn fetch_or_refresh_async<K, E, F>(
        &self,
        key: &K,
        loader: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        self.refreshed_async(key, Wants::AnAnswer, loader).await
    }

    async fn refreshed_async<K, E, F>(
        &self,
        key: &K,
        wants: Wants,
        loader: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        let found = match self.ask(&key, wants) {
            Asked::Bypassed => return self.alone_async(&key, loader).await,
            Asked::Missed => return self.load_async(key, wants, loader).await,
            Asked::Found(found) if !found.is_due => return Ok(found.value),
            Asked::Found(found) => found,
        };
        if !self.shared.background.spawns() {
            return Ok(match self.renew(&key, &found) {
                None => found.value,
                Some(lead) => self.lead_async(lead, true, loader).await.unwrap_or(found.value),
            });
        }
        self.spawn_renewal(&key, &found, loader);
        Ok(found.value)
    }

    fn spawn_renewal<E, F>(
        &self,
        key: &KeyRef<'_>,
        found: &Found<V>,
        loader: impl FnOnce() -> F + Send + 'static,
    ) where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        let Some(ticket) = self.schedule(key) else { return };
        let (cache, before) = (self.clone(), found.fresh_until);
        let renewal = async move {
            if let Some(lead) = cache.start(ticket, before) {
                let _result = cache.lead_async(lead, true, loader).await;
            }
        };
        if !self.shared.background.spawn(renewal) {
            self.namespace().counters.count(Event::Error);
        }
    }

    fn schedule(&self, key: &KeyRef<'_>) -> Option<Ticket<Landed<V>>> {
        if self.shared.background.holds_off(key.hash, self.shared.clock.now()) {
            return None;
        }
        self.store.flights.schedule(key.in_flight(), self.began())
    }

    /// Begins a renewal whose turn has come, unless it was made meanwhile.
    fn start(&self, ticket: Ticket<Landed<V>>, before: Now) -> Option<Lead<Landed<V>>> {
        let lead = ticket.start(self.began())?;
        let key = lead.key();
        let renewed = self.is_renewed(&KeyRef::new(key.hash, key.bytes), before);
        (!renewed).then_some(lead)
    }
}
