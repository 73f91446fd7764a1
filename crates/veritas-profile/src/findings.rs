//! Findings: functions that compute the same thing again and again.

use veritas_model::{
    Caller, Cause, Finding, FindingKind, Impact, Observation, Provenance, Ratio, Subject, Timestamp, Unit,
};

use crate::Profile;

/// Fewer calls prove nothing.
const CALLS: u64 = 200;

/// At most this share of the calls may have arguments that were not seen before.
const DISTINCT_SHARE: f64 = 0.20;

/// A function with a smaller share of all profiled time is not worth a cache.
const TIME_SHARE: f64 = 0.01;

/// Finds functions that compute the same thing again and again: those that say
/// what their arguments are, were called 200 times or more, with 20 % distinct
/// arguments or fewer, and take at least 1 % of the time of all `profiles`.
///
/// What a cache would save is simulated: the time of the calls whose arguments
/// were among the last [`SIMULATED_ENTRIES`](crate::SIMULATED_ENTRIES), as if a hit were free and
/// nothing expired. Whether the function is pure is for its author to say.
pub fn findings(now: Timestamp, profiles: &[Profile]) -> Vec<Finding> {
    let all: f64 = profiles.iter().map(|profile| profile.self_time.as_secs_f64()).sum();
    profiles.iter().filter_map(|profile| repeated_computation(now, profile, all)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn repeated_computation(now: Timestamp, profile: &Profile, all_seconds: f64) -> Option<Finding> {
    let arguments = profile.distinct_arguments?;
    let (calls, distinct) = (arguments.calls, arguments.distinct);
    if calls < CALLS || distinct as f64 > DISTINCT_SHARE * calls as f64 {
        return None;
    }
    // Of a future, only what it computes can be called its share of computing.
    let seconds = profile.polling.map_or(profile.total, |polling| polling.busy).as_secs_f64();
    let time_share = if all_seconds > 0.0 { (seconds / all_seconds).min(1.0) } else { 0.0 };
    if time_share < TIME_SHARE {
        return None;
    }
    let hit_ratio = arguments.simulated_hit_ratio()?.get();
    let observed = profile.observed.as_secs_f64();
    let saved = if observed > 0.0 { hit_ratio * profile.total.as_secs_f64() / observed } else { 0.0 };
    let subject = Subject::Function { name: profile.name.clone() };
    let measured = |name: &str, value: f64, unit| Observation::measured(name, value, unit, now);
    let derived = |name: &str, value: f64, unit, provenance| Observation {
        provenance,
        ..Observation::measured(name, value, unit, now)
    };
    let counted = if arguments.relative_error == 0.0 { Provenance::Measured } else { Provenance::Estimated };
    Some(Finding {
        id: Finding::identity(FindingKind::RepeatedComputation, &subject),
        kind: FindingKind::RepeatedComputation,
        recommendation: format!(
            "Cache the result of {}: {calls} calls had {distinct} distinct arguments; a cache of {} entries \
             would answer {:.0} % of the calls and save {saved:.3} s each second (simulated; it must be pure)",
            profile.name,
            crate::SIMULATED_ENTRIES,
            hit_ratio * 100.0,
        ),
        subject,
        cause: Cause::RepeatedComputation { calls, distinct_arguments: distinct },
        impact: Impact::of_time_share(time_share * hit_ratio),
        evidence: vec![
            measured("calls", calls as f64, Unit::Count),
            derived("distinct_arguments", distinct as f64, Unit::Count, counted),
            measured("mean_seconds", profile.mean.unwrap_or_default().as_secs_f64(), Unit::Seconds),
            measured("time_share", time_share, Unit::Ratio),
            derived("hit_ratio", hit_ratio, Unit::Ratio, Provenance::Simulated),
            derived(
                "highest_hit_ratio",
                arguments.highest_hit_ratio().map_or(0.0, Ratio::get),
                Unit::Ratio,
                counted,
            ),
            derived("seconds_saved_per_second", saved, Unit::PerSecond, Provenance::Simulated),
        ],
        callers: vec![Caller { file: profile.file.clone(), line: profile.line }],
        found_at: now,
        seen_at: now,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::DistinctArguments;

    fn profile(name: &str, calls: u64, distinct: u64, seconds: u64) -> Profile {
        Profile {
            name: name.to_owned(),
            file: "src/lib.rs".to_owned(),
            line: 7,
            module: "app".to_owned(),
            calls,
            errors: 0,
            cancelled: 0,
            last: None,
            last_at: None,
            min: None,
            max: None,
            mean: Some(Duration::from_millis(1)),
            p50: None,
            p90: None,
            p95: None,
            p99: None,
            total: Duration::from_secs(seconds),
            self_time: Duration::from_secs(seconds),
            share: None,
            observed: Duration::from_secs(100),
            polling: None,
            memory_net_bytes: None,
            distinct_arguments: (distinct > 0).then_some(DistinctArguments {
                calls,
                distinct,
                relative_error: 0.0,
                simulated_hits: calls - distinct,
            }),
        }
    }

    #[track_caller]
    fn check(profiles: &[Profile], found: &[&str]) {
        let findings = findings(Timestamp::default(), profiles);
        let names: Vec<&str> = findings.iter().map(|finding| finding.subject.name()).collect();
        assert_eq!(names, found);
    }

    #[test]
    fn only_what_repeats_often_and_costs_something_is_found() {
        let rest = || profile("rest", 10, 0, 90);
        check(&[profile("repeats", 1_000, 200, 10), rest()], &["repeats"]);
        check(&[profile("too_distinct", 1_000, 201, 10), rest()], &[]);
        check(&[profile("too_few", 199, 1, 10), rest()], &[]);
        check(&[profile("too_cheap", 1_000, 1, 0), rest()], &[]);
        check(&[profile("arguments_unknown", 1_000, 0, 10), rest()], &[]);
    }

    #[test]
    fn the_saving_is_the_time_of_the_repeated_calls() {
        let found = findings(Timestamp::default(), &[profile("f", 1_000, 100, 50), profile("g", 1, 0, 50)]);
        let finding = &found[0];
        let value = |name: &str| {
            finding.evidence.iter().find(|one| one.name == name).map(|one| (one.value, one.provenance))
        };
        // 90 % of the calls repeat; 50 s of them in 100 s.
        assert_eq!(value("seconds_saved_per_second"), Some((0.45, Provenance::Simulated)));
        assert_eq!(value("hit_ratio"), Some((0.9, Provenance::Simulated)));
        assert_eq!(finding.impact, Impact::High);
        assert_eq!(finding.cause, Cause::RepeatedComputation { calls: 1_000, distinct_arguments: 100 });
        assert_eq!(finding.id, Finding::identity(FindingKind::RepeatedComputation, &finding.subject));
        assert!(finding.recommendation.contains("save 0.450 s each second"), "{}", finding.recommendation);
    }
}
