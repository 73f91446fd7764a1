//! The cache of normalized statements: direct-mapped, one per thread.
//!
//! A slot holds a 128-bit hash of the text under a key drawn once per process,
//! not the text: so the cache is small, holds no literals, and a look-up is a
//! hash and a comparison, without a lock. Two texts are mistaken for each other
//! with probability 2^-128.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use super::NormalizedStatement;

/// Slots per thread. 24 bytes each, and the statements they keep alive.
const SLOTS: usize = 512;

type Slot = Option<(u64, u64, Arc<NormalizedStatement>)>;

thread_local! {
    static CACHE: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

static KEY: LazyLock<[u64; 4]> = LazyLock::new(|| {
    let state = RandomState::new();
    std::array::from_fn(|index| state.hash_one(index) | 1)
});

/// Returns the statement of a text, and the hash of the text itself (for
/// telling literals apart).
pub(crate) fn of_text(sql: &str) -> (Arc<NormalizedStatement>, u64) {
    let (high, low) = hash(sql.as_bytes());
    let slot = usize::try_from(low % SLOTS as u64).unwrap_or(0);
    // A thread that is being torn down, or a call from within the cache, just
    // normalizes.
    let cached = CACHE
        .try_with(|cache| {
            let mut cache = cache.try_borrow_mut().ok()?;
            if cache.is_empty() {
                cache.resize(SLOTS, None);
            }
            if let Some((known_high, known_low, statement)) = &cache[slot]
                && *known_high == high
                && *known_low == low
            {
                return Some(Arc::clone(statement));
            }
            let statement = Arc::new(NormalizedStatement::of(sql));
            cache[slot] = Some((high, low, Arc::clone(&statement)));
            Some(statement)
        })
        .ok()
        .flatten();
    (cached.unwrap_or_else(|| Arc::new(NormalizedStatement::of(sql))), high)
}

/// Hashes bytes under this process's key: for look-ups in memory only.
pub(crate) fn hash_key(bytes: &[u8]) -> u64 {
    hash(bytes).0
}

/// Two 64-bit hashes in one pass, by folded 128-bit multiplication (the
/// construction of wyhash, Wang Yi 2019), 16 bytes a step.
fn hash(bytes: &[u8]) -> (u64, u64) {
    let key = &*KEY;
    let mut high = key[0] ^ bytes.len() as u64;
    let mut low = key[1];
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        let (left, right) = (word(&chunk[..8]), word(&chunk[8..]));
        high = fold(high ^ left, key[2] ^ right);
        low = fold(low ^ right, key[3] ^ left);
    }
    let rest = chunks.remainder();
    let (left, right) = rest.split_at(rest.len().min(8));
    let (left, right) = (word(left), word(right));
    high = fold(high ^ left, key[2] ^ right);
    low = fold(low ^ right, key[3] ^ left);
    (fold(high ^ key[3], low ^ key[1]), fold(low ^ key[2], high ^ key[0]))
}

fn word(bytes: &[u8]) -> u64 {
    if let Ok(whole) = <[u8; 8]>::try_from(bytes) {
        return u64::from_le_bytes(whole);
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[expect(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_that_differ_in_one_byte_or_in_length_differ() {
        let mut seen = HashSet::new();
        for length in 0..200 {
            assert!(seen.insert(hash(&vec![b'a'; length])), "length {length}");
            for position in 0..length {
                let mut text = vec![b'a'; length];
                text[position] = b'b';
                assert!(seen.insert(hash(&text)), "length {length}, position {position}");
            }
        }
    }

    #[test]
    fn a_cached_statement_is_the_same_object() {
        let first = of_text("select 1 from cached").0;
        assert!(Arc::ptr_eq(&first, &of_text("select 1 from cached").0));
        assert_ne!(of_text("select 2 from cached").1, of_text("select 1 from cached").1);
        assert_eq!(of_text("select 2 from cached").0, first);
    }
}
