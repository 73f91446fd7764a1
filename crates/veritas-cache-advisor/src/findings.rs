//! Findings on caches, with the figures that show them.
//!
//! Each is a pure function of a [`View`]: what was observed of one namespace, and what
//! was simulated from it. Little was observed: nothing is found.

pub(crate) mod candidate;
pub(crate) mod keys;
pub(crate) mod loss;
pub(crate) mod size;
pub(crate) mod time_to_live;

use std::time::Duration;

use veritas_cache::{NamespaceReading, NamespaceStatistics};
use veritas_model::{
    Bytes, Cause, Finding, FindingKind, Impact, Moments, Observation, Provenance, Subject, Timestamp, Unit,
};

use crate::{AdvisorOptions, BigKey, HotKey, MissRatioCurve, Net, TtlCurve, simulate::Policy};

/// What was observed of one namespace, and what was simulated from it.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    pub(crate) reading: &'a NamespaceReading,
    /// What it can hold as it is: its own limit, or what the others leave to it.
    pub(crate) capacity: Bytes,
    pub(crate) curve: &'a MissRatioCurve,
    pub(crate) ttl_curve: &'a TtlCurve,
    pub(crate) net: Option<Net>,
    pub(crate) hot: &'a [HotKey],
    /// Look-ups that the hot keys were counted among, of all keys, faded as their counts are.
    pub(crate) hot_look_ups: u64,
    pub(crate) big: &'a [BigKey],
    /// What was counted since the watch began.
    pub(crate) counted: NamespaceStatistics,
    /// The loads among it, in seconds.
    pub(crate) loads: Moments,
    pub(crate) observed_for: Duration,
    /// The share of the keys that is sampled.
    pub(crate) sampled: f64,
    /// Seconds of loading per second, of all namespaces together.
    pub(crate) all_loading: f64,
    /// The longest life about which the recording could prove something.
    pub(crate) provable_life: Duration,
    /// The largest capacity that it could be given.
    pub(crate) obtainable: Bytes,
    /// Whether it was given a capacity of its own.
    pub(crate) is_limited: bool,
    /// Whether another namespace evicts for want of bytes, and none are free.
    pub(crate) is_contended: bool,
    pub(crate) now: Timestamp,
}

impl View<'_> {
    /// Returns whether enough was observed to say anything.
    pub(crate) fn is_enough(&self, options: &AdvisorOptions) -> bool {
        self.counted.total_requests() >= options.fewest_look_ups
            && self.observed_for >= options.shortest_observation
    }

    /// Returns the look-ups per second.
    #[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
    pub(crate) fn look_ups_per_second(&self) -> f64 {
        self.counted.total_requests() as f64 / self.observed_for.as_secs_f64().max(1e-9)
    }

    /// Returns the mean seconds of a load; 0 where none was timed.
    pub(crate) fn load_seconds(&self) -> f64 {
        self.loads.mean().unwrap_or(0.0)
    }

    /// Returns the seconds of loading saved per second when so much less of the look-ups misses.
    pub(crate) fn saved_by(&self, fewer_misses: f64) -> f64 {
        fewer_misses * self.look_ups_per_second() * self.load_seconds()
    }

    pub(crate) fn subject(&self, key: Option<String>) -> Subject {
        Subject::Cache { namespace: self.reading.name.clone(), key }
    }

    /// Returns how much it matters that so many seconds of loading are saved per second.
    pub(crate) fn impact(&self, seconds_saved: f64) -> Impact {
        let share = if self.all_loading > 0.0 { seconds_saved / self.all_loading } else { 0.0 };
        Impact::of_time_share(share)
    }

    pub(crate) fn measured(&self, name: &str, value: f64, unit: Unit) -> Observation {
        Observation::measured(name, value, unit, self.now)
    }

    pub(crate) fn simulated(&self, name: &str, value: f64, unit: Unit) -> Observation {
        Observation { provenance: Provenance::Simulated, ..self.measured(name, value, unit) }
    }

    pub(crate) fn estimated(&self, name: &str, value: f64, unit: Unit) -> Observation {
        Observation { provenance: Provenance::Estimated, ..self.measured(name, value, unit) }
    }

    /// Returns what an entry weighs on average: what was measured, or what was assumed of a cache that
    /// holds none.
    pub(crate) fn entry_bytes(&self) -> Observation {
        let name = "mean_entry_bytes";
        match self.curve.entry_bytes {
            Some(mean) => self.measured(name, mean, Unit::Bytes),
            None => self.estimated(name, Policy::BYTES.expected_weight, Unit::Bytes),
        }
    }

    /// Returns what every finding on a cache rests on.
    #[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
    pub(crate) fn basis(&self) -> Vec<Observation> {
        let mut basis = vec![
            self.measured("look_ups", self.counted.total_requests() as f64, Unit::Count),
            self.measured("look_ups_per_second", self.look_ups_per_second(), Unit::PerSecond),
            self.measured("observed_seconds", self.observed_for.as_secs_f64(), Unit::Seconds),
            self.measured("sampled_keys", self.sampled, Unit::Ratio),
        ];
        if let Some(ratio) = self.counted.hit_ratio() {
            basis.push(self.measured("hit_ratio", ratio.get(), Unit::Ratio));
        }
        if let Some(load) = self.loads.mean() {
            basis.push(self.measured("load_seconds", load, Unit::Seconds));
        }
        basis
    }

    pub(crate) fn finding(
        &self,
        kind: FindingKind,
        key: Option<String>,
        cause: Cause,
        recommendation: String,
        impact: Impact,
        more: Vec<Observation>,
    ) -> Finding {
        let subject = self.subject(key);
        let mut evidence = self.basis();
        evidence.extend(more);
        Finding {
            id: Finding::identity(kind, &subject),
            kind,
            subject,
            cause,
            recommendation,
            impact,
            evidence,
            callers: Vec::new(),
            found_at: self.now,
            seen_at: self.now,
        }
    }
}

/// Writes a size for people.
pub(crate) fn size_text(bytes: Bytes) -> String {
    if bytes.get() >= 1024 * 1024 {
        format!("{} MiB", bytes.mebibytes())
    } else {
        format!("{} KiB", bytes.get().div_ceil(1024))
    }
}

/// Writes seconds that were computed, for people: in the unit in which they read as a small number.
pub(crate) fn seconds_text(seconds: f64) -> String {
    let size = seconds.abs();
    if size == 0.0 {
        "0 s".to_owned()
    } else if size < 999.5e-9 {
        format!("{:.0} ns", seconds * 1e9)
    } else if size < 999.95e-6 {
        format!("{:.1} µs", seconds * 1e6)
    } else if size < 999.95e-3 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Writes a time for people.
pub(crate) fn time_text(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 {
        format!("{} ms", time.as_millis())
    } else if seconds < 120.0 {
        format!("{} s", (seconds * 10.0).round() / 10.0)
    } else if seconds < 7_200.0 {
        format!("{} min", (seconds / 6.0).round() / 10.0)
    } else {
        format!("{} h", (seconds / 360.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_in_the_unit_that_people_read() {
        for (seconds, expected) in [
            (0.0, "0 s"),
            (18e-9, "18 ns"),
            (999.6e-9, "1.0 µs"),
            (72_787.697e-6, "72.8 ms"),
            (0.99996, "1.00 s"),
            (-0.0042, "-4.2 ms"),
            (12.345, "12.35 s"),
        ] {
            assert_eq!(seconds_text(seconds), expected);
        }
    }
}
