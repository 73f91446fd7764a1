//! Codecs: how a value becomes bytes and back, whoever wrote the bytes.

mod compression;
mod guard;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use self::compression::{compressed, decompressed};
use self::guard::Budget;

/// How values are written in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Postcard: small and fast; read by Rust programs that know the type. A changed
    /// type needs a new `schema`, since nothing in the bytes names a field.
    #[default]
    Postcard,
    /// `MessagePack` with named fields: other languages read it too. Fields may be
    /// added (with `#[serde(default)]`) and removed without a new `schema`.
    MessagePack,
}

impl Codec {
    /// Returns the number that stands in a frame.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Postcard => 1,
            Self::MessagePack => 2,
        }
    }

    /// Reads the number that stands in a frame.
    pub(crate) const fn of_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Postcard),
            2 => Some(Self::MessagePack),
            _ => None,
        }
    }

    /// Writes a value. `None` when its type cannot be written so (a map whose length
    /// is not known, an error of its own `Serialize`).
    pub(crate) fn encode<V: Serialize>(self, value: &V) -> Option<Vec<u8>> {
        match self {
            Self::Postcard => postcard::to_stdvec(value).ok(),
            Self::MessagePack => rmp_serde::to_vec_named(value).ok(),
        }
    }

    /// Reads a value; bytes left over are an error, since another type wrote them.
    ///
    /// The bytes may be hostile: nesting is limited to 96 levels, and elements to
    /// eight a byte and a million, so that neither the stack nor the time runs out
    /// over a recursive type or a sequence of empty elements. Memory is bounded by
    /// what the type makes of one byte: serde itself reserves at most 1 MiB on the
    /// word of a length.
    pub(crate) fn decode<V: DeserializeOwned>(self, bytes: &[u8]) -> Result<V, Undecodable> {
        let budget = Budget::for_length(bytes.len());
        match self {
            Self::Postcard => {
                let mut reader = postcard::Deserializer::from_bytes(bytes);
                let value = guard::deserialize(&mut reader, &budget).map_err(|_| Undecodable)?;
                let rest = reader.finalize().map_err(|_| Undecodable)?;
                rest.is_empty().then_some(value).ok_or(Undecodable)
            }
            Self::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                let value = guard::deserialize(&mut reader, &budget).map_err(|_| Undecodable)?;
                // The reader does not tell where it stands; at the end there is no next marker.
                match u8::deserialize(&mut reader) {
                    Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
                    _ => Err(Undecodable),
                }
            }
        }
    }
}

/// The bytes are no value of the type that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undecodable;

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no value of this type")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use proptest::prelude::*;

    const CODECS: [Codec; 2] = [Codec::Postcard, Codec::MessagePack];

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Unit,
        Newtype(u32),
        Tuple(i64, String),
        Struct { name: Option<String>, parts: Vec<Shape> },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Record {
        id: u64,
        ratio: f64,
        tiny: i8,
        huge: u128,
        letter: char,
        pair: (bool, Option<(u8,)>),
        text: String,
        bytes: Vec<u8>,
        shapes: Vec<Shape>,
        map: BTreeMap<String, (u16, f32)>,
        nothing: (),
    }

    fn record() -> Record {
        Record {
            id: u64::MAX,
            ratio: -0.5,
            tiny: -7,
            huge: u128::MAX - 1,
            letter: 'é',
            pair: (true, Some((3,))),
            text: "content".repeat(20),
            bytes: (0..=255).collect(),
            shapes: vec![
                Shape::Unit,
                Shape::Newtype(9),
                Shape::Tuple(-1, "a".into()),
                Shape::Struct { name: None, parts: vec![Shape::Unit, Shape::Newtype(1)] },
            ],
            map: BTreeMap::from([("b".to_owned(), (1, 0.5)), ("a".to_owned(), (2, 1.5))]),
            nothing: (),
        }
    }

    #[test]
    fn every_shape_of_data_comes_back() {
        for codec in CODECS {
            let bytes = codec.encode(&record()).unwrap();
            assert_eq!(codec.decode::<Record>(&bytes), Ok(record()), "{codec:?}");
            assert_eq!(Codec::of_number(codec.number()), Some(codec));
        }
    }

    #[test]
    fn named_fields_are_names_in_message_pack() {
        let bytes = Codec::MessagePack.encode(&record()).unwrap();
        assert!(bytes.windows(5).any(|window| window == b"ratio"));
    }

    #[test]
    fn bytes_left_over_are_no_value() {
        for codec in CODECS {
            let mut bytes = codec.encode(&7_u32).unwrap();
            bytes.push(0);
            assert_eq!(codec.decode::<u32>(&bytes), Err(Undecodable));
        }
    }

    #[derive(Debug, Serialize, Deserialize)]
    enum Tower {
        Ground,
        Floor(Box<Tower>),
    }

    #[test]
    fn a_tower_of_boxes_does_not_exhaust_the_stack() {
        let hostile = vec![1_u8; 1 << 20];
        assert!(Codec::Postcard.decode::<Tower>(&hostile).is_err());
        // {"Floor": {"Floor": ...
        let hostile = b"\x81\xa5Floor".repeat(1 << 16);
        assert!(Codec::MessagePack.decode::<Tower>(&hostile).is_err());
        let low = Tower::Floor(Box::new(Tower::Floor(Box::new(Tower::Ground))));
        for codec in CODECS {
            assert!(codec.decode::<Tower>(&codec.encode(&low).unwrap()).is_ok());
        }
    }

    #[test]
    fn a_long_sequence_of_nothing_does_not_exhaust_the_time() {
        // The length 2^63 of elements that take no byte each.
        let hostile = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        assert!(Codec::Postcard.decode::<Vec<()>>(&hostile).is_err());
        let honest = Codec::Postcard.encode(&vec![(); 1_000]).unwrap();
        assert_eq!(Codec::Postcard.decode::<Vec<()>>(&honest).unwrap().len(), 1_000);
    }

    #[test]
    fn a_length_that_is_not_there_reserves_nothing() {
        // Lengths of 2^32 − 1 and beyond, and nothing behind them.
        for hostile in [
            &b"\xff\xff\xff\xff\x0f"[..],
            b"\xdd\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
        ] {
            for codec in CODECS {
                assert!(codec.decode::<Vec<u64>>(hostile).is_err());
                assert!(codec.decode::<String>(hostile).is_err());
                assert!(codec.decode::<HashMap<String, String>>(hostile).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for codec in CODECS {
                drop(codec.decode::<Record>(&bytes));
                drop(codec.decode::<Shape>(&bytes));
                drop(codec.decode::<HashMap<String, Vec<Option<String>>>>(&bytes));
            }
        }
    }
}
