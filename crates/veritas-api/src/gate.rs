//! The gate: the one layer that every request passes, in and out.
//!
//! In: request id, host, length of the address, token, rate, concurrency, size
//! of the body. Out: time, panics, problems with their bodies, headers. It is
//! one layer and not ten so that a refused request costs next to nothing and
//! every answer, whoever gave it, leaves in the same shape.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts};
use http_body::Body as _;
use tokio::sync::Semaphore;
use veritas_model::Clock;

use crate::{
    address,
    auth::{AuthFailure, Authenticator},
    counters::Counters,
    limits::{Limits, Rate},
    problem::{Code, Problem, whole_seconds},
    rate::{RateLimiter, Verdict},
    request_id::{self, RequestId, RequestIds},
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What every gate of one API shares.
pub(crate) struct Lodge {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    ids: RequestIds,
    subjects: Limiter,
    addresses: Limiter,
    failures: Limiter,
    slots: Semaphore,
}

/// A limiter with what its headers say.
struct Limiter {
    name: &'static str,
    allowances: RateLimiter,
    policy: HeaderValue,
}

impl Limiter {
    fn new(name: &'static str, rate: Rate, keys: usize) -> Self {
        let window = rate.burst.get().div_ceil(rate.per_second.get());
        let policy = format!("\"{name}\";q={};w={window}", rate.burst);
        let policy = HeaderValue::try_from(policy).expect("a name and numbers are a header value");
        Self { name, allowances: RateLimiter::new(rate, keys), policy }
    }

    /// Writes the fields of draft-ietf-httpapi-ratelimit-headers-10.
    fn describe(&self, verdict: Verdict, headers: &mut HeaderMap) {
        let reset = whole_seconds(verdict.reset);
        let text = format!("\"{}\";r={};t={reset}", self.name, verdict.remaining);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(RATE_LIMIT, value);
            headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
        }
    }
}

impl Lodge {
    pub(crate) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let keys = limits.tracked_keys;
        Self {
            subjects: Limiter::new("subject", limits.subject_rate, keys),
            addresses: Limiter::new("address", limits.address_rate, keys),
            failures: Limiter::new("failure", limits.failure_rate, keys),
            slots: Semaphore::new(limits.concurrent_requests),
            ids: RequestIds::new(),
            counters: Arc::new(Counters::default()),
            limits,
            clock,
        }
    }

    /// Charges a request, and says so in the headers of its answer.
    fn charge(
        &self,
        limiter: &Limiter,
        key: impl std::hash::Hash,
        headers: &mut HeaderMap,
    ) -> Result<(), Problem> {
        let verdict = limiter.allowances.charge(key, self.clock.monotonic());
        limiter.describe(verdict, headers);
        if verdict.admitted {
            return Ok(());
        }
        self.counters.rate_limited.add();
        Err(Problem::new(Code::RateLimited, "slow down; Retry-After says for how long")
            .retry_after(verdict.retry_after))
    }

    /// Returns what a request without an accepted token is counted against.
    /// Without a known peer (an embedder that does not pass it on) all share one allowance.
    fn holding(&self, request: &Parts) -> IpAddr {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        address::holding(self.limits.trusted_proxies.client(peer, &request.headers))
    }
}

/// One gate: with an authenticator it lets only callers with a token in.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) lodge: Arc<Lodge>,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
}

impl Gate {
    /// Decides whether the request may go on. What is to be said in any answer goes into `headers`.
    fn admit(&self, request: &mut Parts, headers: &mut HeaderMap) -> Result<(), Problem> {
        let Lodge { limits, counters, .. } = &*self.lodge;
        if let Some(hosts) = &limits.hosts
            && !host(request).is_some_and(|host| hosts.iter().any(|known| known.eq_ignore_ascii_case(host)))
        {
            counters.wrong_host.add();
            return Err(Problem::new(Code::HostNotAllowed, "ask for it under a host name that it serves"));
        }
        if uri_length(&request.uri) > limits.uri_bytes {
            return Err(Problem::new(Code::UriTooLong, format!("at most {} bytes", limits.uri_bytes)));
        }
        self.identify(request, headers)?;
        let announced = request.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let too_long =
            |length: &str| length.parse::<usize>().map_or(true, |length| length > limits.body_bytes);
        if announced.is_some_and(too_long) {
            return Err(Problem::new(Code::BodyTooLarge, format!("at most {} bytes", limits.body_bytes)));
        }
        Ok(())
    }

    fn identify(&self, request: &mut Parts, headers: &mut HeaderMap) -> Result<(), Problem> {
        let lodge = &*self.lodge;
        let Some(authenticator) = &self.authenticator else {
            return lodge.charge(&lodge.addresses, lodge.holding(request), headers);
        };
        match authenticator.authenticate(request) {
            Ok(identity) => {
                lodge.charge(&lodge.subjects, &identity.subject, headers)?;
                request.extensions.insert(identity);
                Ok(())
            }
            Err(AuthFailure::Missing) => {
                lodge.charge(&lodge.addresses, lodge.holding(request), headers)?;
                Err(Problem::new(Code::TokenMissing, "send an Authorization header with a bearer token"))
            }
            Err(failure) => {
                lodge.counters.failed_logins.add();
                tracing::debug!(%failure, "a token was not accepted");
                lodge.charge(&lodge.failures, lodge.holding(request), headers)?;
                Err(match failure {
                    AuthFailure::Expired => Problem::new(Code::TokenExpired, "get a new token"),
                    AuthFailure::Revoked => Problem::new(Code::TokenRevoked, "get a new token"),
                    AuthFailure::Invalid(_) | AuthFailure::Missing => Problem::new(
                        Code::TokenInvalid,
                        "the bearer token is not one that this server accepts",
                    ),
                })
            }
        }
    }

