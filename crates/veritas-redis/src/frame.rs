//! Frames: a value as it stands in Redis, with all that is needed to trust it.
//!
//! Whoever reads a frame did not necessarily write it: another release, another
//! host, a hostile peer, a bit that fell over. So a frame says which key it answers,
//! in which schema and codec, until when, and carries a checksum over all of it.
//! What is not exactly so is [`Refused`]: the caller counts a miss and removes it.
//!
//! The format (version 1); integers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 2 | magic `V\xc5` |
//! | 1 | version of the format |
//! | 1 | codec: 1 `Postcard`, 2 `MessagePack` |
//! | 1 | flags: 1 compressed with LZ4, 2 nothing there (a remembered absence) |
//! | 1 | number of tag versions |
//! | 4 | schema of the values |
//! | 8 | stored at, milliseconds of the server's clock |
//! | 8 | fresh until |
//! | 8 | deadline: it is no value from then on |
//! | 4 | what loading it cost, microseconds; 0 unknown |
//! | 8 | version of the namespace |
//! | 4 | length of the canonical key |
//! | 4 | length of the value before compression |
//! | 16 each | tag versions: name as a hash, version |
//! | … | canonical key |
//! | … | value |
//! | 8 | xxh3-64 of everything before it |
//!
//! The checksum finds accidents, not forgeries: who can write our keys can write
//! values. It cannot make us run out of memory, panic, or take one key's value for
//! another's.

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Codec, compressed, decompressed};

const MAGIC: [u8; 2] = [b'V', 0xc5];
const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const ABSENT: u8 = 2;

/// The bytes before the tag versions.
pub(crate) const HEAD: usize = 54;
const TAG: usize = 16;
const CHECKSUM: usize = 8;

/// A value has at most this many tags: their number is one byte.
pub(crate) const MAX_TAGS: usize = 255;

/// How a tag stood when the value was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TagStamp {
    /// The hash of its name: [`tag_hash`].
    pub(crate) tag: u64,
    pub(crate) version: u64,
}

/// Returns the hash under which a frame names a tag.
pub(crate) fn tag_hash(tag: &str) -> u64 {
    xxh3_64(tag.as_bytes())
}

/// All of a frame but the key and the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) codec: Codec,
    pub(crate) schema: u32,
    /// Milliseconds of the server's clock, here and below.
    pub(crate) stored_at_ms: u64,
    pub(crate) fresh_until_ms: u64,
    pub(crate) deadline_ms: u64,
    pub(crate) cost_us: u32,
    /// The version of the namespace when the load began.
    pub(crate) generation: u64,
    pub(crate) tags: Vec<TagStamp>,
}

/// What a reader insists on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) schema: u32,
    /// The canonical key, whole.
    pub(crate) key: &'a [u8],
    /// The longest value before compression that is read.
    pub(crate) max_value: usize,
}

/// A frame that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) stamp: Stamp,
    /// The encoded value; `None` is a remembered absence.
    pub(crate) value: Option<Vec<u8>>,
}

/// Why bytes are no frame for the one who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Truncated, mutated, or never a frame.
    Corrupted,
    /// A frame of another format, codec or schema.
    Foreign,
    /// The answer to another key.
    OtherKey,
    /// Longer than the limit.
    TooLarge,
}

