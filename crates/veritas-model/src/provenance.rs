//! Where a figure comes from.

/// How a figure came to be. Every figure that the API serves says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provenance {
    /// Counted or timed by us, on the thing itself.
    Measured,
    /// Derived from a sample or a model; an error bound stands beside it.
    Estimated,
    /// Replayed against a model of the thing.
    Simulated,
    /// There is no source. Counters are 0, gauges and means are `None`.
    Unavailable,
}

impl Provenance {
    /// Returns the word used in JSON, tables and documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Simulated => "simulated",
            Self::Unavailable => "unavailable",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Measured, Self::Estimated, Self::Simulated, Self::Unavailable]
            .into_iter()
            .find(|provenance| provenance.as_str() == word)
    }
}
