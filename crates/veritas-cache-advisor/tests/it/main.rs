//! Advice on caches, on a real cache and a virtual clock.

mod advisor;
mod application;
mod calibration;
mod curve;
mod entries;
mod findings;
mod loop_;
mod replay;
mod time_to_live;
mod trace;
mod turning;
mod twin;