/// Writes a frame. `None`: the value is longer than `max_value`, or there are too many tags.
pub(crate) fn encode(
    stamp: &Stamp,
    key: &[u8],
    value: Option<&[u8]>,
    compress_above: usize,
    max_value: usize,
) -> Option<Vec<u8>> {
    let plain = value.unwrap_or_default();
    if plain.len() > max_value || stamp.tags.len() > MAX_TAGS {
        return None;
    }
    let block = if plain.len() > compress_above { compressed(plain) } else { None };
    let mut flags = 0;
    if block.is_some() {
        flags |= COMPRESSED;
    }
    if value.is_none() {
        flags |= ABSENT;
    }
    let body = block.as_deref().unwrap_or(plain);
    let length = HEAD + TAG * stamp.tags.len() + key.len() + body.len() + CHECKSUM;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, stamp.codec.number(), flags, u8::try_from(stamp.tags.len()).ok()?]);
    bytes.extend_from_slice(&stamp.schema.to_le_bytes());
    bytes.extend_from_slice(&stamp.stored_at_ms.to_le_bytes());
    bytes.extend_from_slice(&stamp.fresh_until_ms.to_le_bytes());
    bytes.extend_from_slice(&stamp.deadline_ms.to_le_bytes());
    bytes.extend_from_slice(&stamp.cost_us.to_le_bytes());
    bytes.extend_from_slice(&stamp.generation.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(plain.len()).ok()?.to_le_bytes());
    for tag in &stamp.tags {
        bytes.extend_from_slice(&tag.tag.to_le_bytes());
        bytes.extend_from_slice(&tag.version.to_le_bytes());
    }
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(body);
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

/// Reads a frame. Reserves at most `expected.max_value` bytes, and only when the
/// bytes can become that long.
pub(crate) fn decode(bytes: &[u8], expected: Expected<'_>) -> Result<Frame, Refused> {
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Refused::Corrupted)?;
    if xxh3_64(body) != u64::from_le_bytes(*checksum) {
        return Err(Refused::Corrupted);
    }
    let mut reader = Reader(body);
    let head = read_head(&mut reader)?;
    let tags = (0..head.tags)
        .map(|_| Ok(TagStamp { tag: reader.u64()?, version: reader.u64()? }))
        .collect::<Result<Vec<_>, Refused>>()?;
    if head.schema != expected.schema {
        return Err(Refused::Foreign);
    }
    let key = reader.take(head.key)?;
    if key != expected.key {
        return Err(Refused::OtherKey);
    }
    if head.value > expected.max_value {
        return Err(Refused::TooLarge);
    }
    let rest = reader.0;
    let value = if head.flags & ABSENT != 0 {
        if !rest.is_empty() || head.value != 0 || head.flags & COMPRESSED != 0 {
            return Err(Refused::Corrupted);
        }
        None
    } else if head.flags & COMPRESSED != 0 {
        Some(decompressed(rest, head.value).ok_or(Refused::Corrupted)?)
    } else {
        (rest.len() == head.value).then(|| Some(rest.to_vec())).ok_or(Refused::Corrupted)?
    };
    let stamp = Stamp {
        codec: head.codec,
        schema: head.schema,
        stored_at_ms: head.stored_at_ms,
        fresh_until_ms: head.fresh_until_ms,
        deadline_ms: head.deadline_ms,
        cost_us: head.cost_us,
        generation: head.generation,
        tags,
    };
    Ok(Frame { stamp, value })
}

/// Reads the canonical key out of the first bytes of a frame, for listings: `None`
/// when they do not begin one. The checksum is not looked at.
pub(crate) fn key_of(start: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(start);
    let head = read_head(&mut reader).ok()?;
    reader.take(TAG * head.tags).ok()?;
    Some(reader.take(head.key).ok()?.to_vec())
}

/// Reads when a frame was stored out of its first bytes, as [`key_of`] does the key.
pub(crate) fn stored_at_ms(start: &[u8]) -> Option<u64> {
    read_head(&mut Reader(start)).ok().map(|head| head.stored_at_ms)
}

struct Head {
    codec: Codec,
    flags: u8,
    tags: usize,
    schema: u32,
    stored_at_ms: u64,
    fresh_until_ms: u64,
    deadline_ms: u64,
    cost_us: u32,
    generation: u64,
    key: usize,
    value: usize,
}

