//! Coherence: what others change is heard, in order with the answers, and what may have been missed is told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use veritas_model::{Condition, SystemClock};
use veritas_redis::{Invalidation, LossReason, RedisTier, TierError};
use veritas_testkit::{Redis, wait_for};

use crate::scene::{LONG, connected, entry, options};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Key(String),
    All(LossReason),
}

/// Writes down what a tier hears.
fn listen(tier: &RedisTier) -> Arc<Mutex<Vec<Heard>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    tier.subscribe(Arc::new(move |invalidation| {
        log.lock().unwrap().push(match invalidation {
            Invalidation::Key(key) => Heard::Key(String::from_utf8_lossy(key).into_owned()),
            Invalidation::All(reason) => Heard::All(reason),
        });
    }));
    heard
}

fn has(heard: &Mutex<Vec<Heard>>, wanted: &Heard) -> bool {
    heard.lock().unwrap().contains(wanted)
}

#[test]
fn what_a_peer_changes_is_heard_and_our_own_writes_are_not() {
    let redis = Redis::start();
    let (tier, peer) = (connected(options(&redis.url())), connected(options(&redis.url())));
    assert!(tier.is_coherent());
    let heard = listen(&tier);
    assert_eq!(tier.set_blocking(entry("veritas:own", "v")), Ok(()));
    assert_eq!(peer.set_blocking(entry("veritas:a", "v")), Ok(()));
    assert_eq!(peer.set_blocking(entry("another:a", "v")), Ok(()));
    assert_eq!(peer.delete_blocking(b"veritas:own"), Ok(true));
    wait_for(LONG, || has(&heard, &Heard::Key("veritas:own".into())));
    assert_eq!(
        *heard.lock().unwrap(),
        [Heard::Key("veritas:a".into()), Heard::Key("veritas:own".into())],
        "neither our own set nor keys of another prefix"
    );
    assert_eq!(tier.counters().invalidations, 2);
}

#[test]
fn expired_and_evicted_keys_are_heard() {
    let redis = Redis::start();
    let (tier, peer) = (connected(options(&redis.url())), connected(options(&redis.url())));
    let heard = listen(&tier);
    let short =
        veritas_redis::SetEntry { ttl: Some(Duration::from_millis(1)), ..entry("veritas:short", "v") };
    assert_eq!(peer.set_blocking(short), Ok(()));
    wait_for(LONG, || {
        heard.lock().unwrap().iter().filter(|heard| **heard == Heard::Key("veritas:short".into())).count()
            >= 2
    });
}

#[test]
fn an_answer_never_overtakes_the_change_before_it() {
    let redis = Redis::start();
    let (tier, peer) = (connected(options(&redis.url())), connected(options(&redis.url())));
    let heard = listen(&tier);
    for turn in 0..500 {
        let key = format!("veritas:{turn}");
        assert_eq!(peer.set_blocking(entry(&key, "v")), Ok(()));
        // The write is done, so a read sees it, and the news of it came before.
        assert_eq!(tier.get_blocking(key.as_bytes()), Ok(Some(b"v".to_vec())));
        assert!(has(&heard, &Heard::Key(key.clone())), "{key} was read before its change was heard");
    }
}

#[test]
fn a_lost_connection_raises_the_generation_before_the_next_answer() {
    let redis = Redis::start();
    let (tier, peer) = (connected(options(&redis.url())), connected(options(&redis.url())));
    let heard = listen(&tier);
    for _ in 0..20 {
        let before = tier.generation();
        assert_eq!(peer.set_blocking(entry("veritas:a", "v")), Ok(()));
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        // Whatever the first answer is, it does not belong to the old generation.
        wait_for(LONG, || tier.get_blocking(b"veritas:a").is_ok_and(|_| tier.generation() > before));
        wait_for(LONG, || tier.is_coherent() && peer.is_available());
        wait_for(LONG, || peer.get_blocking(b"veritas:a").is_ok());
    }
    assert!(has(&heard, &Heard::All(LossReason::Disconnected)));
    assert!(has(&heard, &Heard::All(LossReason::Connected)));
}

#[test]
fn an_emptied_server_is_a_loss() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    let heard = listen(&tier);
    let before = tier.generation();
    redis.cli(&["FLUSHALL"]);
    wait_for(LONG, || has(&heard, &Heard::All(LossReason::Flushed)));
    assert!(tier.generation() > before);
}

#[test]
fn refused_tracking_is_a_working_tier_that_is_not_coherent_and_says_why() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-client|tracking"]);
    let url = format!("{}?user=app&pass=pass", redis.url());
    let tier = RedisTier::connect(options(&url), Arc::new(SystemClock::new())).unwrap();
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "v")) == Ok(()));
    assert!(!tier.is_coherent());
    let Condition::Degraded(reason) = tier.condition() else { panic!("ready") };
    assert!(reason.contains("CLIENT TRACKING was refused") && reason.contains("1s"), "{reason}");
}

#[test]
fn tracking_that_was_allowed_and_is_refused_later_is_noticed_at_the_next_connection() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all"]);
    let tier = connected(options(&format!("{}?user=app&pass=pass", redis.url())));
    assert!(tier.is_coherent());
    redis.cli(&["ACL", "SETUSER", "app", "-client|tracking"]);
    redis.cli(&["CLIENT", "KILL", "USER", "app"]);
    wait_for(LONG, || !tier.is_coherent() && tier.get_blocking(b"veritas:a") == Ok(None));
}

#[test]
fn a_dead_server_is_not_coherent() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    drop(redis);
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    assert!(!tier.is_coherent());
}
