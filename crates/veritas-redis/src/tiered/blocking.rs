//! The forms for callers outside of futures. Each does what its namesake does, on
//! the calling thread: it waits for the thread of the connections, which answers
//! everything within its deadline, and for the loader.
//!
//! Within a runtime they block a worker thread: use the futures there. A form that loads
//! never returns when a future that loads the same key can only be polled by the thread
//! that it blocks, as on a runtime of one thread.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use veritas_cache::{HeapSize, KeyPart};

use super::{cache::TieredCache, store::StoreError};
use crate::{TierError, wait::block_on};

impl<V> TieredCache<V>
where
    V: Serialize + DeserializeOwned + HeapSize + Clone + Send + Sync + 'static,
{
    /// [`Self::get`] for callers outside of futures.
    pub fn get_blocking<K: KeyPart + ?Sized>(&self, key: &K) -> Option<V> {
        block_on(self.get(key))
    }

    /// [`Self::get_many`] for callers outside of futures.
    pub fn get_many_blocking<K: KeyPart>(&self, keys: &[K]) -> Vec<Result<Option<V>, TierError>> {
        block_on(self.get_many(keys))
    }

    /// [`Self::get_or_load`] for callers outside of futures, with a loader that blocks.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub fn get_or_load_blocking<K, E>(
        &self,
        key: &K,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        block_on(self.get_or_load(key, || async { loader() }))
    }

    /// [`Self::get_or_load_tagged`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub fn get_or_load_tagged_blocking<K, E>(
        &self,
        key: &K,
        tags: &[&str],
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        block_on(self.get_or_load_tagged(key, tags, || async { loader() }))
    }

    /// [`Self::get_or_load_optional`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub fn get_or_load_optional_blocking<K, E>(
        &self,
        key: &K,
        loader: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
    {
        block_on(self.get_or_load_optional(key, || async { loader() }))
    }

    /// [`Self::get_or_load_many`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, for each key that it was to load.
    pub fn get_or_load_many_blocking<K, E>(
        &self,
        keys: &[K],
        mut loader: impl FnMut(Vec<K>) -> Result<Vec<Option<V>>, E>,
    ) -> Vec<Result<Option<V>, Arc<E>>>
    where
        K: KeyPart + Clone,
        E: Send + Sync + 'static,
    {
        block_on(self.get_or_load_many(keys, |missing| std::future::ready(loader(missing))))
    }

    /// [`Self::set`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn set_blocking<K: KeyPart + ?Sized>(&self, key: &K, value: V) -> Result<(), StoreError> {
        block_on(self.set(key, value))
    }

    /// [`Self::set_with_ttl`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn set_with_ttl_blocking<K: KeyPart + ?Sized>(
        &self,
        key: &K,
        value: V,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        block_on(self.set_with_ttl(key, value, ttl))
    }

    /// [`Self::set_tagged`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn set_tagged_blocking<K: KeyPart + ?Sized>(
        &self,
        key: &K,
        value: V,
        tags: &[&str],
    ) -> Result<(), StoreError> {
        block_on(self.set_tagged(key, value, tags))
    }

    /// [`Self::set_many`] for callers outside of futures.
    pub fn set_many_blocking<K: KeyPart>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Vec<Result<(), StoreError>> {
        block_on(self.set_many(entries))
    }

    /// [`Self::delete`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub fn delete_blocking<K: KeyPart + ?Sized>(&self, key: &K) -> Result<bool, TierError> {
        block_on(self.delete(key))
    }

    /// [`Self::delete_many`] for callers outside of futures.
    pub fn delete_many_blocking<K: KeyPart>(&self, keys: &[K]) -> Vec<Result<bool, TierError>> {
        block_on(self.delete_many(keys))
    }

    /// [`Self::invalidate_tag`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub fn invalidate_tag_blocking(&self, tag: &str) -> Result<(), TierError> {
        block_on(self.invalidate_tag(tag))
    }

    /// [`Self::clear`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub fn clear_blocking(&self) -> Result<(), TierError> {
        block_on(self.clear())
    }
}