fn read_head(reader: &mut Reader<'_>) -> Result<Head, Refused> {
    if reader.take(2)? != MAGIC {
        return Err(Refused::Foreign);
    }
    if reader.u8()? != VERSION {
        return Err(Refused::Foreign);
    }
    let codec = Codec::of_number(reader.u8()?).ok_or(Refused::Foreign)?;
    let flags = reader.u8()?;
    if flags & !(COMPRESSED | ABSENT) != 0 {
        return Err(Refused::Foreign);
    }
    Ok(Head {
        codec,
        flags,
        tags: usize::from(reader.u8()?),
        schema: reader.u32()?,
        stored_at_ms: reader.u64()?,
        fresh_until_ms: reader.u64()?,
        deadline_ms: reader.u64()?,
        cost_us: reader.u32()?,
        generation: reader.u64()?,
        key: usize::try_from(reader.u32()?).unwrap_or(usize::MAX),
        value: usize::try_from(reader.u32()?).unwrap_or(usize::MAX),
    })
}

/// Takes bytes off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Refused> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(Refused::Corrupted)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(Refused::Corrupted)?;
        self.0 = rest;
        Ok(*front)
    }

    fn u8(&mut self) -> Result<u8, Refused> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Refused> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Refused> {
        self.array().map(u64::from_le_bytes)
    }
}

