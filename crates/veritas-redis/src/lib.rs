//! Redis: the second tier of the caches, two-tier caches, and the view of a server.

mod codec;
mod frame;
mod key;

pub use codec::Codec;
#[doc(hidden)]
pub use frame::fuzz_frame;
