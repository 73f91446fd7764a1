//! What a tick allocates once it is warm.
#![expect(unsafe_code, reason = "counting allocations needs an allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use veritas_monitor::{Sampler, SamplerOptions};
use veritas_testkit::VirtualClock;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _counted = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System.alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn a_warm_tick_allocates_only_the_name_and_the_cores_of_its_reading() {
    let clock = VirtualClock::new();
    let mut sampler = Sampler::open(SamplerOptions::default()).expect("this is Linux");
    for _ in 0..2 {
        clock.advance(Duration::from_millis(100));
        sampler.tick(&clock);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..20 {
        clock.advance(Duration::from_millis(100));
        sampler.tick(&clock);
    }
    assert_eq!(ALLOCATIONS.get() - before, 20 * 2);
}
