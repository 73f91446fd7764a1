//! Outages and coherence: what one process changes no other serves for long, whatever the network does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_model::{Clock, Condition, SystemClock};
use veritas_redis::{StoreError, TieredCache};
use veritas_testkit::{Fault, FaultProxy, Redis, VirtualClock, wait_for};

use crate::{
    nodes::{Node, load},
    scene::{LONG, options},
};

/// A process whose connection runs through a proxy.
fn behind(proxy: &FaultProxy) -> Node {
    Node::new(&proxy.url())
}

#[test]
fn what_was_deleted_during_an_outage_is_gone_after_it() {
    let redis = Redis::start_tcp();
    let proxy = FaultProxy::start(&redis);
    let (cut_off, peer) = (behind(&proxy), Node::new(&redis.url()));
    let cache = cut_off.texts("t");
    for key in 0..20 {
        assert_eq!(cache.set_blocking(&key, "old".into()), Ok(()));
    }
    assert_eq!(cache.set_tagged_blocking(&100, "old".into(), &["tag"]), Ok(()));
    proxy.set(Fault::Refuse);
    proxy.cut();
    wait_for(LONG, || cache.delete_blocking(&0).is_err());
    for key in 1..10 {
        assert!(cache.delete_blocking(&key).is_err());
    }
    assert!(matches!(cache.set_blocking(&10, "new".into()), Err(StoreError::Tier(_))));
    assert!(cache.invalidate_tag_blocking("tag").is_err());
    assert_eq!(cut_off.tiered.pending(), 12);
    let Condition::Degraded(why) = cut_off.caches.tiers()[0].condition() else { panic!("it is ready") };
    assert!(why.contains("12 deletes wait"), "{why}");
    assert_eq!(peer.texts("t").get_blocking(&5).as_deref(), Some("old"), "nobody could tell it");

    proxy.set(Fault::Pass);
    // Nobody asks anything of it: it makes good by itself.
    wait_for(LONG, || cut_off.tiered.pending() == 0);
    wait_for(LONG, || (0..=10).all(|key| peer.texts("t").get_blocking(&key).is_none()));
    wait_for(LONG, || peer.texts("t").get_blocking(&100).is_none());
    assert_eq!(peer.texts("t").get_blocking(&11).as_deref(), Some("old"), "others are still there");
}

#[test]
fn what_was_read_before_a_failed_delete_was_made_good_is_not_believed() {
    let redis = Redis::start_tcp();
    let proxy = FaultProxy::start(&redis);
    let clock = VirtualClock::new();
    let node = Node::with(options(&proxy.url()), Arc::new(clock.clone()));
    let cache = node.texts("t");
    assert_eq!(cache.set_blocking(&1, "old".into()), Ok(()));
    proxy.set(Fault::Refuse);
    proxy.cut();
    wait_for(LONG, || cache.delete_blocking(&1).is_err());
    wait_for(LONG, || !node.tiered.redis().is_available());
    assert_eq!(cache.get_blocking(&2), None, "it was tried in vain at this very moment");
    proxy.set(Fault::Pass);
    wait_for(LONG, || node.tiered.redis().is_coherent());
    // The clock stands, so that it is not tried again; this reads the server's clock.
    assert_eq!(cache.get_blocking(&2), None);
    assert_eq!(node.tiered.pending(), 1);
    let mut reading = std::pin::pin!(cache.get(&1));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    proxy.set(Fault::Stall);
    assert!(reading.as_mut().poll(&mut context).is_pending(), "the question is on its way");
    proxy.set(Fault::Pass);
    clock.advance(Duration::from_millis(11));
    wait_for(LONG, || {
        assert_eq!(cache.get_blocking(&2), None);
        node.tiered.pending() == 0
    });
    let read = wait_for(LONG, || match reading.as_mut().poll(&mut context) {
        std::task::Poll::Ready(read) => Some(read),
        std::task::Poll::Pending => None,
    });
    assert_eq!(read, None, "it was read before the delete");
    assert_eq!(cache.get_blocking(&1), None);
}

#[test]
fn a_delete_that_the_server_refused_is_made_good_though_nobody_asks() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all"]);
    let url = format!("{}?user=app&pass=pass", redis.url());
    let node = Node::with(options(&url), Arc::new(SystemClock::new()));
    let peer = Node::new(&redis.url());
    assert_eq!(node.texts("t").set_blocking(&1, "old".into()), Ok(()));
    assert_eq!(peer.texts("t").get_blocking(&1).as_deref(), Some("old"));
    redis.cli(&["ACL", "SETUSER", "app", "-unlink"]);
    assert!(node.texts("t").delete_blocking(&1).is_err());
    redis.cli(&["ACL", "SETUSER", "app", "+unlink"]);
    wait_for(LONG, || peer.texts("t").get_blocking(&1).is_none());
    wait_for(LONG, || node.tiered.pending() == 0);
}

#[test]
fn nothing_of_before_an_outage_is_served_after_it() {
    let redis = Redis::start_tcp();
    let proxy = FaultProxy::start(&redis);
    let (cut_off, peer) = (behind(&proxy), Node::new(&redis.url()));
    for turn in 0..5 {
        let (old, new) = (format!("old {turn}"), format!("new {turn}"));
        assert_eq!(peer.texts("t").set_blocking(&1, old.clone()), Ok(()));
        wait_for(LONG, || cut_off.texts("t").get_blocking(&1).as_ref() == Some(&old));
        proxy.set(Fault::Refuse);
        proxy.cut();
        // The peer's change cannot be heard of.
        assert_eq!(peer.texts("t").set_blocking(&1, new.clone()), Ok(()));
        wait_for(LONG, || !cut_off.tiered.redis().is_available());
        assert!(!cut_off.tiered.redis().is_coherent());
        assert_eq!(cut_off.texts("t").get_blocking(&1), None, "what it had is not trusted any more");
        let generation = cut_off.tiered.redis().generation();
        proxy.set(Fault::Pass);
        wait_for(LONG, || cut_off.tiered.redis().is_coherent());
        assert!(cut_off.tiered.redis().generation() > generation);
        wait_for(LONG, || match cut_off.texts("t").get_blocking(&1) {
            None => false,
            Some(value) => {
                assert_eq!(value, new);
                true
            }
        });
    }
}

