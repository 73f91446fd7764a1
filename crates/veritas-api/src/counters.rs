//! What the API counts about itself, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// Counters of the API. Relaxed: each is right, together they may be a request apart.
        #[derive(Debug, Default)]
        pub struct Counters {
            /// Responses by class of status: 1xx to 5xx.
            classes: [AtomicU64; 5],
            $($(#[$doc])* pub(crate) $name: Count,)*
        }
    };
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Requests refused by a rate limit.
    rate_limited;
    /// Tokens that were not accepted.
    failed_logins;
    /// Requests refused because too many ran at once.
    overloaded;
    /// Requests that ran out of time.
    timed_out;
    /// Handlers that panicked.
    panics;
    /// Requests for a host that is not ours.
    wrong_host;
}

impl Counters {
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn classes(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.classes[class].load(Ordering::Relaxed))
    }
}
