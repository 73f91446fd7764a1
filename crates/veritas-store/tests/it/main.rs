//! The store against real files, real crashes and a real full disk.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod history_basic;
