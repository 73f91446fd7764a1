//! Keys as the engine holds them: with their hash, and inside the table where they are short.

use std::hash::{BuildHasher, Hash, Hasher};

use quick_cache::{DefaultHashBuilder, Equivalent};

use crate::flights::Key;

/// Keys up to this length lie in the table itself: a UUID as text, or some four small arguments.
pub(crate) const INLINE: usize = 38;

/// Hashes encoded keys. The hash is keyed with a number that each process draws, so
/// that nobody can choose keys which collide.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHasher(DefaultHashBuilder);

impl KeyHasher {
    #[inline]
    pub(crate) fn hash(&self, encoded: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(encoded);
        hasher.finish()
    }
}

/// A key to look up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRef<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> KeyRef<'a> {
    /// Names the key to the loads under way.
    pub(crate) const fn in_flight(&self) -> Key<'a> {
        Key { hash: self.hash, bytes: self.bytes }
    }

    pub(super) fn to_table(self) -> TableKey {
        let mut bytes = [0; INLINE];
        let text = match bytes.get_mut(..self.bytes.len()) {
            Some(place) => {
                place.copy_from_slice(self.bytes);
                #[expect(clippy::cast_possible_truncation, reason = "at most 38")]
                Text::Inline { len: self.bytes.len() as u8, bytes }
            }
            None => Text::Heap(self.bytes.into()),
        };
        TableKey { hash: self.hash, text }
    }
}

impl Hash for KeyRef<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<TableKey> for KeyRef<'_> {
    #[inline]
    fn equivalent(&self, key: &TableKey) -> bool {
        self.hash == key.hash && *self.bytes == *key.bytes()
    }
}

/// A key in a table: whole, so that no collision of hashes can answer for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableKey {
    hash: u64,
    text: Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl TableKey {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.text {
            Text::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Text::Heap(bytes) => bytes,
        }
    }

    pub(super) fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { hash: self.hash, bytes: self.bytes() }
    }
}

/// Returns the bytes that a key takes beside the table.
pub(crate) const fn heap_size(encoded: &[u8]) -> usize {
    if encoded.len() <= INLINE { 0 } else { encoded.len() }
}

impl Hash for TableKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes on the hash that a key brings.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brought;

impl BuildHasher for Brought {
    type Hasher = BroughtHash;

    #[inline]
    fn build_hasher(&self) -> BroughtHash {
        BroughtHash(0)
    }
}

#[derive(Debug)]
pub(super) struct BroughtHash(u64);

impl Hasher for BroughtHash {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys bring one number")
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_is_itself_and_no_other() {
        let hasher = KeyHasher::default();
        let texts: Vec<Vec<u8>> =
            [0, 1, 37, 38, 39, 64, 1_000].into_iter().flat_map(|len| [vec![0; len], vec![1; len]]).collect();
        for one in &texts {
            let key = KeyRef { hash: hasher.hash(one), bytes: one };
            assert_eq!(key.to_table().bytes(), one);
            for other in &texts {
                // With one hash for all, the bytes alone tell them apart.
                let same = KeyRef { hash: key.hash, bytes: other };
                assert_eq!(same.equivalent(&key.to_table()), one == other);
            }
        }
    }

    #[test]
    fn a_key_takes_48_bytes_of_the_table() {
        assert_eq!(size_of::<TableKey>(), 48);
    }
}
