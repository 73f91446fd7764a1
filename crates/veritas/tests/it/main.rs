//! The engine, as an application embeds it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod embedding;
#[cfg(feature = "persist")]
mod persistence;
#[cfg(feature = "persist")]
mod recovery;
#[cfg(feature = "tracing")]
mod visibility;
