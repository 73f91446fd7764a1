//! Tags on entries: names under which many of them die at once.

use super::Cache;
use crate::{KeyPart, TagVersion, engine::Keep, tags::Stamp};

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Stores a value for the usual time that dies with any of its tags, as soon as
    /// [`Caches::invalidate_tag`](crate::Caches::invalidate_tag) is told of it; returns
    /// whether it was stored, as [`Self::set`] does.
    ///
    /// It is taken to be as new as this call. Who read it from its source some time
    /// ago, and cannot say that no tag died since, uses [`Self::fetch`], whose values
    /// are as new as the start of their load.
    ///
    /// A tag costs 8 bytes an entry; a look-up compares one number, and looks each tag
    /// up in a table only when some tag of the namespace died since the value began.
    pub fn set_tagged<K: KeyPart + ?Sized>(&self, key: &K, value: V, tags: &[&str]) -> bool {
        let now = self.namespace().tags.now();
        let generation = self.namespace().generation();
        let tags: Vec<TagVersion> = tags.iter().map(|tag| TagVersion::of(tag)).collect();
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        let settings = &self.namespace().settings;
        let ttl = settings.jittered_ttl(self.ttl, self.sampling_hash(&key));
        let tags = Stamp::new(now, &tags);
        let keep = Keep { ttl, stale: settings.stale(), generation, tags, ..Keep::default() };
        self.overrule(&key, Some(value), keep)
    }

    /// Returns the version of a tag for what is read from its source from now on: what
    /// is loaded with it dies with the tag though it be stored much later.
    pub fn tag_version(&self, tag: &str) -> TagVersion {
        self.namespace().tags.version(tag)
    }
}
