//! Proposals: what could change about a cache, with its inverse, once it is steady.

pub(crate) mod budget;
pub(crate) mod steady;

use veritas_cache::{Knob, Tuning};
use veritas_model::{Finding, Proposal};

use crate::{
    actuator::plan::{CachePlan, Turn, kind_of},
    findings::{View, size_text, time_text},
    proposals::budget::Funding,
};

/// Returns the turn of a knob: what it is set to, and what puts it back.
pub(crate) fn turn(namespace: &str, tuning: &Tuning, forward: Knob) -> Turn {
    let name = forward.name();
    let inverse = if tuning.tuned.contains(&name) { tuning.knob(name) } else { Knob::AsConfigured(name) };
    Turn { namespace: namespace.to_owned(), forward, inverse }
}

/// Proposes to turn a knob; `None` for a knob that is turned that way already, or never
/// proposed.
pub(crate) fn propose(
    view: &View<'_>,
    knob: Knob,
    bytes_from: Option<Funding>,
    answers: Option<&Finding>,
) -> Option<Proposal> {
    let (name, tuning) = (&view.reading.name, &view.reading.tuning);
    let kind = kind_of(&knob)?;
    if tuning.knob(knob.name()) == knob {
        return None;
    }
    let source = match &bytes_from {
        None => String::new(),
        Some(Funding { donor: None, .. }) => ", from what is free".to_owned(),
        Some(Funding { donor: Some(donor), .. }) => format!(", from {}", donor.namespace),
    };
    let main = turn(name, tuning, knob);
    let plan = CachePlan { main, donor: bytes_from.and_then(|funding| funding.donor) }.to_plan();
    let summary = match knob {
        Knob::Capacity(bytes) => {
            format!("{name}: hold {} instead of {}{source}", size_text(bytes), size_text(view.capacity))
        }
        Knob::Ttl(ttl) => format!("{name}: live {} instead of {}", time_text(ttl), time_text(tuning.ttl)),
        Knob::Stale(stale) => {
            format!("{name}: serve for {} past its time while one refreshes", time_text(stale))
        }
        Knob::Bypass(true) => format!("{name}: stop caching"),
        Knob::Bypass(false) => format!("{name}: start caching"),
        Knob::EarlyRefresh(_) | Knob::Jitter(_) | Knob::AsConfigured(_) => format!("{name}: {knob}"),
    };
    Some(Proposal {
        id: Proposal::identity(kind, &plan),
        finding: answers.map(|finding| finding.id.clone()),
        kind,
        summary,
        plan,
        estimate: None,
        proposed_at: view.now,
    })
}
