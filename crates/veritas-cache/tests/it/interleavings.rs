//! Interleavings: no order of steps makes a stale value reappear.
//!
//! The real code of flights, epochs and tags runs under shuttle, which decides at
//! every lock and every atomic who goes next. Each case has a source of truth that
//! is written behind the cache's back: whoever writes raises the source's version
//! and then tells the cache, by one of the six ways there are. Once the cache has
//! been told of a version, no reader that starts later may get an older one. The
//! engine is a locked map, which is as atomic as the real one.

#[path = "interleavings/real.rs"]
mod real;

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64 as Plain, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use real::{
    flights::{Began, Flight, Flights, Key, Outcome, Part},
    tags::{EntryTags, Stamp, TagVersion, Tags},
};
use shuttle::{
    Config, Runner,
    rand::Rng,
    scheduler::{PctScheduler, RandomScheduler},
    sync::{Mutex, MutexGuard, atomic::AtomicU64},
    thread,
};

const KEY: Key<'static> = Key { hash: 0, bytes: b"key" };
const TAG: &str = "tag";
const WAYS: u32 = 6;
const SEED: u64 = 0x005e_ed0f_1234;

/// What is left out of the code, to see that the test notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nothing: this is the real code.
    No,
    /// A load is stored without asking whether it was overruled.
    StoresWhatWasOverruled,
    /// A load is stored as of its end, not of its start.
    ForgetsWhenItBegan,
    /// A reader follows whatever load is under way, of any generation.
    FollowsAnyGeneration,
    /// A reader takes what it waited for, though its tag died before it asked.
    IgnoresTagsOfWhatItWaitedFor,
    /// A leader that finds the value after all hands it to those who wait for a load.
    HandsOnWhatItFound,
}

impl Broken {
    /// All but the real code; the last one is the hardest to notice.
    pub(crate) const ALL: [Self; 5] = [
        Self::StoresWhatWasOverruled,
        Self::ForgetsWhenItBegan,
        Self::FollowsAnyGeneration,
        Self::IgnoresTagsOfWhatItWaitedFor,
        Self::HandsOnWhatItFound,
    ];
}

struct Entry {
    version: u64,
    generation: u64,
    tags: EntryTags,
}

struct Landed {
    version: u64,
    tags: EntryTags,
}

/// A cache of one key: what `Cache` does, over a locked map.
struct Small {
    board: Arc<Flights<Landed>>,
    tags: Tags,
    generation: AtomicU64,
    entries: Mutex<HashMap<&'static [u8], Entry>>,
    /// The truth.
    source: AtomicU64,
    /// The latest version that the cache has been told of.
    told: Plain,
    broken: Broken,
}

impl Small {
    fn new(broken: Broken) -> Self {
        Self {
            board: Arc::new(Flights::new()),
            tags: Tags::new(),
            generation: AtomicU64::new(0),
            entries: Mutex::new(HashMap::new()),
            source: AtomicU64::new(0),
            told: Plain::new(0),
            broken,
        }
    }

    fn began(&self) -> Began {
        Began { generation: self.generation.load(SeqCst), tags: self.tags.now() }
    }

    fn get(&self) -> Option<(u64, EntryTags)> {
        let generation = self.generation.load(SeqCst);
        let entries = self.locked();
        let entry = entries.get(KEY.bytes)?;
        let (version, alive) = (entry.version, entry.generation >= generation);
        let tags = entry.tags.clone();
        drop(entries);
        (alive && self.tags.is_alive(&tags)).then_some((version, tags))
    }

    fn insert(&self, version: u64, generation: u64, tags: EntryTags) {
        let replaced = self.locked().insert(KEY.bytes, Entry { version, generation, tags });
        drop(replaced);
    }

    fn remove(&self) {
        let removed = self.locked().remove(KEY.bytes);
        drop(removed);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<&'static [u8], Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> u64 {
        if let Some((version, _)) = self.get() {
            return version;
        }
        loop {
            let asked = self.began();
            let joined = if self.broken == Broken::FollowsAnyGeneration {
                Began { generation: 0, ..asked }
            } else {
                asked
            };
            match self.board.join(KEY, joined) {
                Part::Lead(lead) => {
                    if let Some((version, tags)) = self.get() {
                        thread::yield_now(); // Let others go first, here and below.
                        if self.broken == Broken::HandsOnWhatItFound {
                            let landed = Landed { version, tags };
                            lead.publish(|| Outcome::Loaded(Arc::new(landed)), || ());
                        }
                        return version;
                    }
                    if shuttle::rand::thread_rng().gen_ratio(1, 8) {
                        drop(lead); // As a panic would.
                        continue;
                    }
                    let version = lead.run(|| self.source.load(SeqCst));
                    thread::yield_now();
                    let began = match self.broken {
                        Broken::ForgetsWhenItBegan => self.began(),
                        Broken::FollowsAnyGeneration => asked,
                        _ => lead.began(),
                    };
                    let tags = Stamp::new(began.tags, &[TagVersion::of(TAG)]);
                    let landed = Landed { version, tags: tags.clone() };
                    let store = || self.insert(version, began.generation, tags);
                    if self.broken == Broken::StoresWhatWasOverruled {
                        lead.publish(|| Outcome::Loaded(Arc::new(landed)), || ());
                        store();
                    } else {
                        lead.publish(|| Outcome::Loaded(Arc::new(landed)), store);
                    }
                    return version;
                }
                Part::Follow(flight) => match wait(&flight) {
                    Some(Outcome::Loaded(landed))
                        if self.broken == Broken::IgnoresTagsOfWhatItWaitedFor
                            || asked.tags <= flight.began().tags
                            || self.tags.is_alive(&landed.tags) =>
                    {
                        return landed.version;
                    }
                    _ => {}
                },
                Part::Alone => unreachable!("no loader here asks for anything"),
            }
        }
    }

