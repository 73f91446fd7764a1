//! Short parts: encoded into three words, which stay in registers. Most keys are one
//! integer or one short text.

use super::{NEGATIVE, NON_NEGATIVE, TEXT};

/// Longer parts are not short.
pub(crate) const LONGEST: usize = 24;

/// An encoded part of at most 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// The bytes, little-endian, with zeros behind them.
    words: [u64; 3],
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
        Some(Self { words: [low, significant >> 48, 0], len: 2 + len })
    }

    /// Encodes a text, if it has at most 22 bytes.
    #[inline]
    pub(super) fn text(value: &str) -> Option<Self> {
        let bytes = value.as_bytes();
        let len = bytes.len();
        if len > LONGEST - 2 {
            return None;
        }
        let words = match (bytes.first_chunk(), bytes.last_chunk()) {
            // The last eight bytes overlap those before: these are shifted out.
            (Some(first), Some(last)) => {
                let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
                match bytes.get(8..).and_then(|rest| rest.first_chunk()) {
                    Some(second) => [first, u64::from_le_bytes(*second), after(last, 24 - len)],
                    None => [first, after(last, 16 - len), 0],
                }
            }
            _ => match (bytes.first_chunk(), bytes.last_chunk()) {
                // Where these overlap they are the same.
                (Some(first), Some(last)) => {
                    let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
                    [u64::from(first) | u64::from(last) << (8 * (len - 4)), 0, 0]
                }
                _ => [bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0, 0],
            },
        };
        let [first, second, third] = words;
        let low = first << 16 | (len as u64) << 8 | u64::from(TEXT);
        Some(Self { words: [low, second << 16 | first >> 48, third << 16 | second >> 48], len: 2 + len })
    }

    #[inline]
    pub(crate) const fn words(self) -> [u64; 3] {
        self.words
    }

    #[inline]
    pub(crate) const fn len(self) -> usize {
        self.len
    }
}

/// Returns what is behind the first `bytes` bytes of a little-endian word.
#[inline]
fn after(word: u64, bytes: usize) -> u64 {
    u32::try_from(8 * bytes).ok().and_then(|bits| word.checked_shr(bits)).unwrap_or(0)
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
        let bytes = short.words().map(u64::to_le_bytes);
        let (text, zeros) = bytes.as_flattened().split_at(short.len());
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
        let text = "abcdefghijklmnopqrstuv";
        for len in 0..=text.len() {
            check(&&text[..len]);
            check(&text[..len].to_owned());
        }
        check(&"\0ü\u{ff}");
    }

    #[test]
    fn what_is_longer_is_not_short() {
        assert_eq!(u128::MAX.short(), None);
        assert_eq!(i128::MIN.short(), None);
        assert_eq!("abcdefghijklmnopqrstuvw".short(), None);
        assert_eq!(().short(), None);
    }
}
