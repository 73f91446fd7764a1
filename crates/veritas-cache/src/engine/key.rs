//! Keys as the engine holds them: with their hash, and inside the table where they are short.

use std::hash::{BuildHasher, Hash, Hasher};

use quick_cache::{DefaultHashBuilder, Equivalent};

use crate::{
    flights::Key,
    key::{KeyEncoder, LONGEST, Short, sampling_hash},
};

/// Keys up to this length lie in the table itself: a UUID as text, or some four small arguments.
pub(crate) const INLINE: usize = 38;

/// Hashes encoded keys. The hash is keyed with numbers that each process draws, so
/// that nobody can choose keys which collide.
#[derive(Debug, Clone)]
pub(crate) struct KeyHasher {
    seeds: [u64; 5],
    of_long_keys: DefaultHashBuilder,
}

impl Default for KeyHasher {
    fn default() -> Self {
        let of_long_keys = DefaultHashBuilder::default();
        let mut seeds = [0_u64, 1, 2, 3, 4].map(|seed| of_long_keys.hash_one(seed));
        // Nothing is lost by multiplying with these.
        seeds[3] |= 1;
        seeds[4] |= 1;
        Self { seeds, of_long_keys }
    }
}

impl KeyHasher {
    /// Hashes an encoded key; those up to 24 bytes by two or three multiplications, as
    /// wyhash and foldhash do.
    #[inline]
    pub(crate) fn hash(&self, encoded: &[u8]) -> u64 {
        let mut padded = [0; LONGEST];
        match padded.get_mut(..encoded.len()) {
            Some(place) => {
                place.copy_from_slice(encoded);
                self.hash_short(&padded, encoded.len())
            }
            None => self.hash_long(encoded),
        }
    }

    /// Hashes as [`Self::hash`] does, a key that has zeros behind it already.
    #[inline]
    fn hash_padded(&self, encoded: &[u8], padded: &[u8; INLINE]) -> u64 {
        match padded.first_chunk() {
            Some(short) if encoded.len() <= short.len() => self.hash_short(short, encoded.len()),
            _ => self.hash_long(encoded),
        }
    }

    #[inline]
    fn hash_short(&self, padded: &[u8; LONGEST], len: usize) -> u64 {
        self.hash_words([word(padded, 0), word(padded, 8), word(padded, 16)], len)
    }

    #[inline]
    fn hash_words(&self, [first, second, third]: [u64; 3], len: usize) -> u64 {
        let mut hash = folded(first ^ self.seeds[0], second ^ self.seeds[1]);
        if len > 16 {
            hash = folded(hash ^ third, self.seeds[4]);
        }
        folded(hash ^ self.seeds[2], self.seeds[3])
    }

    fn hash_long(&self, encoded: &[u8]) -> u64 {
        let mut hasher = self.of_long_keys.build_hasher();
        hasher.write(encoded);
        hasher.finish()
    }
}

/// Multiplies, and folds the two halves of the product into one.
#[inline]
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    (product as u64 ^ (product >> 64) as u64)
}

/// Returns the eight bytes from `at` on.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Compares two keys of one length in a few wide words, where a comparison of slices
/// would call a function; mostly it is one word.
#[inline]
fn equal(one: &[u8; INLINE], other: &[u8; INLINE], len: usize) -> bool {
    let differ = |at: usize| word(one, at) ^ word(other, at);
    // The last word overlaps the one before.
    differ(0) | differ(8) == 0 && (len <= 16 || differ(16) | differ(24) | differ(INLINE - 8) == 0)
}

/// A key to look up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRef<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
    /// The bytes with zeros behind them, where whoever encoded them has these at hand:
    /// compared without a loop.
    pub(crate) padded: Option<&'a [u8; INLINE]>,
}

impl<'a> KeyRef<'a> {
    #[inline]
    pub(crate) fn of(encoded: &'a KeyEncoder, hasher: &KeyHasher) -> Self {
        let (bytes, padded) = (encoded.as_bytes(), encoded.padded());
        let hash = match padded {
            Some(padded) => hasher.hash_padded(bytes, padded),
            None => hasher.hash_long(bytes),
        };
        Self { hash, bytes, padded }
    }

    pub(crate) const fn new(hash: u64, bytes: &'a [u8]) -> Self {
        Self { hash, bytes, padded: None }
    }

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

/// A key to look up, in whichever form.
pub(crate) trait Sought: Hash + Equivalent<TableKey> {
    fn hash(&self) -> u64;

    /// Returns the hash of the bytes behind a prefix that is the same in every process.
    fn sampling_hash(&self, prefix: usize) -> u64;

    /// Calls `use_it` with the key's bytes.
    fn spelled<T>(&self, use_it: impl FnOnce(&KeyRef<'_>) -> T) -> T;
}

impl Sought for KeyRef<'_> {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn sampling_hash(&self, prefix: usize) -> u64 {
        sampling_hash(&self.bytes[prefix..])
    }

    #[inline]
    fn spelled<T>(&self, use_it: impl FnOnce(&KeyRef<'_>) -> T) -> T {
        use_it(self)
    }
}

/// A short key to look up, of at most `WORDS` words. It is hashed and compared without
/// being in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortRef<const WORDS: usize> {
    hash: u64,
    words: [u64; WORDS],
    len: usize,
}

impl<const WORDS: usize> ShortRef<WORDS> {
    /// Returns the key, if it has no more words than that.
    #[inline]
    pub(crate) fn of(key: Short, hasher: &KeyHasher) -> Option<Self> {
        let (words, len) = (key.words(), key.len());
        let words = *words.first_chunk().filter(|_| len <= 8 * WORDS)?;
        Some(Self { hash: hasher.hash_words(key.words(), len), words, len })
    }
}

impl<const WORDS: usize> Sought for ShortRef<WORDS> {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn sampling_hash(&self, prefix: usize) -> u64 {
        let bytes = self.words.map(u64::to_le_bytes);
        sampling_hash(&bytes.as_flattened()[prefix..self.len])
    }

