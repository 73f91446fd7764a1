//! Findings: what the recorded statements say about what is slow, and why.

use std::sync::Arc;

use veritas_model::{Cause, Finding, FindingKind, Impact, Observation, Subject, Timestamp, Unit};

use crate::{StatementKind, StatementStatistics, recorder::Entry};

/// Requests that must repeat a statement before it is called an N+1.
const REPEATING_REQUESTS: u64 = 3;
/// Mean rows per call from which a result without a limit is called unbounded.
const UNBOUNDED_ROWS: f64 = 1000.0;
/// Calls that the mean must rest on.
const UNBOUNDED_CALLS: u64 = 5;
/// Callers named in a finding.
const CALLERS: usize = 5;

/// Finds what is slow in these statements, the most expensive first.
pub(crate) fn find(entries: &[Arc<Entry>], now: Timestamp) -> Vec<Finding> {
    let statements: Vec<_> = entries.iter().map(|entry| (entry, entry.statistics())).collect();
    let total_seconds: f64 = statements.iter().map(|(_, statistics)| statistics.total_seconds).sum();
    let mut found: Vec<(f64, Finding)> = Vec::new();
    for (entry, statistics) in &statements {
        if !entry.is_tracked() {
            continue;
        }
        let examined = Examined { entry, statistics, total_seconds, now };
        let caused: Vec<_> =
            [examined.n_plus_one(), examined.unbounded_result()].into_iter().flatten().collect();
        if caused.is_empty() {
            found.extend(examined.slow_statement());
        }
        found.extend(caused);
    }
    found.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.id.cmp(&right.1.id)));
    // The same statement under several labels is one subject: the most expensive stays.
    let mut seen = std::collections::HashSet::new();
    found.into_iter().map(|(_, finding)| finding).filter(|finding| seen.insert(finding.id.clone())).collect()
}

/// A statement, and what it is compared with.
struct Examined<'a> {
    entry: &'a Entry,
    statistics: &'a StatementStatistics,
    total_seconds: f64,
    now: Timestamp,
}

