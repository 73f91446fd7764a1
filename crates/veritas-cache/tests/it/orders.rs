//! Orders: random sequences of loads that overlap, of changes between their steps,
//! and of time that passes, on the cache as it is. Nobody who asks after the cache
//! was told of a version may get an older one.
//!
//! (`interleavings` goes between the steps of the flights' own code; here a step is
//! a poll or a call, and everything around the flights takes part.)

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use veritas_cache::{Cache, Caches, Loaded, NamespaceOptions, TagVersion};
use veritas_testkit::VirtualClock;

use crate::{MIB, caches};

const SECOND: Duration = Duration::from_secs(1);
const KEY: u64 = 7;

/// A reader who waits, and the version that the cache had been told of when it asked.
struct Reader {
    answer: Pin<Box<dyn Future<Output = Option<u64>>>>,
    told: u64,
}

struct World {
    caches: Caches,
    cache: Cache<u64>,
    clock: VirtualClock,
    source: Arc<AtomicU64>,
    told: u64,
    readers: Vec<Reader>,
    random: u64,
    /// Whether every value bears the tag, so that its death tells of them all.
    tagged: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let (caches, clock) = caches(MIB);
        let options = NamespaceOptions {
            ttl: Some(SECOND),
            stale: SECOND,
            negative_ttl: Some(SECOND),
            ..NamespaceOptions::default()
        };
        let cache = caches.namespace_with("orders", options);
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            caches,
            cache,
            clock,
            source: Arc::default(),
            told: 0,
            readers: Vec::new(),
            random,
            tagged: seed.is_multiple_of(2),
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) % below
    }

    /// Starts a reader; its loader reads the source at once and is over some polls later.
    fn ask(&mut self) {
        let (source, polls, fails) = (Arc::clone(&self.source), self.draw(4), self.draw(8) == 0);
        let load = move || {
            let (read, mut left) = (source.load(Ordering::SeqCst), polls);
            std::future::poll_fn(move |_| {
                if left > 0 {
                    left -= 1;
                    return Poll::Pending;
                }
                Poll::Ready(if fails { Err("on purpose") } else { Ok(read) })
            })
        };
        let tagged = |read| Loaded { tags: vec![TagVersion::of("tag")], ..Loaded::of(read) };
        let cache = self.cache.clone();
        let kind = if self.tagged { 3 } else { self.draw(4) };
        let answer: Pin<Box<dyn Future<Output = Option<u64>>>> = match kind {
            0 => Box::pin(async move {
                cache
                    .get_or_load_optional_async(&KEY, || async { load().await.map(Some) })
                    .await
                    .ok()
                    .flatten()
            }),
            1 => Box::pin(async move { cache.get_or_refresh_async(&KEY, load).await.ok() }),
            2 => Box::pin(async move {
                let keys = [KEY, KEY + 1];
                let load = |missing: Vec<&u64>| {
                    let (count, loading) = (missing.len(), load());
                    async move { loading.await.map(|read| vec![Some(read); count]) }
                };
                cache.get_or_load_many_async(&keys, load).await.swap_remove(0).ok().flatten()
            }),
            _ => Box::pin(async move {
                cache.fetch_async(&KEY, || async { load().await.map(tagged) }).await.ok().flatten()
            }),
        };
        self.readers.push(Reader { answer, told: self.told });
        self.poll(self.readers.len() - 1);
    }

    fn poll(&mut self, index: usize) {
        let reader = &mut self.readers[index];
        if let Poll::Ready(answer) = reader.answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            assert!(answer.is_none_or(|read| read >= reader.told), "{answer:?}, told of {}", reader.told);
            drop(self.readers.swap_remove(index));
        }
    }

    fn any_reader(&mut self) -> Option<usize> {
        let count = self.readers.len() as u64;
        (count > 0).then(|| usize::try_from(self.draw(count)).expect("a few"))
    }

    /// Writes to the source and tells the cache of it, in one of seven ways.
    fn write(&mut self) {
        let version = self.source.fetch_add(1, Ordering::SeqCst) + 1;
        let cache = &self.cache.clone();
        match self.draw(if self.tagged { 7 } else { 6 }) {
            0 => assert!(cache.set_tagged(&KEY, version, &["tag"])),
            1 => _ = cache.delete(&KEY),
            2 => _ = self.caches.invalidate("orders", &cache.encoded_key(&KEY)),
            3 => self.caches.flush("orders"),
            4 => _ = cache.clear(),
            5 => assert!(
                cache
                    .overwrite(&KEY)
                    .publish(Loaded { tags: vec![TagVersion::of("tag")], ..Loaded::of(version) })
            ),
            _ => self.caches.invalidate_tag("orders", "tag"),
        }
        self.told = version;
    }

    fn step(&mut self) {
        match self.draw(16) {
            0..5 => self.ask(),
            5..11 => {
                if let Some(index) = self.any_reader() {
                    self.poll(index);
                }
            }
            11 => {
                if let Some(index) = self.any_reader() {
                    drop(self.readers.swap_remove(index));
                }
            }
            12 | 13 => self.write(),
            14 => {
                let tenths = u32::try_from(self.draw(12)).expect("a few");
                self.clock.advance(SECOND / 10 * tenths);
            }
            _ => {
                let read = self.cache.get(&KEY);
                assert!(read.is_none_or(|read| read >= self.told), "{read:?}, told of {}", self.told);
            }
        }
    }
}

#[test]
fn nobody_is_told_what_the_cache_knows_to_be_old() {
    for seed in 0..3_000 {
        let mut world = World::new(seed);
        (0..60).for_each(|_| world.step());
        // Everyone comes to an end.
        for _ in 0..1_000 {
            if world.readers.is_empty() {
                break;
            }
            (0..world.readers.len()).rev().for_each(|index| world.poll(index));
        }
        assert!(world.readers.is_empty(), "seed {seed}: someone waits for ever");
    }
}
