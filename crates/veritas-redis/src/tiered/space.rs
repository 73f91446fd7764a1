//! Spaces: what is known of one namespace in Redis, whatever the type of its values.

use std::{sync::Arc, time::Duration};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{counters::Counters, options::TieredOptions, versions::KnownVersions};
use crate::key::KeySpace;

/// Another hash than that of any table, so that a key's share of the jitter says nothing of its place.
const JITTER_SEED: u64 = 0x6a69_7474_6572;

#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) name: String,
    pub(crate) keys: KeySpace,
    /// What its keys would begin with, were its `hash_tag` the other one.
    pub(crate) other_base: Vec<u8>,
    pub(crate) options: TieredOptions,
    /// Its own, or those of all namespaces beyond the limit.
    pub(crate) counters: Arc<Counters>,
    /// Those of all spaces whose keys begin alike.
    pub(crate) versions: Arc<KnownVersions>,
    /// Whether what peers change in it is heard of here.
    pub(crate) is_told: bool,
}

impl Space {
    pub(crate) fn new(prefix: &str, name: &str, options: TieredOptions) -> Self {
        let keys = |hash_tag| KeySpace::new(prefix, name, options.namespace.schema, hash_tag);
        Self {
            name: name.to_owned(),
            keys: keys(options.hash_tag),
            other_base: keys(!options.hash_tag).base().to_vec(),
            options,
            counters: Arc::default(),
            versions: Arc::default(),
            is_told: true,
        }
    }

    /// Makes it one of those beyond the limit, whose counters are `counters`.
    pub(crate) fn folded(self, counters: &Arc<Counters>) -> Self {
        Self { counters: Arc::clone(counters), is_told: false, ..self }
    }
}

/// Shortens a time to live by the key's share of the jitter: the same in every
/// process, and never longer.
pub(crate) fn jittered(ttl: Duration, jitter: f64, canonical: &[u8]) -> Duration {
    let hash = u32::try_from(xxh3_64_with_seed(canonical, JITTER_SEED) >> 32).unwrap_or(0);
    let share = f64::from(hash) / 4_294_967_296.0;
    ttl.mul_f64(1.0 - jitter.clamp(0.0, 0.5) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_shortens_alike_in_every_process() {
        let minute = Duration::from_mins(1);
        let times: Vec<Duration> = (0..100_u8).map(|key| jittered(minute, 0.05, &[key])).collect();
        assert!(times.iter().all(|time| *time <= minute && *time >= minute.mul_f64(0.95)));
        assert!(times.iter().any(|time| *time < minute.mul_f64(0.96)));
        assert_eq!(jittered(minute, 0.05, b"k"), jittered(minute, 0.05, b"k"));
        assert_eq!(jittered(minute, 0.0, b"k"), minute);
    }
}
