//! Up to sixteen simulated caches over one table of keys.
//!
//! The policy is that of `quick_cache` 0.7, a modified CLOCK-PRO: new entries
//! are hot while there is room, then cold; a cold entry that was read becomes hot
//! when its turn comes, one that was not is evicted and remembered as a ghost; a
//! ghost that is stored again is hot at once; hot entries are a clock. Both
//! clocks are queues here, since their hands only ever move forward. A property
//! test holds each lane against the real engine, request for request.

mod lane;

use std::time::Duration;

use self::lane::Lane;
pub use super::rows::LANES;
use super::{
    Policy,
    rows::{COLD, HOT, Rows, lanes_in, mask_of_first},
};
use crate::sample::SampleRate;

/// Time is told in parts of the time to live.
const TICKS_PER_LIFE: u64 = 512;

/// Simulated caches of several sizes, that all get the same requests.
///
/// Memory: 32 bytes a key, 4 bytes a queue and key, 32 more bytes a key with a
/// time to live. A request costs one search in the table, a few nanoseconds for
/// all lanes that hit together, and 10 to 20 for each that misses.
#[derive(Debug)]
pub struct Lanes {
    policy: Policy,
    all: Vec<Lane>,
    rows: Rows,
    life: Option<Life>,
}

/// The time to live, and when each lane stored each key.
///
/// A stamp of 16 bits goes round after 128 lives: a key that nobody asked for
/// over so long is taken for fresh with a probability of 1/128.
#[derive(Debug)]
struct Life {
    tick: Duration,
    stamps: Vec<[u16; LANES]>,
    now: u16,
}

/// Which lanes took part in a request, and which of them missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    missed: u128,
}

impl Outcome {
    /// Returns the lanes that missed, in ascending order.
    #[inline]
    pub fn missed(self) -> impl Iterator<Item = usize> {
        lanes_in(self.missed)
    }

    /// Returns whether `lane` missed.
    pub fn has_missed(self, lane: usize) -> bool {
        self.missed >> (8 * lane) & 1 == 1
    }
}

impl Lanes {
    /// Creates empty caches of these capacities, in the unit of the weights. With
    /// a time to live, a key dies so long after it was stored.
    ///
    /// Only the first sixteen capacities count.
    pub fn new(policy: Policy, capacities: &[u64], time_to_live: Option<Duration>) -> Self {
        let all = capacities.iter().take(LANES).map(|capacity| Lane::new(&policy, *capacity)).collect();
        let life = time_to_live.map(|life| Life {
            tick: (life / u32::try_from(TICKS_PER_LIFE).unwrap_or(1)).max(Duration::from_nanos(1)),
            stamps: Vec::new(),
            now: 0,
        });
        Self { policy, all, rows: Rows::default(), life }
    }

    /// Returns how many lanes there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns how many keys the table holds.
    pub fn keys(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether the table can take no further key: lower a rate.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= Rows::MOST
    }

    /// Returns how many keys a lane knows, ghosts included.
    pub fn keys_in(&self, lane: usize) -> usize {
        self.all.get(lane).map_or(0, |lane| lane.hots + lane.colds + lane.ghosts)
    }

    /// Returns the bytes that were asked of the allocator.
    pub fn bytes(&self) -> usize {
        let queues = |lane: &Lane| lane.hot.capacity() + lane.cold.capacity() + lane.ghost.capacity();
        let stamps = self.life.as_ref().map_or(0, |life| life.stamps.capacity() * size_of::<[u16; LANES]>());
        size_of::<Self>()
            + self.all.capacity() * size_of::<Lane>()
            + self.rows.bytes()
            + self.all.iter().map(queues).sum::<usize>() * size_of::<u32>()
            + stamps
    }

    /// Tells the time, which must not go back. Needed only with a time to live.
    #[inline]
    pub fn tell_time(&mut self, now: Duration) {
        if let Some(life) = &mut self.life {
            // The low bits are enough: ages are taken modulo 2^16.
            #[expect(clippy::cast_possible_truncation, reason = "ages are taken modulo 2^16")]
            let ticks = (now.as_nanos() / life.tick.as_nanos()) as u16;
            life.now = ticks;
        }
    }

    /// Returns which lanes sample a key: since a lane's rate is at least that of
    /// the next one, they are the first so many.
    #[inline]
    fn sampling(&self, hash: u64) -> u128 {
        let takes = self.all.iter().take_while(|lane| lane.rate.takes(hash)).count();
        mask_of_first(takes)
    }

