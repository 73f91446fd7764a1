//! Up to sixteen simulated caches over one table of keys.
//!
//! The policy is that of `quick_cache` 0.7, a modified CLOCK-PRO: new entries
//! are hot while there is room, then cold; a cold entry that was read becomes hot
//! when its turn comes, one that was not is evicted and remembered as a ghost; a
//! ghost that is stored again is hot at once; hot entries are a clock. Both
//! clocks are queues here, since their hands only ever move forward. A property
//! test holds each lane against the real engine, request for request.

use std::{collections::VecDeque, time::Duration};

pub use super::rows::LANES;
use super::{
    Policy,
    rows::{ABSENT, COLD, GHOST, HOT, Rows, lanes_in, mask_of_first},
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

#[derive(Debug)]
struct Lane {
    full_capacity: u64,
    rate: SampleRate,
    capacity: u64,
    hot_target: u64,
    ghost_capacity: u64,
    weight_hot: u64,
    weight_cold: u64,
    hots: usize,
    colds: usize,
    ghosts: usize,
    hot: VecDeque<u32>,
    cold: VecDeque<u32>,
    ghost: VecDeque<u32>,
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

impl Lane {
    fn new(policy: &Policy, capacity: u64) -> Self {
        Self {
            full_capacity: capacity,
            rate: SampleRate::ALL,
            capacity,
            hot_target: policy.hot_target(capacity),
            ghost_capacity: policy.ghosts(capacity),
            weight_hot: 0,
            weight_cold: 0,
            hots: 0,
            colds: 0,
            ghosts: 0,
            hot: VecDeque::new(),
            cold: VecDeque::new(),
            ghost: VecDeque::new(),
        }
    }

    /// Scales the cache to its rate. A full cache of many entries is filled but
    /// for half an entry on average, and that is little of it; a small one gets
    /// that half an entry more.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "positive, and a capacity"
    )]
    fn shrink(&mut self, policy: &Policy, half_a_weight: f64) {
        let share = self.rate.share();
        self.capacity = (self.full_capacity as f64 * share + half_a_weight * (1.0 - share)) as u64;
        self.hot_target = policy.hot_target(self.capacity);
        self.remember(policy);
    }

    /// Remembers as many evicted keys as the policy says, of those sampled.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "positive, and a number of keys"
    )]
    fn remember(&mut self, policy: &Policy) {
        let ghosts = policy.ghosts(self.full_capacity) as f64;
        self.ghost_capacity = (ghosts * self.rate.share()).round() as u64;
    }

    /// Puts the key into the cache, or notes that it was written again.
    #[inline]
    fn store(&mut self, rows: &mut Rows, lane: usize, row: u32) {
        let weight = rows.weight(row);
        if weight > self.hot_target {
            if matches!(rows.place(row, lane), HOT | COLD) {
                self.remove(rows, lane, row);
            }
            return;
        }
        match rows.place(row, lane) {
            ABSENT => {
                let place = if self.weight_hot + weight <= self.hot_target { HOT } else { COLD };
                self.make_room(rows, lane, weight);
                rows.clear_references(row, lane);
                self.push(rows, lane, row, place);
            }
            GHOST => {
                self.ghosts -= 1;
                self.begin_stay(rows, lane, row);
                rows.clear_references(row, lane);
                self.push(rows, lane, row, HOT);
                self.make_room(rows, lane, 0);
            }
            _ => {
                rows.refer_in(row, 1 << (8 * lane));
                self.make_room(rows, lane, 0);
            }
        }
    }

    fn make_room(&mut self, rows: &mut Rows, lane: usize, weight: u64) {
        while self.weight_hot + self.weight_cold + weight > self.capacity && self.advance_cold(rows, lane) {}
    }

    /// Appends a key that is in no queue to the queue of `place`.
    #[inline]
    fn push(&mut self, rows: &mut Rows, lane: usize, row: u32, place: u8) {
        let weight = rows.weight(row);
        rows.set_place(row, lane, place);
        let (queue, count) = match place {
            HOT => {
                self.weight_hot += weight;
                (&mut self.hot, &mut self.hots)
            }
            COLD => {
                self.weight_cold += weight;
                (&mut self.cold, &mut self.colds)
            }
            _ => (&mut self.ghost, &mut self.ghosts),
        };
        *count += 1;
        if queue.len() == queue.capacity() {
            if queue.len() > *count + *count / 8 {
                queue.retain(|ticket| rows.is_current(*ticket, lane, place) && Rows::row_of(*ticket) != row);
            } else {
                // By a quarter instead of doubling: memory is what limits the sample.
                queue.reserve_exact(queue.len() / 4 + 8);
            }
        }
        queue.push_back(rows.ticket(row, lane));
    }

    /// Moves or evicts the oldest cold entry. Returns whether there was anything to evict.
    fn advance_cold(&mut self, rows: &mut Rows, lane: usize) -> bool {
        while let Some(ticket) = self.cold.pop_front() {
            if !rows.is_current(ticket, lane, COLD) {
                continue;
            }
            let row = Rows::row_of(ticket);
            self.colds -= 1;
            self.weight_cold -= rows.weight(row);
            if rows.is_referenced(row, lane) {
                rows.drop_reference(row, lane);
                self.push(rows, lane, row, HOT);
                while self.weight_hot > self.hot_target && self.advance_hot(rows, lane) {}
            } else {
                self.push(rows, lane, row, GHOST);
                if self.ghosts as u64 > self.ghost_capacity {
                    self.advance_ghost(rows, lane);
                }
            }
            return true;
        }
        self.advance_hot(rows, lane)
    }

    /// Evicts the first hot entry that was not read since the hand last passed.
    fn advance_hot(&mut self, rows: &mut Rows, lane: usize) -> bool {
        while let Some(ticket) = self.hot.pop_front() {
            if !rows.is_current(ticket, lane, HOT) {
                continue;
            }
            let row = Rows::row_of(ticket);
            if rows.is_referenced(row, lane) {
                rows.drop_reference(row, lane);
                self.hot.push_back(ticket);
                continue;
            }
            self.hots -= 1;
            self.weight_hot -= rows.weight(row);
            rows.set_place(row, lane, ABSENT);
            rows.give_up_if_nowhere(row);
            return true;
        }
        false
    }

    fn advance_ghost(&mut self, rows: &mut Rows, lane: usize) {
        while let Some(ticket) = self.ghost.pop_front() {
            if rows.is_current(ticket, lane, GHOST) {
                let row = Rows::row_of(ticket);
                self.ghosts -= 1;
                rows.set_place(row, lane, ABSENT);
                rows.give_up_if_nowhere(row);
                return;
            }
        }
    }

    /// Removes the key wherever it is; its ticket stays behind, void.
    fn remove(&mut self, rows: &mut Rows, lane: usize, row: u32) {
        if rows.place(row, lane) != ABSENT {
            self.forget(rows, lane, row);
            self.begin_stay(rows, lane, row);
        }
    }

    /// Removes the key but not its ticket.
    fn forget(&mut self, rows: &mut Rows, lane: usize, row: u32) {
        match rows.place(row, lane) {
            HOT => {
                self.hots -= 1;
                self.weight_hot -= rows.weight(row);
            }
            COLD => {
                self.colds -= 1;
                self.weight_cold -= rows.weight(row);
            }
            GHOST => self.ghosts -= 1,
            _ => return,
        }
        rows.set_place(row, lane, ABSENT);
        rows.clear_references(row, lane);
    }

    fn begin_stay(&mut self, rows: &mut Rows, lane: usize, row: u32) {
        if rows.begin_stay(row, lane) {
            // Once in sixteen stays: the numbers start anew, and no old one may be left.
            for queue in [&mut self.hot, &mut self.cold, &mut self.ghost] {
                queue.retain(|ticket| Rows::row_of(*ticket) != row);
            }
        }
    }

    fn drop_void_tickets(&mut self, rows: &Rows, lane: usize) {
        self.hot.retain(|ticket| rows.is_current(*ticket, lane, HOT));
        self.cold.retain(|ticket| rows.is_current(*ticket, lane, COLD));
        self.ghost.retain(|ticket| rows.is_current(*ticket, lane, GHOST));
        for queue in [&mut self.hot, &mut self.cold, &mut self.ghost] {
            queue.shrink_to(queue.len() + queue.len() / 4);
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
