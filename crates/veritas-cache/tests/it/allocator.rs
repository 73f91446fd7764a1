//! An allocator that counts what each thread asks for: the oracle of the memory figures.
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static NET: Cell<i64> = const { Cell::new(0) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Returns the bytes that this thread allocated less those that it freed.
pub(crate) fn net_bytes() -> i64 {
    NET.get()
}

/// Returns how often this thread allocated.
pub(crate) fn allocations() -> u64 {
    CALLS.get()
}

fn note(bytes: i64) {
    // A thread that is being torn down is not measured.
    let _: Result<(), std::thread::AccessError> = NET.try_with(|net| net.set(net.get() + bytes));
    if bytes > 0 {
        let _: Result<(), std::thread::AccessError> = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    }
}

fn size(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(i64::MAX)
}

// SAFETY: every call goes to the system's allocator with the same arguments; the
// counters are plain cells of the thread, which allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(size(layout));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-size(layout));
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
