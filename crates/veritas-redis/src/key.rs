//! Keys: what stands where in Redis, and what an invalidated key was.
//!
//! | key | holds |
//! |---|---|
//! | `<prefix>:<namespace>:v<schema>:<key>` | a frame |
//! | `<prefix>:<namespace>:l<schema>:<key>` | the lease of whoever loads that key |
//! | `<prefix>:<namespace>:t:<16 hex digits>` | the version of a tag |
//! | `<prefix>:<namespace>:g` | the version of the namespace |
//!
//! `<key>` is the canonical key as it is (see `veritas_cache::KeyEncoder`) up to 200
//! bytes, else `#` and 32 hex digits of its xxh3-128; no canonical key begins with
//! `#`. A collision answers nothing, since the frame holds the whole key.
//!
//! In `<namespace>`, whatever is not a letter, a digit or one of `_.-/` is `%` and
//! two hex digits, so that no two namespaces share a key. With a hash tag it stands in braces: a cluster then keeps the
//! whole namespace on one node.

use std::fmt::Write as _;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Canonical keys up to this long stand in Redis as they are.
pub(crate) const LONGEST_RAW: usize = 200;

/// The keys of one namespace in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySpace {
    /// `<prefix>:<namespace>:`.
    base: Vec<u8>,
    schema: u32,
}

/// What a key of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// The frame under a canonical key.
    Value(&'a [u8]),
    /// The frame under a canonical key that is too long: `#` and its hash.
    HashedValue(&'a [u8]),
    /// A lease.
    Lease,
    /// The version of a tag, by its hash.
    Tag(u64),
    /// The version of the namespace.
    Generation,
}

impl KeySpace {
    pub(crate) fn new(prefix: &str, namespace: &str, schema: u32, hash_tag: bool) -> Self {
        let mut base = String::with_capacity(prefix.len() + namespace.len() + 8);
        base.push_str(prefix);
        base.push(':');
        if hash_tag {
            base.push('{');
        }
        escape(namespace, &mut base);
        base.push_str(if hash_tag { "}:" } else { ":" });
        Self { base: base.into_bytes(), schema }
    }

    /// Returns the key of the frame.
    pub(crate) fn value(&self, canonical: &[u8]) -> Vec<u8> {
        self.of_kind(b'v', canonical)
    }

    /// Returns the key of the lease.
    pub(crate) fn lease(&self, canonical: &[u8]) -> Vec<u8> {
        self.of_kind(b'l', canonical)
    }

    fn of_kind(&self, kind: u8, canonical: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.base.len() + 12 + canonical.len().min(LONGEST_RAW));
        key.extend_from_slice(&self.base);
        key.push(kind);
        key.extend_from_slice(self.schema.to_string().as_bytes());
        key.push(b':');
        if canonical.len() <= LONGEST_RAW {
            key.extend_from_slice(canonical);
        } else {
            key.extend_from_slice(&hashed(canonical));
        }
        key
    }

    /// Returns the key of a tag's version.
    pub(crate) fn tag(&self, tag: u64) -> Vec<u8> {
        let mut key = self.base.clone();
        key.extend_from_slice(format!("t:{tag:016x}").as_bytes());
        key
    }

    /// Returns the key of the namespace's version.
    pub(crate) fn generation(&self) -> Vec<u8> {
        let mut key = self.base.clone();
        key.push(b'g');
        key
    }

    /// Returns what all keys of the namespace begin with.
    pub(crate) fn base(&self) -> &[u8] {
        &self.base
    }

    /// Returns what the keys of the frames of this schema begin with.
    pub(crate) fn values(&self) -> Vec<u8> {
        self.value(b"")
    }

    /// Tells what a key is, or `None` when it is none of this namespace and schema.
    pub(crate) fn place<'a>(&self, key: &'a [u8]) -> Option<Place<'a>> {
        let rest = key.strip_prefix(self.base.as_slice())?;
        match rest.split_first()? {
            (b'g', []) => Some(Place::Generation),
            (b't', rest) => {
                let hex = std::str::from_utf8(rest.strip_prefix(b":")?).ok()?;
                Some(Place::Tag(u64::from_str_radix(hex, 16).ok()?))
            }
            (kind @ (b'v' | b'l'), rest) => {
                let colon = rest.iter().position(|byte| *byte == b':')?;
                let (schema, key) = (&rest[..colon], &rest[colon + 1..]);
                if schema != self.schema.to_string().as_bytes() {
                    return None;
                }
                Some(match (kind, key.first()) {
                    (b'l', _) => Place::Lease,
                    (_, Some(b'#')) => Place::HashedValue(key),
                    _ => Place::Value(key),
                })
            }
            _ => None,
        }
    }
}

