//! Flights: one load per key at a time, and everyone else waits for it.
//!
//! Who misses first *leads*: it runs the loader. Who misses the same key
//! meanwhile *follows*: it waits for the outcome, on a condition variable or with
//! a waker, so no runtime is needed. A leader that panics or is dropped leaves
//! its followers an abandoned flight, and the first of them leads the next one.
//!
//! Three rules keep it honest:
//!
//! - **Nobody waits for itself.** A loader that asks for its own key, or for one
//!   whose load waits (through any chain of loads) for a load of its own, is told
//!   to go *alone*: it loads without storing. The chain is seen when its last
//!   link is about to be made, in [`waits`]. Only waits that we know of are seen: a
//!   loader that spawns a task and waits for it hides the link.
//! - **A load never overwrites what is newer.** Setting, deleting or invalidating
//!   a key detaches its flight: the outcome still goes to those who wait, and is
//!   not stored. A flush does the same to all of them at once: a flight remembers
//!   the generation that it began in, and nobody of a later one follows it.
//! - **No code of others runs under our locks**: neither a value's `Clone` and
//!   `Drop` nor a waker's. All of them may call the cache, or wait for who does.
//!
//! Who leads looks once more before it loads: another load may have stored the key
//! since it was missed. What it finds so it keeps to itself: those who follow it may
//! have come after a delete that saw no flight yet, so they look themselves.
//!
//! A refresh that waits in a queue is *scheduled*: nobody follows it, since its
//! turn may come only after the one who would wait. Who misses its key takes the
//! load over, and the scheduled one finds nothing to do.

mod board;
mod single;
mod waits;

pub(crate) use board::{Flights, Key, Lead, Part, Ticket};
pub(crate) use single::{Began, Flight, Outcome};
pub(crate) use waits::running;

use crate::tags::EntryTags;

/// What a load hands to those who wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Landed<V> {
    pub(crate) value: Option<V>,
    pub(crate) tags: EntryTags,
}
