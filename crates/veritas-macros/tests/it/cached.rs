//! Cached functions of every shape keep their meaning, and run once for equal calls.

mod kept;
mod shapes;

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use veritas_cache::{CacheOptions, Caches, NamespaceStatistics, function};
use veritas_testkit::VirtualClock;

/// Returns the clock of the installed caches, and these.
fn installed() -> &'static (Arc<VirtualClock>, Arc<Caches>) {
    static INSTALLED: OnceLock<(Arc<VirtualClock>, Arc<Caches>)> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let clock = Arc::new(VirtualClock::new());
        let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::clone(&clock) as _));
        assert!(function::install(Arc::clone(&caches)).is_none());
        (clock, caches)
    })
}

/// Returns the statistics of a namespace of the installed caches.
fn statistics(name: &str) -> NamespaceStatistics {
    let all = installed().1.statistics().namespaces;
    let names: Vec<&String> = all.iter().map(|(name, _)| name).collect();
    let found = all.iter().find(|(found, _)| found == name);
    found.unwrap_or_else(|| panic!("there is no {name} in {names:?}")).1
}

/// Returns hits and misses.
fn asked(name: &str) -> (u64, u64) {
    let statistics = statistics(name);
    (statistics.hits, statistics.misses)
}

fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("these futures never wait"),
    }
}