/// Returns `#` and the hash under which a long canonical key stands.
pub(crate) fn hashed(canonical: &[u8]) -> Vec<u8> {
    format!("#{:032x}", xxh3_128(canonical)).into_bytes()
}

/// Returns the name of the in-process tag that a long key's entry carries, so that
/// an invalidation, which tells the hash only, finds it.
pub(crate) fn hashed_tag(hashed: &[u8]) -> u64 {
    xxh3_64(hashed)
}

/// Returns what the keys of the namespace begin with that a key of ours belongs to.
pub(crate) fn base_of<'a>(prefix: &str, key: &'a [u8]) -> Option<&'a [u8]> {
    let rest = key.strip_prefix(prefix.as_bytes())?.strip_prefix(b":")?;
    let end = rest.iter().position(|byte| *byte == b':')?;
    Some(&key[..=prefix.len() + 1 + end])
}

/// Writes a namespace so that it holds no colon and no character of a pattern.
fn escape(namespace: &str, out: &mut String) {
    for byte in namespace.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space() -> KeySpace {
        KeySpace::new("veritas", "users", 3, false)
    }

    #[test]
    fn keys_are_a_format() {
        // Shared between releases: a change here makes old entries unreachable.
        let key = b"\x07\x01a";
        assert_eq!(space().value(key), b"veritas:users:v3:\x07\x01a");
        assert_eq!(space().lease(key), b"veritas:users:l3:\x07\x01a");
        assert_eq!(space().tag(0xab), b"veritas:users:t:00000000000000ab");
        assert_eq!(space().generation(), b"veritas:users:g");
        let tagged = KeySpace::new("veritas", "a:b {c}", 0, true);
        assert_eq!(tagged.value(b""), b"veritas:{a%3ab%20%7bc%7d}:v0:");
        let long = vec![b'x'; 201];
        let hashed = space().value(&long);
        assert_eq!(hashed.len(), b"veritas:users:v3:#".len() + 32);
    }

    #[test]
    fn each_key_tells_what_it_is() {
        let key = b"\x07\x01:";
        assert_eq!(space().place(&space().value(key)), Some(Place::Value(key)));
        assert_eq!(space().place(&space().lease(key)), Some(Place::Lease));
        assert_eq!(space().place(&space().tag(7)), Some(Place::Tag(7)));
        assert_eq!(space().place(&space().generation()), Some(Place::Generation));
        let long = vec![b'x'; 201];
        assert_eq!(space().place(&space().value(&long)), Some(Place::HashedValue(&hashed(&long))));
        let other_schema = KeySpace::new("veritas", "users", 4, false);
        assert_eq!(space().place(&other_schema.value(key)), None);
        for strange in
            [&b"veritas:users"[..], b"veritas:users:", b"veritas:users:t:zz", b"veritas:users:v3", b"other"]
        {
            assert_eq!(space().place(strange), None);
        }
        assert_eq!(base_of("veritas", &space().value(key)), Some(space().base()));
        assert_eq!(base_of("other", &space().value(key)), None);
    }

    proptest! {
        #[test]
        fn two_names_never_share_a_key(
            one in (".{0,12}", 0..3_u32, proptest::collection::vec(any::<u8>(), 0..20)),
            other in (".{0,12}", 0..3_u32, proptest::collection::vec(any::<u8>(), 0..20)),
        ) {
            let key = |(name, schema, key): &(String, u32, Vec<u8>)| {
                KeySpace::new("p", name, *schema, false).value(key)
            };
            prop_assert_eq!(one == other, key(&one) == key(&other));
        }

        #[test]
        fn any_key_is_placed_or_not(key in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = space().place(&key);
            let mut ours = space().base().to_vec();
            ours.extend_from_slice(&key);
            let _ = space().place(&ours);
            assert_eq!(base_of("veritas", &ours), Some(space().base()));
        }
    }
}
