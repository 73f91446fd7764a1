//! Calls: what is counted and timed, whatever happens inside them.

use std::{panic::catch_unwind, time::Duration};

use veritas_model::Clock as _;
use veritas_profile::{Site, arguments, enter, findings, profiles, render, reset, run, set_enabled};
use veritas_testkit::VirtualClock;

use crate::{clock, profile};

const MS: Duration = Duration::from_millis(1);

macro_rules! site {
    ($name:literal) => {{
        static SITE: Site = Site::new($name, module_path!(), file!(), line!());
        &SITE
    }};
}

#[test]
fn a_call_is_counted_and_timed() {
    let (_alone, clock) = clock();
    for duration in [3, 1, 2] {
        let _guard = enter(site!("timed"));
        clock.advance(duration * MS);
    }
    let ended_at = clock.now();
    clock.advance(5 * MS);
    let timed = profile("timed");
    assert_eq!((timed.calls, timed.errors, timed.cancelled), (3, 0, 0));
    assert_eq!(timed.total, 6 * MS);
    assert_eq!((timed.last, timed.last_at), (Some(2 * MS), Some(ended_at)));
    assert_eq!((timed.min, timed.max, timed.mean), (Some(MS), Some(3 * MS), Some(2 * MS)));
    let p50 = timed.p50.unwrap().as_secs_f64();
    assert!((p50 / 0.002 - 1.0).abs() <= 1.0 / 128.0, "{p50}");
    assert_eq!(timed.module, module_path!());
    assert!(timed.file.ends_with("calls.rs"));
}

#[test]
fn self_time_leaves_out_profiled_callees() {
    let (_alone, clock) = clock();
    {
        let _outer = enter(site!("outer"));
        clock.advance(2 * MS);
        for _ in 0..3 {
            let _inner = enter(site!("inner"));
            clock.advance(5 * MS);
        }
        clock.advance(MS);
    }
    let (outer, inner) = (profile("outer"), profile("inner"));
    assert_eq!((outer.total, outer.self_time), (18 * MS, 3 * MS));
    assert_eq!((inner.total, inner.self_time), (15 * MS, 15 * MS));
}

#[test]
fn recursion_counts_its_time_once() {
    fn descend(depth: u32, clock: &VirtualClock) {
        let _guard = enter(site!("recursive"));
        clock.advance(Duration::from_micros(1));
        if depth > 1 {
            descend(depth - 1, clock);
        }
    }
    let (_alone, clock) = clock();
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn_scoped(scope, || descend(10_000, clock))
            .unwrap();
    });
    let recursive = profile("recursive");
    assert_eq!(recursive.calls, 10_000);
    assert_eq!(recursive.total, 10 * MS);
    assert_eq!(recursive.self_time, 10 * MS);
    assert_eq!(recursive.max, Some(10 * MS));
}

#[test]
fn a_panic_is_counted_and_breaks_nothing() {
    let (_alone, clock) = clock();
    for _ in 0..2 {
        catch_unwind(|| {
            let _outer = enter(site!("panics_outside"));
            let _inner = enter(site!("panics_inside"));
            clock.advance(MS);
            panic!("on purpose");
        })
        .unwrap_err();
    }
    let inner = profile("panics_inside");
    assert_eq!((inner.calls, inner.errors, inner.total), (2, 2, 2 * MS));
    let outer = profile("panics_outside");
    assert_eq!((outer.calls, outer.errors, outer.self_time), (2, 2, Duration::ZERO));
}

#[test]
fn a_call_inside_an_unwinding_drop_is_no_panic_of_its_own() {
    struct Cleanup;
    impl Drop for Cleanup {
        fn drop(&mut self) {
            let _guard = enter(site!("cleanup"));
        }
    }
    let (_alone, _clock) = clock();
    catch_unwind(|| {
        let _cleanup = Cleanup;
        panic!("on purpose");
    })
    .unwrap_err();
    let cleanup = profile("cleanup");
    assert_eq!((cleanup.calls, cleanup.errors), (1, 0));
}

#[test]
fn what_the_caller_calls_a_failure_is_one() {
    let (_alone, _clock) = clock();
    for answer in [Ok(1), Err("no"), Ok(2)] {
        let returned = run(site!("fallible"), || answer, Result::is_err);
        assert_eq!(returned, answer);
    }
    assert_eq!((profile("fallible").calls, profile("fallible").errors), (3, 1));
}

#[test]
fn the_death_of_a_thread_loses_nothing() {
    const EACH: u64 = 1_000;
    let (_alone, _clock) = clock();
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let _guard = enter(site!("threads"));
                    }
                });
            }
        });
    }
    assert_eq!(profile("threads").calls, 3 * 8 * EACH);
}

#[test]
fn a_call_during_the_death_of_its_thread_is_counted() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            let _guard = enter(site!("late"));
        }
    }
    thread_local! {
        static LATE: Late = const { Late };
    }
    let (_alone, _clock) = clock();
    for _ in 0..3 {
        std::thread::spawn(|| {
            LATE.with(|_| ());
            let _guard = enter(site!("late"));
        })
        .join()
        .unwrap();
    }
    assert_eq!(profile("late").calls, 6);
}

#[test]
fn switched_off_it_records_nothing() {
    let (_alone, _clock) = clock();
    set_enabled(false);
    drop(enter(site!("switched_off")));
    set_enabled(true);
    assert_eq!(veritas_profile::profile("switched_off"), None);
}

#[test]
fn a_reset_forgets_and_counts_on() {
    let (_alone, clock) = clock();
    drop(enter(site!("reset")));
    arguments(site!("reset"), &1);
    {
        let _guard = enter(site!("under_way"));
        reset();
        assert_eq!(profiles(), []);
        clock.advance(MS);
    }
    assert_eq!((profile("under_way").calls, profile("under_way").total), (1, MS));
    assert_eq!(profile("under_way").observed, MS);
}

#[test]
fn repeated_arguments_are_found() {
    let (_alone, clock) = clock();
    reset();
    for call in 0..1_000_u32 {
        arguments(site!("repeats"), &("tenant", call % 20));
        let _guard = enter(site!("repeats"));
        clock.advance(MS);
    }
    let seen = profile("repeats").distinct_arguments.unwrap();
    assert_eq!((seen.calls, seen.distinct), (1_000, 20));
    // Of 20 arguments over 1024 places a few may fall on one place.
    assert!(seen.simulated_hits > 800 && seen.simulated_hits <= 980, "{seen:?}");
    let found = findings(clock.now(), &profiles());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].subject.name(), "repeats");
}

#[test]
fn the_report_lists_the_ten_with_the_most_time() {
    let (_alone, clock) = clock();
    reset();
    for rank in 1..=12 {
        let _guard = enter(Site::named(&format!("report_{rank:02}")).unwrap());
        clock.advance(rank * MS);
    }
    let report = render(&profile("report_12"), &profiles());
    assert!(report.starts_with("report_12: 1 calls in 0.012 seconds (0 errors, 0 cancelled)\n"), "{report}");
    let rows: Vec<&str> = report.lines().filter(|line| line.contains("calls.rs:")).collect();
    assert_eq!(rows.len(), 10, "{report}");
    assert!(rows[0].starts_with("        1    0.012 0.012000    0.012 0.012000 "), "{report}");
    assert!(rows[0].ends_with("(report_12)") && rows[9].ends_with("(report_03)"), "{report}");
}
