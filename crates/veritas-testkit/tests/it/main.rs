//! The fixtures against real servers.

mod mariadb;
mod postgres;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod talk;