    /// Refreshes the key as the background does.
    fn refresh(&self) {
        let lead = if shuttle::rand::thread_rng().r#gen() {
            self.board.refresh(KEY, self.began())
        } else {
            let ticket = self.board.schedule(KEY, self.began());
            ticket.and_then(|ticket| ticket.start(self.began()))
        };
        let Some(lead) = lead else { return };
        let version = lead.run(|| self.source.load(SeqCst));
        let began = lead.began();
        let tags = Stamp::new(began.tags, &[TagVersion::of(TAG)]);
        let landed = Landed { version, tags: tags.clone() };
        lead.publish(|| Outcome::Loaded(Arc::new(landed)), || self.insert(version, began.generation, tags));
    }

    /// Writes to the source and tells the cache of it.
    fn write(&self, way: u32) {
        let version = self.source.fetch_add(1, SeqCst) + 1;
        match way {
            0 => self.board.overrule(KEY, || self.remove()),
            1 => {
                let began = self.began();
                let tags = Stamp::new(began.tags, &[TagVersion::of(TAG)]);
                self.board.overrule(KEY, || self.insert(version, began.generation, tags));
            }
            2 => _ = self.generation.fetch_add(1, SeqCst),
            3 => self.tags.invalidate(TAG),
            4 => {
                // As a tier below does: it claims the key, and publishes what it wrote.
                let began = self.began();
                let (lead, ()) = self.board.overtake(KEY, began, || self.remove());
                let tags = Stamp::new(began.tags, &[TagVersion::of(TAG)]);
                let landed = Landed { version, tags: tags.clone() };
                let store = || self.insert(version, began.generation, tags);
                lead.publish(|| Outcome::Loaded(Arc::new(landed)), store);
            }
            _ => {
                self.board.overrule_all();
                self.remove();
            }
        }
        self.told.fetch_max(version, SeqCst);
    }
}

/// Waits as a thread does, as a task does, or as a task that gives up and comes back.
fn wait(flight: &Arc<Flight<Landed>>) -> Option<Outcome<Landed>> {
    let way = shuttle::rand::thread_rng().gen_range(0..3);
    if way == 0 {
        return flight.wait();
    }
    let mut follow = Arc::clone(flight).follow()?;
    if way == 1 {
        return Some(shuttle::future::block_on(follow));
    }
    let mut once = Context::from_waker(Waker::noop());
    match Pin::new(&mut follow).poll(&mut once) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => {
            drop(follow);
            flight.wait()
        }
    }
}

/// One execution: readers and writers that know nothing of one another. A single
/// writer, when it sets: two that set race for which is the newer one.
fn execute(broken: Broken) {
    let small = Arc::new(Small::new(broken));
    // Short executions meet narrow races more often, longer ones meet more of them.
    let (each, usual_way) = {
        let mut random = shuttle::rand::thread_rng();
        (random.gen_range(1..=2), random.gen_range(0..2 * WAYS))
    };
    let mut threads = Vec::with_capacity(4);
    for _ in 0..2 {
        let small = Arc::clone(&small);
        threads.push(thread::spawn(move || {
            for _ in 0..each {
                let told = small.told.load(SeqCst);
                let version = small.load();
                assert!(version >= told, "read {version} after the cache was told of {told}");
            }
        }));
    }
    let writer = Arc::clone(&small);
    threads.push(thread::spawn(move || {
        for _ in 0..each {
            let any_way = || shuttle::rand::thread_rng().gen_range(0..WAYS);
            writer.write(if usual_way < WAYS { usual_way } else { any_way() });
        }
    }));
    let refresher = Arc::clone(&small);
    threads.push(thread::spawn(move || refresher.refresh()));
    for thread in threads {
        thread.join().expect("no thread fails");
    }
    let (told, left) = (small.told.load(SeqCst), small.get());
    assert!(left.is_none_or(|(version, _)| version >= told), "an old value is left, and {told} was told");
}

/// Runs that many executions, half of them at random and half by the algorithm of
/// Burckhardt et al. (ASPLOS 2010), which finds bugs of few ordering constraints
/// with a guaranteed probability. Panics at the first stale value.
pub(crate) fn prove(executions: usize, broken: Broken) {
    let mut config = Config::new();
    // Of orderings weaker than sequential consistency shuttle knows nothing; what
    // relies on them here is one counter, and says so.
    config.silence_warnings = true;
    let random = RandomScheduler::new_from_seed(SEED, executions / 2);
    Runner::new(random, config.clone()).run(move || execute(broken));
    let few = PctScheduler::new_from_seed(SEED, 3, executions - executions / 2);
    Runner::new(few, config).run(move || execute(broken));
}

/// Returns whether that many executions notice what is left out.
pub(crate) fn notices(broken: Broken, executions: usize) -> bool {
    std::panic::catch_unwind(|| prove(executions, broken)).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_interleaving_makes_a_stale_value_reappear() {
        prove(2_000, Broken::No);
    }

    #[test]
    fn a_missing_check_is_noticed() {
        // The others take more executions; the proof in `examples` shows all.
        for broken in &Broken::ALL[..2] {
            assert!(notices(*broken, 20_000), "{broken:?} was not noticed");
        }
    }
}
