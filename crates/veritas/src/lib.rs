//! Finds what makes an application slow, proves the fix, applies it, and takes
//! it back when it does not help.
//!
//! This is the facade: the [`Engine`] and, re-exported, the recorders that an
//! application calls. An existing axum service needs ten lines:
//!
//! ```no_run
//! # #[cfg(feature = "persist")] {
//! use std::sync::Arc;
//!
//! use veritas::{Engine, api::auth::Authenticator};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # fn my_authenticator() -> Arc<dyn Authenticator> { unimplemented!() }
//! # let my_routes = axum::Router::new();
//! let engine = Engine::builder().data_dir("veritas-data").start()?;
//! let app = my_routes.merge(engine.router(my_authenticator()));
//! # drop::<axum::Router>(app); Ok(())
//! # }
//! # }
//! ```
//!
//! The engine lives beside the application and never fails, blocks or grows
//! because of it: telemetry is dropped and counted instead. It does **not**
//! open ports (the application or the `veritas` binary does), change anything
//! unless its kind of change is switched to `approve` or `automatic`, or see
//! statements that nobody hands to it.
//!
//! | feature | brings |
//! |---|---|
//! | `persist` | history, ledger and alert states in a data directory (embeds SQLite) |
//! | `sqlite` | index advice for SQLite databases (embeds SQLite) |
//! | `postgres` | readings, findings, index advice and proofs for PostgreSQL (`postgres-tls`: encrypted) |
//! | `mysql` | readings, findings and indexes tried on copies for MariaDB and MySQL |
//! | `tokio-postgres`, `deadpool` | clients of tokio-postgres that record what they run, and their pool |
//! | `diesel`, `sea-orm` | their hooks |
//! | `redis` | two-tier caches over Redis, and the view of a Redis server |
//! | `tracing` | a `tracing` layer that records sqlx's statements |

mod analysis;
mod batching;
mod builder;
mod caching;
mod engine;
mod error;
#[cfg(feature = "mysql")]
mod mysql_target;
#[cfg(feature = "postgres")]
mod postgres_target;
mod sampling;
#[cfg(feature = "redis")]
mod server_watch;
#[cfg(feature = "sqlite")]
mod sqlite;
mod storage;
#[cfg(feature = "tracing")]
mod visibility;
mod worker;

pub use builder::EngineBuilder;
pub use engine::Engine;
pub use error::StartError;
#[cfg(feature = "mysql")]
pub use mysql_target::MySqlOptions;
#[cfg(feature = "postgres")]
pub use postgres_target::PostgresOptions;
pub use veritas_alert as alert;
pub use veritas_api as api;
pub use veritas_cache as cache;
pub use veritas_cache_advisor as cache_advisor;
pub use veritas_database as database;
/// Caching of functions: the attribute; what it stands on is in [`cache`].
pub use veritas_macros::cached;
/// Function profiling: the attribute and the recorders behind it.
pub use veritas_macros::profile;
/// Labels of queries: the attribute; what it stands on is in [`database::label`].
pub use veritas_macros::query;
pub use veritas_model as model;
pub use veritas_monitor as monitor;
#[cfg(feature = "mysql")]
pub use veritas_mysql as mysql;
pub use veritas_optimize as optimize;
#[cfg(feature = "postgres")]
pub use veritas_postgres as postgres;
pub use veritas_profile as profile;
#[cfg(feature = "redis")]
pub use veritas_redis as redis;
pub use veritas_store as store;
