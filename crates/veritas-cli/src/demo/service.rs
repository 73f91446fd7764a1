//! The demo's service: a small content-verification API on axum and `SQLite`,
//! written as such services are, with four flaws planted.
//!
//! | route | flaw |
//! |---|---|
//! | `GET /authors/{id}/content` | reads the whole table: `content.author_id` has no index |
//! | `GET /feed` | one statement more for each row (N+1) |
//! | `GET /content/{id}/verification` | a costly function, called with few distinct texts, its cache not started |
//! | `GET /export/{kind}` | returns every row: no limit |

use std::{
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path as Segment, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use veritas::{
    Engine,
    cache::{Cache, HeapSize},
    database::{PoolGauge, PoolReading, Recorder, Value, scope, sqlite::Observed},
    redis::{TieredCache, TieredCaches, TieredOptions},
};

use super::dataset;

/// Connections of the service's pool.
const POOL: u64 = 4;

/// The state of the service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pool: Arc<Pool>,
    recorder: Arc<Recorder>,
    authors: Authors,
}

/// The author cache: in the process, or over Redis for all processes.
#[derive(Debug, Clone)]
enum Authors {
    Local(Cache<Author>),
    Tiered(TieredCache<Author>),
}

impl Authors {
    /// Called from blocking threads only.
    fn get_or_load(
        &self,
        id: i64,
        load: impl FnOnce() -> rusqlite::Result<Author>,
    ) -> Result<Author, Arc<rusqlite::Error>> {
        match self {
            Self::Local(cache) => cache.get_or_load(&id, load),
            Self::Tiered(cache) => cache.get_or_load_blocking(&id, load),
        }
    }
}

impl Service {
    /// Opens the pool and registers it, and the author cache, with the engine.
    pub(super) fn open(path: &Path, engine: &Engine, tiers: Option<&TieredCaches>) -> rusqlite::Result<Self> {
        let pool = Arc::new(Pool::open(path)?);
        engine.database().register_pool("demo", Arc::clone(&pool) as Arc<dyn PoolGauge>);
        Ok(Self {
            pool,
            recorder: Arc::clone(engine.database()),
            authors: match tiers {
                Some(tiers) => Authors::Tiered(tiers.namespace("authors", TieredOptions::default())),
                None => Authors::Local(engine.caches().namespace("authors")),
            },
        })
    }

    /// Returns the routes of the service.
    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/authors/{id}", get(author))
            .route("/authors/{id}/content", get(author_content))
            .route("/feed", get(feed))
            .route("/content/{id}/verification", get(verification))
            .route("/content/{id}/verdicts", get(verdicts))
            .route("/export/{kind}", get(export))
            .route("/verifications/{id}", post(record_verdict))
            .with_state(self)
    }

    /// Runs `work` on a pooled connection, off the executor, inside the request's scope.
    async fn with_connection<T: Send + 'static>(
        &self,
        route: &'static str,
        work: impl FnOnce(&Self, &Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StatusCode> {
        let service = self.clone();
        tokio::task::spawn_blocking(move || {
            let _scope = scope::enter(route);
            let connection = service.pool.acquire();
            work(&service, &connection)
        })
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?
        .map_err(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }

    /// Runs a query under a label, as the recorder sees it.
    #[track_caller]
    fn query<T>(
        &self,
        connection: &Connection,
        label: &str,
        sql: &str,
        parameters: &[Value],
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        Observed::new(connection, &self.recorder).label(label).query(sql, parameters, map)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Author {
    id: i64,
    name: String,
    affiliation: String,
}

impl HeapSize for Author {
    fn heap_size(&self) -> usize {
        self.name.heap_size() + self.affiliation.heap_size()
    }
}

#[derive(Debug, Serialize)]
struct Listed {
    id: i64,
    title: String,
    status: String,
}

#[derive(Debug, Serialize)]
struct FeedItem {
    id: i64,
    title: String,
    author: String,
}

#[derive(Debug, Serialize)]
struct Tally {
    verdict: String,
    count: i64,
    mean_confidence: f64,
}

#[derive(Debug, Serialize)]
struct Verification {
    id: i64,
    credibility: f64,
}

#[derive(Debug, Deserialize)]
struct FeedPage {
    #[serde(default)]
    page: i64,
}

#[derive(Debug, Deserialize)]
struct NewVerdict {
    verdict: u64,
}

async fn author(
    State(service): State<Service>,
    Segment(id): Segment<i64>,
) -> Result<Json<Author>, StatusCode> {
    let author = service
        .with_connection("GET /authors/{id}", move |service, connection| {
            let found = service.authors.get_or_load(id, || {
                service
                    .query(
                        connection,
                        "author_query",
                        "SELECT id, name, affiliation FROM authors WHERE id = ?1",
                        &[Value::Integer(id)],
                        |row| Ok(Author { id: row.get(0)?, name: row.get(1)?, affiliation: row.get(2)? }),
                    )?
                    .pop()
                    .ok_or(rusqlite::Error::QueryReturnedNoRows)
            });
            // The error of a load is shared by all who waited for it; here it is always "no such row".
            found.map_err(|_| rusqlite::Error::QueryReturnedNoRows)
        })
        .await?;
    Ok(Json(author))
}

/// Planted: `author_id` has no index, so that this reads the whole table.
async fn author_content(
    State(service): State<Service>,
    Segment(id): Segment<i64>,
) -> Result<Json<Vec<Listed>>, StatusCode> {
    let rows = service
        .with_connection("GET /authors/{id}/content", move |service, connection| {
            service.query(
                connection,
                "user_content_query",
                "SELECT id, title, status FROM content WHERE author_id = ?1 ORDER BY created_at DESC LIMIT 20",
                &[Value::Integer(id)],
                listed,
            )
        })
        .await?;
    Ok(Json(rows))
}

/// Planted: one statement for the page, and one more for each of its rows.
async fn feed(
    State(service): State<Service>,
    Query(FeedPage { page }): Query<FeedPage>,
) -> Result<Json<Vec<FeedItem>>, StatusCode> {
    let page = page.clamp(0, 1_000);
    let items = service
        .with_connection("GET /feed", move |service, connection| {
            let newest = service.query(
                connection,
                "feed_query",
                "SELECT id, author_id, title FROM content WHERE id <= ?1 ORDER BY id DESC LIMIT 15",
                &[Value::Integer(dataset::CONTENT_ROWS.cast_signed() - page * 15)],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)),
            )?;
            newest
                .into_iter()
                .map(|(id, author_id, title)| {
                    let author = service
                        .query(
                            connection,
                            "author_name_query",
                            "SELECT name FROM authors WHERE id = ?1",
                            &[Value::Integer(author_id)],
                            |row| row.get(0),
                        )?
                        .pop()
                        .ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                    Ok(FeedItem { id, title, author })
                })
                .collect()
        })
        .await?;
    Ok(Json(items))
}

async fn verification(
    State(service): State<Service>,
    Segment(id): Segment<i64>,
) -> Result<Json<Verification>, StatusCode> {
    let credibility = service
        .with_connection("GET /content/{id}/verification", move |service, connection| {
            let body: String = service
                .query(
                    connection,
                    "verification_query",
                    "SELECT body FROM content WHERE id = ?1",
                    &[Value::Integer(id)],
                    |row| row.get(0),
                )?
                .pop()
                .ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Ok(content_verification(id, &body))
        })
        .await?;
    Ok(Json(Verification { id, credibility }))
}

/// Planted: depends on nothing but its text, is called with few texts, and is not cached. The
/// cache only watches (`dormant`), so that what it would bring can be proven, and it be started.
#[veritas::profile(name = "content_verification_profile", arguments)]
#[veritas::cached(name = "content_verification", dormant, ignore(body))]
fn content_verification(id: i64, body: &str) -> f64 {
    // A stand-in for a model: some million multiplications over the text.
    let mut state = 1_u64;
    for _ in 0..8_000 {
        for byte in body.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(13);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "53 bits of a score are plenty")]
    let score = (state >> 11) as f64 / (1_u64 << 53) as f64;
    score
}

