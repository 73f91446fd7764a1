//! The routes: one module for each capability, its bodies beside its handlers.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod cache;
pub(crate) mod changes;
pub(crate) mod database;
pub(crate) mod findings;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod monitoring;
pub(crate) mod pages;
pub(crate) mod profiling;
pub(crate) mod proposals;
pub(crate) mod tokens;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{api::Api, extract::within, problem::Problem};

/// The operations under the prefix.
pub(crate) fn published() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::default()
        .routes(routes!(cache::stats, cache::clear))
        .routes(routes!(cache::memory))
        .routes(routes!(cache::namespaces::list))
        .routes(routes!(cache::keys::keys))
        .routes(routes!(cache::keys::flush))
        .routes(routes!(cache::advice::advice))
        .routes(routes!(cache::server::server))
        .routes(routes!(database::optimization))
        .routes(routes!(database::stats))
        .routes(routes!(database::connections))
        .routes(routes!(database::queries::list))
        .routes(routes!(database::query::one))
        .routes(routes!(database::indexes::list))
        .routes(routes!(database::locks::list))
        .routes(routes!(database::servers::list))
        .routes(routes!(profiling::profiles, profiling::clear))
        .routes(routes!(profiling::profile))
        .routes(routes!(monitoring::system))
        .routes(routes!(monitoring::process))
        .routes(routes!(monitoring::alerts))
        .routes(routes!(monitoring::report))
        .routes(routes!(monitoring::history))
        .routes(routes!(findings::list))
        .routes(routes!(findings::one))
        .routes(routes!(proposals::list))
        .routes(routes!(proposals::one))
        .routes(routes!(proposals::approve))
        .routes(routes!(proposals::dismiss))
        .routes(routes!(changes::list))
        .routes(routes!(changes::one))
        .routes(routes!(changes::revert))
        .routes(routes!(alerts::rules))
        .routes(routes!(alerts::put_rule, alerts::remove_rule))
        .routes(routes!(alerts::history))
        .routes(routes!(audit::list))
        .routes(routes!(tokens::revoke))
}

/// The operations at the root that need no token.
pub(crate) fn open() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::default()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(pages::openapi))
        .routes(routes!(pages::docs))
        .routes(routes!(pages::style))
        .routes(routes!(pages::script))
        .routes(routes!(pages::keys))
}

/// The operations at the root that need one.
pub(crate) fn scraped() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::default().routes(routes!(metrics::metrics))
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    /// A sentence for people.
    pub(crate) message: &'static str,
}

/// How a figure came to be: counted or timed on the thing itself, derived from a
/// sample or a model, replayed against a model, or not known.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the words of `veritas_model::Provenance` in the OpenAPI document")]
pub(crate) enum ProvenanceWord {
    Measured,
    Estimated,
    Simulated,
    Unavailable,
}

/// How many entries of a list to return.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Most entries to return.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

impl ListQuery {
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        within("limit", self.limit.unwrap_or(100), 1, 1000).map(|limit| limit as usize)
    }
}
