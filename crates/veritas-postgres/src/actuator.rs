//! The actuator: proves an index on a copy, creates or drops it beside the running load, and takes that back.

mod definition;
pub(crate) mod expression;

pub use definition::{IndexDefinition, PREFIX};