async fn verdicts(
    State(service): State<Service>,
    Segment(id): Segment<i64>,
) -> Result<Json<Vec<Tally>>, StatusCode> {
    let rows = service
        .with_connection("GET /content/{id}/verdicts", move |service, connection| {
            service.query(
                connection,
                "analytics_query",
                "SELECT verdict, count(*), avg(confidence) FROM verifications WHERE content_id = ?1 GROUP BY verdict",
                &[Value::Integer(id)],
                |row| Ok(Tally { verdict: row.get(0)?, count: row.get(1)?, mean_confidence: row.get(2)? }),
            )
        })
        .await?;
    Ok(Json(rows))
}

/// Planted: every row of a kind, however many there are.
async fn export(
    State(service): State<Service>,
    Segment(kind): Segment<String>,
) -> Result<Json<Vec<Listed>>, StatusCode> {
    let rows = service
        .with_connection("GET /export/{kind}", move |service, connection| {
            service.query(
                connection,
                "content_export_query",
                "SELECT id, title, status FROM content WHERE kind = ?1",
                &[Value::Text(kind)],
                listed,
            )
        })
        .await?;
    Ok(Json(rows))
}

async fn record_verdict(
    State(service): State<Service>,
    Segment(id): Segment<i64>,
    Query(NewVerdict { verdict }): Query<NewVerdict>,
) -> Result<StatusCode, StatusCode> {
    let changed = service
        .with_connection("POST /verifications/{id}", move |service, connection| {
            Observed::new(connection, &service.recorder).label("record_verdict_statement").execute(
                "UPDATE verifications SET verdict = ?2, checked_at = checked_at + 1 WHERE id = ?1",
                &[Value::Integer(id), Value::Text(dataset::verdict(verdict).to_owned())],
            )
        })
        .await?;
    Ok(if changed == 0 { StatusCode::NOT_FOUND } else { StatusCode::NO_CONTENT })
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    Ok(Listed { id: row.get(0)?, title: row.get(1)?, status: row.get(2)? })
}

/// A fixed set of connections, handed out one at a time.
#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
    active: AtomicU64,
}

impl Pool {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let idle = (0..POOL).map(|_| dataset::connect(path)).collect::<rusqlite::Result<_>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new(), active: AtomicU64::new(0) })
    }

    /// Waits for a connection. Only called from blocking threads.
    fn acquire(&self) -> Pooled<'_> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle =
            self.returned.wait_while(idle, |idle| idle.is_empty()).unwrap_or_else(PoisonError::into_inner);
        let connection = idle.pop();
        self.active.fetch_add(1, Ordering::Relaxed);
        Pooled { pool: self, connection }
    }
}

impl PoolGauge for Pool {
    fn read(&self) -> PoolReading {
        let active = self.active.load(Ordering::Relaxed);
        PoolReading { active, idle: POOL.saturating_sub(active), max: POOL }
    }
}

/// A connection that goes back to its pool when dropped.
struct Pooled<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl std::ops::Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a connection is given back only when dropped")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
        self.pool.active.fetch_sub(1, Ordering::Relaxed);
        self.pool.returned.notify_one();
    }
}
