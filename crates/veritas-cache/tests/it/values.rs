//! Values whose `Clone` and `Drop` use the cache that they are in: loads hold no
//! lock while code of others runs.

use std::{
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use veritas_cache::{Cache, Caches};

use crate::{MIB, caches, loads::PATIENCE};

/// The cache that its values use.
type Home = Arc<OnceLock<Cache<Meddler>>>;

/// A value that deletes a key of its cache when it is dropped. Its clones in the
/// hands of callers are tame; the one in the cache, and those of loads, are not.
struct Meddler {
    home: Home,
    drops: Arc<AtomicU64>,
    meddles: Arc<AtomicBool>,
}

impl Clone for Meddler {
    fn clone(&self) -> Self {
        let (home, drops) = (Arc::clone(&self.home), Arc::clone(&self.drops));
        Self { home, drops, meddles: Arc::clone(&self.meddles) }
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        if self.meddles.load(Ordering::SeqCst) {
            let cache = self.home.get().expect("it is set before the first value");
            // The keys of all shards of flights, among them its own.
            (0..64_u64).for_each(|key| drop_flight(cache, key));
        }
    }
}

/// Deletes a key; while something is loading, that takes the lock of its flights.
fn drop_flight(cache: &Cache<Meddler>, key: u64) {
    let _was_there = cache.delete(&(u64::MAX, key));
}

fn meddlers() -> (Caches, Cache<Meddler>, impl Fn() -> Meddler, Arc<AtomicBool>) {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace_sized::<Meddler>("meddlers", |_| 0);
    let home = Home::default();
    assert!(home.set(cache.clone()).is_ok());
    let (drops, meddles) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let switch = Arc::clone(&meddles);
    let make =
        move || Meddler { home: Arc::clone(&home), drops: Arc::clone(&drops), meddles: Arc::clone(&meddles) };
    (caches, cache, make, switch)
}

/// Runs it on a thread of its own: a deadlock fails the test instead of hanging it.
#[track_caller]
fn within_patience(run: impl FnOnce() + Send + 'static) {
    let (done, ends) = mpsc::channel();
    thread::spawn(move || {
        run();
        assert!(done.send(()).is_ok());
    });
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(()), "it hangs, or panicked");
}

#[test]
fn a_value_that_deletes_keys_when_it_is_dropped_does_not_hang_loads() {
    within_patience(|| {
        let (_caches, cache, make, meddles) = meddlers();
        meddles.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            for key in 0..64_u64 {
                // Something is always loading, in every shard of flights.
                let outer = cache.get_or_compute(&key, || {
                    let inner = cache.get_or_compute(&(key + 1_000), &make);
                    cache.set(&(key + 1_000), make());
                    cache.delete(&(key + 1_000));
                    drop(inner);
                    make()
                });
                drop(outer);
            }
            cache.set(&0, make());
            cache.clear();
        }
        let batch = cache.get_or_load_many(&[1_u64, 2, 3], |missing| {
            Ok::<_, Infallible>(missing.iter().map(|_| Some(make())).collect())
        });
        drop(batch);
        meddles.store(false, Ordering::SeqCst);
    });
}

#[test]
fn a_load_that_was_overruled_drops_its_value_outside_of_the_lock() {
    within_patience(|| {
        let (_caches, cache, make, meddles) = meddlers();
        let loaded = cache.get_or_compute(&1, || {
            cache.delete(&1);
            meddles.store(true, Ordering::SeqCst);
            make()
        });
        drop(loaded);
        assert!(cache.get(&1).is_none());
        meddles.store(false, Ordering::SeqCst);
    });
}

#[test]
fn those_who_wait_clone_outside_of_the_lock() {
    within_patience(|| {
        let (caches, cache, make, meddles) = meddlers();
        meddles.store(true, Ordering::SeqCst);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let value = cache.get_or_compute(&1, || {
                        veritas_testkit::wait_for(Duration::from_secs(15), || {
                            caches.statistics().misses >= 8
                        });
                        make()
                    });
                    drop(value);
                });
            }
        });
        meddles.store(false, Ordering::SeqCst);
    });
}
