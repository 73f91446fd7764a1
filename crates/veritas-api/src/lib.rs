//! The REST API: routes, tokens, rate limits, JSON bodies, OpenAPI.
//!
//! Every answer of the published contract is built here, from the domain types
//! of the capability crates, and nowhere else: units become the numbers of the
//! document, `Option` becomes `null`, and every figure carries its provenance.
//!
//! - [`router`] is what an application nests into its own: the operations under
//!   [`PREFIX`], behind the application's [`auth::Authenticator`]. There is no
//!   anonymous form.
//! - [`server`] is the whole of `veritas serve`: the same, and at the root
//!   `/livez`, `/readyz`, `/metrics`, `/openapi.json`, `/docs` and
//!   `/.well-known/jwks.json`. [`serve`] answers connections with it.
//! - [`openapi()`] is the document of it.
//!
//! It does **not** sample, decide or store anything: it reads [`Sources`] and
//! passes on what operators order. A GET changes nothing. It does not speak TLS
//! (put a proxy before it, and name it in [`limits::Limits::trusted_proxies`]),
//! external key sets or single sign-on (`OpenID` Connect).
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use veritas_api::auth::{KeySet, Revocations, Role, TokenAuthenticator, TokenOptions};
//! use veritas_model::{Clock, SystemClock};
//! use veritas_store::MemoryControlPlane;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let control = Arc::new(MemoryControlPlane::new(clock.clone()));
//! let keys = KeySet::ephemeral()?; // `load_or_create` keeps them in the data directory
//! let issued = keys.issue("ann", Role::Operator, Duration::from_mins(30), &*clock)?;
//!
//! let revocations = Arc::new(Revocations::load(control)?);
//! let authenticator = TokenAuthenticator::own_keys(keys, TokenOptions::default(), revocations, clock);
//! assert_eq!(authenticator.verify(&issued.token)?.subject, "ann");
//! assert!(authenticator.verify("eyJhbGciOiJub25lIn0.e30.").is_err());
//! # Ok(())
//! # }
//! ```

pub mod address;
pub mod auth;
pub mod counters;
pub mod document;
pub mod limits;
pub mod problem;
pub mod serve;

mod api;
mod bulk;
mod extract;
mod gate;
mod openapi;
mod rate;
mod request_id;
mod routes;

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};

pub use api::Sources;
pub use limits::Limits;
pub use openapi::openapi;

use api::Api;
use auth::Authenticator;
use bulk::Bulk;
use gate::{Gate, Lodge, guard};
use problem::{Code, Problem};

/// Where the published operations stand.
pub const PREFIX: &str = "/api/v1/performance";

/// Builds the published operations under [`PREFIX`], to be merged into an
/// application's own router. Paths outside the prefix are left to the application.
///
/// Requests are counted against the address in
/// `axum::extract::ConnectInfo<SocketAddr>`; where the application does not
/// provide it, callers without an accepted token share one allowance.
pub fn router(sources: Arc<Sources>, authenticator: Arc<dyn Authenticator>, limits: Limits) -> Router {
    Parts::new(sources, authenticator, limits).published()
}

/// Builds all that `veritas serve` serves, with problems for whatever is not there.
pub fn server(sources: Arc<Sources>, authenticator: Arc<dyn Authenticator>, limits: Limits) -> Router {
    let parts = Parts::new(sources, authenticator, limits);
    let scraped = Router::from(routes::scraped())
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(parts.api.clone())
        .layer(from_fn_with_state(parts.closed_gate(), guard));
    Router::from(routes::open())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(parts.api.clone())
        .layer(from_fn_with_state(parts.open_gate(), guard))
        .merge(scraped)
        .merge(parts.published())
}

/// What the routers of one API share.
struct Parts {
    api: Arc<Api>,
    lodge: Arc<Lodge>,
}

impl Parts {
    fn new(sources: Arc<Sources>, authenticator: Arc<dyn Authenticator>, limits: Limits) -> Self {
        let lodge = Arc::new(Lodge::new(limits, sources.clock.clone()));
        let counters = lodge.counters.clone();
        Self { api: Arc::new(Api { sources, authenticator, counters, bulk: Bulk::new() }), lodge }
    }

    fn published(&self) -> Router {
        let inner = Router::from(routes::published())
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self.api.clone())
            .layer(from_fn_with_state(self.closed_gate(), guard));
        Router::new().nest(PREFIX, inner)
    }

    fn open_gate(&self) -> Gate {
        Gate { lodge: self.lodge.clone(), authenticator: None }
    }

    fn closed_gate(&self) -> Gate {
        Gate { lodge: self.lodge.clone(), authenticator: Some(self.api.authenticator.clone()) }
    }
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "no operation has this path")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "see the Allow header for the methods of this path")
}
