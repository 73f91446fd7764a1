//! Keys as text that people can read.

use std::fmt::{self, Write as _};

use super::{
    BYTES, CALL, DATE, DATE_TIME, DECIMAL, DURATION, ENUMERATION, FALSE, FLOAT, MAP, NEGATIVE, NON_NEGATIVE,
    NOTHING, RECORD, SEQUENCE, SET, SOMETHING, TEXT, TIME_OF_DAY, TRUE, TUPLE, UUID, ZONED,
};

/// Parts within parts are followed this deep.
const DEEPEST: u32 = 32;

/// More characters than this are cut off.
const LONGEST: usize = 1_024;

/// Returns an encoded key as text that people can read: `("user", 123)`. Parts that
/// follow one another stand beside one another. What is no encoded key is shown as
/// its bytes in hexadecimal, and what is longer than 1,024 characters is cut off
/// with a `…`. Not for machines: two keys may read alike.
pub fn readable(encoded: &[u8]) -> String {
    let mut reader = Reader { rest: encoded, text: Text::default() };
    while !reader.rest.is_empty() && !reader.text.is_full() {
        if !reader.text.text.is_empty() {
            reader.text.text.push(' ');
        }
        if reader.part(0).is_none() {
            let mut text = Text::default();
            text.hex(encoded);
            return text.finish();
        }
    }
    reader.text.finish()
}

/// Text that stops to grow.
#[derive(Default)]
struct Text {
    text: String,
}

impl Text {
    fn is_full(&self) -> bool {
        self.text.len() > 4 * LONGEST
    }

    fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(LONGEST) {
            self.write(format_args!("{byte:02x}"));
        }
    }

    fn write(&mut self, arguments: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        _ = self.text.write_fmt(arguments);
    }

    fn finish(self) -> String {
        match self.text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &self.text[..end]),
            None => self.text,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    text: Text,
}

impl<'a> Reader<'a> {
    /// Reads one part; `None` when it is none.
    fn part(&mut self, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match self.byte()? {
            FALSE => self.text.text.push_str("false"),
            TRUE => self.text.text.push_str("true"),
            sign @ (NON_NEGATIVE | NEGATIVE) => self.integer(sign)?,
            FLOAT => {
                let bits = u64::from_be_bytes(self.take(8)?.try_into().ok()?);
                self.text.write(format_args!("{:?}", f64::from_bits(bits)));
            }
            NOTHING => self.text.text.push_str("None"),
            SOMETHING => self.wrapped("Some(", depth, 1, ")")?,
            TEXT => {
                let text = self.name()?;
                self.text.write(format_args!("{text:?}"));
            }
            BYTES => {
                let len = self.length()?;
                let bytes = self.take(len)?;
                self.text.text.push_str("b\"");
                self.text.write(format_args!("{}", bytes[..len.min(LONGEST)].escape_ascii()));
                self.text.text.push('"');
            }
            SEQUENCE => self.counted("[", depth, 1, "]")?,
            TUPLE => self.counted("(", depth, 1, ")")?,
            MAP => self.counted("{", depth, 2, "}")?,
            SET => self.counted("{", depth, 1, "}")?,
            CALL => {
                self.length()?;
                self.named(depth)?;
            }
            RECORD => {
                let kind = self.name()?;
                self.text.text.push_str(&kind);
                self.named(depth)?;
            }
            ENUMERATION => {
                let kind = self.name()?;
                self.text.text.push_str(&kind);
                self.wrapped("(", depth, 1, ")")?;
            }
            DECIMAL => self.wrapped("decimal(", depth, 2, ")")?,
            UUID => {
                let bytes = self.take(16)?;
                for (index, byte) in bytes.iter().enumerate() {
                    let dash = if [4, 6, 8, 10].contains(&index) { "-" } else { "" };
                    self.text.write(format_args!("{dash}{byte:02x}"));
                }
            }
            DATE => self.wrapped("date(", depth, 1, ")")?,
            TIME_OF_DAY => self.wrapped("time(", depth, 1, ")")?,
            DATE_TIME => self.wrapped("datetime(", depth, 1, ")")?,
            ZONED => self.wrapped("datetime(", depth, 3, ")")?,
            DURATION => self.wrapped("duration(", depth, 1, ")")?,
            _ => return None,
        }
        Some(())
    }

