//! Integration tests of the second tier, against real servers.

mod link;
mod scene;
