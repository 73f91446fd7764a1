//! The monitor on this machine, against what `/proc` says when it is read in another way.
#![cfg(target_os = "linux")]

mod allocations;
mod fuzz;
mod live;
mod process;
