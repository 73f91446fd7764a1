//! An ordinary axum service on sqlx and SQLite, with Veritas inside.
//!
//! What Veritas asks of it is between the two rules in [`start`]: an engine, a
//! layer for `tracing`, and a router merged into its own.
//!
//! ```no_run
//! # async fn run() -> anyhow::Result<()> {
//! let service = axum_service::start("veritas-data".as_ref(), b"the secret that signs this service's tokens").await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! axum::serve(listener, service.router).await?;
//! # Ok(())
//! # }
//! ```

use std::{path::Path, sync::Arc};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{Path as Segment, State},
    http::StatusCode,
    routing::get,
};
use sqlx::SqlitePool;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};
use veritas::{
    Engine,
    api::auth::{Revocations, TokenAuthenticator, TokenOptions},
};

/// The service: keep the engine as long as the router is served.
#[derive(Debug)]
pub struct Service {
    /// The service's routes and those of Veritas.
    pub router: Router,
    /// Veritas.
    pub engine: Engine,
}

/// Starts the service: its database, Veritas, and its routes.
///
/// # Errors
///
/// When the database or the engine cannot be started.
pub async fn start(data_dir: &Path, jwt_secret: &[u8]) -> anyhow::Result<Service> {
    // ---------------------------------------------------------- Veritas
    let engine = Engine::builder().data_dir(data_dir).start()?;
    tracing_subscriber::registry()
        .with(engine.tracing_layer().filtered())
        .with(tracing_subscriber::fmt::layer().with_filter(EnvFilter::new("info")))
        .try_init()
        .context("another subscriber is installed")?;
    let sources = engine.sources();
    let revocations = Arc::new(Revocations::load(Arc::clone(&sources.control))?);
    let clock = Arc::clone(&sources.clock);
    let tokens = TokenAuthenticator::shared_secret(jwt_secret, TokenOptions::default(), revocations, clock)?;
    let veritas = engine.router(Arc::new(tokens));
    // ------------------------------------------------------------------

    let pool = database().await?;
    let router = Router::new().route("/greetings/{id}", get(greeting)).with_state(pool).merge(veritas);
    Ok(Service { router, engine })
}

async fn database() -> anyhow::Result<SqlitePool> {
    // One connection: every connection to ":memory:" is a database of its own.
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    sqlx::query("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&pool).await?;
    sqlx::query("INSERT INTO people (name) VALUES ('Ada'), ('Grace')").execute(&pool).await?;
    Ok(pool)
}

async fn greeting(
    State(pool): State<SqlitePool>,
    Segment(id): Segment<i64>,
) -> Result<Json<String>, StatusCode> {
    let name: Option<String> = sqlx::query_scalar("SELECT name FROM people WHERE id = ?")
        .bind(id)
        .fetch_optional(&pool)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let name = name.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(greet(&name)))
}

/// Greets; its calls are timed.
#[veritas::profile]
fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}
