//! The demo's service: a small content-verification API on axum and a database,
//! written as such services are, with four flaws planted.
//!
//! | route | flaw |
//! |---|---|
//! | `GET /authors/{id}/content` | reads the whole table: `content.author_id` has no index |
//! | `GET /feed` | one statement more for each row (N+1) |
//! | `GET /content/{id}/verification` | a costly function, called with few distinct texts, its cache not started |
//! | `GET /export/{kind}` | returns every row: no limit |

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path as Segment, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use veritas::{
    Engine,
    cache::{Cache, HeapSize},
    database::{PoolGauge, Recorder, Value, scope},
    redis::{TieredCache, TieredCaches, TieredOptions},
};

use super::{
    dataset,
    pool::{Connection, Pool, QueryError, Record},
};

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
        load: impl FnOnce() -> Result<Author, QueryError>,
    ) -> Result<Author, Arc<QueryError>> {
        match self {
            Self::Local(cache) => cache.get_or_load(&id, load),
            Self::Tiered(cache) => cache.get_or_load_blocking(&id, load),
        }
    }
}

impl Service {
    /// Registers the pool, and the author cache, with the engine.
    pub(super) fn new(pool: Pool, engine: &Engine, tiers: Option<&TieredCaches>) -> Self {
        let pool = Arc::new(pool);
        engine.database().register_pool("demo", Arc::clone(&pool) as Arc<dyn PoolGauge>);
        Self {
            pool,
            recorder: Arc::clone(engine.database()),
            authors: match tiers {
                Some(tiers) => Authors::Tiered(tiers.namespace("authors", TieredOptions::default())),
                None => Authors::Local(engine.caches().namespace("authors")),
            },
        }
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
        work: impl FnOnce(&Self, &Connection) -> Result<T, QueryError> + Send + 'static,
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
            QueryError::NoRow => StatusCode::NOT_FOUND,
            QueryError::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }

    /// Runs a query under a label, as the recorder sees it.
    #[track_caller]
    fn query<T>(
        &self,
        connection: &Connection,
        label: &'static str,
        sql: &'static str,
        parameters: &[Value],
        map: impl FnMut(&Record) -> T,
    ) -> Result<Vec<T>, QueryError> {
        let records = connection.query(&self.recorder, label, sql, parameters)?;
        Ok(records.iter().map(map).collect())
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
                        |row| Author { id: row.integer(0), name: row.text(1), affiliation: row.text(2) },
                    )?
                    .pop()
                    .ok_or(QueryError::NoRow)
            });
            // The error of a load is shared by all who waited for it; here it is always "no such row".
            found.map_err(|_| QueryError::NoRow)
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
                |row| (row.integer(0), row.integer(1), row.text(2)),
            )?;
            newest
                .into_iter()
                .map(|(id, author_id, title)| {
                    let author: String = service
                        .query(
                            connection,
                            "author_name_query",
                            "SELECT name FROM authors WHERE id = ?1",
                            &[Value::Integer(author_id)],
                            |row| row.text(0),
                        )?
                        .pop()
                        .ok_or(QueryError::NoRow)?;
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
                    |row| row.text(0),
                )?
                .pop()
                .ok_or(QueryError::NoRow)?;
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
                |row| Tally { verdict: row.text(0), count: row.integer(1), mean_confidence: row.real(2) },
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
            connection.execute(
                &service.recorder,
                "record_verdict_statement",
                "UPDATE verifications SET verdict = ?2, checked_at = checked_at + 1 WHERE id = ?1",
                &[Value::Integer(id), Value::Text(dataset::verdict(verdict).to_owned())],
            )
        })
        .await?;
    Ok(if changed == 0 { StatusCode::NOT_FOUND } else { StatusCode::NO_CONTENT })
}

fn listed(row: &Record) -> Listed {
    Listed { id: row.integer(0), title: row.text(1), status: row.text(2) }
}
