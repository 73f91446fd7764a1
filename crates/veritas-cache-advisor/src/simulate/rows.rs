//! The table of keys that the lanes share: one row a key, one byte of it a lane.

/// How many caches share a table.
pub const LANES: usize = 16;

/// Where a key is in one lane: the low two bits of its byte. Of these only
/// [`COLD`] and [`HOT`] have two different bits, which is how all lanes are
/// asked at once whether they hold a key.
pub(super) const ABSENT: u8 = 0;
pub(super) const COLD: u8 = 1;
pub(super) const HOT: u8 = 2;
pub(super) const GHOST: u8 = 3;

const PLACE: u8 = 0b11;
const REFERENCED_ONE: u8 = 0b100;
const REFERENCED: u8 = 0b1100;
/// The high four bits number the stays of a key in a lane's queues, so that what
/// is left of an earlier stay in a queue is known as such.
const STAY_ONE: u8 = 0b1_0000;

/// The lowest bit of each lane's byte.
const LOW: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;

const EMPTY: u16 = u16::MAX;

/// A key, in 32 bytes: a look-up reads one cache line of it.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
struct Row {
    lanes: [u8; LANES],
    hash: u64,
    /// 0 while the row is free.
    weight: u32,
}

/// Rows by hash: open addressing over 16-bit row numbers, with rows reused.
#[derive(Debug, Default)]
pub(super) struct Rows {
    table: Vec<Row>,
    free: Vec<u16>,
    index: Vec<u16>,
    /// The row of the request under way, which is not given up meanwhile.
    held: Option<u32>,
}

/// Returns the byte of `lane` alone, as a mask of [`Rows::look_up`].
pub(super) fn mask_of_first(lanes: usize) -> u128 {
    if lanes >= LANES { LOW } else { LOW & ((1 << (8 * lanes)) - 1) }
}

/// Returns the lanes in a mask, in ascending order.
pub(super) fn lanes_in(mut mask: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let lane = mask.trailing_zeros() as usize / 8;
            mask &= mask - 1;
            lane
        })
    })
}

impl Rows {
    /// The highest number of rows there can be.
    pub(super) const MOST: usize = EMPTY as usize;