    /// Looks the key up in all lanes, and stores it in those that missed: get-or-load.
    ///
    /// With a table of 65,535 keys, a new key misses everywhere and is not stored.
    pub fn request(&mut self, hash: u64, weight: u32) -> Outcome {
        let sampling = self.sampling(hash);
        let found = self.rows.find(hash);
        let missed = match found {
            Some(row) => self.look_up_row(row, sampling),
            None => sampling,
        };
        if missed != 0 {
            self.store_in(found, hash, weight, missed);
        }
        Outcome { missed }
    }

    /// Looks the key up in all lanes, and stores nothing.
    pub fn look_up(&mut self, hash: u64) -> Outcome {
        let sampling = self.sampling(hash);
        let missed = match self.rows.find(hash) {
            Some(row) => {
                self.rows.hold(row);
                let missed = self.look_up_row(row, sampling);
                self.rows.let_go();
                missed
            }
            None => sampling,
        };
        Outcome { missed }
    }

    /// Stores the key in all lanes: a write.
    pub fn store(&mut self, hash: u64, weight: u32) {
        let sampling = self.sampling(hash);
        self.store_in(self.rows.find(hash), hash, weight, sampling);
    }

    /// Stores what was loaded after a miss: lanes that hold the key would not have
    /// loaded it, and only learn its weight.
    pub fn load(&mut self, hash: u64, weight: u32) {
        let sampling = self.sampling(hash);
        let found = self.rows.find(hash);
        let holders = found.map_or(0, |row| self.rows.holders(row));
        self.store_in(found, hash, weight, sampling & !holders);
    }

    /// Removes the key from all lanes, ghosts too.
    pub fn delete(&mut self, hash: u64) {
        let Some(row) = self.rows.find(hash) else { return };
        self.rows.hold(row);
        for (number, lane) in self.all.iter_mut().enumerate() {
            lane.remove(&mut self.rows, number, row);
        }
        self.rows.let_go();
    }

    /// Returns the weight that is known of a key.
    pub fn weight_of(&self, hash: u64) -> Option<u32> {
        self.rows.find(hash).and_then(|row| u32::try_from(self.rows.weight(row)).ok())
    }

    /// Returns the mean weight of all keys in the table, `None` of nothing.
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    pub fn mean_weight(&self) -> Option<f64> {
        let (mut keys, mut weight) = (0_u64, 0_u64);
        for row in self.rows.used() {
            keys += 1;
            weight += self.rows.weight(row);
        }
        (keys > 0).then(|| weight as f64 / keys as f64)
    }

    /// Notes the look-up of a key in the table; returns the lanes that missed.
    #[inline]
    fn look_up_row(&mut self, row: u32, sampling: u128) -> u128 {
        let mut holders = self.rows.holders(row) & sampling;
        if let Some(life) = &self.life {
            let stamps = life.stamps[row as usize];
            let mut dead = 0_u128;
            for lane in lanes_in(holders) {
                let age = life.now.wrapping_sub(stamps[lane]);
                dead |= u128::from(u64::from(age) >= TICKS_PER_LIFE) << (8 * lane);
            }
            for lane in lanes_in(dead) {
                self.all[lane].remove(&mut self.rows, lane, row);
            }
            holders &= !dead;
        }
        self.rows.refer_in(row, holders);
        sampling & !holders
    }

    fn store_in(&mut self, found: Option<u32>, hash: u64, weight: u32, lanes: u128) {
        let weight = weight.max(1);
        let Some(row) = found.or_else(|| self.rows.add(hash, weight)) else { return };
        self.rows.hold(row);
        if let Some(life) = &mut self.life {
            if life.stamps.len() <= row as usize {
                life.stamps.reserve_exact(self.rows.capacity() - life.stamps.len());
                life.stamps.resize(row as usize + 1, [0; LANES]);
            }
            for lane in lanes_in(lanes) {
                life.stamps[row as usize][lane] = life.now;
            }
        }
        if self.rows.weight(row) != u64::from(weight) {
            self.reweigh(row, weight);
        }
        for lane in lanes_in(lanes) {
            self.all[lane].store(&mut self.rows, lane, row);
        }
        self.rows.let_go();
    }

