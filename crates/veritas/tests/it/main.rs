//! The engine, as an application embeds it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "persist")]
mod caching;
mod embedding;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "persist")]
mod persistence;
#[cfg(all(feature = "persist", feature = "postgres"))]
mod postgres_loop;
#[cfg(feature = "persist")]
mod recovery;
#[cfg(feature = "postgres")]
mod rewrites;
#[cfg(feature = "redis")]
mod tiered;
#[cfg(feature = "tracing")]
mod visibility;
