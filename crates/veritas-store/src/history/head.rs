//! The newest points, decoded, in memory.

use std::{collections::VecDeque, num::NonZeroUsize};

use veritas_model::Timestamp;

use super::point::Texts;

/// Where a point stands on the disk: its segment, and its place among the ticks there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) tick: u32,
}

/// One point of the head. A row of numbers may be shorter than the table of
/// series: what is beyond its end is absent.
#[derive(Debug, Clone)]
pub(super) struct HeadPoint {
    pub(super) at: Timestamp,
    pub(super) numbers: Vec<f64>,
    pub(super) texts: Texts,
    /// `None` for a point that is in memory only.
    pub(super) position: Option<Position>,
}

/// A ring of the newest points. Once it is full, adding one reuses the oldest
/// one's memory.
#[derive(Debug)]
pub(super) struct Head {
    points: VecDeque<HeadPoint>,
    capacity: NonZeroUsize,
}

impl Head {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self { points: VecDeque::new(), capacity }
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// Adds the newest point.
    pub(super) fn push(&mut self, at: Timestamp, numbers: &[f64], texts: &Texts, position: Option<Position>) {
        let mut row = if self.points.len() >= self.capacity.get() {
            self.points.pop_front().map(|oldest| oldest.numbers).unwrap_or_default()
        } else {
            Vec::new()
        };
        row.clear();
        row.extend_from_slice(numbers);
        self.points.push_back(HeadPoint { at, numbers: row, texts: texts.clone(), position });
    }

    /// Returns the points, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &HeadPoint> {
        self.points.iter()
    }

    /// Returns the place of the oldest point that is on the disk: whatever the
    /// disk holds before it is older than the head.
    pub(super) fn oldest_position(&self) -> Option<Position> {
        self.points.iter().find_map(|point| point.position)
    }
}
