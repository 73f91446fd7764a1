//! Keys: a canonical encoding of typed parts, the same in every process,
//! release and language.
//!
//! The format (version 1). Every part is a tag byte and its payload; lengths and
//! counts are LEB128:
//!
//! | tag | part | payload |
//! |---|---|---|
//! | `00`, `01` | false, true | none |
//! | `02`, `03` | integer ≥ 0, integer < 0 | length, magnitude as big-endian bytes without leading zeros |
//! | `04` | float | the 8 bytes of the binary64, big-endian; every NaN is `7ff8000000000000` |
//! | `05` | nothing (`None`, `()`) | none |
//! | `06` | something that could be taken for nothing (`Some(None)`) | the inner part |
//! | `07` | text | length, UTF-8 |
//! | `08` | bytes | length, bytes |
//! | `09` | sequence | count, parts |
//! | `0a` | tuple | count, parts |
//! | `0b` | map | count, key and value parts, ordered by the encoded keys |
//! | `0c` | set | count, parts, ordered as encoded |
//! | `0d` | call of a function | schema version, count, argument names (length, UTF-8) and parts, ordered by name |
//! | `0e` | decimal | integer part: digits with sign; integer part: exponent of ten. Not finite: text part |
//! | `0f` | UUID | its 16 bytes |
//! | `10` | date | integer part: days since 1970-01-01 |
//! | `11` | time of day | integer part: nanoseconds since midnight |
//! | `12` | date and time without a zone | integer part: nanoseconds since 1970-01-01T00:00:00 |
//! | `13` | date and time in a zone | integer parts: nanoseconds since 1970-01-01T00:00:00Z, offset from UTC in seconds; zone name as text, or nothing |
//! | `14` | duration | integer part: nanoseconds |
//! | `15` | member of an enumeration | type name (length, UTF-8), member part |
//! | `16` | record | type name (length, UTF-8), count, field names (length, UTF-8) and parts, ordered by name |
//!
//! Integers are what they say, not how wide they are: `1_u8` and `1_i64` are one
//! key. `1`, `1.0`, `"1"` and `true` are four. Since each part tells where it
//! ends, no two sequences of parts have one encoding. `docs/reference/cache-keys.md`
//! is the same for readers of any language, with test vectors beside it.

mod call;
mod parts;
mod readable;
mod short;
pub mod typed;

pub use readable::readable;
pub(crate) use short::{LONGEST, Short};

use std::sync::Arc;

/// The version of the format, first byte of [`CacheKey::canonical`].
const VERSION: u8 = 1;

/// Most keys fit; longer ones move to the heap.
const INLINE: usize = 64;

const FALSE: u8 = 0x00;
const TRUE: u8 = 0x01;
const NON_NEGATIVE: u8 = 0x02;
const NEGATIVE: u8 = 0x03;
const FLOAT: u8 = 0x04;
const NOTHING: u8 = 0x05;
const SOMETHING: u8 = 0x06;
const TEXT: u8 = 0x07;
const BYTES: u8 = 0x08;
const SEQUENCE: u8 = 0x09;
const TUPLE: u8 = 0x0a;
const MAP: u8 = 0x0b;
const SET: u8 = 0x0c;
const CALL: u8 = 0x0d;
const DECIMAL: u8 = 0x0e;
const UUID: u8 = 0x0f;
const DATE: u8 = 0x10;
const TIME_OF_DAY: u8 = 0x11;
const DATE_TIME: u8 = 0x12;
const ZONED: u8 = 0x13;
const DURATION: u8 = 0x14;
const ENUMERATION: u8 = 0x15;
const RECORD: u8 = 0x16;

/// Something that can be (part of) a key.
///
/// Implement it for your own types by encoding what makes them themselves:
///
/// ```
/// use veritas_cache::{CacheKey, KeyEncoder, KeyPart};
///
/// struct UserId(u64);
///
/// impl KeyPart for UserId {
///     fn encode(&self, key: &mut KeyEncoder) {
///         self.0.encode(key);
///     }
/// }
///
/// assert_eq!(CacheKey::of(&UserId(7)), CacheKey::of(&7_u8));
/// assert_ne!(CacheKey::of(&("a", "b c")), CacheKey::of(&("a b", "c")));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no stable identity, so it cannot be part of a cache key",
    label = "has no stable identity",
    note = "in `#[cached]`, say what the result depends on with `key(...)`, or leave an argument out with `ignore(...)`",
    note = "or implement `veritas_cache::KeyPart` for the type: encode what makes a value itself"
)]
pub trait KeyPart {
    /// Appends the part.
    fn encode(&self, key: &mut KeyEncoder);

    /// Returns what [`Self::encode`] appends, where it is an integer of at most 64 bits or a
    /// text of at most 22 bytes.
    #[doc(hidden)]
    #[inline]
    fn short(&self) -> Option<Short> {
        None
    }
}

