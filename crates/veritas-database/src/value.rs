//! Values bound to a statement, independent of any driver.

use std::mem::size_of;

/// A value bound to a parameter of a statement.
///
/// Values are held in memory for proofs only ([`crate::RecorderOptions::keep_parameters`]):
/// they are never stored and never served.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// Returns how many bytes the value holds in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Integer(_) | Self::Real(_) => 0,
                Self::Text(text) => text.len(),
                Self::Blob(bytes) => bytes.len(),
            }
    }

    /// Mixes the value into a hash that tells equal keys from different ones
    /// within this process.
    pub(crate) fn mix_into(&self, mut mix: impl FnMut(u64, &[u8])) {
        match self {
            Self::Null => mix(0, &[]),
            Self::Integer(value) => mix(1, &value.to_le_bytes()),
            Self::Real(value) => mix(2, &value.to_bits().to_le_bytes()),
            Self::Text(text) => mix(3, text.as_bytes()),
            Self::Blob(bytes) => mix(4, bytes),
        }
    }
}

macro_rules! from_integer {
    ($($integer:ty),+) => { $(
        impl From<$integer> for Value {
            fn from(value: $integer) -> Self {
                Self::Integer(i64::from(value))
            }
        }
    )+ };
}
from_integer!(i8, i16, i32, i64, u8, u16, u32, bool);

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_null() {
        assert_eq!(Value::from(None::<i64>), Value::Null);
        assert_eq!(Value::from(Some(3_i64)), Value::Integer(3));
    }

    #[test]
    fn long_text_counts_with_its_bytes() {
        assert_eq!(Value::from("abc").size(), Value::Null.size() + 3);
    }
}
