//! Loads that may find nothing, and for how long that is remembered.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

use veritas_cache::{Cache, Loaded, NamespaceOptions};

use crate::{MIB, caches, loads::poll};

type Answer = Result<Option<u64>, Arc<Infallible>>;

const NOTHING: Answer = Ok(None);

fn look(cache: &Cache<u64>, loads: &mut u32, found: Option<u64>) -> Answer {
    cache.get_or_load_optional("key", || {
        *loads += 1;
        Ok(found)
    })
}

#[test]
fn that_there_is_nothing_is_forgotten_at_once_when_nobody_says_otherwise() {
    let (caches, _clock) = caches(MIB);
    let (cache, mut loads) = (caches.namespace::<u64>("users"), 0);
    assert_eq!(look(&cache, &mut loads, None), NOTHING);
    assert_eq!(look(&cache, &mut loads, None), NOTHING);
    assert_eq!(look(&cache, &mut loads, Some(7)), Ok(Some(7)));
    assert_eq!(look(&cache, &mut loads, None), Ok(Some(7)));
    assert_eq!((loads, caches.statistics().negative_hits, caches.statistics().sets), (3, 0, 1));
}

#[test]
fn that_there_is_nothing_is_remembered_for_its_own_time() {
    let (caches, clock) = caches(MIB);
    let options =
        NamespaceOptions { negative_ttl: Some(Duration::from_secs(5)), ..NamespaceOptions::default() };
    let (cache, mut loads) = (caches.namespace_with::<u64>("users", options), 0);
    assert_eq!(look(&cache, &mut loads, None), NOTHING);
    clock.advance(Duration::from_nanos(4_999_999_999));
    assert_eq!(look(&cache, &mut loads, Some(7)), NOTHING);
    let statistics = caches.statistics();
    assert_eq!((loads, statistics.hits, statistics.negative_hits), (1, 1, 1));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(look(&cache, &mut loads, Some(7)), Ok(Some(7)));
    assert_eq!((loads, caches.statistics().expirations), (2, 1));
}

#[test]
fn who_wants_a_value_is_not_told_that_there_is_nothing() {
    let (caches, _clock) = caches(MIB);
    let options =
        NamespaceOptions { negative_ttl: Some(Duration::from_secs(5)), ..NamespaceOptions::default() };
    let (cache, mut loads) = (caches.namespace_with::<u64>("users", options), 0);
    assert_eq!(look(&cache, &mut loads, None), NOTHING);
    assert_eq!(cache.get("key"), None);
    assert_eq!(cache.get_or_compute("key", || 3), 3);
    assert_eq!(look(&cache, &mut loads, None), Ok(Some(3)), "a value takes the place of nothing");
    assert_eq!(cache.get("key"), Some(3));
    assert_eq!(loads, 1);
}

#[test]
fn who_wants_a_value_and_waited_for_nothing_loads_itself() {
    let (_caches, cache) = crate::loads::cache();
    let (mut send, receive) = (None, Arc::new(std::sync::Mutex::new(None)));
    let answered = Arc::clone(&receive);
    let mut optional = pin!(cache.get_or_load_optional_async("key", || {
        std::future::poll_fn(move |_| match answered.lock().unwrap().take() {
            Some(answer) => Poll::Ready(Ok::<Option<u64>, Infallible>(answer)),
            None => Poll::Pending,
        })
    }));
    let mut value = pin!(cache.get_or_load_async("key", || async { Ok::<_, Infallible>(9) }));
    assert!(poll(optional.as_mut()).is_pending() && poll(value.as_mut()).is_pending());
    assert_eq!(send.replace(()), None);
    *receive.lock().unwrap() = Some(None);
    assert_eq!(poll(optional.as_mut()), Poll::Ready(Ok(None)));
    assert_eq!(poll(value.as_mut()), Poll::Ready(Ok(9)));
    assert_eq!(cache.get("key"), Some(9));
}

#[test]
fn the_loader_says_how_to_keep_what_it_brings() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace::<u64>("users");
    let fetch = |loaded: Loaded<u64>| cache.fetch("key", || Ok::<_, Infallible>(loaded));

    let briefly = Loaded { ttl: Some(Duration::from_secs(1)), ..Loaded::of(1) };
    assert_eq!(fetch(briefly), Ok(Some(1)));
    clock.advance(Duration::from_millis(999));
    assert_eq!(cache.get("key"), Some(1));
    clock.advance(Duration::from_millis(1));
    assert_eq!(cache.get("key"), None);

    let not_at_all = Loaded { store: false, ..Loaded::of(2) };
    assert_eq!((fetch(not_at_all), cache.get("key")), (Ok(Some(2)), None));

    let nothing_briefly = Loaded { ttl: Some(Duration::from_secs(1)), ..Loaded::nothing() };
    assert_eq!(fetch(nothing_briefly), NOTHING);
    assert_eq!(fetch(Loaded::of(3)), NOTHING);
    clock.advance(Duration::from_secs(1));
    assert_eq!(fetch(Loaded::of(3)), Ok(Some(3)));

    let loads = caches.statistics().loads;
    cache.delete("key");
    assert_eq!(fetch(Loaded { from_tier: true, ..Loaded::of(4) }), Ok(Some(4)));
    assert_eq!((cache.get("key"), caches.statistics().loads), (Some(4), loads), "a tier is no source");
}

/// The futures of loads can be spawned wherever theirs can.
#[test]
fn loading_futures_are_send() {
    fn is_send<F: Future + Send>(_: &F) {}
    let (_caches, cache) = crate::loads::cache();
    let load = || async { Ok::<_, Infallible>(1) };
    is_send(&cache.get_or_load_async("key", load));
    is_send(&cache.get_or_refresh_async("key", load));
    is_send(&cache.fetch_async("key", || async { Ok::<_, Infallible>(Loaded::of(1)) }));
    is_send(&cache.get_or_load_many_async(&["key"], |_| async { Ok::<_, Infallible>(vec![Some(1)]) }));
}

#[test]
fn that_there_is_nothing_is_no_value_to_whoever_deletes_it() {
    let (caches, _clock) = caches(MIB);
    let options =
        NamespaceOptions { negative_ttl: Some(Duration::from_secs(5)), ..NamespaceOptions::default() };
    let (cache, mut loads) = (caches.namespace_with::<u64>("users", options), 0);
    assert_eq!(look(&cache, &mut loads, None), NOTHING);
    assert!(!cache.delete("key"));
    assert_eq!(look(&cache, &mut loads, None), NOTHING);
    assert!(!caches.invalidate("users", &cache.encoded_key("key")));
    assert_eq!(look(&cache, &mut loads, Some(7)), Ok(Some(7)));
    assert_eq!(loads, 3, "it is forgotten all the same");
}