/// Collects the parts of a key.
#[derive(Debug, Clone)]
pub struct KeyEncoder {
    inline: [u8; INLINE],
    inline_len: usize,
    /// Holds everything as soon as it does not fit inline.
    spilled: Vec<u8>,
}

impl KeyEncoder {
    /// Makes an encoder that holds nothing yet. Keys up to 64 bytes stay inside it.
    pub const fn new() -> Self {
        Self { inline: [0; INLINE], inline_len: 0, spilled: Vec::new() }
    }

    /// Returns what was appended.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        if self.spilled.is_empty() { &self.inline[..self.inline_len] } else { &self.spilled }
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.inline_len + bytes.len();
        if self.spilled.is_empty() && end <= INLINE {
            self.inline[self.inline_len..end].copy_from_slice(bytes);
            self.inline_len = end;
        } else {
            if self.spilled.is_empty() {
                self.spilled.reserve(end);
                self.spilled.extend_from_slice(&self.inline[..self.inline_len]);
            }
            self.spilled.extend_from_slice(bytes);
        }
    }

    #[inline]
    pub(crate) fn push_length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.push(&[length.to_le_bytes()[0] | 0x80]);
            length >>= 7;
        }
        self.push(&[length.to_le_bytes()[0]]);
    }

    /// Appends a truth value.
    pub fn boolean(&mut self, value: bool) {
        self.push(&[if value { TRUE } else { FALSE }]);
    }

    /// Appends an integer by sign and magnitude.
    #[inline]
    pub fn integer(&mut self, negative: bool, magnitude: u128) {
        if let Some(short) = Short::integer(negative, magnitude)
            && self.push_short(short)
        {
            return;
        }
        let bytes = magnitude.to_be_bytes();
        let zeros = magnitude.leading_zeros() as usize / 8;
        let tag = if negative { NEGATIVE } else { NON_NEGATIVE };
        let significant = &bytes[zeros..];
        self.push(&[tag]);
        self.push_length(significant.len());
        self.push(significant);
    }

    /// Appends a short part if it fits inline.
    #[inline]
    fn push_short(&mut self, short: Short) -> bool {
        let place = self.inline.get_mut(self.inline_len..).and_then(|rest| rest.first_chunk_mut::<LONGEST>());
        let Some(place) = place.filter(|_| self.spilled.is_empty()) else { return false };
        // Written as words, so that reading them next does not wait for smaller parts.
        for (place, word) in place.chunks_exact_mut(8).zip(short.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.inline_len += short.len();
        true
    }

    /// Returns what was appended with zeros behind it, when all of it is inline and at most
    /// `N` bytes.
    #[inline]
    pub(crate) fn padded<const N: usize>(&self) -> Option<&[u8; N]> {
        let fits = self.spilled.is_empty() && self.inline_len <= N;
        self.inline.first_chunk().filter(|_| fits)
    }

    /// Appends a float. All NaNs are one; 0.0 and −0.0 are two.
    pub fn float(&mut self, value: f64) {
        let canonical = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
        self.push(&[FLOAT]);
        self.push(&canonical.to_be_bytes());
    }

    /// Appends nothing: `None` and `()`.
    pub fn nothing(&mut self) {
        self.push(&[NOTHING]);
    }

    /// Appends text.
    #[inline]
    pub fn text(&mut self, value: &str) {
        if let Some(short) = Short::text(value)
            && self.push_short(short)
        {
            return;
        }
        self.push(&[TEXT]);
        self.push_length(value.len());
        self.push(value.as_bytes());
    }

    /// Appends bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.push(&[BYTES]);
        self.push_length(value.len());
        self.push(value);
    }

    /// Opens a sequence of `count` parts; append them next.
    pub fn sequence(&mut self, count: usize) {
        self.push(&[SEQUENCE]);
        self.push_length(count);
    }

    /// Opens a tuple of `count` parts; append them next.
    pub fn tuple(&mut self, count: usize) {
        self.push(&[TUPLE]);
        self.push_length(count);
    }

    /// Appends a map; its order does not matter.
    pub fn map<'a, K: KeyPart + 'a, V: KeyPart + 'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a K, &'a V)>,
    ) {
        // The key's own bytes come first and tell where they end, so ordering
        // the whole pairs orders them by key.
        self.ordered(
            MAP,
            entries.map(|(key, value)| (encoded(key), encoded(value))).map(|(mut key, value)| {
                key.extend_from_slice(&value);
                key
            }),
        );
    }

    /// Appends a set; its order does not matter.
    pub fn set<'a, T: KeyPart + 'a>(&mut self, parts: impl Iterator<Item = &'a T>) {
        self.ordered(SET, parts.map(|part| encoded(part)));
    }

    fn ordered(&mut self, tag: u8, parts: impl Iterator<Item = Vec<u8>>) {
        let mut parts: Vec<Vec<u8>> = parts.collect();
        parts.sort_unstable();
        self.push(&[tag]);
        self.push_length(parts.len());
        for part in parts {
            self.push(&part);
        }
    }
}

