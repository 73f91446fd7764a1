//! Alerts against a naive twin, through restarts, and with a control plane that fails.

mod failures;
mod flaky;
mod jitter;
mod rules;
mod twin;
