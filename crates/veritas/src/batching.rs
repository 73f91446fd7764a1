//! N+1: the batch that a finding offers, by a rule or as it was measured on a copy.

use veritas_database::StatementSnapshot;
use veritas_model::{Finding, FindingKind, Subject};

/// Returns the statements that requests repeat with other keys.
#[cfg(any(feature = "mysql", feature = "postgres"))]
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use veritas_database::{Recorder, RecorderOptions, Value, scope};
    use veritas_model::{Observation, SystemClock, Timestamp, Unit};

    use super::*;

    /// What is found of a statement that three requests send for eight keys each.
    fn found(sql: &str) -> Vec<Finding> {
        let recorder = Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new()));
        for _ in 0..3 {
            let _request = scope::enter("/orders");
            for key in 0..8_i64 {
                recorder.statement(sql).parameters(&[Value::Integer(4_000 + key)]).finish(1, None);
            }
        }
        let mut findings = recorder.findings(Timestamp::default());
        by_rule(&mut findings, &recorder.snapshot());
        findings
    }

    #[test]
    fn a_repeated_statement_is_offered_its_batch_in_the_words_of_its_server() {
        let check = |sql: &str, batch: &str| {
            let findings = found(sql);
            let said = &findings[0].recommendation;
            assert!(said.contains(batch) && said.contains("not measured") && !said.contains("400"), "{said}");
        };
        check("SELECT note FROM orders WHERE id = ?", "SELECT note, id FROM orders WHERE id IN (?, …)");
        check("SELECT note FROM orders WHERE id = $1", "SELECT note, id FROM orders WHERE id = ANY($1)");
    }

    #[test]
    fn what_was_measured_takes_the_place_of_the_rule_and_nothing_else() {
        let mut known = found("SELECT note FROM orders WHERE id = $1");
        let evidence = known[0].evidence.len();
        let mut measured = known[0].clone();
        measured.recommendation = "measured".to_owned();
        measured.evidence =
            vec![Observation::measured("measured_gain", 0.9, Unit::Ratio, Timestamp::default())];
        let mut stranger = measured.clone();
        if let Subject::Statement { fingerprint, .. } = &mut stranger.subject {
            *fingerprint = veritas_model::Fingerprint::of_normalized("another");
        }
        stranger.id = Finding::identity(stranger.kind, &stranger.subject);
        add(&mut known, vec![measured, stranger]);
        assert_eq!((known.len(), known[0].recommendation.as_str()), (1, "measured"));
        assert_eq!(known[0].evidence.len(), evidence + 1);
    }
}
