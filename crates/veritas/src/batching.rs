//! N+1: the batch that a finding offers, by a rule or as it was measured on a copy.

use veritas_database::StatementSnapshot;
use veritas_model::{Finding, FindingKind, Subject};

/// Returns the statements that requests repeat with other keys.
#[cfg(feature = "postgres")]
pub(crate) fn repeated(findings: &[Finding]) -> std::collections::BTreeSet<veritas_model::Fingerprint> {
    let of_each = findings.iter().filter_map(|finding| match (&finding.kind, &finding.subject) {
        (FindingKind::NPlusOne, Subject::Statement { fingerprint, .. }) => Some(*fingerprint),
        _ => None,
    });
    of_each.collect()
}

/// Adds to each finding of repeated statements the text that asks for all keys at once, by
/// its form alone.
pub(crate) fn by_rule(findings: &mut [Finding], snapshot: &StatementSnapshot) {
    for finding in findings.iter_mut().filter(|finding| finding.kind == FindingKind::NPlusOne) {
        let Subject::Statement { fingerprint, normalized, .. } = &finding.subject else { continue };
        let known = snapshot.statements.iter().find(|known| known.fingerprint == *fingerprint);
        // How parameters are written tells what the server takes.
        let arrays = known.and_then(|known| known.sample_sql.as_ref()).is_some_and(|sql| sql.contains("$1"));
        if let Some(batch) = veritas_rewrite::batched(normalized, arrays) {
            finding.recommendation.push_str(": ");
            finding.recommendation.push_str(&batch);
            finding.recommendation.push_str(" (a rule says so; not measured)");
        }
    }
}

/// Adds findings of a target to those that are known. What it measured of a repeated
/// statement takes the place of what a rule says; a statement that nobody repeats needs no batch.
pub(crate) fn add(known: &mut Vec<Finding>, found: Vec<Finding>) {
    for finding in found {
        if finding.kind != FindingKind::NPlusOne {
            known.push(finding);
            continue;
        }
        if let Some(same) = known.iter_mut().find(|known| known.id == finding.id) {
            same.recommendation = finding.recommendation;
            same.evidence.extend(finding.evidence);
        }
    }
}
