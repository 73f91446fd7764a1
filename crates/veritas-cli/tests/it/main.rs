//! The binary, run as people and scripts run it.

mod bad_input;
mod demo;
mod process;
mod reference;
mod serve;
