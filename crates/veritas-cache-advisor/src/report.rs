//! What the advisor knows of each cache, for the API and the command line.

use std::time::Duration;

use veritas_model::Bytes;

use crate::{BigKey, HotKey, MissRatioCurve, Net, TtlCurve};

/// What is known and advised of one namespace. Figures are of the time since
/// [`Self::observed_for`] began, exact where they were counted, estimated where they come from a
/// sample: the curves carry their error bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct NamespaceAdvice {
    /// The namespace.
    pub name: String,
    /// How long it was watched.
    pub observed_for: Duration,
    /// Look-ups in that time, counted.
    pub look_ups: u64,
    /// Of these, the ones that hit.
    pub hits: u64,
    /// The share of the keys that is sampled, 0 to 1.
    pub sampled: f64,
    /// What it may hold now, in bytes.
    pub capacity: Bytes,
    /// How long its entries live now.
    pub ttl: Duration,
    /// Whether it only watches.
    pub bypassed: bool,
    /// The miss ratio by capacity.
    pub miss_ratio_curve: MissRatioCurve,
    /// The hit ratio and the staleness by time to live.
    pub ttl_curve: TtlCurve,
    /// What it saves and spends; `None` before it was measured.
    pub net: Option<Net>,
    /// The keys looked up most, the most certain first.
    pub hot_keys: Vec<HotKeyReading>,
    /// The heaviest values, the heaviest first.
    pub big_keys: Vec<BigKeyReading>,
    /// The capacity it should have; `None`: as it is.
    pub capacity_advice: Option<CapacityAdvice>,
    /// The time to live it should have; `None`: as it is.
    pub ttl_advice: Option<TimeToLiveAdvice>,
    /// Why nothing (more) is advised, for people.
    pub reasons: Vec<String>,
}

/// A key that is looked up often. It is named by its hash: what a key says is shown to
/// those only who ask for it and may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct HotKeyReading {
    /// The key's sampling hash as 16 hexadecimal digits.
    pub hash: String,
    /// The key as text, where the caller asked for it and it was found.
    pub key: Option<String>,
    /// Its look-ups, for certain.
    pub at_least: u64,
    /// Its look-ups, at most.
    pub at_most: u64,
    /// Its share of all look-ups, for certain.
    pub share: f64,
}

/// A key whose value is heavy.
#[derive(Debug, Clone, PartialEq)]
pub struct BigKeyReading {
    /// The key's sampling hash as 16 hexadecimal digits.
    pub hash: String,
    /// The key as text, where the caller asked for it and it was found.
    pub key: Option<String>,
    /// What the entry takes.
    pub bytes: Bytes,
}

/// Another capacity, and what it would bring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CapacityAdvice {
    /// The capacity now.
    pub from: Bytes,
    /// The capacity advised.
    pub to: Bytes,
    /// The simulated miss ratio now.
    pub miss_ratio: f64,
    /// The simulated miss ratio then.
    pub advised_miss_ratio: f64,
    /// How far the difference of the two may be off.
    pub error_bound: f64,
    /// Seconds of loading saved (negative: lost) per second.
    pub seconds_saved: f64,
}

impl CapacityAdvice {
    /// Returns the seconds of loading saved per second and MiB.
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB")]
    pub fn seconds_saved_per_mebibyte(&self) -> f64 {
        let more = self.to.get().abs_diff(self.from.get()) as f64 / (1024.0 * 1024.0);
        if more > 0.0 { self.seconds_saved / more } else { 0.0 }
    }

    /// Returns whether more is advised.
    pub fn is_raise(&self) -> bool {
        self.to > self.from
    }
}

/// Another time to live, and what it would bring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeToLiveAdvice {
    /// The time to live now.
    pub from: Duration,
    /// The time to live advised.
    pub to: Duration,
    /// The simulated hit ratio now.
    pub hit_ratio: f64,
    /// The simulated hit ratio then.
    pub advised_hit_ratio: f64,
    /// The share of look-ups that are answered with an old value now; `None` where the
    /// values' digests are not known.
    pub staleness: Option<f64>,
    /// The same, then.
    pub advised_staleness: Option<f64>,
}

/// Writes a key's hash.
pub(crate) fn hash_text(key: u64) -> String {
    format!("{key:016x}")
}

impl HotKeyReading {
    #[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
    pub(crate) fn of(hot: &HotKey, look_ups: u64) -> Self {
        Self {
            hash: hash_text(hot.key),
            key: None,
            at_least: hot.at_least(),
            at_most: hot.count,
            share: (hot.at_least() as f64 / look_ups.max(1) as f64).min(1.0),
        }
    }
}

impl BigKeyReading {
    pub(crate) fn of(big: &BigKey) -> Self {
        Self { hash: hash_text(big.key), key: None, bytes: Bytes::new(u64::from(big.weight)) }
    }
}
