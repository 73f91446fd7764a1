//! Futures: wall time, polls and cancellation.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use veritas_profile::{Polling, Site, enter, in_future, run_future};
use veritas_testkit::VirtualClock;

use crate::{clock, profile};

const MS: Duration = Duration::from_millis(1);

/// Works for a millisecond at each of `polls` polls, and is ready at the last.
struct Steps<'a> {
    polls: u32,
    clock: &'a VirtualClock,
}

impl Future for Steps<'_> {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        self.clock.advance(MS);
        self.polls -= 1;
        if self.polls == 0 { Poll::Ready(7) } else { Poll::Pending }
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_is_timed_from_its_first_poll_until_it_is_ready() {
    static SITE: Site = Site::new("future", module_path!(), file!(), line!());
    let (_alone, clock) = clock();
    let mut future = pin!(in_future(&SITE, Steps { polls: 3, clock }));
    clock.advance(100 * MS); // Not polled yet: nobody waits for it.
    assert!(poll(future.as_mut()).is_pending());
    clock.advance(10 * MS);
    assert!(poll(future.as_mut()).is_pending());
    clock.advance(10 * MS);
    assert_eq!(poll(future.as_mut()), Poll::Ready(7));
    let seen = profile("future");
    assert_eq!((seen.calls, seen.last), (1, Some(23 * MS)));
    assert_eq!(seen.self_time, 3 * MS);
    assert_eq!(seen.polling, Some(Polling { polls: 3, busy: 3 * MS, longest_poll: MS }));
}

#[test]
fn interleaved_futures_do_not_charge_one_another() {
    static ONE: Site = Site::new("interleaved_one", module_path!(), file!(), line!());
    static TWO: Site = Site::new("interleaved_two", module_path!(), file!(), line!());
    static TASK: Site = Site::new("interleaved_task", module_path!(), file!(), line!());
    let (_alone, clock) = clock();
    let mut one = pin!(in_future(&ONE, Steps { polls: 2, clock }));
    let mut two = pin!(in_future(&TWO, Steps { polls: 3, clock }));
    let task = enter(&TASK);
    assert!(poll(one.as_mut()).is_pending());
    assert!(poll(two.as_mut()).is_pending());
    assert!(poll(one.as_mut()).is_ready());
    assert!(poll(two.as_mut()).is_pending());
    assert!(poll(two.as_mut()).is_ready());
    drop(task);
    assert_eq!((profile("interleaved_one").total, profile("interleaved_one").self_time), (3 * MS, 2 * MS));
    assert_eq!((profile("interleaved_two").total, profile("interleaved_two").self_time), (4 * MS, 3 * MS));
    assert_eq!(
        (profile("interleaved_task").total, profile("interleaved_task").self_time),
        (5 * MS, Duration::ZERO)
    );
}

#[test]
fn a_dropped_future_is_cancelled_and_no_call() {
    static SITE: Site = Site::new("cancelled", module_path!(), file!(), line!());
    let (_alone, clock) = clock();
    {
        let mut future = pin!(in_future(&SITE, Steps { polls: 3, clock }));
        assert!(poll(future.as_mut()).is_pending());
    }
    drop(in_future(&SITE, Steps { polls: 3, clock })); // Never polled: never called.
    let seen = profile("cancelled");
    assert_eq!((seen.calls, seen.cancelled, seen.last), (0, 1, None));
    assert_eq!(seen.self_time, MS);
}

#[test]
fn a_future_may_move_between_threads() {
    static SITE: Site = Site::new("moves", module_path!(), file!(), line!());
    let (_alone, clock) = clock();
    let mut future = Box::pin(in_future(&SITE, Steps { polls: 3, clock }));
    for _ in 0..2 {
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(poll(future.as_mut()).is_pending()));
        });
    }
    assert!(poll(future.as_mut()).is_ready());
    let seen = profile("moves");
    assert_eq!((seen.calls, seen.total, seen.polling.unwrap().polls), (1, 3 * MS, 3));
}

#[test]
fn errors_and_panics_of_futures_are_counted() {
    static SITE: Site = Site::new("failing_future", module_path!(), file!(), line!());
    let (_alone, _clock) = clock();
    let mut failing = pin!(run_future(&SITE, async { Err::<(), _>("no") }, Result::is_err));
    assert!(poll(failing.as_mut()).is_ready());
    let panicking = std::panic::catch_unwind(|| {
        let mut future = pin!(in_future(&SITE, async { panic!("on purpose") }));
        let _: Poll<()> = poll(future.as_mut());
    });
    assert!(panicking.is_err());
    let seen = profile("failing_future");
    assert_eq!((seen.calls, seen.errors, seen.cancelled), (2, 2, 0));
}
