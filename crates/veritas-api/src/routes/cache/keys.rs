//! `/cache/keys` and `/cache/entries`: what one namespace holds, and its end.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use veritas_cache::{KeyReading, ListError, MAX_PAGE};

use crate::{
    api::{Answer, Shared, blocking},
    auth::Role,
    extract::{Operator, Parameters, require, within},
    openapi::{NotFound, RoleRefusals},
    problem::{Code, Problem},
    routes::Message,
};

/// Which keys to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeysQuery {
    /// The namespace.
    #[param(min_length = 1)]
    namespace: String,
    /// The tier: `process`, or the name of a second tier such as `redis`.
    #[param(min_length = 1, default = "process")]
    tier: Option<String>,
    /// The cursor that the page before gave; the first page without it.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Most keys to return.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Whether to show the first characters of values. Needs the role admin.
    #[param(default = false)]
    preview: Option<bool>,
}

/// One page of the keys of a namespace.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// The keys, in an order that stays.
    keys: Vec<KeyBody>,
    /// The cursor of the next page; `null` after the last one.
    #[schema(required)]
    next: Option<String>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One entry of a cache.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheKey)]
pub(crate) struct KeyBody {
    /// The key, readable.
    key: String,
    /// Bytes of key and value.
    bytes: u64,
    /// Seconds since it was stored; `null` where that is not known.
    #[schema(required, minimum = 0)]
    age_seconds: Option<f64>,
    /// Seconds that it will live yet; `null`: until it is evicted.
    #[schema(required, minimum = 0)]
    expires_in_seconds: Option<f64>,
    /// The first characters of the value, where the application registered a way to show it.
    #[schema(required)]
    preview: Option<String>,
}

impl KeyBody {
    fn of(reading: KeyReading, with_preview: bool) -> Self {
        Self {
            key: reading.key,
            bytes: reading.bytes,
            age_seconds: reading.age.map(|age| age.as_secs_f64()),
            expires_in_seconds: reading.expires_in.map(|left| left.as_secs_f64()),
            preview: reading.preview.filter(|_| with_preview),
        }
    }
}

/// List the keys of a cache
///
/// A walk that follows `next` sees every entry that is there from its first page to
/// its last. Needs the role operator: keys can tell about people. Previews of values
/// need the role admin.
#[utoipa::path(get, path = "/cache/keys", operation_id = "list_cache_keys", tag = "Caching",
    params(KeysQuery),
    responses((status = 200, description = "One page of keys", body = KeyList), RoleRefusals, NotFound))]
pub(crate) async fn keys(
    State(api): Shared,
    Operator(caller): Operator,
    Parameters(query): Parameters<KeysQuery>,
) -> Answer<KeyList> {
    let limit = within("limit", query.limit.unwrap_or(100), 1, MAX_PAGE)?;
    let preview = query.preview.unwrap_or(false);
    if preview {
        require(&caller, Role::Admin)?;
    }
    blocking(move || {
        let caches = &api.sources.caches;
        let cursor = query.cursor.as_deref();
        let page = match query.tier.as_deref() {
            None | Some("process") => caches.keys(&query.namespace, cursor, limit),
            Some(name) => {
                let tier = caches.tiers().into_iter().find(|tier| tier.name() == name);
                let tier = tier.ok_or_else(|| {
                    let detail = format!("there is no tier {name:?}; /cache/namespaces names them");
                    Problem::new(Code::CacheUnknown, detail)
                })?;
                tier.keys(&query.namespace, cursor, limit)
            }
        };
        let page = page.map_err(of_listing)?;
        Ok(Json(KeyList {
            keys: page.keys.into_iter().map(|key| KeyBody::of(key, preview)).collect(),
            next: page.next,
            generated_at: api.now_seconds(),
        }))
    })
    .await
}

fn of_listing(error: ListError) -> Problem {
    match error {
        ListError::UnknownNamespace => unknown(),
        ListError::BadCursor => {
            Problem::new(Code::CursorUnknown, "the cursor is none that a page of this tier gave")
        }
        ListError::Unavailable(reason) => Problem::new(Code::Unavailable, reason),
    }
}

fn unknown() -> Problem {
    Problem::new(Code::CacheUnknown, "no cache of that name is open; /cache/namespaces lists them")
}

/// Which namespace to empty.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FlushQuery {
    /// The namespace.
    #[param(min_length = 1)]
    namespace: String,
}

/// Empty a cache
///
/// Every entry that the process holds of the namespace is dead at once; loads that are
/// under way are not stored. Needs the role operator.
#[utoipa::path(delete, path = "/cache/entries", operation_id = "flush_cache", tag = "Caching",
    params(FlushQuery),
    responses((status = 200, description = "It is empty", body = Message,
        example = json!({"message": "Cache emptied successfully"})), RoleRefusals, NotFound))]
pub(crate) async fn flush(
    State(api): Shared,
    Operator(caller): Operator,
    Parameters(query): Parameters<FlushQuery>,
) -> Answer<Message> {
    blocking(move || {
        if api.sources.caches.tuning(&query.namespace).is_none() {
            return Err(unknown());
        }
        let object = format!("cache/entries?namespace={}", query.namespace);
        api.audited(&caller, "flush_cache", &object, || {
            api.sources.caches.flush(&query.namespace);
            Ok(Json(Message { message: "Cache emptied successfully" }))
        })
    })
    .await
}