    fn integer(&mut self, sign: u8) -> Option<()> {
        let len = self.length()?;
        let digits = self.take(len)?;
        if sign == NEGATIVE {
            self.text.text.push('-');
        }
        if len <= 16 {
            let magnitude = digits.iter().fold(0_u128, |sum, digit| sum << 8 | u128::from(*digit));
            self.text.write(format_args!("{magnitude}"));
        } else {
            self.text.text.push_str("0x");
            self.text.hex(digits);
        }
        Some(())
    }

    /// Reads a count and as many groups of parts.
    fn counted(&mut self, open: &str, depth: u32, group: usize, close: &str) -> Option<()> {
        let count = self.length()?;
        self.text.text.push_str(open);
        for index in 0..count {
            if self.text.is_full() {
                break;
            }
            if index > 0 {
                self.text.text.push_str(", ");
            }
            self.part(depth + 1)?;
            if group == 2 {
                self.text.text.push_str(": ");
                self.part(depth + 1)?;
            }
        }
        self.text.text.push_str(close);
        Some(())
    }

    /// Reads so many parts.
    fn wrapped(&mut self, open: &str, depth: u32, count: usize, close: &str) -> Option<()> {
        self.text.text.push_str(open);
        for index in 0..count {
            if index > 0 {
                self.text.text.push_str(", ");
            }
            self.part(depth + 1)?;
        }
        self.text.text.push_str(close);
        Some(())
    }

    /// Reads a count and as many parts with their names.
    fn named(&mut self, depth: u32) -> Option<()> {
        let count = self.length()?;
        self.text.text.push('(');
        for index in 0..count {
            if self.text.is_full() {
                break;
            }
            let name = self.name()?;
            let comma = if index > 0 { ", " } else { "" };
            self.text.write(format_args!("{comma}{name}="));
            self.part(depth + 1)?;
        }
        self.text.text.push(')');
        Some(())
    }

    fn name(&mut self) -> Option<std::borrow::Cow<'a, str>> {
        let len = self.length()?;
        let bytes = self.take(len)?;
        Some(String::from_utf8_lossy(&bytes[..len.min(4 * LONGEST)]))
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{Blob, CacheKey, KeyEncoder, KeyPart, typed};

    struct With<F>(F);

    impl<F: Fn(&mut KeyEncoder)> KeyPart for With<F> {
        fn encode(&self, key: &mut KeyEncoder) {
            (self.0)(key);
        }
    }

    #[track_caller]
    fn check(key: &(impl KeyPart + ?Sized), expected: &str) {
        assert_eq!(CacheKey::of(key).readable(), expected);
    }

    #[test]
    fn keys_read_as_they_are_written_in_a_program() {
        check(&("user", 123), r#"("user", 123)"#);
        check(&(true, -5, 1.5, None::<u8>), "(true, -5, 1.5, None)");
        check(&Some(None::<u8>), "Some(None)");
        check(&[1, 2], "[1, 2]");
        check(&BTreeMap::from([("a", 1), ("b", 2)]), r#"{"a": 1, "b": 2}"#);
        check(&Blob(b"\x00a"), r#"b"\x00a""#);
        check(&i128::MIN, "-170141183460469231731687303715884105728");
        check(
            &With(|key: &mut KeyEncoder| key.record("Page", &mut [("size", &2), ("number", &1)])),
            "Page(number=1, size=2)",
        );
        check(&With(|key: &mut KeyEncoder| key.enumeration("Color", &"red")), r#"Color("red")"#);
        check(&typed::Decimal::new(150, -2), "decimal(150, -2)");
        check(&typed::Uuid([0xab; 16]), "abababab-abab-abab-abab-abababababab");
        check(
            &With(|key: &mut KeyEncoder| {
                key.call(3, 1);
                key.argument("id", &7);
            }),
            "(id=7)",
        );
        check("", r#""""#);
    }

    #[test]
    fn what_is_too_long_is_cut_off_and_what_is_no_key_is_shown_as_bytes() {
        let text = CacheKey::of("ü".repeat(5_000).as_str()).readable();
        assert_eq!((text.chars().count(), text.ends_with('…')), (LONGEST + 1, true));
        assert_eq!(readable(b"\xff\x01"), "ff01");
        assert_eq!(readable(b"\x09\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "09ffffffffffffffffffffff");
        assert_eq!(readable(&[0x06; 100]), "06".repeat(100));
        assert_eq!(readable(b""), "");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(0..0x18_u8, 0..200), noise: Vec<u8>) {
            for bytes in [bytes, noise] {
                prop_assert!(readable(&bytes).chars().count() <= LONGEST + 1);
            }
        }
    }
}
