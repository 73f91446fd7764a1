//! A cache as it would be: the real engine, scaled to the sample, with our deadlines on top.

use std::collections::HashMap;

use crate::{
    sample::{SampleRate, sampling_hash},
    simulate::{Engine, Policy},
};

/// How a simulated cache is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// What the whole cache may hold, in bytes.
    pub(crate) capacity: u64,
    /// How long a value is served, in milliseconds.
    pub(crate) ttl_ms: u64,
    /// By which share a key's time to live is shortened at most.
    pub(crate) jitter: f64,
    /// How long past its time a value is served while it is refreshed, in milliseconds.
    pub(crate) stale_ms: u64,
    /// The beta of `XFetch`; 0: nothing is refreshed early.
    pub(crate) early_refresh: f64,
    /// Nothing is stored or served.
    pub(crate) bypass: bool,
    /// The engine's parameters, for entries of this cache.
    pub(crate) policy: Policy,
}

impl Settings {
    /// Returns whether whatever `other` would serve, this would serve too.
    pub(crate) fn is_as_generous_as(&self, other: &Self) -> bool {
        other.bypass
            || (!self.bypass
                && self.capacity >= other.capacity
                && self.ttl_ms >= other.ttl_ms
                && self.stale_ms >= other.stale_ms
                && self.jitter <= other.jitter
                && self.early_refresh >= other.early_refresh)
    }
}

/// What is known of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fact {
    /// What the entry weighs, in bytes.
    pub(crate) weight: u32,
    /// What a load takes, in microseconds.
    pub(crate) cost_us: u32,
    /// The value's digest; 0 when it is not known.
    pub(crate) value: u32,
}

/// What became of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    /// The caller had to wait for a load.
    pub(crate) missed: bool,
    /// A load was made beside it: the caller did not wait.
    pub(crate) refreshed: bool,
    /// What was served differs from what a load would have brought.
    pub(crate) stale: bool,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    value: u32,
    deadline_ms: u64,
}

