//! `veritas cache`: advice on the caches of a running engine, and replays of traces.

mod advise;
mod replay;

use crate::{arguments::CacheCommand, failure::Failure};

/// Runs `veritas cache …`.
pub(crate) fn run(command: &CacheCommand) -> Result<(), Failure> {
    match command {
        CacheCommand::Advise(arguments) => advise::run(arguments),
        CacheCommand::Replay(arguments) => replay::run(arguments),
    }
}

/// Writes a number of bytes as people read it: with three figures and a binary unit.
pub(crate) fn bytes(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut rest = bytes;
    let mut unit = 0;
    while rest >= 1_000.0 && unit + 1 < units.len() {
        rest /= 1_024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && rest < 100.0);
    format!("{rest:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_three_figures() {
        for (given, expected) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1_000.0, "1.0 KiB"),
            (65_536.0, "64.0 KiB"),
            (67_108_864.0, "64.0 MiB"),
            (1_022_976.0, "999 KiB"),
            (1_099_511_627_776.0, "1.0 TiB"),
        ] {
            assert_eq!(bytes(given), expected);
        }
    }
}
