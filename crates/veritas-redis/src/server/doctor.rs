//! Whether a server can be used, and for what: a check per step, each with a hint.
//!
//! For a person who sets something up, and for `veritas doctor`. It answers within
//! its deadline whatever the server does. Unlike the view it writes: one key of our
//! own, `PREFIX:doctor:…`, for a second at most, to see whether the second tier of
//! the caches may.

mod examine;
mod judge;

use std::{fmt, sync::Arc, time::Duration};

use veritas_model::Clock;

use super::blocking;
use crate::options::RedisOptions;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It works, and could be better or is less than everything.
    Note,
    /// It does not work.
    Wrong,
}

impl Verdict {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a word or two: `log-in`.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen. Never holds a password.
    pub says: String,
    /// How to mend it, where something is to be mended.
    pub hint: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, says: impl Into<String>) -> Self {
        Self { name, verdict, says: says.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Checks the server at `url`, as [`examine`] does; an address that is not understood is a
/// check that went wrong.
pub fn doctor(url: &str, clock: &Arc<dyn Clock>, deadline: Duration) -> Vec<Check> {
    match RedisOptions::parse(url) {
        Ok(options) => examine(&options, clock, deadline),
        Err(error) => vec![
            Check::new("address", Verdict::Wrong, error.to_string())
                .hint("write for example redis://user@127.0.0.1:6379/0"),
        ],
    }
}

/// Checks the server of `options` step by step: reachable, log-in, kind, version,
/// time of a round trip, clock, memory, cluster, what the view may read, what the second tier may
/// do, and whether it is told of changes. Steps after one that has to work are left out.
///
/// Ends within `deadline` (some seconds are right) whatever the server does, and
/// blocks the caller until then; works in and outside of any runtime. `clock` tells
/// our time, with which the server's is compared.
pub fn examine(options: &RedisOptions, clock: &Arc<dyn Clock>, deadline: Duration) -> Vec<Check> {
    match blocking::run(examine::examine(options, &**clock, deadline)) {
        Ok(checks) => checks,
        Err(error) => vec![Check::new("doctor", Verdict::Wrong, error.to_string())],
    }
}
