//! Index advice: candidates, true sizes, and a search that keeps to its budget.
//!
//! - [`candidates::of`]: which indexes are worth asking about, from how plans read
//!   their tables ([`Scan`]);
//! - [`size::bytes`]: how large each really is, deduplication, alignment and fill
//!   of pages counted;
//! - [`search()`]: which of them to create within a budget of bytes, asking a
//!   planner ([`WhatIf`]) as little as possible, and how far that can be from the
//!   best;
//! - [`drops::of`]: which existing indexes can go, by rules.
//!
//! What is not here: a database. Facts, scans and the planner are handed in; no
//! SQL is written or sent, no clock read that was not given, nothing kept. What
//! the search promises is what the planner estimates: a gain is *proven* only by
//! running the statements, elsewhere.
//!
//! ```
//! use std::ops::ControlFlow;
//! use veritas_index_advisor::{
//!     ColumnFacts, Condition, Distinct, Planned, Question, Scan, Search, Statement, TableFacts, TableId,
//!     WhatIf, WhatIfError, Workload, candidates, search,
//! };
//! use veritas_model::{Bytes, SystemClock};
//!
//! /// A planner that reads an index on `customer` instead of the whole table.
//! struct Planner;
//!
//! impl WhatIf for Planner {
//!     fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
//!         let used = question.indexes.iter().position(|index| index.keys[0].name() == Some("customer"));
//!         let cost = if used.is_some() { 8.0 } else { 20_000.0 };
//!         Ok(Planned { cost, used: Some(used.into_iter().collect()) })
//!     }
//! }
//!
//! let orders = TableId::new("public", "orders");
//! let mut facts = TableFacts::new(orders.clone(), 1_000_000.0, 16_000.0);
//! facts.columns.push(ColumnFacts::fixed("id", 8, 8, Distinct::exact(1_000_000.0)));
//! facts.columns.push(ColumnFacts::fixed("customer", 8, 8, Distinct::exact(50_000.0)));
//!
//! let mut scan = Scan::of(0, orders.clone(), 20_000.0);
//! scan.equalities = vec![Condition { column: "customer".into(), selectivity: 0.00002 }];
//! let workload = Workload {
//!     statements: vec![Statement::new("orders of a customer", 500.0, vec![orders])],
//!     scans: vec![scan],
//!     ..Workload::default()
//! };
//!
//! let specs = candidates::of(&workload.scans, &[facts.clone()], &candidates::Options::default());
//! let advice = search(
//!     &workload,
//!     &[facts],
//!     &specs,
//!     &mut Planner,
//!     &Search::within(Bytes::new(20 << 20)),
//!     &SystemClock::new(),
//!     &mut |_| ControlFlow::Continue(()),
//! );
//! assert_eq!(advice.chosen[0].spec.to_string(), "public.orders (customer)");
//! assert_eq!(advice.cost_after / advice.cost_before, 0.0004);
//! // A bigint key takes 21 MB for a million rows without deduplication.
//! assert!(advice.bytes_high < Bytes::new(9_000_000));
//! ```

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
    ColumnFacts, Distinct, DistinctSet, DistinctSource, KeysAlike, Layout, Spread, TableFacts, TableId,
    UpdateRate, WriteRates,
};
pub use what_if::{Planned, Question, WhatIf, WhatIfError};
pub use workload::{
    Condition, CostUnit, ExpressionCondition, FixedCondition, PrefixCondition, Scan, Statement, Workload,
};
