//! Changes: what was done, by whom, what it was to bring, what it brought, and its undo.

use crate::{ChangeId, Interval, MeasuredGain, Plan, ProposalId, Timestamp, WorkMetric};

/// A kind of change. Each has its own [`Actuator`](crate::Actuator) and its own [`Mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// An index is created.
    IndexCreate,
    /// An index is dropped.
    IndexDrop,
    /// A cache gets another capacity.
    CacheCapacity,
    /// What a cache stores gets another time to live.
    CacheTtl,
    /// A cache refreshes earlier, serves stale values, or spreads deadlines differently.
    CachePolicy,
    /// A cache that only watched begins to store and serve.
    CacheStart,
    /// A cache that costs more than it saves only watches from now on.
    CacheStop,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::IndexCreate,
        Self::IndexDrop,
        Self::CacheCapacity,
        Self::CacheTtl,
        Self::CachePolicy,
        Self::CacheStart,
        Self::CacheStop,
    ];

    /// Returns the word used in JSON, configuration and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IndexCreate => "index_create",
            Self::IndexDrop => "index_drop",
            Self::CacheCapacity => "cache_capacity",
            Self::CacheTtl => "cache_ttl",
            Self::CachePolicy => "cache_policy",
            Self::CacheStart => "cache_start",
            Self::CacheStop => "cache_stop",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Returns the group under which the published JSON counts it.
    pub const fn group(self) -> KindGroup {
        match self {
            Self::IndexCreate | Self::IndexDrop => KindGroup::Indexing,
            Self::CacheCapacity | Self::CacheTtl | Self::CachePolicy | Self::CacheStart | Self::CacheStop => {
                KindGroup::Caching
            }
        }
    }
}

/// The groups of the published `performance_improvements`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KindGroup {
    /// Index changes.
    Indexing,
    /// Every other database change.
    QueryExecution,
    /// Changes to caches.
    Caching,
}

impl KindGroup {
    /// Returns the key of the published JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Indexing => "indexing",
            Self::QueryExecution => "query_execution",
            Self::Caching => "caching",
        }
    }
}

/// What the engine may do with a proven proposal of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Say it; apply nothing.
    #[default]
    ReportOnly,
    /// Apply what an operator approved.
    Approve,
    /// Apply what is proven.
    Automatic,
}

impl Mode {
    /// Returns the word used in configuration and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReportOnly => "report_only",
            Self::Approve => "approve",
            Self::Automatic => "automatic",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::ReportOnly, Self::Approve, Self::Automatic].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// Where a change stands. Every state is journaled before what it announces is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeState {
    /// Permitted and journaled; being applied. Found after a crash, it is taken back.
    Applying,
    /// Applied; the live load is watched.
    Verifying,
    /// Verified: it stays.
    Kept,
    /// Being taken back. Found after a crash, the inverse is run again.
    Reverting,
    /// Taken back.
    Reverted,
    /// Could not be applied; nothing is left of it.
    Failed,
}

impl ChangeState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Applying, Self::Verifying, Self::Kept, Self::Reverting, Self::Reverted, Self::Failed];

    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Verifying => "verifying",
            Self::Kept => "kept",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Returns whether the change has reached its end (a kept one can still be
    /// taken back by an operator).
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Kept | Self::Reverted | Self::Failed)
    }
}

/// What verification says of the live load before and after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The load costs less.
    Improved,
    /// The load costs more.
    Worse,
    /// No difference beyond the margin could be shown within the watch window.
    NoDifference,
    /// The load did not run often enough to say.
    NotEnoughData,
}

impl Outcome {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::Worse => "worse",
            Self::NoDifference => "no_difference",
            Self::NotEnoughData => "not_enough_data",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Improved, Self::Worse, Self::NoDifference, Self::NotEnoughData]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

/// The gain measured on the live load: the statements in scope at the rates
/// seen after the change, at their cost before against their cost after.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveGain {
    /// What verification says.
    pub outcome: Outcome,
    /// The metric that the verdict rests on.
    pub metric: WorkMetric,
    /// Calls watched before the change.
    pub calls_before: u64,
    /// Calls watched after it.
    pub calls_after: u64,
    /// Share of the work that is gone (negative: the load costs more).
    pub gain: f64,
    /// Interval of `gain`.
    pub gain_interval: Interval,
    /// Mean seconds saved per call of the load in scope (negative: lost).
    pub seconds_saved_per_call: f64,
    /// How long the load was watched, in seconds.
    pub watched_seconds: f64,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its identity.
    pub id: ChangeId,
    /// The proposal that it carries out.
    pub proposal: ProposalId,
    /// Its kind.
    pub kind: ChangeKind,
    /// One line for people.
    pub summary: String,
    /// What is done and how it is undone.
    pub plan: Plan,
    /// Where it stands.
    pub state: ChangeState,
    /// Who permitted it: a token's subject, or `automatic`.
    pub approved_by: String,
    /// When it was permitted.
    pub approved_at: Timestamp,
    /// When it was applied; `None` while it was not.
    pub applied_at: Option<Timestamp>,
    /// When it was kept, taken back or failed.
    pub settled_at: Option<Timestamp>,
    /// The gain that the proof measured.
    pub predicted: MeasuredGain,
    /// The gain on the live load, once verification has spoken.
    pub live: Option<LiveGain>,
    /// Why it stands where it stands, for people.
    pub reason: String,
}
