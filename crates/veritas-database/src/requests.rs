//! Requests and jobs: what each kind of them sends to the database, all statements together.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use veritas_model::Caller;

/// Names that are kept; requests of further ones are counted and dropped. Routes and jobs
/// are few; names with identifiers in them are many.
const NAMES: usize = 256;
/// Different statements from which a request is called chatty.
pub(crate) const CHATTY_STATEMENTS: u64 = 50;

/// What the requests (or jobs) of one name send to the database.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestStatistics {
    /// The name: a route template, a job.
    pub name: String,
    /// Requests that have ended and ran at least one statement.
    pub requests: u64,
    /// Statements that they ran.
    pub statements: u64,
    /// Most statements in one request.
    pub most_statements: u64,
    /// Seconds of all these statements.
    pub seconds: f64,
    /// Requests that ran at least 50 different statements.
    pub chatty: u64,
    /// Statements of the chatty requests.
    pub chatty_statements: u64,
    /// Seconds of the statements of the chatty requests.
    pub chatty_seconds: f64,
    /// Where a statement of the last chatty request came from; `None` when not known.
    pub chatty_caller: Option<Caller>,
}

/// One request that has ended.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) name: &'a str,
    pub(crate) statements: u64,
    pub(crate) different: u64,
    pub(crate) seconds: f64,
    pub(crate) caller: Option<Caller>,
}

/// The statistics of every name.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    by_name: Mutex<HashMap<String, RequestStatistics>>,
    dropped: AtomicU64,
}

impl Requests {
    pub(crate) fn add(&self, ended: Ended<'_>) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_name.contains_key(ended.name) {
            if by_name.len() >= NAMES {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let name = ended.name.to_owned();
            by_name.insert(name.clone(), RequestStatistics { name, ..RequestStatistics::default() });
        }
        let Some(statistics) = by_name.get_mut(ended.name) else { return };
        statistics.requests += 1;
        statistics.statements += ended.statements;
        statistics.most_statements = statistics.most_statements.max(ended.statements);
        statistics.seconds += ended.seconds;
        if ended.different >= CHATTY_STATEMENTS {
            statistics.chatty += 1;
            statistics.chatty_statements += ended.statements;
            statistics.chatty_seconds += ended.seconds;
            statistics.chatty_caller = ended.caller.or_else(|| statistics.chatty_caller.take());
        }
    }

    /// Returns the statistics, the most expensive first.
    pub(crate) fn read(&self) -> Vec<RequestStatistics> {
        let mut all: Vec<_> =
            self.by_name.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|left, right| {
            right.seconds.total_cmp(&left.seconds).then_with(|| left.name.cmp(&right.name))
        });
        all
    }

    /// Returns how many requests were not counted for want of room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_counted_and_dropped() {
        let requests = Requests::default();
        for number in 0..NAMES + 7 {
            let name = format!("/users/{number}");
            requests.add(Ended { name: &name, statements: 3, different: 2, seconds: 0.5, caller: None });
        }
        assert_eq!((requests.read().len(), requests.dropped()), (NAMES, 7));
        assert!(requests.read().iter().all(|statistics| statistics.statements == 3));
    }
}