    pub(super) fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.capacity() * size_of::<Row>() + (self.free.capacity() + self.index.capacity()) * 2
    }

    pub(super) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Returns the rows in use.
    #[expect(clippy::cast_possible_truncation, reason = "row numbers are below 65,535")]
    pub(super) fn used(&self) -> impl Iterator<Item = u32> {
        self.table.iter().enumerate().filter(|(_, row)| row.weight > 0).map(|(number, _)| number as u32)
    }

    /// Returns the rows in use whose keys are above a threshold.
    pub(super) fn used_above(&self, threshold: u64) -> Vec<u32> {
        self.used().filter(|row| self.hash(*row) > threshold).collect()
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    fn slot(&self, hash: u64) -> usize {
        hash as usize & (self.index.len() - 1)
    }

    #[inline]
    pub(super) fn find(&self, hash: u64) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        let mut slot = self.slot(hash);
        loop {
            let row = self.index[slot];
            if row == EMPTY {
                return None;
            }
            if self.table[usize::from(row)].hash == hash {
                return Some(u32::from(row));
            }
            slot = (slot + 1) & (self.index.len() - 1);
        }
    }

    /// Adds a row for a key that has none. `None` when there are 65,535 rows.
    pub(super) fn add(&mut self, hash: u64, weight: u32) -> Option<u32> {
        if self.index.len() < (self.len() + 1) * 2 {
            self.grow_index();
        }
        let row = if let Some(row) = self.free.pop() {
            let reused = &mut self.table[usize::from(row)];
            (reused.hash, reused.weight) = (hash, weight);
            row
        } else {
            let row = u16::try_from(self.table.len()).ok().filter(|row| *row != EMPTY)?;
            if self.table.len() == self.table.capacity() {
                // By a quarter instead of doubling: memory is what limits the sample.
                self.table.reserve_exact(self.table.len() / 4 + 16);
            }
            self.table.push(Row { lanes: [0; LANES], hash, weight });
            row
        };
        self.link(row);
        Some(u32::from(row))
    }

    fn link(&mut self, row: u16) {
        let mut slot = self.slot(self.table[usize::from(row)].hash);
        while self.index[slot] != EMPTY {
            slot = (slot + 1) & (self.index.len() - 1);
        }
        self.index[slot] = row;
    }

    fn grow_index(&mut self) {
        let length = (self.index.len() * 2).max(64);
        let linked: Vec<u16> = self.index.iter().copied().filter(|row| *row != EMPTY).collect();
        self.index = vec![EMPTY; length];
        for row in linked {
            self.link(row);
        }
    }

    /// Keeps a row until [`Rows::let_go`], even when no lane knows its key any more.
    pub(super) fn hold(&mut self, row: u32) {
        self.held = Some(row);
    }

    pub(super) fn let_go(&mut self) {
        if let Some(row) = self.held.take() {
            self.give_up_if_nowhere(row);
        }
    }

    /// Frees the row when no lane knows its key.
    #[inline]
    pub(super) fn give_up_if_nowhere(&mut self, row: u32) {
        let lanes = self.word(row);
        if (lanes | lanes >> 1) & LOW == 0 && self.held != Some(row) {
            self.unlink(row);
        }
    }

    /// Deletes from the index by shifting back what follows (Knuth, 6.4, algorithm R).
    #[expect(clippy::cast_possible_truncation, reason = "row numbers are below 65,535")]
    fn unlink(&mut self, row: u32) {
        let mask = self.index.len() - 1;
        let mut gap = self.slot(self.table[row as usize].hash);
        while self.index[gap] != row as u16 {
            gap = (gap + 1) & mask;
        }
        let mut next = gap;
        loop {
            next = (next + 1) & mask;
            let candidate = self.index[next];
            if candidate == EMPTY {
                break;
            }
            let home = self.slot(self.table[usize::from(candidate)].hash);
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(gap) & mask {
                self.index[gap] = candidate;
                gap = next;
            }
        }
        self.index[gap] = EMPTY;
        self.table[row as usize].weight = 0;
        self.free.push(row as u16);
    }

    #[inline]
    fn word(&self, row: u32) -> u128 {
        u128::from_le_bytes(self.table[row as usize].lanes)
    }

    /// Returns which lanes hold the key: the lowest bit of each one's byte.
    #[inline]
    pub(super) fn holders(&self, row: u32) -> u128 {
        let word = self.word(row);
        (word ^ word >> 1) & LOW
    }

    /// Notes a reference in each lane of `lanes`, up to two.
    #[inline]
    pub(super) fn refer_in(&mut self, row: u32, lanes: u128) {
        let word = self.word(row);
        // The counts are 0, 1 or 2: below 2 the higher bit is not set.
        let below = lanes & !(word >> 3);
        self.table[row as usize].lanes = (word + (below << 2)).to_le_bytes();
    }

    #[inline]
    pub(super) fn hash(&self, row: u32) -> u64 {
        self.table[row as usize].hash
    }

    #[inline]
    pub(super) fn weight(&self, row: u32) -> u64 {
        u64::from(self.table[row as usize].weight)
    }

    pub(super) fn set_weight(&mut self, row: u32, weight: u32) {
        self.table[row as usize].weight = weight;
    }

    #[inline]
    pub(super) fn place(&self, row: u32, lane: usize) -> u8 {
        self.table[row as usize].lanes[lane] & PLACE
    }

    /// Moves the key within a lane; the references and the stay are kept.
    #[inline]
    pub(super) fn set_place(&mut self, row: u32, lane: usize, place: u8) {
        let byte = &mut self.table[row as usize].lanes[lane];
        *byte = *byte & !PLACE | place;
    }

    #[inline]
    pub(super) fn is_referenced(&self, row: u32, lane: usize) -> bool {
        self.table[row as usize].lanes[lane] & REFERENCED != 0
    }

    #[inline]
    pub(super) fn drop_reference(&mut self, row: u32, lane: usize) {
        self.table[row as usize].lanes[lane] -= REFERENCED_ONE;
    }

    #[inline]
    pub(super) fn clear_references(&mut self, row: u32, lane: usize) {
        self.table[row as usize].lanes[lane] &= !REFERENCED;
    }

    /// Returns the row and the present stay, as they stand in a queue.
    #[inline]
    pub(super) fn ticket(&self, row: u32, lane: usize) -> u32 {
        row | u32::from(self.table[row as usize].lanes[lane] / STAY_ONE) << 28
    }

    /// Returns the row of a ticket.
    #[inline]
    pub(super) const fn row_of(ticket: u32) -> u32 {
        ticket & 0x0fff_ffff
    }

    /// Returns whether a ticket found in the queue of `place` is of the present stay.
    #[inline]
    pub(super) fn is_current(&self, ticket: u32, lane: usize, place: u8) -> bool {
        let row = Self::row_of(ticket);
        self.place(row, lane) == place && self.ticket(row, lane) == ticket
    }

    /// Begins a new stay, so that older tickets are void. Returns whether the
    /// numbers start anew, in which case older tickets must be removed.
    pub(super) fn begin_stay(&mut self, row: u32, lane: usize) -> bool {
        let byte = &mut self.table[row as usize].lanes[lane];
        *byte = byte.wrapping_add(STAY_ONE);
        *byte < STAY_ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use veritas_statistics::Rng;

    #[test]
    fn rows_are_found_until_they_are_given_up() {
        let (mut rows, mut twin, mut rng) = (Rows::default(), HashMap::new(), Rng::new(5));
        for _ in 0..20_000 {
            // Few home slots, so that chains grow long.
            let hash = rng.below(600) << 40 | rng.below(3);
            match twin.remove(&hash) {
                Some(row) => rows.give_up_if_nowhere(row),
                None => drop(twin.insert(hash, rows.add(hash, 1).unwrap())),
            }
            let probe = rng.below(600) << 40 | rng.below(3);
            assert_eq!(rows.find(probe), twin.get(&probe).copied());
        }
        assert_eq!(rows.len(), twin.len());
    }

    #[test]
    fn references_stop_at_two() {
        let mut rows = Rows::default();
        let row = rows.add(1, 1).unwrap();
        rows.set_place(row, 3, HOT);
        for _ in 0..5 {
            let holders = rows.holders(row);
            rows.refer_in(row, holders);
        }
        rows.drop_reference(row, 3);
        rows.drop_reference(row, 3);
        assert!(!rows.is_referenced(row, 3));
        assert_eq!(lanes_in(rows.holders(row)).collect::<Vec<_>>(), [3]);
    }
}
