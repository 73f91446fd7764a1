//! One simulated cache: two clocks and a memory of evicted keys over the common table.

use std::collections::VecDeque;

use crate::{
    sample::SampleRate,
    simulate::{
        Policy,
        rows::{ABSENT, COLD, GHOST, HOT, Rows},
    },
};

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) full_capacity: u64,
    pub(super) rate: SampleRate,
    pub(super) capacity: u64,
    pub(super) hot_target: u64,
    pub(super) ghost_capacity: u64,
    pub(super) weight_hot: u64,
    pub(super) weight_cold: u64,
    pub(super) hots: usize,
    pub(super) colds: usize,
    pub(super) ghosts: usize,
    pub(super) hot: VecDeque<u32>,
    pub(super) cold: VecDeque<u32>,
    pub(super) ghost: VecDeque<u32>,
}

impl Lane {
    pub(super) fn new(policy: &Policy, capacity: u64) -> Self {
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
    pub(super) fn shrink(&mut self, policy: &Policy, half_a_weight: f64) {
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
    pub(super) fn remember(&mut self, policy: &Policy) {
        let ghosts = policy.ghosts(self.full_capacity) as f64;
        self.ghost_capacity = (ghosts * self.rate.share()).round() as u64;
    }

    /// Puts the key into the cache, or notes that it was written again.
    #[inline]
    pub(super) fn store(&mut self, rows: &mut Rows, lane: usize, row: u32) {
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

    pub(super) fn make_room(&mut self, rows: &mut Rows, lane: usize, weight: u64) {
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

    pub(super) fn advance_ghost(&mut self, rows: &mut Rows, lane: usize) {
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
    pub(super) fn remove(&mut self, rows: &mut Rows, lane: usize, row: u32) {
        if rows.place(row, lane) != ABSENT {
            self.forget(rows, lane, row);
            self.begin_stay(rows, lane, row);
        }
    }

    /// Removes the key but not its ticket.
    pub(super) fn forget(&mut self, rows: &mut Rows, lane: usize, row: u32) {
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

    pub(super) fn drop_void_tickets(&mut self, rows: &Rows, lane: usize) {
        self.hot.retain(|ticket| rows.is_current(*ticket, lane, HOT));
        self.cold.retain(|ticket| rows.is_current(*ticket, lane, COLD));
        self.ghost.retain(|ticket| rows.is_current(*ticket, lane, GHOST));
        for queue in [&mut self.hot, &mut self.cold, &mut self.ghost] {
            queue.shrink_to(queue.len() + queue.len() / 4);
        }
    }
}
