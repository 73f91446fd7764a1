//! The values of parameters, read from what the driver would send (PostgreSQL's binary
//! formats), as text where the server would take them as text.

use std::fmt::Write as _;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type};

use crate::Value;

/// Elements of an array that are read; longer arrays are kept as bytes.
const ELEMENTS: usize = 256;

/// Reads the values of a prepared statement's parameters; empty when one cannot be read.
pub(super) fn of(types: &[Type], parameters: &[&(dyn ToSql + Sync)]) -> Vec<Value> {
    if types.len() != parameters.len() {
        return Vec::new();
    }
    typed(parameters.iter().copied().zip(types))
}

/// Reads values whose types are given; empty when one cannot be read.
pub(super) fn typed<'a>(parameters: impl Iterator<Item = (&'a (dyn ToSql + Sync), &'a Type)>) -> Vec<Value> {
    let mut bytes = BytesMut::new();
    parameters
        .map(|(parameter, kind)| {
            bytes.clear();
            match parameter.to_sql_checked(kind, &mut bytes) {
                Ok(IsNull::Yes) => Some(Value::Null),
                Ok(IsNull::No) => Some(value(kind, &bytes)),
                Err(_) => None,
            }
        })
        .collect::<Option<_>>()
        .unwrap_or_default()
}

fn value(kind: &Type, bytes: &[u8]) -> Value {
    scalar(kind, bytes)
        .or_else(|| match kind.kind() {
            Kind::Domain(inner) => Some(value(inner, bytes)),
            Kind::Enum(_) => text(bytes),
            Kind::Array(element) => array(element, bytes).map(Value::Text),
            _ => None,
        })
        .unwrap_or_else(|| Value::Blob(bytes.to_vec()))
}

fn text(bytes: &[u8]) -> Option<Value> {
    std::str::from_utf8(bytes).ok().map(Value::from)
}

fn scalar(kind: &Type, bytes: &[u8]) -> Option<Value> {
    Some(match *kind {
        Type::BOOL => Value::Integer(i64::from(*bytes.first()? != 0)),
        Type::INT2 => Value::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT4 => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::OID => Value::Integer(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT8 => Value::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
        Type::FLOAT4 => Value::Real(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT8 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::XML | Type::UNKNOWN => {
            text(bytes)?
        }
        // A version, then the text.
        Type::JSONB => text(bytes.get(1..)?)?,
        Type::UUID => uuid(bytes)?,
        Type::DATE => Value::Text(date(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))?),
        Type::TIMESTAMP => Value::Text(instant(i64::from_be_bytes(bytes.try_into().ok()?))?),
        Type::TIMESTAMPTZ => Value::Text(instant(i64::from_be_bytes(bytes.try_into().ok()?))? + "+00"),
        Type::NUMERIC => Value::Text(numeric(bytes)?),
        _ => return None,
    })
}

fn uuid(bytes: &[u8]) -> Option<Value> {
    let number = u128::from_be_bytes(bytes.try_into().ok()?);
    let digits = format!("{number:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Some(Value::Text(parts.join("-")))
}

/// Days from 1970-01-01 to 2000-01-01, where the server's calendar begins.
const EPOCH_DAYS: i64 = 10_957;
const MICROSECONDS_OF_A_DAY: i64 = 86_400_000_000;

/// Writes a day, counted from 2000-01-01, by the Gregorian calendar (Hinnant,
/// "chrono-compatible low-level date algorithms"); `None` for infinity and for years that have
/// not four digits.
fn date(day: i64) -> Option<String> {
    let day = day.checked_add(EPOCH_DAYS)?.checked_add(719_468)?;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (1..=9_999).contains(&year).then(|| format!("{year:04}-{month:02}-{day_of_month:02}"))
}

/// Writes a point in time, in microseconds from 2000-01-01.
fn instant(microseconds: i64) -> Option<String> {
    let day = date(microseconds.div_euclid(MICROSECONDS_OF_A_DAY))?;
    let rest = microseconds.rem_euclid(MICROSECONDS_OF_A_DAY);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Some(format!("{day} {hours:02}:{minutes:02}:{seconds:02}.{fraction:06}"))
}

/// Writes a `numeric`: digits to the base of 10,000, the first of weight `10000^weight`.
fn numeric(bytes: &[u8]) -> Option<String> {
    const NEGATIVE: u16 = 0x4000;
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (count, sign, scale) = (usize::from(word(0)?), word(4)?, usize::from(word(6)?));
    let weight = i16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    if sign != 0 && sign != NEGATIVE {
        return Some("NaN".to_owned()).filter(|_| sign == 0xc000);
    }
    if bytes.len() != 8 + 2 * count || scale > 1_000 || weight.unsigned_abs() > 1_000 {
        return None;
    }
    // The digit of weight `10000^position`.
    let digit = |position: i16| -> u16 {
        usize::try_from(weight - position)
            .ok()
            .filter(|index| *index < count)
            .and_then(|index| word(8 + 2 * index))
            .unwrap_or(0)
    };
    let mut written = String::new();
    for position in (0..=weight.max(0)).rev() {
        let _ = write!(written, "{:04}", digit(position));
    }
    let whole = written.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction = String::new();
    let mut position = -1;
    while fraction.len() < scale {
        let _ = write!(fraction, "{:04}", digit(position));
        position -= 1;
    }
    fraction.truncate(scale);
    let sign = if sign == NEGATIVE { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Writes an array of one dimension as the server writes it: `{1,2,NULL}`.
fn array(element: &Type, bytes: &[u8]) -> Option<String> {
    let int = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match int(0)? {
        0 => return Some("{}".to_owned()),
        1 => {}
        _ => return None,
    }
    let count = usize::try_from(int(12)?).ok().filter(|count| *count <= ELEMENTS)?;
    let mut at = 20;
    let mut written = Vec::with_capacity(count);
    for _ in 0..count {
        let length = int(at)?;
        at += 4;
        if length == -1 {
            written.push("NULL".to_owned());
            continue;
        }
        let length = usize::try_from(length).ok()?;
        let value = scalar(element, bytes.get(at..at.checked_add(length)?)?)?;
        at += length;
        written.push(match value {
            Value::Integer(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
            Value::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Value::Null | Value::Blob(_) => return None,
        });
    }
    Some(format!("{{{}}}", written.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_by_the_calendar() {
        for (day, expected) in [
            (0, "2000-01-01"),
            (59, "2000-02-29"),
            (60, "2000-03-01"),
            (-1, "1999-12-31"),
            (9_823, "2026-11-23"),
            (36_524, "2099-12-31"),
            (-730_119, "0001-01-01"),
        ] {
            assert_eq!(date(day).as_deref(), Some(expected));
        }
        assert_eq!((date(i64::MAX), date(i64::from(i32::MAX)), date(-730_120)), (None, None, None));
        assert_eq!(instant(-1).as_deref(), Some("1999-12-31 23:59:59.999999"));
        assert_eq!(instant(i64::MAX), None, "infinity");
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for bytes in
            [&[][..], &[0, 1], &[0, 9, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 9]]
        {
            assert_eq!(numeric(bytes), None);
            assert_eq!(array(&Type::INT4, bytes), None);
        }
        assert!(of(&[Type::INT4], &[]).is_empty());
        let text: &(dyn ToSql + Sync) = &"x";
        assert!(of(&[Type::INT4], &[text]).is_empty());
    }
}
