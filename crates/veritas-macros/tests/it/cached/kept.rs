//! What of a result is kept, for how long, and where.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use veritas_cache::{
    CacheOptions, Caches, Knob,
    function::{self, CallKey},
};
use veritas_macros::cached;
use veritas_model::Bytes;
use veritas_testkit::VirtualClock;

use super::{asked, installed, ready};

thread_local! {
    static RUNS: Cell<u32> = const { Cell::new(0) };
}

/// Counts a run of a body on this thread.
fn run() -> u32 {
    RUNS.with(|runs| {
        runs.set(runs.get() + 1);
        runs.get()
    })
}

type Answer = Result<u32, String>;

/// Not what it is called.
#[derive(Debug, Clone, Copy, PartialEq)]
struct QueryResult(u32);

impl veritas_cache::HeapSize for QueryResult {
    fn heap_size(&self) -> usize {
        0
    }
}

#[cached("fallible", crate = veritas_cache)]
fn fallible(good: bool) -> Result<u32, String> {
    let run = run();
    if good { Ok(run) } else { Err(format!("failed {run}")) }
}

#[cached("aliased", crate = veritas_cache)]
fn aliased(good: bool) -> Answer {
    let run = run();
    let parsed: u32 = "1".parse().map_err(|_| String::new())?;
    if good { Ok(run) } else { Err(format!("failed {run} {parsed}")) }
}

#[cached("no result", crate = veritas_cache)]
fn no_result(_id: u8) -> QueryResult {
    QueryResult(run())
}

#[cached("optional", crate = veritas_cache)]
fn optional(good: bool) -> Option<u32> {
    let run = run();
    good.then_some(run)
}

#[cached("negative", ttl = "1h", negative_ttl = "10s", in = caches, ignore(caches), crate = veritas_cache)]
fn negative(caches: &Caches, good: bool) -> Option<u32> {
    let run = run();
    good.then_some(run)
}

#[cached("both", negative_ttl = "10s", crate = veritas_cache)]
async fn both(id: u8) -> Result<Option<u32>, Arc<std::io::Error>> {
    let run = run();
    match id {
        0 => Err(std::io::Error::other("broken"))?,
        1 => Ok(None),
        _ => Ok(Some(run)),
    }
}

#[cached("short", ttl = "1500ms", jitter = 0, early_refresh = 0.0, in = caches, ignore(caches), crate = veritas_cache)]
fn short(caches: &Caches, _id: u8) -> u32 {
    run()
}

#[cached("tagged", tags("user:{id}", "all"), in = *caches, ignore(caches), crate = veritas_cache)]
fn tagged(caches: &Arc<Caches>, id: u64) -> u64 {
    id * 1_000 + u64::from(run())
}

#[cached("tagged later", tags("user:{id}"), in = caches, ignore(caches), crate = veritas_cache)]
async fn tagged_later(caches: &Caches, id: String) -> Result<String, String> {
    Ok(format!("{id}{}", run()))
}

#[cached("dormant", dormant, in = caches, ignore(caches), crate = veritas_cache)]
fn dormant(caches: &Caches, _id: u8) -> u32 {
    run()
}

#[cached(
    "all options",
    ttl = "1d",
    negative_ttl = "5s",
    stale = "2m",
    early_refresh = 2.5,
    jitter = 0.25,
    capacity = "1 MiB",
    max_value = "4KiB",
    version = 3,
    in = caches,
    ignore(caches),
    crate = veritas_cache
)]
fn all_options(caches: &Caches, id: u8) -> Option<u32> {
    Some(run() + u32::from(id))
}

#[cached("refreshed", ttl = "10s", stale = "1m", jitter = 0, refresh, in = caches, ignore(caches, runs), crate = veritas_cache)]
fn refreshed(caches: Arc<Caches>, runs: Arc<AtomicU32>, id: u32) -> Result<u32, String> {
    Ok(runs.fetch_add(1, Ordering::SeqCst) + id)
}

#[cached("refreshed later", ttl = "10s", stale = "1m", jitter = 0, refresh, in = caches, ignore(caches), crate = veritas_cache)]
async fn refreshed_later(caches: Arc<Caches>, id: u32) -> Option<u32> {
    Some(run() + id)
}

