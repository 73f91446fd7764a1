//! Made-up values and calls, seeded: the same ones at each run.

use std::collections::BTreeMap;

use super::value::{Call, NAN, Value};

/// A stream of numbers from a seed: `SplitMix64` (Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn signed(&mut self, magnitude: u64) -> i64 {
        let value = self.below(magnitude).cast_signed();
        if self.below(2) == 0 { value } else { -value }
    }

    /// Makes a small value as often as one at the edge of its type: small ones meet.
    pub(crate) fn integer(&mut self) -> i128 {
        match self.below(6) {
            0 => i128::from(self.below(3)),
            1 => i128::from(self.signed(300)),
            2 => [i128::MIN, i128::MAX, 0, -1, 255, 256, -256, 65_535, 65_536][self.index(9)],
            3 => i128::from(self.next()),
            4 => i128::from(self.next().cast_signed()),
            _ => (i128::from(self.next()) << 40) ^ i128::from(self.next()),
        }
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    pub(crate) fn text(&mut self) -> String {
        const PIECES: [&str; 14] =
            ["", "a", "b", "1", "0", ":", " ", ",", "None", "\0", "é", "\u{10ffff}", "id", "\u{7f}"];
        let pieces = [0, 1, 1, 2, 3, 40][self.index(6)];
        (0..pieces).map(|_| PIECES[self.index(PIECES.len())]).collect()
    }

    fn float(&mut self) -> u64 {
        let value = match self.below(4) {
            0 => [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324]
                [self.index(8)],
            1 => f64::from(i32::try_from(self.signed(300)).unwrap_or(0)),
            _ => f64::from_bits(self.next()),
        };
        if value.is_nan() { NAN } else { value.to_bits() }
    }

    /// Microseconds from the year 1 to 9999, as far as Python goes.
    fn micros(&mut self) -> i64 {
        match self.below(3) {
            0 => self.signed(3),
            1 => self.signed(86_400_000_000),
            _ => self.signed(60_000_000_000_000_000),
        }
    }

    fn zone(&mut self, micros: i64) -> Value {
        let offset = [0, 3_600, -3_600, 20_700, 19_800][self.index(5)];
        let named = self.below(4) == 0;
        // A zone without summer times, so that its offset needs no table here.
        if named {
            Value::Zoned(micros, 0, Some("UTC".to_owned()))
        } else {
            Value::Zoned(micros, offset, None)
        }
    }

    fn scalar(&mut self) -> Value {
        match self.below(16) {
            0 => Value::Bool(self.below(2) == 0),
            1..=3 => Value::Int(self.integer()),
            4 => Value::Float(self.float()),
            5 => Value::Nothing,
            6..=8 => Value::Text(self.text()),
            9 => Value::Bytes(self.text().into_bytes()),
            10 => Value::Decimal(self.integer(), i32::try_from(self.signed(30)).unwrap_or(0)),
            11 => Value::Uuid(std::array::from_fn(|_| u8::try_from(self.below(3)).unwrap_or(0))),
            12 => Value::Date(self.signed(700_000)),
            13 => Value::Time(self.below(86_400_000_000)),
            14 => Value::DateTime(self.micros()),
            _ => {
                let micros = self.micros();
                if self.below(2) == 0 { self.zone(micros) } else { Value::Duration(micros) }
            }
        }
    }

    /// Makes a value at most `depth` levels deep.
    pub(crate) fn value(&mut self, depth: u32) -> Value {
        if depth == 0 || self.below(3) > 0 {
            return self.scalar();
        }
        let count = self.below(4);
        match self.below(7) {
            0 | 1 => Value::List((0..count).map(|_| self.value(depth - 1)).collect()),
            2 | 3 => Value::Tuple((0..count).map(|_| self.value(depth - 1)).collect()),
            // Python takes 1, 1.0 and True for one key of a dict: keys are of one type here.
            4 => Value::Map((0..count).map(|_| (Value::Text(self.text()), self.value(depth - 1))).collect()),
            5 => Value::Set((0..count).map(|_| Value::Int(self.integer())).collect()),
            _ if self.below(2) == 0 => {
                let kind = ["Color", "shop.Color"][self.index(2)].to_owned();
                let member = ["RED", "BLUE"][self.index(2)].to_owned();
                Value::Enumeration(kind, Box::new(Value::Text(member)))
            }
            _ => {
                let fields =
                    self.names(count).into_iter().map(|name| (name, self.value(depth - 1))).collect();
                Value::Record(["Point", "shop.Point"][self.index(2)].to_owned(), fields)
            }
        }
    }

    fn names(&mut self, count: u64) -> Vec<String> {
        const NAMES: [&str; 6] = ["a", "b", "id", "user_id", "section", "x9"];
        (0..count).map(|_| NAMES[self.index(NAMES.len())].to_owned()).collect()
    }

    pub(crate) fn call(&mut self, depth: u32) -> Call {
        let count = self.below(4);
        let names = self.names(count);
        Call {
            name: ["user", "shop.user", "päge"][self.index(3)].to_owned(),
            version: [0, 0, 1, 2, 127, 128, u32::MAX][self.index(7)],
            arguments: names.into_iter().map(|name| (name, self.value(depth))).collect::<BTreeMap<_, _>>(),
        }
    }

    /// Makes a value that a careless encoding takes for `value`, or another one.
    pub(crate) fn neighbour(&mut self, value: &Value, depth: u32) -> Value {
        match (self.below(3), value) {
            (0, Value::Int(value)) => Value::Text(value.to_string()),
            (1, Value::Int(0)) => Value::Bool(false),
            (_, Value::Int(1)) => Value::Bool(true),
            (0, Value::Text(text)) => Value::Bytes(text.clone().into_bytes()),
            (1, Value::Text(text)) => {
                Value::Tuple(text.split(':').map(|part| Value::Text(part.to_owned())).collect())
            }
            (0, Value::List(parts)) => Value::Tuple(parts.clone()),
            (1, Value::List(parts) | Value::Tuple(parts)) => Value::Tuple(vec![Value::Tuple(parts.clone())]),
            (2, Value::List(parts)) => Value::List(parts.iter().rev().cloned().collect()),
            (0, Value::Decimal(mantissa, exponent)) => {
                Value::Decimal(mantissa.saturating_mul(10), exponent - 1)
            }
            (0, Value::Nothing) => Value::Text("None".to_owned()),
            (0, Value::DateTime(micros)) => Value::Zoned(*micros, 0, None),
            (0, Value::Zoned(micros, offset, _)) => Value::Zoned(*micros, offset + 60, None),
            (1, other) => other.clone(),
            _ => self.value(depth),
        }
    }
}
