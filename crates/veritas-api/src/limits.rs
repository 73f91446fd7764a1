//! Limits: every bound on what a stranger, or a careless friend, can ask for.

use std::{num::NonZeroU32, time::Duration};

use crate::address::TrustedProxies;

/// A sustained rate and how far it may be exceeded at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests each second, sustained.
    pub per_second: NonZeroU32,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    /// Builds a rate.
    pub const fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { per_second, burst }
    }
}

/// The bounds on requests. What the connection itself is bounded by (size of
/// headers, slow clients, number of connections) is in
/// [`ServeOptions`](crate::serve::ServeOptions).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Rate of each subject.
    pub subject_rate: Rate,
    /// Rate of each address for requests that need no token or carry none.
    pub address_rate: Rate,
    /// Rate of each address for tokens that are not accepted.
    pub failure_rate: Rate,
    /// Subjects and addresses that are tracked at once; beyond it, strangers share one allowance.
    pub tracked_keys: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Hosts that may be asked for, without port (`localhost`, `127.0.0.1`);
    /// `None`: any. Against DNS rebinding set it wherever the server listens on
    /// loopback: see [`Limits::loopback`].
    pub hosts: Option<Vec<String>>,
    /// Longest body in bytes.
    pub body_bytes: usize,
    /// Longest path and query in bytes.
    pub uri_bytes: usize,
    /// Time for one request, its body included.
    pub request_time: Duration,
    /// Requests worked on at once; more are answered with 503.
    pub concurrent_requests: usize,
}

const fn rate(per_second: u32, burst: u32) -> Rate {
    match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
        (Some(per_second), Some(burst)) => Rate::new(per_second, burst),
        _ => panic!("a rate is not zero"),
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            subject_rate: rate(50, 200),
            address_rate: rate(50, 200),
            failure_rate: rate(1, 20),
            tracked_keys: 100_000,
            trusted_proxies: TrustedProxies::default(),
            hosts: None,
            body_bytes: 256 * 1024,
            uri_bytes: 8 * 1024,
            request_time: Duration::from_secs(15),
            concurrent_requests: 512,
        }
    }
}

impl Limits {
    /// Returns the limits for a server on loopback: only loopback names are
    /// answered, so that no web page can reach it through a name of its own.
    pub fn loopback() -> Self {
        let hosts = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
        Self { hosts: Some(hosts), ..Self::default() }
    }
}