    fn panicked(&self, id: &RequestId) -> Problem {
        self.lodge.counters.panics.add();
        tracing::error!(request_id = id.as_str(), "the answer to a request panicked");
        Problem::new(Code::Internal, "an internal error was logged under this request's id")
    }

    /// Runs the handler, bounded in time, with its panics caught.
    async fn run(&self, request: Request, next: Next, id: &RequestId) -> Response {
        let Lodge { limits, counters, slots, .. } = &*self.lodge;
        let Ok(_slot) = slots.try_acquire() else {
            counters.overloaded.add();
            return Problem::new(Code::Overloaded, "too many requests are being worked on")
                .retry_after(std::time::Duration::from_secs(1))
                .into_response();
        };
        let mut answer = pin!(next.run(request));
        let unwinding = std::future::poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
                Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
                Ok(Poll::Pending) => Poll::Pending,
                Err(_) => Poll::Ready(None),
            }
        });
        match tokio::time::timeout(limits.request_time, unwinding).await {
            Ok(Some(response)) => response,
            Ok(None) => self.panicked(id).into_response(),
            Err(_) => {
                counters.timed_out.add();
                Problem::new(Code::TimedOut, "try again in a moment").into_response()
            }
        }
    }
}

/// The layer's function.
pub(crate) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let id = gate.lodge.ids.of(request.headers());
    let (mut parts, body) = request.into_parts();
    let mut headers = HeaderMap::with_capacity(8);
    // An embedder's authenticator may panic too.
    let admission = catch_unwind(AssertUnwindSafe(|| gate.admit(&mut parts, &mut headers)));
    let response = match admission.unwrap_or_else(|_| Err(gate.panicked(&id))) {
        Ok(()) => {
            let body = if body.is_end_stream() {
                body
            } else {
                Body::new(http_body_util::Limited::new(body, gate.lodge.limits.body_bytes))
            };
            gate.run(Request::from_parts(parts, body), next, &id).await
        }
        Err(problem) => problem.into_response(),
    };
    let response = finish(response, headers, &id);
    gate.lodge.counters.answered(response.status());
    response
}

/// Gives every answer its shape.
fn finish(mut response: Response, rate: HeaderMap, id: &RequestId) -> Response {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem =
            response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Problem::of_status(status));
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(id.as_str());
        if let Some(allow) = allow.filter(|_| status == StatusCode::METHOD_NOT_ALLOWED) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    headers.extend(rate);
    headers.insert(request_id::HEADER, id.header());
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Returns the host that was asked for, without port and brackets; `None` when it is not
/// one host and a port, as in `localhost:x@evil.example`.
fn host(request: &Parts) -> Option<&str> {
    let mut named = request.headers.get_all(header::HOST).iter();
    let header = named.next().and_then(|value| value.to_str().ok());
    if named.next().is_some() {
        return None;
    }
    let host = request.uri.authority().map(http::uri::Authority::as_str).or(header)?;
    let (name, port) = match host.strip_prefix('[') {
        Some(literal) => literal.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(name)
}

fn uri_length(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |path| path.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_host(header: &str, expected: Option<&str>) {
        let (parts, ()) = Request::builder().header("host", header).body(()).unwrap().into_parts();
        assert_eq!(host(&parts), expected);
    }

    #[test]
    fn a_host_is_read_without_its_port() {
        check_host("localhost:9900", Some("localhost"));
        check_host("127.0.0.1", Some("127.0.0.1"));
        check_host("[::1]:9900", Some("::1"));
        check_host("[::1", None);
        check_host("evil.example", Some("evil.example"));
        check_host("localhost:", Some("localhost"));
        check_host("localhost:x@evil.example", None);
        check_host("[::1]evil.example", None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_takes_too_long_is_given_up_and_a_bare_status_gets_a_body() {
        let lodge = Lodge::new(Limits::default(), Arc::new(veritas_testkit::VirtualClock::new()));
        let gate = Gate { lodge: Arc::new(lodge), authenticator: None };
        let router = axum::Router::new()
            .route("/slow", axum::routing::get(std::future::pending::<()>))
            .route("/bare", axum::routing::get(async || (StatusCode::IM_A_TEAPOT, "secret internals")))
            .layer(axum::middleware::from_fn_with_state(gate.clone(), guard));
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        };
        assert!(ask("/slow").await.contains("\"timed_out\""));
        assert_eq!(gate.lodge.counters.timed_out.get(), 1);
        let bare = ask("/bare").await;
        assert!(bare.contains("\"request_malformed\"") && !bare.contains("secret"), "{bare}");
    }
}