    /// All lanes learn a key's new weight at once, though each would only at its next load.
    fn reweigh(&mut self, row: u32, weight: u32) {
        let before = self.rows.weight(row);
        for (number, lane) in self.all.iter_mut().enumerate() {
            let total = match self.rows.place(row, number) {
                HOT => &mut lane.weight_hot,
                COLD => &mut lane.weight_cold,
                _ => continue,
            };
            *total = *total - before + u64::from(weight);
        }
        self.rows.set_weight(row, weight);
        for (number, lane) in self.all.iter_mut().enumerate() {
            lane.make_room(&mut self.rows, number, 0);
        }
    }

    /// Expects entries of this mean weight from now on: how many evicted keys are remembered
    /// rests on it.
    pub fn expect_weight(&mut self, mean_weight: f64) {
        self.policy = self.policy.expecting(Some(mean_weight));
        for (number, lane) in self.all.iter_mut().enumerate() {
            lane.remember(&self.policy);
            while lane.ghosts as u64 > lane.ghost_capacity {
                lane.advance_ghost(&mut self.rows, number);
            }
        }
    }

    /// Lowers the rates: forgets the keys that are not sampled any more, and makes
    /// each cache as small as its sample. The first lane must have the highest
    /// rate, and no rate may rise.
    ///
    /// Goes through all rows and queues.
    pub fn lower_rates(&mut self, rates: &[SampleRate]) {
        let half_a_weight = self.mean_weight().unwrap_or(0.0) / 2.0;
        let mut gone = Vec::new();
        let mut gone_above = u64::MAX;
        for (number, (lane, rate)) in self.all.iter_mut().zip(rates).enumerate() {
            if *rate == lane.rate {
                continue;
            }
            debug_assert!(*rate < lane.rate, "a rate rose");
            lane.rate = *rate;
            if rate.threshold() < gone_above {
                gone_above = rate.threshold();
                gone = self.rows.used_above(gone_above);
            }
            for row in &gone {
                lane.forget(&mut self.rows, number, *row);
            }
            lane.drop_void_tickets(&self.rows, number);
            lane.shrink(&self.policy, half_a_weight);
            lane.make_room(&mut self.rows, number, 0);
            while lane.ghosts as u64 > lane.ghost_capacity {
                lane.advance_ghost(&mut self.rows, number);
            }
        }
        for row in gone {
            if self.rows.weight(row) > 0 {
                self.rows.give_up_if_nowhere(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sample::sampling_hash, simulate::Engine};
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Request(u64),
        LookUp(u64),
        Store(u64),
        Delete(u64),
    }

    fn steps(keys: u64) -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            12 => (0..keys, 0..keys).prop_map(|(a, b)| Step::Request(a.min(b))),
            2 => (0..keys).prop_map(Step::LookUp),
            2 => (0..keys).prop_map(Step::Store),
            1 => (0..keys).prop_map(Step::Delete),
        ];
        proptest::collection::vec(step, 0..3_000)
    }

    /// Runs all steps in the lanes and in one real engine a lane, and compares each answer.
    fn check_twins(policy: Policy, capacities: &[u64], steps: &[Step], weight: impl Fn(u64) -> u32) {
        let mut lanes = Lanes::new(policy, capacities, None);
        let mut engines: Vec<Engine> = capacities.iter().map(|size| Engine::new(&policy, *size)).collect();
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Request(key) => {
                    let outcome = lanes.request(sampling_hash(key), weight(key));
                    for (lane, engine) in engines.iter_mut().enumerate() {
                        let hit = engine.request(sampling_hash(key), weight(key));
                        assert_eq!(hit, !outcome.has_missed(lane), "step {number} in lane {lane}");
                    }
                }
                Step::LookUp(key) => {
                    let outcome = lanes.look_up(sampling_hash(key));
                    for (lane, engine) in engines.iter_mut().enumerate() {
                        let hit = engine.look_up(sampling_hash(key));
                        assert_eq!(hit, !outcome.has_missed(lane), "step {number} in lane {lane}");
                    }
                }
                Step::Store(key) => {
                    lanes.store(sampling_hash(key), weight(key));
                    for engine in &mut engines {
                        engine.store(sampling_hash(key), weight(key));
                    }
                }
                Step::Delete(key) => {
                    lanes.delete(sampling_hash(key));
                    for engine in &mut engines {
                        engine.delete(sampling_hash(key));
                    }
                }
            }
            for (lane, engine) in lanes.all.iter().zip(&engines) {
                assert_eq!(lane.weight_hot + lane.weight_cold, engine.weight(), "step {number}");
                assert_eq!(lane.hots + lane.colds, engine.len(), "step {number}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn each_lane_answers_as_the_real_engine(steps in steps(120)) {
            check_twins(Policy::ENTRIES, &[0, 1, 2, 5, 10, 33, 64, 100, 200], &steps, |_| 1);
        }

        #[test]
        fn each_lane_answers_as_the_real_engine_with_weights(steps in steps(120)) {
            let policy = Policy { expected_weight: 64.0, ..Policy::BYTES };
            let weight = |key: u64| u32::try_from(20 + key * 37 % 300).unwrap();
            check_twins(policy, &[100, 300, 1_000, 3_000, 8_000, 20_000], &steps, weight);
        }

        #[test]
        fn each_lane_answers_as_the_real_engine_with_few_ghosts(steps in steps(60)) {
            let policy = Policy { expected_weight: 5.0, ghost_share: 0.05, ..Policy::ENTRIES };
            check_twins(policy, &[1, 3, 7, 20, 40], &steps, |_| 1);
        }
    }

