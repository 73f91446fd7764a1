//! What is said of a rewrite that returned the same everywhere, and pays.

use veritas_database::server::ServerStatement;
use veritas_model::{Cause, Finding, FindingKind, Impact, Observation, Subject, Timestamp, Unit, WorkMetric};

use super::Offer;

/// Returns a text as it may be shown: with its parameters where it has no literals, else
/// without them.
pub fn shown(sql: &str) -> String {
    ServerStatement::of_text(sql).text
}

/// Says how it was checked that both texts return the same.
pub(super) fn checked(offer: &Offer) -> String {
    let Offer { databases, rows, gain, .. } = offer;
    format!("the same {rows} rows on {databases} random databases, and the same real rows: {}", gain.method)
}

/// Returns what an offer rests on.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(super) fn evidence(offer: &Offer, now: Timestamp) -> Vec<Observation> {
    let Offer { databases, rows, gain, .. } = offer;
    let measured = |name: &str, value: f64, unit| Observation::measured(name, value, unit, now);
    let mut evidence = vec![
        measured("databases_fuzzed", f64::from(*databases), Unit::Count),
        measured("rows_compared", *rows as f64, Unit::Rows),
        measured("pairs_measured", gain.pairs as f64, Unit::Count),
        measured("measured_gain", gain.gain, Unit::Ratio),
    ];
    if gain.metric == WorkMetric::Buffers {
        evidence.push(measured("pages_before", gain.before, Unit::Count));
        evidence.push(measured("pages_after", gain.after, Unit::Count));
    }
    evidence.push(measured("seconds_before", gain.seconds_before, Unit::Seconds));
    evidence.push(measured("seconds_after", gain.seconds_after, Unit::Seconds));
    evidence
}

/// Makes the finding that says an offer. `impact` is the statement's share of the time that
/// is gone; `before` the finding of the same statement, if there was one.
pub fn finding(
    subject: Subject,
    offer: &Offer,
    impact: Impact,
    found_at: Timestamp,
    now: Timestamp,
) -> Finding {
    let Offer { rewrite, gain, .. } = offer;
    let rewritten = shown(&rewrite.sql);
    let mut recommendation = format!("write the statement another way: {}: {rewritten}", rewrite.note);
    if let Some(index) = &rewrite.index {
        recommendation.push_str("; it pays with ");
        recommendation.push_str(index);
    }
    Finding {
        id: Finding::identity(FindingKind::Rewrite, &subject),
        kind: FindingKind::Rewrite,
        subject,
        cause: Cause::Rewritable {
            rule: rewrite.rule.as_str().to_owned(),
            rewritten,
            condition: rewrite.condition.clone(),
            before: gain.before,
            after: gain.after,
            metric: gain.metric,
            checked: checked(offer),
        },
        recommendation,
        impact,
        evidence: evidence(offer, now),
        callers: Vec::new(),
        found_at,
        seen_at: now,
    }
}
