//! The real code of flights and tags, compiled over the primitives of a scheduler
//! that a test controls.

#[expect(dead_code, reason = "the test has no use for some of it")]
#[path = "real/flights.rs"]
pub(super) mod flights;
#[path = "real/sync.rs"]
mod sync;
#[expect(dead_code, unreachable_pub, reason = "the test has no use for some of it, and is no library")]
#[path = "../../../src/tags.rs"]
pub(super) mod tags;
