//! Lines, fields and numbers of kernel text.

/// Returns the lines of `data`, without their ends.
pub fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Returns the fields of `line` between blanks.
pub fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// Reads a whole field of decimal digits; `None` when it is anything else or
/// does not fit.
pub fn unsigned(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Reads a whole field that is a finite decimal number.
pub fn decimal(field: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(field).ok()?;
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
    text.parse().ok().filter(|value: &f64| is_plain && value.is_finite())
}

/// Reads the number that follows `key` at the start of a line of `data`
/// (`key 123` or `key: 123 kB`).
pub fn keyed(data: &[u8], key: &[u8]) -> Option<u64> {
    lines(data).find_map(|line| {
        let rest = line.strip_prefix(key)?;
        let rest = rest.strip_prefix(b":").unwrap_or(rest);
        rest.first().is_some_and(u8::is_ascii_whitespace).then_some(())?;
        fields(rest).next().and_then(unsigned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_that_fit() {
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), None);
        for not_a_number in [b"".as_slice(), b"-1", b"1a", b"max", b"+1"] {
            assert_eq!(unsigned(not_a_number), None);
        }
    }

    #[test]
    fn a_decimal_is_plain_and_finite() {
        assert_eq!(decimal(b"12.34"), Some(12.34));
        for not_a_decimal in [b"".as_slice(), b"nan", b"inf", b"1e5", b"\xff"] {
            assert_eq!(decimal(not_a_decimal), None);
        }
    }

    #[test]
    fn a_key_is_a_whole_word() {
        let text = b"inactive_file 5\ninactive_file_x 6\nMemTotal:  42 kB\n";
        assert_eq!(keyed(text, b"inactive_file"), Some(5));
        assert_eq!(keyed(text, b"MemTotal"), Some(42));
        assert_eq!(keyed(text, b"active_file"), None);
    }
}
