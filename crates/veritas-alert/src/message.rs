//! Messages: what an alert says of its value.

use veritas_model::round2;

/// Returns the title and the value (`High CPU usage: 85%`): at most two
/// decimals, none when the value is whole; the unit is that of the series.
pub fn message(title: &str, series: &str, value: f64) -> String {
    format!("{title}: {}", value_text(series, value))
}

fn value_text(series: &str, value: f64) -> String {
    const KIB: f64 = 1024.0;
    const MIB: f64 = KIB * 1024.0;
    const GIB: f64 = MIB * 1024.0;
    // Adding zero turns a rounded -0 into 0.
    let plain = |value: f64| round2(value) + 0.0;
    if series.ends_with("percent") {
        format!("{}%", plain(value))
    } else if let Some((_, suffix)) = series.rsplit_once("_bytes") {
        let rate = if suffix == "_per_second" { "/s" } else { "" };
        let (scale, unit) = match value.abs() {
            size if size >= GIB => (GIB, "GiB"),
            size if size >= MIB => (MIB, "MiB"),
            size if size >= KIB => (KIB, "KiB"),
            _ => (1.0, "B"),
        };
        format!("{} {unit}{rate}", plain(value / scale))
    } else if series.ends_with("_seconds") {
        format!("{} s", plain(value))
    } else {
        plain(value).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(series: &str, value: f64, expected: &str) {
        assert_eq!(message("It is", series, value), format!("It is: {expected}"));
    }

    #[test]
    fn a_whole_percentage_has_no_decimals() {
        check("system.cpu.percent", 85.0, "85%");
        check("system.cpu.percent", 85.004, "85%");
    }

    #[test]
    fn a_fraction_has_at_most_two_decimals() {
        check("system.cpu.percent", 85.5, "85.5%");
        check("process.cpu_percent", 85.256, "85.26%");
        check("system.cpu.percent", -0.001, "0%");
    }

    #[test]
    fn sizes_and_times_carry_their_unit() {
        check("process.rss_bytes", 536_870_912.0, "512 MiB");
        check("system.network.sent_bytes_per_second", 1536.0, "1.5 KiB/s");
        check("queue.wait_seconds", 2.25, "2.25 s");
        check("process.threads", 300.0, "300");
    }
}