/// Shares the name of one that may return nothing.
#[cached("sometimes nothing", negative_ttl = "1h", crate = veritas_cache)]
fn sometimes_nothing(_id: u8) -> Option<u32> {
    None
}

#[cached("sometimes nothing", crate = veritas_cache)]
fn never_nothing(_id: u8) -> u32 {
    7
}

#[cached("sometimes nothing", crate = veritas_cache)]
async fn never_nothing_later(_id: u8) -> Result<u32, String> {
    Ok(7)
}

struct Holder {
    caches: Arc<Caches>,
}

impl Holder {
    #[cached("held", in = self.caches, key(id), crate = veritas_cache)]
    fn held(&self, id: u8) -> u32 {
        u32::from(id) + run()
    }

    #[cached("held later", in = &*self.caches, key(id), crate = veritas_cache)]
    async fn held_later(&self, id: u8) -> Result<u32, String> {
        Ok(u32::from(id) + run())
    }
}

/// Two functions with one name return the same things.
#[cached("shared by two", crate = veritas_cache)]
fn shared_by_two(id: u8) -> u32 {
    u32::from(id) + run()
}

#[cached("shared by two", crate = veritas_cache)]
async fn shared_by_two_later(id: u8) -> u32 {
    u32::from(id) + run()
}

fn caches() -> (Arc<VirtualClock>, Arc<Caches>) {
    let clock = Arc::new(VirtualClock::new());
    let caches = Caches::new(CacheOptions::default(), Arc::clone(&clock) as _);
    (clock, Arc::new(caches))
}

/// Returns how often bodies run on this thread meanwhile.
fn runs(during: impl FnOnce()) -> u32 {
    let before = RUNS.get();
    during();
    RUNS.get() - before
}

#[test]
fn an_ok_is_kept_and_an_error_is_not() {
    installed();
    assert_eq!(fallible(true), fallible(true));
    assert_ne!(fallible(false), fallible(false));
    assert_eq!(asked("fallible"), (1, 3));
    assert_eq!(aliased(true), aliased(true));
    assert_ne!(aliased(false), aliased(false));
    assert_eq!(no_result(1), no_result(1));
}

#[test]
fn nothing_is_kept_only_when_it_has_a_time() {
    installed();
    assert_eq!(optional(true), optional(true));
    assert_eq!(runs(|| assert_eq!((optional(false), optional(false)), (None, None))), 2);
    let (clock, caches) = caches();
    assert_eq!(negative(&caches, true), negative(&caches, true));
    assert_eq!(runs(|| assert_eq!((negative(&caches, false), negative(&caches, false)), (None, None))), 1);
    clock.advance(Duration::from_secs(11));
    assert_eq!(runs(|| assert_eq!(negative(&caches, false), None)), 1);
    assert_eq!(ready(both(2)).unwrap(), ready(both(2)).unwrap());
    assert_eq!(runs(|| assert!(ready(both(1)).unwrap().is_none() && ready(both(1)).unwrap().is_none())), 1);
    assert_eq!(runs(|| assert!(ready(both(0)).is_err() && ready(both(0)).is_err())), 2);
}

#[test]
fn a_result_dies_at_its_time() {
    let (clock, caches) = caches();
    let first = short(&caches, 1);
    clock.advance(Duration::from_millis(1_499));
    assert_eq!(short(&caches, 1), first);
    clock.advance(Duration::from_millis(1));
    assert_ne!(short(&caches, 1), first);
}

#[test]
fn a_tag_kills_what_bears_it() {
    let (_, caches) = caches();
    let (one, two) = (tagged(&caches, 1), tagged(&caches, 2));
    caches.invalidate_tag("tagged", "user:1");
    assert_eq!(tagged(&caches, 2), two);
    let again = tagged(&caches, 1);
    assert_ne!(again, one);
    caches.invalidate_tag("tagged", "all");
    assert!(tagged(&caches, 1) != again && tagged(&caches, 2) != two);
    let later = ready(tagged_later(&caches, "a".to_owned()));
    assert_eq!(ready(tagged_later(&caches, "a".to_owned())), later);
    caches.invalidate_tag("tagged later", "user:a");
    assert_ne!(ready(tagged_later(&caches, "a".to_owned())), later);
}

