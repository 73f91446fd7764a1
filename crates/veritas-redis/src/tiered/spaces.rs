//! The spaces that are open in a process, and which of them are one namespace.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use super::{TieredOptions, counters::Counters, space::Space, versions::KnownVersions};
use crate::key;

/// How many namespaces are told of what peers change, counted once for each set of options
/// that they are opened with.
const MOST_SPACES: usize = 4_096;

/// The spaces that are open.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    open: RwLock<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// By what their keys begin with.
    by_base: HashMap<Vec<u8>, Namespace>,
    count: usize,
    /// What namespaces beyond the limit count together; there once there is one.
    beyond: Option<Arc<Counters>>,
}

/// A namespace: it may be open with several sets of options, in several schemas.
#[derive(Debug)]
struct Namespace {
    /// What is known of it is known to all, so that what one handle outdates none believes.
    versions: Arc<KnownVersions>,
    spaces: Vec<Arc<Space>>,
}

impl Spaces {
    /// Opens a namespace, or returns what is open with these options.
    pub(crate) fn open(&self, prefix: &str, name: &str, options: TieredOptions) -> Arc<Space> {
        let mut space = Space::new(prefix, name, options);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let namespace = open.by_base.get(space.keys.base());
        if let Some(namespace) = namespace {
            if let Some(same) = namespace.spaces.iter().find(|one| one.options == space.options) {
                return Arc::clone(same);
            }
            space.versions = Arc::clone(&namespace.versions);
        }
        if open.count >= MOST_SPACES {
            if namespace.is_none() {
                space.versions = Arc::new(KnownVersions::untold());
            }
            return Arc::new(space.folded(open.beyond.get_or_insert_default()));
        }
        let space = Arc::new(space);
        let namespace = open.by_base.entry(space.keys.base().to_vec());
        let namespace = namespace
            .or_insert_with(|| Namespace { versions: Arc::clone(&space.versions), spaces: Vec::new() });
        namespace.spaces.push(Arc::clone(&space));
        open.count += 1;
        space
    }

    /// Returns what the namespaces beyond the limit have counted, if there are any.
    pub(crate) fn counted_beyond(&self) -> Option<Arc<Counters>> {
        self.read().beyond.clone()
    }

    /// Returns all spaces, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Space>> {
        let mut all: Vec<Arc<Space>> =
            self.read().by_base.values().flat_map(|namespace| &namespace.spaces).cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Returns the spaces that a key of Redis may belong to.
    pub(crate) fn of(&self, prefix: &str, key: &[u8]) -> Vec<Arc<Space>> {
        let Some(base) = key::base_of(prefix, key) else { return Vec::new() };
        self.read().by_base.get(base).map_or_else(Vec::new, |namespace| namespace.spaces.clone())
    }

    /// Returns those of the same namespace whose values stand elsewhere in Redis: one for
    /// each place. As a rule there are none, and that costs two look-ups.
    pub(crate) fn elsewhere(&self, space: &Space) -> Vec<Arc<Space>> {
        let open = self.read();
        let bases = [space.keys.base(), &space.other_base];
        let spaces = bases.into_iter().filter_map(|base| open.by_base.get(base));
        let mut places: Vec<Arc<Space>> = Vec::new();
        for one in spaces.flat_map(|namespace| &namespace.spaces) {
            if one.keys != space.keys && places.iter().all(|place| place.keys != one.keys) {
                places.push(Arc::clone(one));
            }
        }
        places
    }

    fn read(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use veritas_cache::NamespaceOptions;

    use super::*;

    fn options(schema: u32, hash_tag: bool, ttl: u64) -> TieredOptions {
        let ttl = Some(Duration::from_secs(ttl));
        let namespace = NamespaceOptions { schema, ttl, ..NamespaceOptions::default() };
        TieredOptions { namespace, hash_tag, ..TieredOptions::default() }
    }

    #[test]
    fn what_is_open_twice_with_the_same_options_is_the_same() {
        let spaces = Spaces::default();
        let one = spaces.open("p", "t", options(0, false, 1));
        assert!(Arc::ptr_eq(&one, &spaces.open("p", "t", options(0, false, 1))));
        let other = spaces.open("p", "t", options(0, false, 2));
        assert!(!Arc::ptr_eq(&one, &other));
        assert!(Arc::ptr_eq(&one.versions, &other.versions));
        assert!(spaces.elsewhere(&one).is_empty());
    }

    #[test]
    fn each_place_of_a_namespace_is_named_once() {
        let spaces = Spaces::default();
        let one = spaces.open("p", "t", options(0, false, 1));
        for ttl in [1, 2] {
            spaces.open("p", "t", options(1, false, ttl));
            spaces.open("p", "t", options(0, true, ttl));
            spaces.open("p", "u", options(1, true, ttl));
        }
        let places: Vec<Vec<u8>> =
            spaces.elsewhere(&one).iter().map(|space| space.keys.value(b"k")).collect();
        assert_eq!(places, [b"p:t:v1:k".to_vec(), b"p:{t}:v0:k".to_vec()]);
    }
}
