//! The fixtures against real servers.

mod postgres;
mod redis;
