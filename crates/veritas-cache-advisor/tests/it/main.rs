//! Advice on caches, on a real cache and a virtual clock.

mod advisor;
mod application;
mod calibration;
mod findings;
mod loop_;
mod replay;
mod trace;
mod curve;
mod time_to_live;
