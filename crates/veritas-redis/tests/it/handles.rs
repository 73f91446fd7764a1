//! Handles: whatever the options that it is opened with, a namespace is one in its process.

use std::time::Duration;

use veritas_cache::NamespaceOptions;
use veritas_model::Bytes;
use veritas_redis::{Codec, LeaseOptions, TieredCache, TieredOptions};
use veritas_testkit::Redis;

use crate::nodes::{Node, exact, load};

/// A change of the key 1; tells whether it went well.
type Change = fn(&TieredCache<String>) -> bool;

/// Options that differ from [`Node::texts`] in one thing each, but stand in the same place in Redis.
fn in_the_same_place() -> Vec<TieredOptions> {
    let usual = exact(TieredOptions::default());
    let namespace = NamespaceOptions { ttl: Some(Duration::from_secs(15)), ..usual.namespace.clone() };
    let lease = LeaseOptions { patience: Duration::from_secs(5), ..LeaseOptions::default() };
    vec![
        TieredOptions { namespace, ..usual.clone() },
        TieredOptions { codec: Codec::MessagePack, ..usual.clone() },
        TieredOptions { compress_above: Bytes::new(1), ..usual.clone() },
        TieredOptions { lease, ..usual },
    ]
}

/// Options whose values stand elsewhere in Redis.
fn elsewhere() -> Vec<TieredOptions> {
    let usual = exact(TieredOptions::default());
    let namespace = NamespaceOptions { schema: 1, ..usual.namespace.clone() };
    vec![
        TieredOptions { namespace: namespace.clone(), ..usual.clone() },
        TieredOptions { hash_tag: true, ..usual.clone() },
        TieredOptions { namespace, hash_tag: true, ..usual },
    ]
}

/// Has one handle store what the other one then changes: nothing old is read, by either.
fn check(writer: &TieredCache<String>, changer: &TieredCache<String>, what: &str) {
    let fill = || {
        for cache in [changer, writer] {
            assert_eq!(cache.set_tagged_blocking(&1, "old".into(), &["tag"]), Ok(()), "{what}");
            assert_eq!(cache.get_blocking(&1).as_deref(), Some("old"), "{what}");
        }
    };
    // Not what the process holds, but what it makes of what Redis holds.
    let read = || {
        [writer, changer].map(|cache| {
            cache.local().delete(&1);
            cache.get_blocking(&1)
        })
    };
    fill();
    assert_eq!(changer.invalidate_tag_blocking("tag"), Ok(()));
    assert_eq!(writer.get_blocking(&1), None, "a tag, {what}");
    assert_eq!(read(), [None, None], "a tag, {what}");
    fill();
    assert_eq!(changer.clear_blocking(), Ok(()));
    assert_eq!(writer.get_blocking(&1), None, "a clear, {what}");
    assert_eq!(read(), [None, None], "a clear, {what}");
    fill();
    assert_eq!(changer.delete_blocking(&1), Ok(true));
    assert_eq!(writer.get_blocking(&1), None, "a delete, {what}");
    assert_eq!(read(), [None, None], "a delete, {what}");
    fill();
    assert_eq!(changer.delete_many_blocking(&[1]), [Ok(true)]);
    assert_eq!(read(), [None, None], "a delete of many, {what}");
    fill();
    assert_eq!(changer.set_blocking(&1, "new".into()), Ok(()));
    assert_ne!(writer.get_blocking(&1).as_deref(), Some("old"), "a set, {what}");
    let [old, new] = read();
    assert_ne!(old.as_deref(), Some("old"), "a set, {what}");
    assert_eq!(new.as_deref(), Some("new"), "a set, {what}");
}

#[test]
fn a_change_through_one_handle_is_seen_through_those_with_other_options() {
    let redis = Redis::start();
    for (turn, options) in in_the_same_place().into_iter().chain(elsewhere()).enumerate() {
        let node = Node::new(&redis.url());
        let name = format!("t{turn}");
        let (usual, other) = (node.texts(&name), node.tiered.namespace::<String>(&name, options.clone()));
        check(&usual, &other, &format!("{options:?}"));
        check(&other, &usual, &format!("the other way round, {options:?}"));
    }
}

#[test]
fn what_one_handle_sets_is_what_those_with_other_options_read() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    for options in in_the_same_place() {
        let (usual, other) = (node.texts("t"), node.tiered.namespace::<String>("t", options));
        for (one, another) in [(&usual, &other), (&other, &usual)] {
            assert_eq!(one.set_blocking(&1, "old".into()), Ok(()));
            assert_eq!(another.get_blocking(&1).as_deref(), Some("old"));
            assert_eq!(another.set_blocking(&1, "new".into()), Ok(()));
            assert_eq!(one.get_blocking(&1).as_deref(), Some("new"));
            one.local().delete(&1);
            assert_eq!(one.get_blocking(&1).as_deref(), Some("new"));
        }
    }
}

#[test]
fn a_change_reaches_handles_for_other_types() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let texts = node.texts("t");
    let numbers = node.tiered.namespace::<u64>("t", elsewhere().remove(0));
    assert_eq!(texts.set_tagged_blocking(&1, "old".into(), &["tag"]), Ok(()));
    assert_eq!(numbers.set_tagged_blocking(&2, 2, &["tag"]), Ok(()));
    assert_eq!(numbers.set_blocking(&1, 7), Ok(()));
    assert_eq!(texts.get_blocking(&1), None, "a set");
    assert_eq!(numbers.get_blocking(&1), Some(7));
    assert_eq!(texts.invalidate_tag_blocking("tag"), Ok(()));
    assert_eq!(numbers.get_blocking(&2), None, "a tag");
    assert_eq!(texts.delete_blocking(&1), Ok(true), "there was one, of the other type");
    assert_eq!(numbers.get_blocking(&1), None, "a delete");
}

#[test]
fn a_load_that_another_handle_s_change_overtook_is_not_believed() {
    let redis = Redis::start();
    for (turn, options) in in_the_same_place().into_iter().chain(elsewhere()).enumerate() {
        let node = Node::new(&redis.url());
        let name = format!("t{turn}");
        let (usual, other) = (node.texts(&name), node.tiered.namespace::<String>(&name, options.clone()));
        let changes: [Change; 3] = [
            |cache| cache.delete_blocking(&1).is_ok(),
            |cache| cache.clear_blocking().is_ok(),
            |cache| cache.invalidate_tag_blocking("tag").is_ok(),
        ];
        for change in changes {
            let loaded = usual.get_or_load_tagged_blocking(&1, &["tag"], || {
                assert!(change(&other));
                load("old")
            });
            assert_eq!(loaded.unwrap(), "old");
            assert_eq!(usual.get_blocking(&1), None, "{options:?}");
            assert_eq!(Node::new(&redis.url()).texts(&name).get_blocking(&1), None, "{options:?}");
        }
    }
}

#[test]
fn handles_beyond_the_limit_share_what_is_known_of_their_namespace() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let usual = node.texts("t");
    for number in 0..4_096 {
        drop(node.texts(&format!("n{number}")));
    }
    for options in in_the_same_place() {
        check(&usual, &node.tiered.namespace("t", options.clone()), &format!("{options:?}"));
    }
    for options in in_the_same_place() {
        let (one, other) = (node.texts("late"), node.tiered.namespace("late", options.clone()));
        check(&one, &other, &format!("{options:?}"));
    }
}
