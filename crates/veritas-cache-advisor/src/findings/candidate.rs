//! What is not cached and would gain from it: namespaces that only watch, and functions
//! whose calls repeat.

use veritas_model::{Cause, Finding, FindingKind, Observation, Provenance, Subject, Timestamp, Unit};

use super::{View, seconds_text, size_text};
use crate::{AdvisorOptions, net::OwnCosts};

/// The share of the loading that a cache must save, after its own costs, to be worth it.
const WORTH_IT: f64 = 0.10;

/// What caching would bring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    /// The share of look-ups that would hit.
    pub(crate) hit_ratio: f64,
    /// Seconds of one load.
    pub(crate) load: f64,
    /// Seconds saved per look-up, after what the cache itself costs.
    pub(crate) net: f64,
}

impl Candidate {
    /// Computes what caching would bring; `None` when that is not worth it, the cache's own
    /// costs taken at their worst.
    fn of(hit_ratio: f64, load: f64, own: OwnCosts) -> Option<Self> {
        let dearest = 1.0 + own.error;
        let spent = hit_ratio * own.hit + (1.0 - hit_ratio) * (own.miss + own.store);
        let net = hit_ratio * load - spent * dearest;
        (net >= WORTH_IT * load && net > 0.0).then_some(Self { hit_ratio, load, net })
    }
}

/// Says what caching would bring to a namespace that only watches; `None` where it is not
/// known or not worth it.
pub(crate) fn dormant(view: &View<'_>, own: OwnCosts, options: &AdvisorOptions) -> Option<Candidate> {
    if !view.reading.tuning.bypass || !view.is_enough(options) {
        return None;
    }
    let miss_ratio = view.curve.miss_ratio_at(view.capacity)? + view.curve.error_bound_at(view.capacity)?;
    let candidate = Candidate::of((1.0 - miss_ratio).max(0.0), view.loads.mean()?, own)?;
    (candidate.net * view.look_ups_per_second() >= options.least_saving).then_some(candidate)
}

/// The finding that a dormant namespace should be started.
pub(crate) fn finding(view: &View<'_>, candidate: &Candidate) -> Finding {
    let saved = candidate.net * view.look_ups_per_second();
    let recommendation = format!(
        "Start caching {}: with {} {:.1} % of its look-ups would hit, which saves {} of loading each second \
         (simulated; what is stored must be the same whoever asks)",
        view.reading.name,
        size_text(view.capacity),
        candidate.hit_ratio * 100.0,
        seconds_text(saved),
    );
    let more = vec![
        view.entry_bytes(),
        view.simulated("advised_hit_ratio", candidate.hit_ratio, Unit::Ratio),
        view.estimated("net_seconds_saved_per_look_up", candidate.net, Unit::Seconds),
        view.estimated("seconds_saved_per_second", saved, Unit::PerSecond),
    ];
    let cause = Cause::CacheCandidate {
        calls: view.counted.total_requests(),
        hit_ratio: candidate.hit_ratio,
        seconds_per_call: candidate.load,
    };
    view.finding(FindingKind::CacheCandidate, None, cause, recommendation, view.impact(saved), more)
}

/// Says which profiled functions are worth a cache, of those that were found to compute
/// the same thing again and again: what a cache itself costs is taken off what it saves.
pub(crate) fn functions(found: &[Finding], own: OwnCosts, now: Timestamp) -> Vec<Finding> {
    found.iter().filter_map(|finding| function(finding, own, now)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn function(found: &Finding, own: OwnCosts, now: Timestamp) -> Option<Finding> {
    let (Subject::Function { name }, Cause::RepeatedComputation { calls, .. }) =
        (&found.subject, &found.cause)
    else {
        return None;
    };
    let figure = |name: &str| found.evidence.iter().find(|one| one.name == name).map(|one| one.value);
    let candidate = Candidate::of(figure("hit_ratio")?, figure("mean_seconds")?, own)?;
    let kind = FindingKind::CacheCandidate;
    let observed = |name: &str, value: f64, unit, provenance| Observation {
        provenance,
        ..Observation::measured(name, value, unit, now)
    };
    Some(Finding {
        id: Finding::identity(kind, &found.subject),
        kind,
        subject: found.subject.clone(),
        cause: Cause::CacheCandidate {
            calls: *calls,
            hit_ratio: candidate.hit_ratio,
            seconds_per_call: candidate.load,
        },
        recommendation: format!(
            "Cache {name}: {:.1} % of its calls would be answered by a cache, and each call would take {} less in \
             the mean, what the cache itself costs taken off (simulated; it must be pure)",
            candidate.hit_ratio * 100.0,
            seconds_text(candidate.net),
        ),
        impact: found.impact,
        evidence: vec![
            observed("calls", *calls as f64, Unit::Count, Provenance::Measured),
            observed("mean_seconds", candidate.load, Unit::Seconds, Provenance::Measured),
            observed("advised_hit_ratio", candidate.hit_ratio, Unit::Ratio, Provenance::Simulated),
            observed("net_seconds_saved_per_call", candidate.net, Unit::Seconds, Provenance::Estimated),
        ],
        callers: found.callers.clone(),
        found_at: now,
        seen_at: now,
    })
}

#[cfg(test)]
mod tests {
    use veritas_model::Impact;

    use super::*;

    const OWN: OwnCosts = OwnCosts { hit: 100e-9, miss: 100e-9, store: 300e-9, bypassed: 50e-9, error: 0.5 };

    fn repeated(hit_ratio: f64, mean_seconds: f64) -> Finding {
        let now = Timestamp::default();
        let subject = Subject::Function { name: "render".into() };
        let kind = FindingKind::RepeatedComputation;
        Finding {
            id: Finding::identity(kind, &subject),
            kind,
            subject,
            cause: Cause::RepeatedComputation { calls: 1_000, distinct_arguments: 10 },
            recommendation: String::new(),
            impact: Impact::High,
            evidence: vec![
                Observation::measured("hit_ratio", hit_ratio, Unit::Ratio, now),
                Observation::measured("mean_seconds", mean_seconds, Unit::Seconds, now),
            ],
            callers: Vec::new(),
            found_at: now,
            seen_at: now,
        }
    }

    #[test]
    fn a_function_is_worth_a_cache_when_it_costs_more_than_one() {
        let found = functions(
            &[repeated(0.9, 1e-3), repeated(0.9, 100e-9), repeated(0.05, 1e-3)],
            OWN,
            Timestamp::default(),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, FindingKind::CacheCandidate);
        assert!(found[0].recommendation.starts_with("Cache render: 90.0 %"), "{}", found[0].recommendation);
    }
}