    #[test]
    fn a_million_requests_answer_as_the_real_engine() {
        let mut rng = veritas_statistics::Rng::new(3);
        let mut lanes = Lanes::new(Policy::ENTRIES, &[100, 1_000, 4_000], None);
        let mut engines = [100, 1_000, 4_000].map(|size| Engine::new(&Policy::ENTRIES, size));
        for _ in 0..200_000 {
            let key = rng.below(90) * rng.below(90);
            let outcome = lanes.request(sampling_hash(key), 1);
            for (lane, engine) in engines.iter_mut().enumerate() {
                assert_eq!(engine.request(sampling_hash(key), 1), !outcome.has_missed(lane));
            }
        }
    }

    #[test]
    fn a_lane_that_is_told_what_entries_weigh_answers_as_the_engine_that_expects_it() {
        let policy = Policy::BYTES.expecting(Some(4_000.0));
        let (mut lanes, mut engine) =
            (Lanes::new(Policy::BYTES, &[400_000], None), Engine::new(&policy, 400_000));
        lanes.expect_weight(4_000.0);
        let mut rng = veritas_statistics::Rng::new(4);
        for _ in 0..20_000 {
            let key = rng.below(30) * rng.below(30);
            assert_eq!(engine.request(key, 4_000), !lanes.request(sampling_hash(key), 4_000).has_missed(0));
        }
        // Told later that entries are heavier, it forgets those that it remembered too many.
        let keys = lanes.keys();
        lanes.expect_weight(12_000.0);
        assert_eq!((lanes.all[0].ghosts, lanes.keys()), (16, keys - 34));
    }

    #[test]
    fn an_entry_dies_a_life_after_it_was_stored() {
        let mut lanes = Lanes::new(Policy::ENTRIES, &[10], Some(Duration::from_secs(512)));
        let mut at = |seconds| {
            lanes.tell_time(Duration::from_secs(seconds));
            lanes.request(7, 1).has_missed(0)
        };
        assert!(at(1_000_000));
        assert!(!at(1_000_511), "reading does not prolong it");
        assert!(at(1_000_512));
        assert!(!at(1_000_513));
    }

    #[test]
    fn lower_rates_keep_what_they_still_sample() {
        let mut lanes = Lanes::new(Policy::ENTRIES, &[1_000, 100_000], None);
        for key in 0..20_000 {
            lanes.request(sampling_hash(key), 1);
        }
        let rates = [SampleRate::of(0.5), SampleRate::of(0.25)];
        lanes.lower_rates(&rates);
        assert!((4_700..5_700).contains(&lanes.keys()), "{}", lanes.keys());
        for key in (0..20_000).map(sampling_hash).filter(|hash| rates[1].takes(*hash)) {
            assert!(!lanes.look_up(key).has_missed(1));
        }
        assert_eq!(lanes.all[0].capacity, 500);
        assert!(lanes.all[0].weight_hot + lanes.all[0].weight_cold <= 500);
    }

    #[test]
    fn the_table_stays_small_when_its_caches_are() {
        let mut lanes = Lanes::new(Policy::ENTRIES, &[10, 100], None);
        for key in 0..100_000 {
            lanes.request(sampling_hash(key), 1);
        }
        assert!(lanes.keys() <= 250, "{}", lanes.keys());
        assert!(lanes.bytes() < 40_000, "{}", lanes.bytes());
    }
}
