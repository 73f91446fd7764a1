//! The real code of flights and tags, compiled over the primitives of a scheduler
//! that a test controls.

#[path = "flights.rs"]
pub(super) mod flights;
#[path = "sync.rs"]
mod sync;
#[path = "../../../src/tags.rs"]
pub(super) mod tags;
