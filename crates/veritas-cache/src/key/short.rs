//! Short parts: encoded into two words, which stay in registers. Most keys are one integer.

use super::{NEGATIVE, NON_NEGATIVE};

/// An encoded part of at most 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// The bytes, little-endian, with zeros behind them.
    words: [u64; 2],
    len: usize,
}

impl Short {
    /// Encodes an integer, if it has at most 64 bits.
    #[inline]
    pub(super) fn integer(negative: bool, magnitude: u128) -> Option<Self> {
        let magnitude = u64::try_from(magnitude).ok()?;
        let tag = if negative { NEGATIVE } else { NON_NEGATIVE };
        let zeros = magnitude.leading_zeros() / 8;
        let len = 8 - zeros as usize;
        // Shifted up, the most significant byte comes first and zeros behind the last one.
        let significant = magnitude.checked_shl(8 * zeros).unwrap_or(0).swap_bytes();
        let low = significant << 16 | (len as u64) << 8 | u64::from(tag);
        Some(Self { words: [low, significant >> 48], len: 2 + len })
    }

    #[inline]
    pub(crate) const fn words(self) -> [u64; 2] {
        self.words
    }

    /// Returns the bytes with zeros behind them.
    #[inline]
    pub(crate) fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[inline]
    pub(crate) const fn len(self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZero, sync::Arc};

    use crate::{KeyEncoder, KeyPart};

    #[track_caller]
    fn check(part: &impl KeyPart) {
        let short = part.short().expect("it is short");
        let mut encoder = KeyEncoder::new();
        // Behind something else, so that it is encoded without being short.
        encoder.push(&[9; 60]);
        part.encode(&mut encoder);
        let bytes = short.bytes();
        let (text, zeros) = bytes.split_at(short.len());
        assert_eq!(text, &encoder.as_bytes()[60..]);
        assert!(zeros.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_short_part_is_encoded_as_ever() {
        for shift in 0..64 {
            for magnitude in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                check(&magnitude);
                check(&u128::from(magnitude));
                check(&magnitude.cast_signed());
                check(&magnitude.cast_signed().wrapping_neg());
                check(&i128::from(magnitude).wrapping_neg());
                check(&&Arc::new(magnitude));
            }
        }
        check(&u8::MAX);
        check(&i32::MIN);
        check(&usize::MAX);
        check(&isize::MIN);
        check(&NonZero::<u16>::MAX);
    }

    #[test]
    fn what_is_longer_is_not_short() {
        assert_eq!(u128::MAX.short(), None);
        assert_eq!(i128::MIN.short(), None);
        assert_eq!("a".short(), None);
    }
}