impl Examined<'_> {
    fn n_plus_one(&self) -> Option<(f64, Finding)> {
        if self.statistics.kind != StatementKind::Select || !self.entry.shape().is_single_key_lookup {
            return None;
        }
        let worst = self
            .statistics
            .repetitions
            .iter()
            .filter(|repetitions| repetitions.repeating >= REPEATING_REQUESTS)
            .max_by(|left, right| left.seconds.total_cmp(&right.seconds))?;
        let calls_per_request = worst.calls_per_request()?;
        let seconds: f64 = self
            .statistics
            .repetitions
            .iter()
            .filter(|repetitions| repetitions.repeating >= REPEATING_REQUESTS)
            .map(|repetitions| repetitions.seconds)
            .sum();
        let cause = Cause::RepeatedStatement { request: worst.request.clone(), calls_per_request };
        let recommendation = format!(
            "Fetch the rows of all keys at once instead of one statement per key: `WHERE key IN (…)` \
             (PostgreSQL: `= ANY($1)`), or join them to the statement that yields the keys; {} runs this one \
             {calls_per_request:.1} times per request",
            worst.request,
        );
        let mut evidence = vec![
            self.count("requests", worst.requests),
            self.count("repeating_requests", worst.repeating),
            self.observe("calls_per_repeating_request", calls_per_request, Unit::Count),
            self.count("most_calls_per_request", worst.most_calls),
            self.observe("seconds_in_repeating_requests", seconds, Unit::Seconds),
        ];
        evidence.extend(self.figures());
        Some(self.finding(FindingKind::NPlusOne, cause, recommendation, seconds, evidence))
    }

    fn unbounded_result(&self) -> Option<(f64, Finding)> {
        let shape = self.entry.shape();
        let succeeded = self.statistics.calls - self.statistics.errors;
        let is_candidate = self.statistics.kind == StatementKind::Select
            && !shape.has_limit
            && !shape.is_aggregate
            && succeeded >= UNBOUNDED_CALLS;
        if !is_candidate {
            return None;
        }
        let rows_per_call = mean(self.statistics.rows_returned, succeeded);
        if rows_per_call < UNBOUNDED_ROWS {
            return None;
        }
        let cause = Cause::UnboundedResult { rows_per_call };
        let recommendation = format!(
            "Ask for one page at a time: it returns {rows_per_call:.0} rows per call and nothing limits them. Add \
             `ORDER BY key LIMIT n` and continue after the last key (`WHERE key > last`), not by OFFSET",
        );
        let seconds = self.statistics.total_seconds;
        Some(self.finding(FindingKind::UnboundedResult, cause, recommendation, seconds, self.figures()))
    }

    fn slow_statement(&self) -> Option<(f64, Finding)> {
        if self.statistics.slow == 0 {
            return None;
        }
        let recommendation = format!(
            "Look at its plan (EXPLAIN): {} of {} calls were slower than the slow threshold, and what was recorded \
             does not tell why",
            self.statistics.slow, self.statistics.calls,
        );
        let seconds = self.statistics.total_seconds;
        let finding = self.finding(
            FindingKind::SlowStatement,
            Cause::AboveThreshold,
            recommendation,
            seconds,
            self.figures(),
        );
        Some(finding)
    }

    /// Builds a finding that concerns `seconds` of the database time.
    fn finding(
        &self,
        kind: FindingKind,
        cause: Cause,
        recommendation: String,
        seconds: f64,
        evidence: Vec<Observation>,
    ) -> (f64, Finding) {
        let subject = Subject::Statement {
            name: self.statistics.name.clone(),
            fingerprint: self.statistics.fingerprint,
            normalized: self.statistics.normalized.to_string(),
        };
        let finding = Finding {
            id: Finding::identity(kind, &subject),
            kind,
            subject,
            cause,
            recommendation,
            impact: Impact::of_time_share(self.share(seconds)),
            evidence,
            callers: self.statistics.callers.iter().take(CALLERS).map(|place| place.caller.clone()).collect(),
            found_at: self.now,
            seen_at: self.now,
        };
        (seconds, finding)
    }

    /// The figures that every finding carries.
    fn figures(&self) -> Vec<Observation> {
        let statistics = self.statistics;
        let rows = statistics.rows_returned.saturating_add(statistics.rows_affected);
        let mut figures = vec![self.count("calls", statistics.calls)];
        if statistics.errors > 0 {
            figures.push(self.count("errors", statistics.errors));
        }
        if statistics.slow > 0 {
            figures.push(self.count("slow_calls", statistics.slow));
        }
        if let Some(mean) = statistics.seconds.mean() {
            figures.push(self.observe("mean_seconds", mean, Unit::Seconds));
        }
        if let Some(nanoseconds) = statistics.histogram.quantile(0.95) {
            let seconds = std::time::Duration::from_nanos(nanoseconds).as_secs_f64();
            figures.push(self.observe("p95_seconds", seconds, Unit::Seconds));
        }
        figures.push(self.observe("rows_per_call", mean(rows, statistics.calls), Unit::Rows));
        if let Some(steps) = statistics.vm_steps.mean() {
            figures.push(self.observe("vm_steps_per_call", steps, Unit::VmSteps));
        }
        let share = self.share(statistics.total_seconds);
        figures.push(self.observe("share_of_database_time", share, Unit::Ratio));
        figures
    }

    fn share(&self, seconds: f64) -> f64 {
        if self.total_seconds > 0.0 { seconds / self.total_seconds } else { 0.0 }
    }

    fn observe(&self, name: &str, value: f64, unit: Unit) -> Observation {
        Observation::measured(name, value, unit, self.now)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    fn count(&self, name: &str, value: u64) -> Observation {
        self.observe(name, value as f64, Unit::Count)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
fn mean(sum: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}
