//! Stands where `src/flights.rs` stands: its modules, as they are.

#[path = "../../../../src/flights/board.rs"]
mod board;
#[path = "../../../../src/flights/single.rs"]
mod single;
#[path = "../../../../src/flights/waits.rs"]
mod waits;

pub(crate) use board::{Flights, Key, Part};
pub(crate) use single::{Began, Flight, Outcome};