impl Default for KeyEncoder {
    fn default() -> Self {
        Self::new()
    }
}

fn encoded(part: &(impl KeyPart + ?Sized)) -> Vec<u8> {
    let mut encoder = KeyEncoder::new();
    part.encode(&mut encoder);
    encoder.as_bytes().to_vec()
}

/// A key that is encoded once and used many times.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(Arc<[u8]>);

/// Returns the hash of an encoded key that is the same in every process: XXH3.
#[inline]
pub(crate) fn sampling_hash(encoded: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(encoded)
}

impl CacheKey {
    /// Encodes the parts.
    pub fn of(parts: &(impl KeyPart + ?Sized)) -> Self {
        Self(encoded(parts).into())
    }

    /// Returns the encoded parts.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns a hash of the key that is the same in every process and release: XXH3 with
    /// 64 bits. By it accesses are sampled ([`Access::key`](crate::Access::key)), times to
    /// live shortened, and keys listed in order.
    pub fn sampling_hash(&self) -> u64 {
        sampling_hash(&self.0)
    }

    /// Returns the key as text that people can read: `("user", 123)`.
    pub fn readable(&self) -> String {
        readable(&self.0)
    }

    /// Returns the key as it is shared between processes: the version of the
    /// format, the namespace (length and UTF-8), the parts.
    pub fn canonical(&self, namespace: &str) -> Vec<u8> {
        let mut key = KeyEncoder::new();
        key.push(&[VERSION]);
        key.push_length(namespace.len());
        key.push(namespace.as_bytes());
        key.push(&self.0);
        key.as_bytes().to_vec()
    }
}

impl KeyPart for CacheKey {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&self.0);
    }
}

/// Bytes as one part. (A `Vec<u8>` is a sequence of integers.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob<'a>(pub &'a [u8]);

impl KeyPart for Blob<'_> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.bytes(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{HashMap, HashSet},
        fmt::Write as _,
    };

    use super::*;

    #[track_caller]
    fn check(part: &(impl KeyPart + ?Sized), expected: &str) {
        let hex = encoded(part).iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        assert_eq!(hex, expected);
    }

    #[test]
    fn the_bytes_are_a_format() {
        // Shared between processes, releases and languages: a change here is a new version.
        check(&false, "00");
        check(&true, "01");
        check(&0_u64, "0200");
        check(&1_u8, "020101");
        check(&1_i64, "020101");
        check(&-1_i64, "030101");
        check(&i128::MIN, "031080000000000000000000000000000000");
        check(&65_536_usize, "0203010000");
        check(&1.0_f64, "043ff0000000000000");
        check(&-0.0_f64, "048000000000000000");
        check(&-f64::NAN, "047ff8000000000000");
        check(&(), "05");
        check(&Some(1), "020101");
        check(&None::<u8>, "05");
        check(&Some(None::<u8>), "0605");
        check(&Some(Some(None::<u8>)), "060605");
        check("aé", "070361c3a9");
        check(&'a', "070161");
        check(&Blob(b"\x00\xff"), "080200ff");
        check(&vec![1_u8, 2], "0902020101020102");
        check(&(1_u8, "1"), "0a02020101070131");
        check(&HashMap::from([("b", 2), ("a", 1)]), "0b02070161020101070162020102");
        check(&HashSet::from(["b", "a"]), "0c02070161070162");
        check(&"x".repeat(200), &format!("07c801{}", "78".repeat(200)));
    }

    #[test]
    fn the_namespace_is_part_of_the_shared_key() {
        assert_eq!(
            CacheKey::of(&(7_u8, "a")).canonical("users"),
            b"\x01\x05users\x0a\x02\x02\x01\x07\x07\x01a"
        );
    }

    #[test]
    fn what_peers_take_for_one_key_is_several() {
        // The pairs on which dogpile, cashews and aiocache return a wrong value.
        let different = [
            CacheKey::of(&1),
            CacheKey::of("1"),
            CacheKey::of(&1.0),
            CacheKey::of(&true),
            CacheKey::of("a b"),
            CacheKey::of(&("a", "b")),
            CacheKey::of("a:b"),
            CacheKey::of(&[1]),
            CacheKey::of(&(1,)),
            CacheKey::of(&None::<u8>),
            CacheKey::of("None"),
            CacheKey::of(""),
        ];
        for (index, one) in different.iter().enumerate() {
            assert!(different[index + 1..].iter().all(|other| one != other), "{one:?}");
        }
    }

    #[test]
    fn a_key_of_any_length_is_kept_whole() {
        for length in [0, 60, 61, 62, 63, 64, 65, 1_000] {
            let text = "x".repeat(length);
            assert!(encoded(text.as_str()).ends_with(text.as_bytes()), "{length}");
            assert_eq!(encoded(&(text.as_str(), 1_u8)).last(), Some(&1));
        }
    }
}
