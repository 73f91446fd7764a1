//! `/proc/pressure/*`: pressure stall information.

use crate::parse::scan::{decimal, fields, lines};

/// The averages over ten seconds, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: f64,
    /// All tasks waited; older kernels do not say it of processors.
    pub full: Option<f64>,
}

/// Reads one pressure file. `None` without the `some` line.
pub fn parse_pressure(data: &[u8]) -> Option<Pressure> {
    Some(Pressure { some: average(data, b"some")?, full: average(data, b"full") })
}

fn average(data: &[u8], kind: &[u8]) -> Option<f64> {
    let line = lines(data).find(|line| fields(line).next() == Some(kind))?;
    let value = fields(line).find_map(|field| field.strip_prefix(b"avg10="))?;
    decimal(value).map(|percent| percent.clamp(0.0, 100.0))
}

#[doc(hidden)]
pub fn fuzz_pressure(data: &[u8]) {
    assert!(parse_pressure(data).is_none_or(|pressure| (0.0..=100.0).contains(&pressure.some)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_over_ten_seconds_is_read() {
        let pressure = parse_pressure(
            b"some avg10=1.85 avg60=1.32 avg300=0.41 total=4725143\n\
              full avg10=0.50 avg60=0.00 avg300=0.00 total=0\n",
        );
        assert_eq!(pressure, Some(Pressure { some: 1.85, full: Some(0.5) }));
    }

    #[test]
    fn an_old_kernel_has_no_full_line_for_processors() {
        assert_eq!(
            parse_pressure(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"),
            Some(Pressure { some: 0.0, full: None })
        );
        assert_eq!(parse_pressure(b""), None);
    }
}
