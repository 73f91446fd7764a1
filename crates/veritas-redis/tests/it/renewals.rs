//! Values and absences that are due: who serves meanwhile, and who renews them.

use std::{sync::Arc, time::Duration};

use veritas_cache::NamespaceOptions;
use veritas_redis::{LeaseOptions, TieredCache, TieredOptions};
use veritas_testkit::{Redis, VirtualClock, wait_for};

use crate::{
    nodes::{Node, exact, load},
    scene::{LONG, options},
};

#[test]
fn a_stale_value_serves_while_one_refreshes_it() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let nodes = [(), ()].map(|()| Node::with(options(&redis.url()), Arc::new(clock.clone())));
    let caches = nodes.each_ref().map(|node| {
        let namespace = NamespaceOptions { stale: Duration::from_secs(30), ..NamespaceOptions::default() };
        // However long a busy machine lets it stand, it is not lost.
        let lease = LeaseOptions { life: LONG, ..LeaseOptions::default() };
        let options = TieredOptions { namespace, lease, ..TieredOptions::default() };
        node.tiered.namespace::<String>("t", exact(options))
    });
    assert_eq!(caches[0].get_or_load_blocking(&1, || load("old")).unwrap(), "old");
    assert_eq!(caches[1].get_or_load_blocking(&1, || load("unused")).unwrap(), "old");
    clock.advance(Duration::from_secs(25));
    // A plain look-up refreshes nothing, so that for it the value is dead, in either tier.
    assert_eq!(caches[1].get_blocking(&1), None);
    assert_eq!(caches[1].get_many_blocking(&[1]), [Ok(None)]);
    // One refreshes it; the other, asking in the middle of that, gets the old value at once.
    let refreshed = caches[0].get_or_load_blocking(&1, || {
        assert_eq!(caches[1].get_or_load_blocking(&1, || load("unused")).unwrap(), "old");
        load("new")
    });
    assert_eq!(refreshed.unwrap(), "new");
    wait_for(LONG, || caches[1].get_or_load_blocking(&1, || load("unused")).unwrap() == "new");
}

#[test]
fn what_is_due_is_handed_out_while_the_background_renews_it() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let node = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    node.caches.set_spawn(Arc::new(OnRuntime(runtime.handle().clone())));
    let namespace = NamespaceOptions { stale: Duration::from_secs(30), ..NamespaceOptions::default() };
    let options = exact(TieredOptions { namespace, ..TieredOptions::default() });
    let cache = node.tiered.namespace::<String>("t", options);
    let ask = |text: &'static str| {
        runtime.block_on(cache.get_or_refresh(&1, move || std::future::ready(load(text)))).unwrap()
    };
    assert_eq!(ask("old"), "old");
    assert_eq!(ask("unused"), "old");
    clock.advance(Duration::from_secs(25));
    assert_eq!(ask("new"), "old", "the stale one, at once");
    wait_for(LONG, || ask("unused") == "new");
    wait_for(LONG, || Node::new(&redis.url()).texts("t").get_blocking(&1).as_deref() == Some("new"));
}

struct OnRuntime(tokio::runtime::Handle);

impl veritas_cache::Spawn for OnRuntime {
    fn spawn(&self, future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.0.spawn(future));
    }
}

/// That there is nothing is due for a renewal at once, mostly, where finding that out was dear.
fn dear_absences() -> TieredOptions {
    let namespace = NamespaceOptions {
        negative_ttl: Some(Duration::from_secs(5)),
        early_refresh: 10.0,
        jitter: 0.0,
        ..NamespaceOptions::default()
    };
    TieredOptions { namespace, ..TieredOptions::default() }
}

/// Makes the process hold that there is nothing under a key, which took a second to find out.
fn note_absence(cache: &TieredCache<String>, key: i32, clock: &VirtualClock) {
    let nothing = || {
        clock.advance(Duration::from_secs(1));
        Ok::<_, std::io::Error>(None)
    };
    // The news of a value that a script stored comes to its own process too; the next read is kept.
    wait_for(LONG, || {
        assert_eq!(cache.get_or_load_optional_blocking(&key, nothing).unwrap(), None);
        cache.local().holds(&key)
    });
}

#[test]
fn who_needs_a_value_gets_the_error_of_its_loader_while_an_absence_is_due() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let node = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let cache = node.tiered.namespace::<String>("t", dear_absences());
    for key in 0..20 {
        note_absence(&cache, key, &clock);
        // Dear as it was, the absence is due for a renewal at once, mostly.
        let failing = || Err::<String, _>(std::io::Error::other("source down"));
        assert_eq!(cache.get_or_load_blocking(&key, failing).unwrap_err().to_string(), "source down");
        assert_eq!(cache.get_or_load_blocking(&key, || load("v")).unwrap(), "v");
        assert_eq!(cache.get_blocking(&key).as_deref(), Some("v"));
    }
}

#[test]
fn a_background_renewal_of_an_absence_never_hides_the_value_that_was_needed() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let node = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    node.caches.set_spawn(Arc::new(OnRuntime(runtime.handle().clone())));
    let cache = node.tiered.namespace::<String>("t", dear_absences());
    for key in 0..20 {
        note_absence(&cache, key, &clock);
        let ask = cache.get_or_refresh(&key, || std::future::ready(load("v")));
        assert_eq!(runtime.block_on(ask).unwrap(), "v");
        for _ in 0..5 {
            assert_eq!(cache.get_blocking(&key).as_deref(), Some("v"));
        }
    }
}
