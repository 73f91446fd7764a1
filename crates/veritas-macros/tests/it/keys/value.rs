//! Values of every type that keys know, as the test vectors write them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use veritas_cache::{
    Blob, KeyEncoder, KeyPart,
    typed::{Date, Decimal, LocalDateTime, SignedDuration, TimeOfDay, Uuid, ZonedDateTime},
};

/// A value. `Eq` and `Ord` are the twin of the encoding: equal values, and no
/// others, have equal keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Bool(bool),
    Int(i128),
    /// The bits; NaN only as [`NAN`].
    Float(u64),
    Nothing,
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Map(BTreeMap<Value, Value>),
    Set(BTreeSet<Value>),
    Decimal(i128, i32),
    Uuid([u8; 16]),
    Date(i64),
    /// Microseconds, as Python counts; so are the next three.
    Time(u64),
    DateTime(i64),
    Zoned(i64, i32, Option<String>),
    Duration(i64),
    Enumeration(String, Box<Value>),
    Record(String, BTreeMap<String, Value>),
}

pub(crate) const NAN: u64 = 0x7ff8_0000_0000_0000;

impl KeyPart for Value {
    fn encode(&self, key: &mut KeyEncoder) {
        match self {
            Self::Bool(value) => value.encode(key),
            Self::Int(value) => value.encode(key),
            Self::Float(bits) => f64::from_bits(*bits).encode(key),
            Self::Nothing => ().encode(key),
            Self::Text(value) => value.encode(key),
            Self::Bytes(value) => Blob(value).encode(key),
            Self::List(parts) => parts.encode(key),
            Self::Tuple(parts) => {
                key.tuple(parts.len());
                for part in parts {
                    part.encode(key);
                }
            }
            Self::Map(entries) => entries.encode(key),
            Self::Set(parts) => parts.encode(key),
            Self::Decimal(mantissa, exponent) => Decimal::new(*mantissa, *exponent).encode(key),
            Self::Uuid(bytes) => Uuid(*bytes).encode(key),
            Self::Date(days) => Date(*days).encode(key),
            Self::Time(micros) => TimeOfDay(std::time::Duration::from_micros(*micros)).encode(key),
            Self::DateTime(micros) => LocalDateTime(i128::from(*micros) * 1_000).encode(key),
            Self::Zoned(micros, offset_seconds, zone) => {
                let nanos = i128::from(*micros) * 1_000;
                ZonedDateTime { nanos, offset_seconds: *offset_seconds, zone: zone.as_deref() }.encode(key);
            }
            Self::Duration(micros) => SignedDuration(i128::from(*micros) * 1_000).encode(key),
            Self::Enumeration(kind, member) => key.enumeration(kind, &**member),
            Self::Record(kind, fields) => {
                let mut fields: Vec<(&str, &dyn KeyPart)> =
                    fields.iter().map(|(name, part)| (name.as_str(), part as &dyn KeyPart)).collect();
                key.record(kind, &mut fields);
            }
        }
    }
}

impl Value {
    /// Writes the value as the vectors do.
    pub(crate) fn written(&self) -> Json {
        let all = |parts: &[Self]| parts.iter().map(Self::written).collect::<Vec<_>>();
        match self {
            Self::Bool(value) => json!({ "bool": value }),
            Self::Int(value) => json!({ "int": value.to_string() }),
            Self::Float(bits) => json!({ "float": format!("{bits:016x}") }),
            Self::Nothing => json!({ "nothing": null }),
            Self::Text(value) => json!({ "text": value }),
            Self::Bytes(value) => json!({ "bytes": hex(value) }),
            Self::List(parts) => json!({ "list": all(parts) }),
            Self::Tuple(parts) => json!({ "tuple": all(parts) }),
            Self::Map(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|(name, part)| [name.written(), part.written()]).collect();
                json!({ "map": entries })
            }
            Self::Set(parts) => json!({ "set": parts.iter().map(Self::written).collect::<Vec<_>>() }),
            Self::Decimal(mantissa, exponent) => json!({ "decimal": format!("{mantissa}e{exponent}") }),
            Self::Uuid(bytes) => json!({ "uuid": hex(bytes) }),
            Self::Date(days) => json!({ "date": days }),
            Self::Time(micros) => json!({ "time": nanos(i128::from(*micros)) }),
            Self::DateTime(micros) => json!({ "datetime": nanos(i128::from(*micros)) }),
            Self::Zoned(micros, offset, zone) => {
                json!({ "zoned": [nanos(i128::from(*micros)), offset, zone] })
            }
            Self::Duration(micros) => json!({ "duration": nanos(i128::from(*micros)) }),
            Self::Enumeration(kind, member) => match &**member {
                Self::Text(member) => json!({ "enumeration": [kind, member] }),
                other => panic!("members are named here, not {other:?}"),
            },
            Self::Record(kind, fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, part)| json!([name, part.written()])).collect();
                json!({ "record": [kind, fields] })
            }
        }
    }
}

fn nanos(micros: i128) -> String {
    (micros * 1_000).to_string()
}

/// A call as the vectors write it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) arguments: BTreeMap<String, Value>,
}

impl KeyPart for Call {
    fn encode(&self, key: &mut KeyEncoder) {
        key.call(self.version, self.arguments.len());
        for (name, part) in &self.arguments {
            key.argument(name, part);
        }
    }
}

impl Call {
    /// Writes the call, and the key that it has here.
    pub(crate) fn written(&self) -> Json {
        let arguments: Vec<_> =
            self.arguments.iter().map(|(name, part)| json!([name, part.written()])).collect();
        json!({
            "name": self.name,
            "version": self.version,
            "arguments": arguments,
            "key": hex(&veritas_cache::CacheKey::of(self).canonical(&self.name)),
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text does not fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
        hex
    })
}