#[test]
fn a_dormant_function_runs_each_time_until_it_is_started() {
    let (_, caches) = caches();
    assert_eq!(runs(|| assert_ne!(dormant(&caches, 1), dormant(&caches, 1))), 2);
    caches.tune("dormant", &Knob::Bypass(false)).unwrap();
    assert_eq!(runs(|| assert_eq!(dormant(&caches, 1), dormant(&caches, 1))), 1);
}

#[test]
fn every_option_reaches_the_namespace() {
    let (_, caches) = caches();
    assert_eq!(all_options(&caches, 1), all_options(&caches, 1));
    let tuning = caches.tuning("all options").unwrap();
    assert_eq!(
        (tuning.ttl, tuning.stale, tuning.early_refresh, tuning.jitter),
        (Duration::from_hours(24), Duration::from_mins(2), 2.5, 0.25)
    );
    let functions = function::functions();
    let options = &functions.iter().find(|reading| reading.name == "all options").unwrap().options;
    assert_eq!(options.negative_ttl, Some(Duration::from_secs(5)));
    assert_eq!((options.capacity, options.max_value), (Some(Bytes::new(1 << 20)), Some(Bytes::new(4 << 10))));
    assert_eq!(options.schema, 3);
}

#[test]
fn results_are_kept_where_the_function_says() {
    let (_, caches) = caches();
    let holder = Holder { caches: Arc::clone(&caches) };
    assert_eq!(holder.held(1), holder.held(1));
    assert_eq!(ready(holder.held_later(1)), ready(holder.held_later(1)));
    assert_eq!((caches.statistics().hits, caches.statistics().misses), (2, 2));
    let other = Holder { caches: super::kept::caches().1 };
    assert_ne!(holder.held(1), other.held(1));
    // By hand, the same key.
    assert!(caches.namespace::<u32>("held").delete(&CallKey::explicit(0, &(1_u8,))));
    assert_eq!(runs(|| assert!(holder.held(1) > 1)), 1);
}

#[test]
fn functions_of_one_given_name_share_results() {
    installed();
    assert_eq!(shared_by_two(1), ready(shared_by_two_later(1)));
    // What one may return and the other may not is no answer for the other.
    assert_eq!((sometimes_nothing(1), never_nothing(1), ready(never_nothing_later(1))), (None, 7, Ok(7)));
}

#[test]
fn a_refresh_makes_nobody_wait() {
    let (clock, caches) = caches();
    let runs = Arc::new(AtomicU32::new(0));
    let ask = || refreshed(Arc::clone(&caches), Arc::clone(&runs), 0).unwrap();
    assert_eq!((ask(), ask()), (0, 0));
    clock.advance(Duration::from_secs(11));
    // The old one, while the body runs elsewhere.
    assert_eq!(ask(), 0);
    veritas_testkit::wait_for(Duration::from_secs(30), || ask() == 1);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    // Without a runtime, one caller refreshes.
    let later = ready(refreshed_later(Arc::clone(&caches), 1));
    assert_eq!(ready(refreshed_later(Arc::clone(&caches), 1)), later);
    clock.advance(Duration::from_secs(11));
    assert_ne!(ready(refreshed_later(Arc::clone(&caches), 1)), later);
}

#[test]
fn callers_at_the_same_time_run_the_body_once() {
    static BODIES: AtomicU32 = AtomicU32::new(0);

    #[cached("slow", crate = veritas_cache)]
    fn slow(id: u8) -> Result<u8, String> {
        BODIES.fetch_add(1, Ordering::SeqCst);
        // Until everybody has asked: the clock that we wait by is the cache itself.
        while super::statistics("slow").misses < 8 {
            std::thread::yield_now();
        }
        if id == 0 { Err("failed".to_owned()) } else { Ok(id) }
    }

    installed();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| slow(1))).collect();
        assert!(callers.into_iter().all(|caller| caller.join().unwrap() == Ok(1)));
    });
    assert_eq!(BODIES.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_of_the_body_is_the_callers() {
    #[cached("panicking", crate = veritas_cache)]
    fn panicking(id: u8) -> u8 {
        assert!(id > 0, "id is 0");
        id
    }
    installed();
    assert!(std::panic::catch_unwind(|| panicking(0)).is_err());
    assert_eq!(panicking(1), 1);
}