/// Spreads a key to a share in (0, 1]. The same in every run, so that a replay can be
/// repeated; keys are hashes already, but a sample has only low ones.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
fn share(key: u64) -> f64 {
    ((sampling_hash(key) >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// One simulated cache.
pub(crate) struct World {
    settings: Settings,
    engine: Engine,
    /// Of every key ever stored: a recording has a bounded number of them.
    held: HashMap<u64, Held>,
}

impl World {
    /// Makes an empty cache that sees `rate` of the keys.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a scaled capacity is not negative, and a float-to-int cast saturates"
    )]
    pub(crate) fn new(settings: Settings, rate: SampleRate) -> Self {
        let capacity = settings.capacity as f64 * rate.share();
        Self { settings, engine: Engine::new(&settings.policy, capacity as u64), held: HashMap::new() }
    }

    /// Looks a key up at a time, and stores what a load brings when there is none.
    pub(crate) fn look_up(&mut self, key: u64, at_ms: u64, fact: Fact) -> Answer {
        if self.settings.bypass {
            return Answer { missed: true, ..Answer::default() };
        }
        let found = self.engine.look_up(key).then(|| self.held.get(&key).copied()).flatten();
        let Some(held) = found else {
            self.store(key, at_ms, fact);
            return Answer { missed: true, ..Answer::default() };
        };
        let stale = held.value != 0 && fact.value != 0 && held.value != fact.value;
        if at_ms < held.deadline_ms && !self.is_refreshed_early(key, at_ms, &held, fact) {
            return Answer { stale, ..Answer::default() };
        }
        self.store(key, at_ms, fact);
        if at_ms < held.deadline_ms.saturating_add(self.settings.stale_ms) {
            Answer { refreshed: true, stale, missed: false }
        } else {
            Answer { missed: true, ..Answer::default() }
        }
    }

    /// `XFetch` (Vattani, Chierichetti and Lowenstein, "Optimal probabilistic cache stampede
    /// prevention", VLDB 2015), with a die that falls the same way in every replay.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay below 2^53")]
    fn is_refreshed_early(&self, key: u64, at_ms: u64, held: &Held, fact: Fact) -> bool {
        self.settings.early_refresh > 0.0 && {
            let ahead_ms = -f64::from(fact.cost_us) / 1_000.0
                * self.settings.early_refresh
                * share(key ^ at_ms.rotate_left(32)).ln();
            at_ms as f64 + ahead_ms >= held.deadline_ms as f64
        }
    }

    /// Stores a value.
    pub(crate) fn store(&mut self, key: u64, at_ms: u64, fact: Fact) {
        if !self.settings.bypass {
            let deadline_ms = at_ms.saturating_add(self.ttl_ms(key));
            self.engine.store(key, fact.weight.max(1));
            self.held.insert(key, Held { value: fact.value, deadline_ms });
        }
    }

    /// Removes a value.
    pub(crate) fn delete(&mut self, key: u64) {
        self.engine.delete(key);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a shortened time is not negative, and a float-to-int cast saturates"
    )]
    fn ttl_ms(&self, key: u64) -> u64 {
        (self.settings.ttl_ms as f64 * (1.0 - self.settings.jitter * share(key))) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACT: Fact = Fact { weight: 100, cost_us: 1_000, value: 1 };
    const SETTINGS: Settings = Settings {
        capacity: 100_000,
        ttl_ms: 1_000,
        jitter: 0.0,
        stale_ms: 0,
        early_refresh: 0.0,
        bypass: false,
        policy: Policy::BYTES,
    };

    #[test]
    fn a_value_is_served_until_its_time_is_over() {
        let mut world = World::new(SETTINGS, SampleRate::ALL);
        assert!(world.look_up(1, 0, FACT).missed);
        assert!(!world.look_up(1, 999, FACT).missed);
        assert!(world.look_up(1, 1_000, FACT).missed);
        world.delete(1);
        assert!(world.look_up(1, 1_001, FACT).missed);
    }

    #[test]
    fn an_old_value_is_served_while_it_is_refreshed() {
        let mut world = World::new(Settings { stale_ms: 500, ..SETTINGS }, SampleRate::ALL);
        world.store(1, 0, FACT);
        let answer = world.look_up(1, 1_200, Fact { value: 2, ..FACT });
        assert_eq!(answer, Answer { missed: false, refreshed: true, stale: true });
        assert_eq!(world.look_up(1, 1_201, Fact { value: 2, ..FACT }), Answer::default());
        assert!(world.look_up(1, 2_700, FACT).missed);
    }

    #[test]
    fn an_early_refresh_comes_before_the_end_and_rarely_long_before() {
        let mut world = World::new(Settings { early_refresh: 1.0, ..SETTINGS }, SampleRate::ALL);
        let slow = Fact { cost_us: 20_000, ..FACT };
        let refreshed = |world: &mut World, at_ms| {
            let keys = 0..100_u64;
            keys.filter(|key| {
                world.store(*key, 0, slow);
                world.look_up(*key, at_ms, slow).refreshed
            })
            .count()
        };
        // exp(-500/20) and exp(-1/20).
        assert_eq!(refreshed(&mut world, 500), 0);
        assert!(refreshed(&mut world, 999) > 85);
    }

    #[test]
    fn jitter_only_shortens() {
        let mut world = World::new(Settings { jitter: 0.5, ..SETTINGS }, SampleRate::ALL);
        (0..100).for_each(|key| world.store(key, 0, FACT));
        assert!((0..100).all(|key| !world.look_up(key, 499, FACT).missed));
        let died = (0..100).filter(|key| world.look_up(*key, 750, FACT).missed).count();
        assert!((30..=70).contains(&died), "{died}");
        assert!((0..100).filter(|key| world.look_up(*key, 1_250, FACT).missed).count() >= 25);
    }

    #[test]
    fn a_sample_gets_its_part_of_the_capacity() {
        let mut world = World::new(Settings { ttl_ms: u64::MAX, ..SETTINGS }, SampleRate::of(0.1));
        (0..1_000).for_each(|key| world.store(key, 0, FACT));
        let held = (0..1_000).filter(|key| world.engine.look_up(*key)).count();
        assert!((90..=100).contains(&held), "{held}");
    }

    #[test]
    fn a_bypassed_cache_never_hits() {
        let mut world = World::new(Settings { bypass: true, ..SETTINGS }, SampleRate::ALL);
        assert!((0..3).all(|at_ms| world.look_up(1, at_ms, FACT).missed));
    }
}
