//! The API as its callers see it, over real sources.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bodies;
mod caches;
mod client;
mod contract;
mod databases;
mod embedding;
mod ledger;
mod limits;
mod matrix;
mod openapi;
mod pages;
mod serving;
mod tokens;
mod world;
