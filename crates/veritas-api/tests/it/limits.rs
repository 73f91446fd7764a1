//! Rates on the virtual clock, addresses, hosts, and too much at once.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use veritas_api::{Limits, address::TrustedProxies, auth::Role, limits::Rate};

use crate::{
    client::{Answer, get, send},
    world::World,
};

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate::new(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
}

fn limited(limits: Limits) -> (World, Router) {
    let mut world = World::busy();
    world.limits = limits;
    let router = world.router();
    (world, router)
}

async fn from(router: &Router, peer: &str, token: Option<&str>, forwarded: Option<&str>) -> Answer {
    let mut request = Request::builder().uri("/api/v1/performance/cache/stats");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
    send(router, request).await
}

#[tokio::test]
async fn a_subject_has_its_own_allowance() {
    let (world, router) = limited(Limits { subject_rate: rate(2, 3), ..Limits::default() });
    let ann = world.token_of("ann", Role::Viewer);
    for left in ["2", "1", "0"] {
        let answer = get(&router, "/cache/stats", &ann).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("ratelimit").unwrap().starts_with(&format!("\"subject\";r={left};t=")));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"subject\";q=3;w=2"));
    }
    // Another token of the same subject is the same subject.
    let refused = get(&router, "/cache/stats", &world.token_of("ann", Role::Admin)).await;
    assert_eq!(refused.problem(429), "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(get(&router, "/cache/stats", &world.token_of("bob", Role::Viewer)).await.status, 200);
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(get(&router, "/cache/stats", &ann).await.status, 200);
    assert_eq!(get(&router, "/cache/stats", &ann).await.status, 429);
}

#[tokio::test]
async fn strangers_are_counted_by_address_and_do_not_lock_out_tokens() {
    let (world, router) =
        limited(Limits { address_rate: rate(1, 2), failure_rate: rate(1, 1), ..Limits::default() });
    let here = "203.0.113.9:1000";
    for _ in 0..2 {
        assert_eq!(from(&router, here, None, None).await.problem(401), "token_missing");
    }
    assert_eq!(from(&router, here, None, None).await.problem(429), "rate_limited");
    // A missing token is no failed log-in: that allowance is untouched.
    assert_eq!(from(&router, here, Some("bad"), None).await.problem(401), "token_invalid");
    assert_eq!(from(&router, here, Some("bad"), None).await.problem(429), "rate_limited");
    assert_eq!(from(&router, here, Some(&world.token(Role::Viewer)), None).await.status, 200);
    assert_eq!(from(&router, "203.0.113.10:1000", None, None).await.status, 401, "another address");
    // A forged header does not make another address.
    assert_eq!(from(&router, here, None, Some("198.51.100.1")).await.status, 429);
}

#[tokio::test]
async fn a_customer_with_a_whole_ipv6_network_is_one() {
    let (_, router) = limited(Limits { address_rate: rate(1, 1), ..Limits::default() });
    assert_eq!(from(&router, "[2001:db8:1:2::1]:1", None, None).await.status, 401);
    assert_eq!(from(&router, "[2001:db8:1:2:ffff::9]:1", None, None).await.status, 429);
    assert_eq!(from(&router, "[2001:db8:1:3::1]:1", None, None).await.status, 401);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_counts() {
    let trusted_proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
    let (_, router) = limited(Limits { address_rate: rate(1, 1), trusted_proxies, ..Limits::default() });
    let proxy = "10.0.0.1:1";
    assert_eq!(from(&router, proxy, None, Some("203.0.113.1")).await.status, 401);
    assert_eq!(from(&router, proxy, None, Some("203.0.113.2")).await.status, 401);
    assert_eq!(from(&router, proxy, None, Some("9.9.9.9, 203.0.113.2")).await.status, 429);
}

#[tokio::test]
async fn on_loopback_only_loopback_names_are_served() {
    let (world, router) = limited(Limits::loopback());
    let token = world.token(Role::Viewer);
    let ask = |host: &'static str| {
        let request = Request::builder()
            .uri("/api/v1/performance/cache/stats")
            .header("authorization", format!("Bearer {token}"))
            .header("host", host);
        send(&router, request.body(Body::empty()).unwrap())
    };
    for host in ["localhost", "localhost:9900", "LOCALHOST", "127.0.0.1:1", "[::1]:9900"] {
        assert_eq!(ask(host).await.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
        assert_eq!(ask(host).await.problem(421), "host_not_allowed", "{host}");
    }
    let nameless = Request::builder().uri("/livez").body(Body::empty()).unwrap();
    assert_eq!(send(&router, nameless).await.problem(421), "host_not_allowed");
}

#[tokio::test]
async fn one_request_too_many_at_once_is_told_so() {
    let (world, router) = limited(Limits { concurrent_requests: 0, ..Limits::default() });
    let answer = get(&router, "/cache/stats", &world.token(Role::Viewer)).await;
    assert_eq!(answer.problem(503), "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_given_up() {
    let (world, router) = limited(Limits::default());
    let never = futures_body();
    let request = Request::builder()
        .method("PUT")
        .uri("/api/v1/performance/alerts/rules/mine")
        .header("authorization", format!("Bearer {}", world.token(Role::Admin)))
        .header("content-type", "application/json");
    let answer = send(&router, request.body(never).unwrap()).await;
    assert_eq!(answer.problem(408), "request_timeout");
}

/// A body that announces itself and never arrives.
fn futures_body() -> Body {
    struct Never;
    impl http_body::Body for Never {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    Body::new(Never)
}
