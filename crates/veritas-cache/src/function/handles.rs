//! The namespaces that a function has opened, found again without a lock.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::OnceLock,
};

use crate::Cache;

/// How many namespaces one function remembers: one for each type that it returns and
/// each set of caches that was installed. Beyond that it opens one at each call.
const MOST: usize = 32;

/// The namespaces that a function has opened: a list that only grows, so that reading
/// it takes no lock and what it holds lives as long as the function, for ever.
pub(super) struct Handles(OnceLock<Box<Handle>>);

struct Handle {
    generation: u64,
    kind: TypeId,
    cache: Box<dyn Any + Send + Sync>,
    next: Handles,
}

impl Handles {
    pub(super) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Returns the namespace of a generation of installed caches if it was opened.
    #[inline]
    pub(super) fn known<V: Send + Sync + 'static>(
        &'static self,
        generation: u64,
    ) -> Option<&'static Cache<V>> {
        let kind = TypeId::of::<V>();
        let mut place = self;
        while let Some(handle) = place.0.get() {
            if handle.generation == generation && handle.kind == kind {
                return handle.cache.downcast_ref();
            }
            place = &handle.next;
        }
        None
    }

    /// Returns the namespace of a generation of installed caches, opened once, or
    /// `None` when there are too many of them already.
    pub(super) fn find<V: Send + Sync + 'static>(
        &'static self,
        generation: u64,
        open: impl FnOnce() -> Cache<V>,
    ) -> Option<&'static Cache<V>> {
        let kind = TypeId::of::<V>();
        let mut cache: Option<Box<dyn Any + Send + Sync>> = Some(Box::new(open()));
        let mut place = self;
        for _ in 0..MOST {
            let handle = place.0.get_or_init(|| {
                // It runs at the end of the list only, once, and what it adds is what is looked for.
                let cache = cache.take().unwrap_or_else(|| Box::new(()));
                Box::new(Handle { generation, kind, cache, next: Self::new() })
            });
            if handle.generation == generation && handle.kind == kind {
                return handle.cache.downcast_ref();
            }
            place = &handle.next;
        }
        None
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}
