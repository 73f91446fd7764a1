//! Searches until the sizes of what it chose are known well enough to keep to the budget.
//!
//! How large an index gets hangs on how many keys are distinct, and where a sample cannot
//! tell, a table must be read whole. Reading it for every candidate would take minutes; so
//! the search first trusts the estimates, then only the keys of what it chose are counted,
//! and with that it chooses again. What the planner answered is kept. The last word is a
//! search that trusts nothing: the `high` size of each index counts.

use std::{ops::ControlFlow, time::Duration};

use veritas_index_advisor::{
    Advice, IndexSpec, Progress, SizeEstimate, WhatIf, Why, size, what_if::Remembering,
};
use veritas_model::{Bytes, Clock};

use super::{
    round::{self, Bounds, Prepared, facts_of},
    workload::WorkloadOptions,
};
use crate::{
    facts::Facts,
    session::{ConnectOptions, Session},
};

/// The shares of all questions that searches which trust may have used when they end.
const TRUSTING: [u32; 2] = [75, 90];

/// What is looked at, and how far.
pub(super) struct Look<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) bounds: &'a Bounds,
    pub(super) how: &'a WorkloadOptions,
    pub(super) options: &'a ConnectOptions,
    pub(super) clock: &'a dyn Clock,
}

/// Returns the advice, and how long tables were read for it.
pub(super) fn searched(
    look: &Look<'_>,
    facts: &mut Facts,
    planner: &mut dyn WhatIf,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> (Advice, Duration) {
    let Look { prepared, bounds, clock, .. } = *look;
    let mut planner = Remembering::new(planner);
    let (mut reading, mut asked) = (Duration::ZERO, 0);
    if bounds.prove.is_some() {
        // What is proven of all candidates asks for the sizes of all.
        reading = scan(look, facts, &prepared.candidates);
    } else {
        for share in TRUSTING {
            let until = u64::from(bounds.max_calls) * u64::from(share) / 100;
            let calls = u32::try_from(until).unwrap_or(u32::MAX).saturating_sub(asked);
            let trusting = Bounds { max_calls: calls, ..bounds.clone() };
            let tables = round::trusted(&facts.tables);
            let mut found = round::search_with(prepared, &tables, &trusting, &mut planner, clock, progress);
            asked += found.calls;
            if fits(&mut found, facts, bounds.budget) {
                found.calls = asked;
                return (found, reading);
            }
            if !matches!(found.stopped, Why::Done | Why::Calls) {
                break;
            }
            let chosen: Vec<IndexSpec> = found.chosen.into_iter().map(|chosen| chosen.spec).collect();
            reading = reading.saturating_add(scan(look, facts, &chosen));
        }
    }
    let left = Bounds { max_calls: bounds.max_calls.saturating_sub(asked), ..bounds.clone() };
    let mut found = round::search_with(prepared, &facts.tables, &left, &mut planner, clock, progress);
    found.calls += asked;
    (found, reading)
}

/// Puts sizes in that trust nothing; returns whether the real indexes keep to the budget.
fn fits(found: &mut Advice, facts: &Facts, budget: Bytes) -> bool {
    for chosen in &mut found.chosen {
        let size = facts_of(facts, &chosen.spec).and_then(|table| size::bytes(&chosen.spec, table));
        let Some(size) = size else { return false };
        chosen.size = size;
    }
    let sum = |of: fn(&SizeEstimate) -> Bytes| {
        Bytes::new(found.chosen.iter().map(|chosen| of(&chosen.size).get()).sum())
    };
    (found.bytes, found.bytes_high) = (sum(|size| size.mean), sum(|size| size.high));
    found.bytes_high <= budget
}

/// Counts the keys of indexes by reading their tables, on a session of its own: that of the
/// planner holds hypothetical indexes. Returns how long that took.
fn scan(look: &Look<'_>, facts: &mut Facts, specs: &[IndexSpec]) -> Duration {
    let started = look.clock.monotonic();
    let read = Session::connect(look.options)
        .and_then(|mut session| facts.scan(&mut session, specs, &look.how.scan));
    if let Err(error) = read {
        facts.notes.push(format!("no table was read to count keys: {error}"));
    }
    look.clock.monotonic().since(started)
}
