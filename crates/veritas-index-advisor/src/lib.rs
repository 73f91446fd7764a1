//! Index advice: candidates, true sizes, and a search that keeps to its budget.

pub mod advice;
pub mod candidates;
mod distinct;
pub mod drops;
pub mod index;
pub mod search;
pub mod size;
pub mod table;
pub mod what_if;
pub mod workload;

pub use advice::{
    Advice, Chosen, DropReason, Dropped, GapBasis, LeftOut, Progress, Search, Stage, StatementGain, Why,
    WriteCost,
};
pub use index::{ExistingIndex, IndexSpec, Key, KeyPart, Method, Protection, Usage};
pub use search::search;
pub use size::SizeEstimate;
pub use table::{
    ColumnFacts, Distinct, DistinctSet, DistinctSource, Layout, TableFacts, TableId, UpdateRate, WriteRates,
};
pub use what_if::{Planned, Question, WhatIf, WhatIfError};
pub use workload::{Condition, CostUnit, ExpressionCondition, FixedCondition, Scan, Statement, Workload};
