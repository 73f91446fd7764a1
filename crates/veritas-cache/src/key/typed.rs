//! Types that other languages have and the standard library lacks, as parts of
//! keys: a decimal of Rust and one of Python are one key.
//!
//! They hold figures and do no arithmetic: make them from the types of the crates
//! that you use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use veritas_model::Timestamp;

use super::{DATE, DATE_TIME, DECIMAL, DURATION, KeyEncoder, KeyPart, TIME_OF_DAY, UUID, ZONED};

/// A decimal number as it is written: `1.0` and `1.00` are two keys, since what is
/// made of them may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i128,
    exponent: i32,
}

impl Decimal {
    /// Wraps `mantissa` · 10^`exponent`: 1.50 is `new(150, -2)`.
    pub const fn new(mantissa: i128, exponent: i32) -> Self {
        Self { mantissa, exponent }
    }
}

impl KeyPart for Decimal {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[DECIMAL]);
        self.mantissa.encode(key);
        self.exponent.encode(key);
    }
}

/// A UUID: its 16 bytes in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl KeyPart for Uuid {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[UUID]);
        key.push(&self.0);
    }
}

/// A day of the calendar: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Date(pub i64);

impl KeyPart for Date {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[DATE]);
        self.0.encode(key);
    }
}

/// A time of day without a date: time since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeOfDay(pub Duration);

impl KeyPart for TimeOfDay {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[TIME_OF_DAY]);
        self.0.as_nanos().encode(key);
    }
}

/// A date and time of a calendar on the wall, in no zone: nanoseconds since its
/// 1970-01-01T00:00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalDateTime(pub i128);

impl KeyPart for LocalDateTime {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[DATE_TIME]);
        self.0.encode(key);
    }
}

/// A date and time in a zone. The same instant in another zone is another key,
/// since what is made of it (its day, say) may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ZonedDateTime<'a> {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub nanos: i128,
    /// What the zone's clocks are ahead of UTC at that time, in seconds.
    pub offset_seconds: i32,
    /// The zone's name ("Europe/Berlin"), or `None` for a plain offset.
    pub zone: Option<&'a str>,
}

impl KeyPart for ZonedDateTime<'_> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[ZONED]);
        self.nanos.encode(key);
        self.offset_seconds.encode(key);
        self.zone.encode(key);
    }
}

impl KeyPart for SystemTime {
    fn encode(&self, key: &mut KeyEncoder) {
        let nanos = match self.duration_since(UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        ZonedDateTime { nanos, offset_seconds: 0, zone: None }.encode(key);
    }
}

impl KeyPart for Timestamp {
    fn encode(&self, key: &mut KeyEncoder) {
        ZonedDateTime { nanos: i128::from(self.nanos()), offset_seconds: 0, zone: None }.encode(key);
    }
}

impl KeyPart for Duration {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[DURATION]);
        self.as_nanos().encode(key);
    }
}

/// A duration that may be negative, in nanoseconds: one key with the `Duration` as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignedDuration(pub i128);

impl KeyPart for SignedDuration {
    fn encode(&self, key: &mut KeyEncoder) {
        key.push(&[DURATION]);
        self.0.encode(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheKey;

    #[test]
    fn what_means_the_same_is_one_key() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(5);
        assert_eq!(CacheKey::of(&time), CacheKey::of(&Timestamp::from_nanos(5)));
        assert_eq!(CacheKey::of(&Duration::from_secs(1)), CacheKey::of(&SignedDuration(1_000_000_000)));
        let before = SystemTime::UNIX_EPOCH - Duration::from_nanos(5);
        assert_eq!(CacheKey::of(&before), CacheKey::of(&Timestamp::from_nanos(-5)));
    }

    #[test]
    fn what_may_be_printed_differently_is_several() {
        assert_ne!(CacheKey::of(&Decimal::new(10, -1)), CacheKey::of(&Decimal::new(100, -2)));
        let utc = ZonedDateTime { nanos: 0, offset_seconds: 0, zone: None };
        assert_ne!(CacheKey::of(&utc), CacheKey::of(&ZonedDateTime { offset_seconds: 3600, ..utc }));
        assert_ne!(CacheKey::of(&utc), CacheKey::of(&ZonedDateTime { zone: Some("UTC"), ..utc }));
        assert_ne!(CacheKey::of(&utc), CacheKey::of(&LocalDateTime(0)));
    }
}
