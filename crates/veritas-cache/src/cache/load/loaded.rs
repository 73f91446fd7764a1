//! What a loader brings: a value or the news that there is none, and how to keep it.

use std::time::Duration;

use crate::TagVersion;

/// What a loader brings, and how it is to be kept.
///
/// ```
/// use std::time::Duration;
/// use veritas_cache::{Loaded, TagVersion};
///
/// let mut loaded = Loaded::of("Ada");
/// loaded.ttl = Some(Duration::from_secs(10));
/// loaded.tags = vec![TagVersion::of("users")];
/// assert_eq!(Loaded::<u8>::from(None).value, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<V> {
    /// The value; `None` when the source has none, which is remembered for the
    /// namespace's `negative_ttl` (not at all when it has none).
    pub value: Option<V>,
    /// How long it stays fresh from now on; 0 is not stored. `None`: the namespace's
    /// time, with its jitter.
    pub ttl: Option<Duration>,
    /// How long it is served after that while one refreshes it. `None`: the namespace's.
    pub stale: Option<Duration>,
    /// Whether to keep it at all; without, it goes to those who wait for it.
    pub store: bool,
    /// What loading it from its source costs, when that is known better than by the
    /// time that this loader took; early refreshes start by it.
    pub cost: Option<Duration>,
    /// The tags that it dies with.
    pub tags: Vec<TagVersion>,
    /// Whether a lower tier had it: then it counts as no load, and its time is no load time.
    pub from_tier: bool,
}

impl<V> Loaded<V> {
    /// Brings a value, to be kept as the namespace says.
    pub const fn of(value: V) -> Self {
        Self::maybe(Some(value))
    }

    /// Brings the news that the source has no value.
    pub const fn nothing() -> Self {
        Self::maybe(None)
    }

    const fn maybe(value: Option<V>) -> Self {
        Self { value, ttl: None, stale: None, store: true, cost: None, tags: Vec::new(), from_tier: false }
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        Self::maybe(value)
    }
}