#[test]
fn a_load_under_way_while_the_connection_is_lost_is_not_kept() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let cache = node.texts("t");
    let loaded = cache.get_or_load_blocking(&1, || {
        let before = node.tiered.redis().generation();
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        wait_for(LONG, || node.tiered.redis().generation() > before);
        load("v")
    });
    assert_eq!(loaded.unwrap(), "v");
    let hits = node.caches.statistics().hits;
    cache.get_blocking(&1);
    assert_eq!(node.caches.statistics().hits, hits, "it is not in the process");
}

#[test]
fn without_news_of_changes_entries_live_briefly_in_the_process() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-client|tracking"]);
    let clock = VirtualClock::new();
    let url = format!("{}?user=app&pass=pass", redis.url());
    let deaf = Node::unconnected(options(&url), Arc::new(clock.clone()) as Arc<dyn Clock>);
    let peer = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    assert_eq!(peer.texts("t").set_blocking(&1, "old".into()), Ok(()));
    wait_for(LONG, || deaf.texts("t").get_blocking(&1).as_deref() == Some("old"));
    assert_eq!(peer.texts("t").set_blocking(&1, "new".into()), Ok(()));
    assert_eq!(deaf.texts("t").get_blocking(&1).as_deref(), Some("old"), "it cannot know");
    clock.advance(Duration::from_millis(1_001));
    assert_eq!(deaf.texts("t").get_blocking(&1).as_deref(), Some("new"));
    // A namespace that is cleared is seen without being told: its version is read along.
    assert_eq!(peer.texts("t").clear_blocking(), Ok(()));
    clock.advance(Duration::from_millis(1_001));
    assert_eq!(deaf.texts("t").get_blocking(&1), None);
}

/// The source of truth of the interleavings below: a number for each key that only grows.
const KEYS: usize = 4;

struct Source([AtomicU64; KEYS]);

impl Source {
    fn read(&self, key: usize) -> u64 {
        self.0[key].load(Ordering::SeqCst)
    }

    /// Loads as slowly as a source does: the value is read first and comes back later.
    #[expect(clippy::unnecessary_wraps, reason = "a loader may fail")]
    fn load(&self, key: usize) -> Result<String, std::io::Error> {
        let value = self.read(key);
        std::thread::yield_now();
        Ok(value.to_string())
    }
}

fn look(cache: &TieredCache<String>, source: &Source, key: usize) -> u64 {
    let loaded = cache.get_or_load_blocking(&(key as u64), || source.load(key)).unwrap();
    loaded.parse().unwrap()
}

#[test]
fn after_an_acknowledged_delete_nobody_here_reads_the_old_value_and_soon_nobody_elsewhere() {
    const ROUNDS: u64 = 300;
    let redis = Redis::start();
    let nodes: Vec<Node> = (0..3).map(|_| Node::new(&redis.url())).collect();
    let source = Source([const { AtomicU64::new(0) }; KEYS]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for node in &nodes {
            let (source, done) = (&source, &done);
            // Readers, to keep values in every process and loads under way.
            scope.spawn(move || {
                let cache = node.texts("t");
                let mut key = 0;
                while !done.load(Ordering::Relaxed) {
                    assert!(look(&cache, source, key) <= source.read(key));
                    key = (key + 1) % KEYS;
                }
            });
        }
        let writers: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let source = &source;
                scope.spawn(move || {
                    let cache = node.texts("t");
                    for round in 0..ROUNDS {
                        let key = usize::try_from(round).unwrap() * (index + 1) % KEYS;
                        let truth = source.0[key].fetch_add(1, Ordering::SeqCst) + 1;
                        cache.delete_blocking(&(key as u64)).unwrap();
                        let read = look(&cache, source, key);
                        assert!(read >= truth, "read {read} after {truth} was acknowledged");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    // A stale value that came back to life would stay for twenty seconds, longer than this waits.
    for node in &nodes {
        for key in 0..KEYS {
            wait_for(LONG, || look(&node.texts("t"), &source, key) == source.read(key));
        }
    }
}

#[test]
fn after_many_sets_by_many_all_processes_agree_with_redis() {
    const ROUNDS: u64 = 300;
    let redis = Redis::start();
    let nodes: Vec<Node> = (0..3).map(|_| Node::new(&redis.url())).collect();
    std::thread::scope(|scope| {
        for (index, node) in nodes.iter().enumerate() {
            scope.spawn(move || {
                let cache = node.texts("t");
                for round in 0..ROUNDS {
                    let key = round % 3;
                    if round % 7 == 6 {
                        cache.delete_blocking(&key).unwrap();
                    } else {
                        cache.set_blocking(&key, format!("{index} {round}")).unwrap();
                    }
                    cache.get_blocking(&((round + 1) % 3));
                }
            });
        }
    });
    for key in 0..3_u64 {
        // A process that starts now has nothing but what Redis has.
        let truth = Node::new(&redis.url()).texts("t").get_blocking(&key);
        for node in &nodes {
            wait_for(LONG, || node.texts("t").get_blocking(&key) == truth);
        }
    }
}
