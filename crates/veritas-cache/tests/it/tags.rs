//! Tags: many entries die at once, those that are being loaded too.

use std::{convert::Infallible, pin::pin, sync::mpsc, task::Poll};

use veritas_cache::{Cache, Loaded, TagVersion};
use veritas_testkit::wait_for;

use crate::{
    MIB, caches,
    loads::{PATIENCE, poll},
};

fn tagged(value: u64, tags: &[&str]) -> Loaded<u64> {
    Loaded { tags: tags.iter().map(|tag| TagVersion::of(tag)).collect(), ..Loaded::of(value) }
}

fn fetch(cache: &Cache<u64>, key: &str, loaded: Loaded<u64>) -> Option<u64> {
    cache.fetch(key, || Ok::<_, Infallible>(loaded)).expect("it cannot fail")
}

#[test]
fn a_tag_takes_its_entries_with_it_and_no_others() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("pages");
    cache.set_tagged("a", 1, &["user 1"]);
    cache.set_tagged("b", 2, &["user 1", "user 2"]);
    cache.set_tagged("c", 3, &["user 2"]);
    cache.set("d", 4);
    caches.invalidate_tag("pages", "user 1");
    assert_eq!(cache.get_many(&["a", "b", "c", "d"]), [None, None, Some(3), Some(4)]);
    caches.invalidate_tag("other pages", "user 2");
    assert_eq!(cache.get("c"), Some(3), "a tag is of one namespace");
    let statistics = caches.statistics();
    assert_eq!((statistics.tag_invalidated, statistics.deletes), (2, 0));
    cache.set_tagged("a", 5, &["user 1"]);
    assert_eq!(cache.get("a"), Some(5), "what is set afterwards lives");
}

#[test]
fn a_load_that_began_before_its_tag_died_is_not_served_after() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("pages");
    let answer = cache.fetch("key", || {
        caches.invalidate_tag("pages", "user 1");
        Ok::<_, Infallible>(tagged(1, &["user 1"]))
    });
    assert_eq!((answer, cache.get("key")), (Ok(Some(1)), None));
    assert_eq!(fetch(&cache, "key", tagged(2, &["user 1"])), Some(2));
    assert_eq!(cache.get("key"), Some(2));
}

#[test]
fn who_asks_after_a_tag_died_does_not_take_what_was_loading_before() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("pages");
    let (started, starts) = mpsc::channel::<()>();
    let (release, released) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let loading = &cache;
        scope.spawn(move || {
            let load = || {
                started.send(()).unwrap();
                released.recv_timeout(PATIENCE).unwrap();
                Ok::<_, Infallible>(tagged(1, &["user 1"]))
            };
            assert_eq!(loading.fetch("key", load), Ok(Some(1)));
        });
        starts.recv_timeout(PATIENCE).unwrap();
        let ask = || cache.fetch_async("key", || async { Ok::<_, Infallible>(tagged(2, &["user 1"])) });
        let (mut before, mut after) = (pin!(ask()), pin!(ask()));
        assert!(poll(before.as_mut()).is_pending());
        caches.invalidate_tag("pages", "user 1");
        assert!(poll(after.as_mut()).is_pending());
        release.send(()).unwrap();
        let mut answers = [None, None];
        wait_for(PATIENCE, || {
            for (answer, ask) in answers.iter_mut().zip([before.as_mut(), after.as_mut()]) {
                if answer.is_none()
                    && let Poll::Ready(ready) = poll(ask)
                {
                    *answer = ready.ok().flatten();
                }
            }
            answers.iter().all(Option::is_some)
        });
        assert_eq!(answers[1], Some(2), "{answers:?}");
    });
}

#[test]
fn a_value_that_was_read_before_its_tag_died_is_set_dead() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("pages");
    let read_at = cache.tag_version("user 1");
    caches.invalidate_tag("pages", "user 1");
    let loaded = Loaded { tags: vec![read_at], ..Loaded::of(1) };
    assert_eq!(fetch(&cache, "key", loaded), Some(1));
    assert_eq!(cache.get("key"), None);
}

#[test]
fn a_full_table_of_tags_forgets_no_death() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("pages");
    cache.set_tagged("early", 1, &["early"]);
    caches.invalidate_tag("pages", "early");
    for tag in 0..10_000 {
        caches.invalidate_tag("pages", &tag.to_string());
    }
    assert_eq!(cache.get("early"), None);
    cache.set_tagged("late", 2, &["early", "late"]);
    assert_eq!(cache.get("late"), Some(2));
    caches.invalidate_tag("pages", "late");
    assert_eq!(cache.get("late"), None);
}