/// For the fuzzer and for tests over any bytes: reads them as a frame and, should
/// they be one, as a value.
#[doc(hidden)]
pub fn fuzz_frame(data: &[u8]) {
    let expected = Expected { schema: 1, key: b"\x07\x01a", max_value: 1 << 16 };
    // As they are, and with a checksum that fits, so that what lies behind it is reached.
    let mut sealed = data.to_vec();
    sealed.extend_from_slice(&xxh3_64(data).to_le_bytes());
    for bytes in [data, &sealed] {
        if let Ok(frame) = decode(bytes, expected) {
            let value = frame.value.unwrap_or_default();
            assert!(value.len() <= expected.max_value, "longer than the limit");
            drop(frame.stamp.codec.decode::<Vec<Option<(String, u64)>>>(&value));
        }
        drop(key_of(bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &[u8] = b"\x07\x01a";

    fn stamp(tags: usize) -> Stamp {
        Stamp {
            codec: Codec::Postcard,
            schema: 1,
            stored_at_ms: 1_000,
            fresh_until_ms: 61_000,
            deadline_ms: 71_000,
            cost_us: 2_500,
            generation: 7,
            tags: (0..tags as u64).map(|tag| TagStamp { tag, version: tag * 3 }).collect(),
        }
    }

    fn expected() -> Expected<'static> {
        Expected { schema: 1, key: KEY, max_value: 1 << 16 }
    }

    fn sealed(mut body: Vec<u8>) -> Vec<u8> {
        let checksum = xxh3_64(&body);
        body.extend_from_slice(&checksum.to_le_bytes());
        body
    }

    #[test]
    fn a_frame_comes_back_as_it_was() {
        for (value, tags) in [(Some(&b"content"[..]), 0), (Some(&b""[..]), 3), (None, 1)] {
            let bytes = encode(&stamp(tags), KEY, value, 1_024, 1 << 16).unwrap();
            let frame = decode(&bytes, expected()).unwrap();
            assert_eq!(frame, Frame { stamp: stamp(tags), value: value.map(<[u8]>::to_vec) });
            assert_eq!(key_of(&bytes[..bytes.len() - 8]).as_deref(), Some(KEY));
        }
    }

    #[test]
    fn the_bytes_are_a_format() {
        // Shared between releases: a change here is a new version.
        let bytes = encode(&stamp(1), KEY, Some(b"v"), 1_024, 1 << 16).unwrap();
        assert_eq!(bytes.len(), HEAD + 16 + 3 + 1 + 8);
        assert_eq!(&bytes[..10], b"V\xc5\x01\x01\x00\x01\x01\x00\x00\x00");
        assert_eq!(bytes[10..18], 1_000_u64.to_le_bytes());
        assert_eq!(&bytes[HEAD + 16..HEAD + 20], b"\x07\x01av");
    }

    #[test]
    fn long_values_that_repeat_are_compressed() {
        let value = b"the same words again, ".repeat(100);
        let bytes = encode(&stamp(0), KEY, Some(&value), 1_024, 1 << 16).unwrap();
        assert!(bytes.len() < value.len() / 4);
        assert_eq!(decode(&bytes, expected()).unwrap().value, Some(value.clone()));
        let plain = encode(&stamp(0), KEY, Some(&value), value.len(), 1 << 16).unwrap();
        assert!(plain.len() > value.len());
    }

    #[test]
    fn a_bit_that_fell_over_is_seen() {
        let bytes = encode(&stamp(2), KEY, Some(b"content"), 1_024, 1 << 16).unwrap();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut mutated = bytes.clone();
                mutated[index] ^= 1 << bit;
                assert_eq!(decode(&mutated, expected()), Err(Refused::Corrupted), "{index}.{bit}");
            }
            assert_eq!(decode(&bytes[..index], expected()), Err(Refused::Corrupted));
        }
    }

    #[test]
    fn what_was_written_for_another_is_refused() {
        let bytes = encode(&stamp(0), KEY, Some(b"content"), 1_024, 1 << 16).unwrap();
        let other = Expected { key: b"\x07\x01b", ..expected() };
        assert_eq!(decode(&bytes, other), Err(Refused::OtherKey));
        assert_eq!(decode(&bytes, Expected { schema: 2, ..expected() }), Err(Refused::Foreign));
        assert_eq!(decode(&bytes, Expected { max_value: 6, ..expected() }), Err(Refused::TooLarge));
        assert_eq!(decode(&sealed(b"hello, world".to_vec()), expected()), Err(Refused::Foreign));
    }

    #[test]
    fn lengths_that_lie_are_refused_before_memory_is_taken() {
        let honest = encode(&stamp(0), KEY, Some(b"content"), 1_024, 1 << 16).unwrap();
        let body = &honest[..honest.len() - 8];
        let lying = |at: usize, length: u32, flags: u8| {
            let mut body = body.to_vec();
            body[at..at + 4].copy_from_slice(&length.to_le_bytes());
            body[4] = flags;
            decode(&sealed(body), expected())
        };
        assert_eq!(lying(46, u32::MAX, 0), Err(Refused::Corrupted)); // the key
        assert_eq!(lying(50, u32::MAX, 0), Err(Refused::TooLarge)); // the value
        assert_eq!(lying(50, 8, 0), Err(Refused::Corrupted));
        assert_eq!(lying(50, 1 << 16, COMPRESSED), Err(Refused::Corrupted));
        assert_eq!(lying(50, 7, ABSENT), Err(Refused::Corrupted));
        assert_eq!(lying(50, 7, 4), Err(Refused::Foreign));
    }

    #[test]
    fn too_long_or_too_much_tagged_is_not_written() {
        assert_eq!(encode(&stamp(0), KEY, Some(&[0; 11]), 1_024, 10), None);
        assert!(encode(&stamp(MAX_TAGS), KEY, Some(&[0; 10]), 1_024, 10).is_some());
        assert_eq!(encode(&stamp(MAX_TAGS + 1), KEY, Some(&[0; 10]), 1_024, 10), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_frame(&bytes);
        }

        #[test]
        fn a_mutated_frame_is_never_another_value(
            value in proptest::collection::vec(any::<u8>(), 0..3_000),
            at in any::<prop::sample::Index>(),
            with in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = encode(&stamp(2), KEY, Some(&value), 1_024, 1 << 16).unwrap();
            let mut mutated = bytes.clone();
            let index = at.index(bytes.len());
            mutated[index] = with;
            match decode(&mutated, expected()) {
                Ok(frame) => prop_assert_eq!(frame.value, Some(value)),
                Err(refused) => prop_assert_eq!(refused, Refused::Corrupted),
            }
            prop_assert!(decode(&bytes[..cut.index(bytes.len())], expected()).is_err());
            // Behind a checksum that fits: refused or bounded, never a panic.
            fuzz_frame(&mutated[..mutated.len() - 8]);
        }
    }
}
