//! Namespaces: the name under which entries are kept, counted and tuned.

mod settings;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub(crate) use self::settings::Settings;
use crate::{NamespaceId, engine::Grants, statistics::Counters, tags::Tags};

/// A name, and what its entries of all types have in common.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) id: NamespaceId,
    pub(crate) counters: Counters,
    pub(crate) grants: Grants,
    pub(crate) tags: Tags,
    pub(crate) settings: Settings,
    /// How many tables it has: one for each type of values.
    pub(crate) tables: AtomicU64,
    /// Raised by a flush: entries of a past generation are dead.
    generation: AtomicU32,
    /// The tap keeps accesses whose sampling hash is at most this; 0 is none.
    pub(crate) tapped: AtomicU64,
    /// Hits that were timed: their number and nanoseconds.
    pub(crate) timed: [AtomicU64; 2],
}

impl Namespace {
    pub(crate) fn new(name: &str, id: NamespaceId, settings: Settings, limit: u64, tapped: u64) -> Self {
        Self {
            name: name.to_owned(),
            id,
            counters: Counters::new(),
            grants: Grants::new(limit),
            tags: Tags::new(),
            settings,
            tables: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            tapped: AtomicU64::new(tapped),
            timed: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    /// Returns the generation: what begins now belongs to it.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Kills every entry, and everything whose load began before now. Cost: one increment.
    pub(crate) fn flush(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns the mean time of the hits that were timed, in nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "a mean of nanoseconds")]
    pub(crate) fn hit_cost_ns(&self) -> Option<f64> {
        let [count, sum] = self.timed.each_ref().map(|part| part.load(Ordering::Relaxed));
        (count > 0).then(|| sum as f64 / count as f64)
    }
}
