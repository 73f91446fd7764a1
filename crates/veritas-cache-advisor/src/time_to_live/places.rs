//! Which keys are followed, told by their hashes.

/// The hash of a key is already one.
pub(super) type ByItself = std::hash::BuildHasherDefault<Same>;

#[derive(Debug, Default)]
pub(super) struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        // Sampled hashes are small numbers: their high bits are all zero.
        self.0 = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Tells the keys of the head that are not in the sample from nearly all others:
/// one bit for each value of the low bits of a hash.
#[derive(Debug)]
pub(super) struct Head(Box<[u64; Self::WORDS]>);

impl Head {
    pub(super) const BYTES: usize = size_of::<[u64; Self::WORDS]>();

    const WORDS: usize = 512;

    pub(super) fn nobody() -> Self {
        Self(Box::new([0; Self::WORDS]))
    }

    const fn place(hash: u64) -> (usize, u64) {
        ((hash >> 6) as usize % Self::WORDS, 1 << (hash % 64))
    }

    #[inline]
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let (word, bit) = Self::place(hash);
        self.0[word] & bit != 0
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let (word, bit) = Self::place(hash);
        self.0[word] |= bit;
    }
}
