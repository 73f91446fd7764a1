//! How one number is written as what differs from the one before it.

use super::varint::{self, Cursor};

/// The ways to write a number; two bits of its head.
pub(super) const INTEGER: u64 = 0;
pub(super) const BITS: u64 = 1;
pub(super) const HUNDREDTHS: u64 = 2;
pub(super) const ABSENT: u64 = 3;

/// Up to here every integer is a float of its own.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Returns the integer that a number is, when writing it as one loses nothing.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn integer_of(number: f64) -> Option<i64> {
    let is_integer = number.abs() <= LARGEST_INTEGER && number.trunc() == number;
    (is_integer && !(number == 0.0 && number.is_sign_negative())).then_some(number as i64)
}

#[expect(clippy::cast_precision_loss, reason = "the range is checked first")]
fn from_integer(integer: i64) -> Option<f64> {
    (integer.unsigned_abs() <= 1 << 53).then_some(integer as f64)
}

/// Returns the hundredths that a number is, when dividing them gives every bit of it back.
fn hundredths_of(number: f64) -> Option<i64> {
    let hundredths = integer_of((number * 100.0).round())?;
    (from_hundredths(hundredths)?.to_bits() == number.to_bits()).then_some(hundredths)
}

fn from_hundredths(hundredths: i64) -> Option<f64> {
    Some(from_integer(hundredths)? / 100.0)
}

/// Returns the bits to compare with; an absent number has none.
fn bits_of(number: f64) -> u64 {
    if number.is_nan() { 0 } else { number.to_bits() }
}

/// A number that differs from the one before, ready to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Difference {
    Integer(i64),
    Bits(u64),
    Hundredths(i64),
    Absent,
}

impl Difference {
    /// Compares `number` with `before`, either NaN when absent; `None` when they are the same.
    pub(super) fn of(before: f64, number: f64) -> Option<Self> {
        if number.to_bits() == before.to_bits() || (number.is_nan() && before.is_nan()) {
            return None;
        }
        if number.is_nan() {
            return Some(Self::Absent);
        }
        if let Some(integer) = integer_of(number) {
            return Some(Self::Integer(integer - integer_of(before).unwrap_or(0)));
        }
        if let Some(hundredths) = hundredths_of(number) {
            return Some(Self::Hundredths(hundredths - hundredths_of(before).unwrap_or(0)));
        }
        Some(Self::Bits(number.to_bits() ^ bits_of(before)))
    }

    pub(super) const fn way(self) -> u64 {
        match self {
            Self::Integer(_) => INTEGER,
            Self::Bits(_) => BITS,
            Self::Hundredths(_) => HUNDREDTHS,
            Self::Absent => ABSENT,
        }
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(delta) | Self::Hundredths(delta) => varint::put_signed(out, delta),
            Self::Bits(bits) => {
                let below = (bits.trailing_zeros() / 8).min(7);
                let bytes = (bits >> (8 * below)).to_le_bytes();
                let count = 8 - (bits.leading_zeros() / 8).min(7) - below;
                #[expect(clippy::cast_possible_truncation, reason = "both are at most 8")]
                out.push((below << 4 | count) as u8);
                out.extend_from_slice(&bytes[..count as usize]);
            }
            Self::Absent => {}
        }
    }
}

/// Reads a number written as it differs from `before`; `None` when it makes no sense.
pub(super) fn read(cursor: &mut Cursor<'_>, way: u64, before: f64) -> Option<f64> {
    match way {
        INTEGER => from_integer(integer_of(before).unwrap_or(0).checked_add(cursor.signed()?)?),
        HUNDREDTHS => from_hundredths(hundredths_of(before).unwrap_or(0).checked_add(cursor.signed()?)?),
        BITS => {
            let head = cursor.byte()?;
            let (below, count) = (usize::from(head >> 4), usize::from(head & 0xf));
            if count == 0 || below + count > 8 {
                return None;
            }
            let mut bytes = [0; 8];
            bytes[below..below + count].copy_from_slice(cursor.bytes(count)?);
            let number = f64::from_bits(u64::from_le_bytes(bytes) ^ bits_of(before));
            (!number.is_nan()).then_some(number)
        }
        ABSENT => Some(f64::NAN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(before: f64, number: f64) -> usize {
        let Some(difference) = Difference::of(before, number) else {
            assert!(before.to_bits() == number.to_bits() || (before.is_nan() && number.is_nan()));
            return 0;
        };
        let mut out = Vec::new();
        difference.put(&mut out);
        let mut cursor = Cursor::new(&out);
        let read = read(&mut cursor, difference.way(), before).expect("it was written");
        assert!(
            read.to_bits() == number.to_bits() || (read.is_nan() && number.is_nan()),
            "{before} {number}"
        );
        assert!(cursor.is_at_end());
        out.len()
    }

    #[test]
    fn numbers_read_back_bit_by_bit() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            12.34,
            99.99,
            0.1,
            1e300,
            -1e-300,
            f64::MIN_POSITIVE,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            LARGEST_INTEGER,
            -LARGEST_INTEGER,
            LARGEST_INTEGER + 2.0,
            f64::MAX,
            1.0 / 3.0,
            90_071_992_547_409.9,
        ];
        for before in numbers {
            for number in numbers {
                check(before, number);
            }
        }
    }

    #[test]
    fn counters_and_rounded_percentages_are_short() {
        assert_eq!(check(1_000_000.0, 1_000_050.0), 1);
        assert_eq!(check(12.34, 12.57), 1);
        assert_eq!(check(f64::NAN, 85.71), 3);
    }

    proptest! {
        #[test]
        fn any_number_reads_back_after_any_other(before: f64, number: f64) {
            check(before, number);
        }

        #[test]
        fn any_hundredths_read_back(before in -100_000_i64..100_000, number in -100_000_i64..100_000) {
            #[expect(clippy::cast_precision_loss, reason = "small integers")]
            check(before as f64 / 100.0, number as f64 / 100.0);
        }
    }
}
