//! Times and sizes as text: `"5m"`, `"16 MiB"`.

use std::time::Duration;

use syn::LitStr;

const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads a time, at least one millisecond.
pub(super) fn time(text: &LitStr) -> syn::Result<Duration> {
    match number(&text.value(), &TIMES) {
        Some(0) => Err(syn::Error::new(text.span(), "a time of 0 keeps nothing")),
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err(syn::Error::new(
            text.span(),
            "a time is a whole number with a unit: \"500ms\", \"30s\", \"5m\", \"2h\", \"1d\"",
        )),
    }
}

/// Reads a number of bytes, at least one.
pub(super) fn size(text: &LitStr) -> syn::Result<u64> {
    match number(&text.value(), &SIZES) {
        Some(0) => Err(syn::Error::new(text.span(), "a size of 0 keeps nothing")),
        Some(bytes) => Ok(bytes),
        None => Err(syn::Error::new(
            text.span(),
            "a size is a whole number with a unit: \"512 B\", \"64 KiB\", \"16 MiB\", \"1 GiB\"",
        )),
    }
}

fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit_and_fits() {
        assert_eq!(number("5m", &TIMES), Some(300_000));
        assert_eq!(number("1500 ms", &TIMES), Some(1_500));
        assert_eq!(number("16 MiB", &SIZES), Some(16 << 20));
        for wrong in [
            "",
            "5",
            "m",
            "-5m",
            "5 m ",
            "5.5m",
            "5M",
            "5mm",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(number(wrong, &TIMES), None, "{wrong}");
        }
    }
}
