//! The key of a call.

use crate::{KeyEncoder, KeyPart};

/// The name under which a generic function's types are part of its key: before all others.
const TYPES: &str = "";

/// The name of an explicit key.
const EXPLICIT: &str = "()";

/// The key of a call: the arguments by name, or an explicit key. See
/// `docs/reference/cache-keys.md`.
///
/// With it, what a cached function keeps can be removed by hand:
///
/// ```
/// use veritas_cache::{CacheKey, function::CallKey};
///
/// // The key of `#[cached(name = "user", key(id))] fn user(&self, id: u64)`.
/// let key = CallKey::explicit(0, &(7_u64,));
/// // The key of `#[cached(name = "page")] fn page(user_id: u64, section: &str)`.
/// let page = CallKey::named(0, &mut [("user_id", &7_u64), ("section", &"home")]);
/// assert_ne!(CacheKey::of(&key), CacheKey::of(&page));
/// ```
#[derive(Debug, Clone)]
pub struct CallKey(KeyEncoder);

impl CallKey {
    /// Makes the key of a call whose attribute says `key(...)`: `parts` is the tuple of these.
    pub fn explicit<K: KeyPart + ?Sized>(version: u32, parts: &K) -> Self {
        let mut key = Self::of_call(version, 1, None);
        key.argument(EXPLICIT, parts);
        key
    }

    /// Makes the key of a call by its arguments, whose order does not matter.
    pub fn named(version: u32, arguments: &mut [(&str, &dyn KeyPart)]) -> Self {
        arguments.sort_unstable_by_key(|(name, _)| *name);
        let mut key = Self::of_call(version, arguments.len(), None);
        for (name, part) in arguments {
            key.argument(name, *part);
        }
        key
    }

    #[inline]
    pub(super) fn of_call(version: u32, arguments: usize, types: Option<&str>) -> Self {
        let mut key = Self(KeyEncoder::new());
        key.0.call(version, arguments + usize::from(types.is_some()));
        if let Some(types) = types {
            key.0.argument(TYPES, types);
        }
        key
    }

    /// Appends an argument; the attribute writes them in the order of their names.
    #[inline]
    pub fn argument<K: KeyPart + ?Sized>(&mut self, name: &str, part: &K) {
        self.0.argument(name, part);
    }

    /// Opens an explicit key.
    #[inline]
    pub(super) fn open_parts(&mut self, parts: usize) {
        self.0.open_argument(EXPLICIT);
        self.0.tuple(parts);
    }

    /// Appends a part of an explicit key.
    #[inline]
    pub fn part<K: KeyPart + ?Sized>(&mut self, part: &K) {
        part.encode(&mut self.0);
    }

    /// Returns the encoded key, without the name of the function.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl KeyPart for CallKey {
    #[inline]
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(self.0.as_bytes());
    }
}
