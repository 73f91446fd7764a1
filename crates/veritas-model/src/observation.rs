//! Observations: the figures that a finding or a proof rests on.

use crate::{Provenance, Timestamp};

/// The unit of an observed figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A plain count.
    Count,
    /// Calls or events per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, 0 to 1.
    Ratio,
    /// Rows of a table or a result.
    Rows,
    /// Steps of a database's virtual machine: work that no other load disturbs.
    VmSteps,
    /// Look-ups of a cache that found nothing.
    Misses,
}

impl Unit {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "per_second",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Rows => "rows",
            Self::VmSteps => "vm_steps",
            Self::Misses => "misses",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Count,
            Self::PerSecond,
            Self::Seconds,
            Self::Bytes,
            Self::Ratio,
            Self::Rows,
            Self::VmSteps,
            Self::Misses,
        ]
        .into_iter()
        .find(|unit| unit.as_str() == word)
    }
}

/// One figure, with its unit, its provenance and the time it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What was observed, in a word or two (`calls`, `rows_read_per_call`).
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// How it came to be.
    pub provenance: Provenance,
    /// When it was taken.
    pub observed_at: Timestamp,
}

impl Observation {
    /// Builds a measured observation.
    pub fn measured(name: impl Into<String>, value: f64, unit: Unit, observed_at: Timestamp) -> Self {
        Self { name: name.into(), value, unit, provenance: Provenance::Measured, observed_at }
    }
}