    fn spelled<T>(&self, use_it: impl FnOnce(&KeyRef<'_>) -> T) -> T {
        let (mut padded, bytes) = ([0; INLINE], self.words.map(u64::to_le_bytes));
        padded[..8 * WORDS].copy_from_slice(bytes.as_flattened());
        use_it(&KeyRef { hash: self.hash, bytes: &padded[..self.len], padded: Some(&padded) })
    }
}

impl<const WORDS: usize> Hash for ShortRef<WORDS> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<const WORDS: usize> Equivalent<TableKey> for ShortRef<WORDS> {
    #[inline]
    fn equivalent(&self, key: &TableKey) -> bool {
        let Text::Inline { len, bytes } = &key.text else { return false };
        let differ = |at: usize| self.words[at] ^ word(bytes, 8 * at);
        usize::from(*len) == self.len && (0..WORDS).fold(0, |any, at| any | differ(at)) == 0
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
        self.hash == key.hash
            && match (&key.text, self.padded) {
                (Text::Inline { len, bytes }, Some(padded)) => {
                    usize::from(*len) == self.bytes.len() && equal(bytes, padded, self.bytes.len())
                }
                _ => *self.bytes == *key.bytes(),
            }
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
        KeyRef::new(self.hash, self.bytes())
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
    use crate::KeyPart;

    #[test]
    fn a_key_of_any_length_is_itself_and_no_other() {
        let hasher = KeyHasher::default();
        let texts: Vec<Vec<u8>> =
            [0, 1, 37, 38, 39, 64, 1_000].into_iter().flat_map(|len| [vec![0; len], vec![1; len]]).collect();
        for one in &texts {
            let key = KeyRef::new(hasher.hash(one), one);
            assert_eq!(key.to_table().bytes(), one);
            for other in &texts {
                // With one hash for all, the bytes alone tell them apart.
                let same = KeyRef::new(key.hash, other);
                assert_eq!(same.equivalent(&key.to_table()), one == other);
                let mut padded = [0; INLINE];
                if let Some(place) = padded.get_mut(..other.len()) {
                    place.copy_from_slice(other);
                    let same = KeyRef { padded: Some(&padded), ..same };
                    assert_eq!(same.equivalent(&key.to_table()), one == other);
                }
            }
        }
    }

    #[test]
    fn however_a_key_is_hashed_the_hash_is_one() {
        let hasher = KeyHasher::default();
        let mut seen = std::collections::HashSet::new();
        for len in 0..100 {
            let mut encoder = KeyEncoder::new();
            encoder.push(&vec![7; len]);
            let key = KeyRef::of(&encoder, &hasher);
            assert_eq!(key.hash, hasher.hash(&vec![7; len]), "{len}");
            seen.insert(key.hash);
        }
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn a_short_key_is_the_key_that_it_spells() {
        let hasher = KeyHasher::default();
        let texts: Vec<String> = (0..=22).map(|len| "x".repeat(len)).collect();
        let ids = [0, 7, 255, 256, u64::MAX];
        let parts: Vec<&dyn KeyPart> =
            texts.iter().map(|text| text as _).chain(ids.iter().map(|id| id as _)).collect();
        for one in &parts {
            let key = ShortRef::<3>::of(one.short().unwrap(), &hasher).unwrap();
            for other in &parts {
                let mut encoder = KeyEncoder::new();
                other.encode(&mut encoder);
                let spelled = KeyRef::of(&encoder, &hasher);
                let same = key.spelled(|key| key.bytes == spelled.bytes);
                assert_eq!(same, key.hash == spelled.hash);
                assert_eq!(same, std::ptr::addr_eq(*one, *other));
                assert_eq!(same, key.equivalent(&spelled.to_table()));
                assert_eq!(same, key.sampling_hash(0) == spelled.sampling_hash(0));
                assert_eq!(same, key.spelled(|key| key.equivalent(&spelled.to_table())));
            }
            if let Some(two) = ShortRef::<2>::of(one.short().unwrap(), &hasher) {
                assert_eq!((two.hash, two.len, &two.words[..]), (key.hash, key.len, &key.words[..2]));
            }
        }
        assert!(ShortRef::<2>::of("15 bytes of text".short().unwrap(), &hasher).is_none());
    }

    #[test]
    fn hashes_of_neighbours_are_spread_evenly() {
        let hasher = KeyHasher::default();
        for shift in [0, 7, 32, 57] {
            let mut counts = [0_u32; 128];
            for id in 0..128_000_u64 {
                let mut encoder = KeyEncoder::new();
                encoder.integer(false, id.into());
                counts[usize::try_from(KeyRef::of(&encoder, &hasher).hash >> shift & 127).unwrap()] += 1;
            }
            // Six standard deviations about the mean of 1000.
            assert!(counts.iter().all(|count| (810..1_190).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn a_key_takes_48_bytes_of_the_table() {
        assert_eq!(size_of::<TableKey>(), 48);
    }
}
