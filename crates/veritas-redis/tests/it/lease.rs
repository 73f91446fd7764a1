//! Leases: one holder at a time, renewed while it is held, and those who wait are woken.

use std::time::Duration;

use veritas_redis::Woken;
use veritas_testkit::{Redis, wait_for};

use crate::scene::{LONG, connected, entry, options};

const KEY: &[u8] = b"veritas:lease:a";

fn block_on<F: Future>(future: F) -> F::Output {
    // No timers, no I/O: what the tier's futures need of a runtime is nothing.
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn one_of_two_gets_the_lease_and_only_its_token_gives_it_back() {
    let redis = Redis::start();
    let (one, two) = (connected(options(&redis.url())), connected(options(&redis.url())));
    block_on(async {
        assert_eq!(one.lease(KEY, 1, LONG).await, Ok(true));
        assert_eq!(two.lease(KEY, 2, LONG).await, Ok(false));
        assert_eq!(two.release(KEY, 2).await, Ok(false));
        assert_eq!(two.renew(KEY, 2, LONG).await, Ok(false));
        assert_eq!(one.renew(KEY, 1, 2 * LONG).await, Ok(true));
        let left: u128 = redis.cli(&["PTTL", "veritas:lease:a"]).trim().parse().unwrap();
        assert!(left > LONG.as_millis(), "{left}");
        assert_eq!(one.release(KEY, 1).await, Ok(true));
        assert_eq!(two.lease(KEY, u64::MAX, LONG).await, Ok(true));
    });
}

#[test]
fn a_lease_dies_by_itself_and_a_renewed_one_does_not() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    // A renewal may come two seconds late.
    let life = Duration::from_secs(3);
    let held = block_on(tier.hold(KEY, 1, life, LONG)).unwrap().unwrap();
    block_on(tier.lease(b"veritas:lease:b", 1, life)).unwrap();
    wait_for(LONG, || redis.cli(&["EXISTS", "veritas:lease:b"]) == "0\n");
    // Older than the one that is dead, and alive.
    assert_eq!(block_on(tier.lease(KEY, 2, life)), Ok(false));
    drop(held);
    wait_for(LONG, || redis.cli(&["EXISTS", "veritas:lease:a"]) == "0\n");
}

#[test]
fn a_holder_that_hangs_is_not_renewed_for_ever() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    let life = Duration::from_millis(60);
    let held = block_on(tier.hold(KEY, 1, life, 2 * life)).unwrap().unwrap();
    wait_for(LONG, || block_on(tier.lease(KEY, 2, LONG)) == Ok(true));
    // What it gives back is not its own any more.
    assert_eq!(block_on(held.release()), Ok(false));
    assert_eq!(redis.cli(&["GET", "veritas:lease:a"]), "2\n");
}

#[test]
fn a_release_works_when_the_handle_is_gone_with_it() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    let held = block_on(tier.hold(KEY, 1, LONG, LONG)).unwrap().unwrap();
    drop(tier);
    drop(held);
    wait_for(LONG, || redis.cli(&["EXISTS", "veritas:lease:a"]) == "0\n");
    wait_for(LONG, || redis.cli(&["CLIENT", "LIST"]).lines().count() == 1);
}

#[test]
fn a_watch_is_woken_by_a_peer_by_ourselves_and_by_its_limit() {
    let redis = Redis::start();
    let (tier, peer) = (connected(options(&redis.url())), connected(options(&redis.url())));
    let mut watch = tier.watch(b"veritas:a").unwrap();
    assert_eq!(watch.changed_blocking(Duration::from_millis(1)), Woken::Late);
    assert_eq!(peer.set_blocking(entry("veritas:a", "v")), Ok(()));
    assert_eq!(watch.changed_blocking(LONG), Woken::Changed);
    assert_eq!(watch.changed_blocking(LONG), Woken::Changed, "and stays so");
    let mut watch = tier.watch(b"veritas:a").unwrap();
    assert_eq!(tier.clone().delete_blocking(b"veritas:a"), Ok(true));
    assert_eq!(watch.changed_blocking(LONG), Woken::Changed);
}

#[test]
fn a_watch_sees_the_release_of_a_killed_holder_s_lease() {
    let redis = Redis::start();
    let (tier, peer) = (connected(options(&redis.url())), connected(options(&redis.url())));
    assert_eq!(block_on(peer.lease(KEY, 1, Duration::from_millis(50))), Ok(true));
    drop(peer); // it never releases: the lease expires, and that is told too
    loop {
        // Watch, look, wait: the news of the peer's own taking may come first.
        let mut watch = tier.watch(KEY).unwrap();
        if block_on(tier.lease(KEY, 2, LONG)) == Ok(true) {
            break;
        }
        assert_eq!(watch.changed_blocking(LONG), Woken::Changed);
    }
}
