//! Findings: what the recorded statements say about what is slow, and why.

use std::sync::Arc;

use veritas_model::{Cause, Finding, FindingKind, Impact, Observation, Subject, Timestamp, Unit};

use crate::{
    CallerCount, RequestRepetitions, RequestStatistics, StatementKind, StatementStatistics, recorder::Entry,
    requests::CHATTY_STATEMENTS,
};

/// Requests that must repeat a statement before it is called an N+1.
const REPEATING_REQUESTS: u64 = 3;
/// Mean rows per call from which a result without a limit is called unbounded.
const UNBOUNDED_ROWS: f64 = 1000.0;
/// Calls that the mean must rest on.
const UNBOUNDED_CALLS: u64 = 5;
/// Callers named in a finding.
const CALLERS: usize = 5;
/// Mean seconds of a statement from which not the number of statements is what takes the time.
const ROUND_TRIP: f64 = 0.010;

/// Finds what is slow in these statements, the most expensive first.
pub(crate) fn find(entries: &[Arc<Entry>], requests: &[RequestStatistics], now: Timestamp) -> Vec<Finding> {
    let statements: Vec<_> = entries.iter().map(|entry| (entry, entry.statistics())).collect();
    let total_seconds: f64 = statements.iter().map(|(_, statistics)| statistics.total_seconds).sum();
    let mut found: Vec<(f64, Finding)> = Vec::new();
    for (entry, statistics) in &statements {
        if !entry.is_tracked() {
            continue;
        }
        let examined = Examined { entry, statistics, total_seconds, now };
        let caused: Vec<_> =
            [examined.n_plus_one(), examined.row_by_row(), examined.redundant(), examined.unbounded_result()]
                .into_iter()
                .flatten()
                .collect();
        if caused.is_empty() {
            found.extend(examined.slow_statement());
        }
        found.extend(caused);
    }
    found.extend(requests.iter().filter_map(|request| chatty_request(request, total_seconds, now)));
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
        let shape = self.entry.shape();
        if self.statistics.kind != StatementKind::Select || !shape.is_single_key_lookup || shape.is_page {
            return None;
        }
        self.repeated(FindingKind::NPlusOne, |worst, calls_per_request| {
            format!(
                "Fetch the rows of all keys at once instead of one statement per key: `WHERE key IN (…)` \
                 (PostgreSQL: `= ANY($1)`), or join them to the statement that yields the keys; {worst} runs \
                 this one {calls_per_request:.1} times per request",
            )
        })
    }

    /// A loop that writes row by row.
    fn row_by_row(&self) -> Option<(f64, Finding)> {
        let batch = match self.statistics.kind {
            StatementKind::Insert => {
                "one `INSERT` with many rows (`VALUES (…), (…)`, or `SELECT … FROM unnest($1, $2)`)"
            }
            StatementKind::Update => "one `UPDATE … FROM (VALUES (…), (…)) AS new (…) WHERE …`",
            StatementKind::Delete => "one `DELETE … WHERE key IN (…)` (PostgreSQL: `= ANY($1)`)",
            _ => return None,
        };
        self.repeated(FindingKind::ChattyLoop, |worst, calls_per_request| {
            format!(
                "Write all rows at once, with {batch}, instead of one statement per row; {worst} runs this one \
                 {calls_per_request:.1} times per request",
            )
        })
    }

    /// A statement that requests repeat with other keys.
    fn repeated(
        &self,
        kind: FindingKind,
        recommend: impl FnOnce(&str, f64) -> String,
    ) -> Option<(f64, Finding)> {
        let repeating = || {
            self.statistics
                .repetitions
                .iter()
                .filter(|repetitions| repetitions.repeating >= REPEATING_REQUESTS)
        };
        let worst = repeating().max_by(|left, right| left.seconds.total_cmp(&right.seconds))?;
        let calls_per_request = worst.calls_per_request()?;
        let seconds: f64 = repeating().map(|repetitions| repetitions.seconds).sum();
        let cause = Cause::RepeatedStatement { request: worst.request.clone(), calls_per_request };
        let recommendation = recommend(&worst.request, calls_per_request);
        let mut evidence = vec![
            self.count("requests", worst.requests),
            self.count("repeating_requests", worst.repeating),
            self.observe("calls_per_repeating_request", calls_per_request, Unit::Count),
            self.count("most_calls_per_request", worst.most_calls),
            self.observe("seconds_in_repeating_requests", seconds, Unit::Seconds),
        ];
        evidence.extend(self.figures());
        let finding = self.finding(kind, cause, recommendation, seconds, evidence);
        Some(with_callers(finding, repeating().flat_map(|repetitions| &repetitions.callers)))
    }

    /// A statement that requests ask again with the same values.
    fn redundant(&self) -> Option<(f64, Finding)> {
        if self.statistics.kind != StatementKind::Select || !self.entry.shape().is_pure {
            return None;
        }
        let redundant = || {
            self.statistics
                .repetitions
                .iter()
                .filter(|repetitions| repetitions.redundant >= REPEATING_REQUESTS)
        };
        let worst =
            redundant().max_by(|left, right| left.redundant_seconds.total_cmp(&right.redundant_seconds))?;
        let sum = |of: fn(&RequestRepetitions) -> f64| redundant().map(of).sum::<f64>();
        let seconds = sum(|repetitions| repetitions.redundant_seconds);
        let again = mean(worst.redundant_calls, worst.redundant);
        let cause =
            Cause::RepeatedStatement { request: worst.request.clone(), calls_per_request: again + 1.0 };
        let recommendation = format!(
            "Ask once per request and hand the rows on (or keep them for the length of the request): {} asks \
             this again {again:.1} times with the same values, and writes nothing in between",
            worst.request,
        );
        let mut evidence = vec![
            self.count("requests", worst.requests),
            self.count("redundant_requests", worst.redundant),
            self.observe("redundant_calls_per_request", again, Unit::Count),
            self.observe("seconds_in_redundant_calls", seconds, Unit::Seconds),
        ];
        evidence.extend(self.figures());
        let finding = self.finding(FindingKind::RedundantStatement, cause, recommendation, seconds, evidence);
        Some(with_callers(finding, redundant().flat_map(|repetitions| &repetitions.redundant_callers)))
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

/// Puts the places of the repeated calls before those of all calls.
fn with_callers<'a>(
    (seconds, mut finding): (f64, Finding),
    places: impl Iterator<Item = &'a CallerCount>,
) -> (f64, Finding) {
    let mut places: Vec<_> = places.collect();
    places.sort_by(|left, right| right.calls.cmp(&left.calls).then_with(|| left.caller.cmp(&right.caller)));
    let mut callers: Vec<_> = Vec::new();
    for caller in places.into_iter().map(|place| place.caller.clone()).chain(finding.callers) {
        if !callers.contains(&caller) {
            callers.push(caller);
        }
    }
    callers.truncate(CALLERS);
    finding.callers = callers;
    (seconds, finding)
}

/// Requests that send very many different statements, each of them quick: the way there and
/// back is what takes the time.
fn chatty_request(request: &RequestStatistics, total_seconds: f64, now: Timestamp) -> Option<(f64, Finding)> {
    let seconds_per_statement = request.chatty_seconds / float(request.chatty_statements.max(1));
    if request.chatty < REPEATING_REQUESTS || seconds_per_statement >= ROUND_TRIP {
        return None;
    }
    let subject = Subject::Function { name: request.name.clone() };
    let statements = mean(request.chatty_statements, request.chatty);
    let share = if total_seconds > 0.0 { request.chatty_seconds / total_seconds } else { 0.0 };
    let observe = |name: &str, value: f64, unit| Observation::measured(name, value, unit, now);
    let finding = Finding {
        id: Finding::identity(FindingKind::ChattyLoop, &subject),
        kind: FindingKind::ChattyLoop,
        subject,
        cause: Cause::RepeatedStatement { request: request.name.clone(), calls_per_request: statements },
        recommendation: format!(
            "Ask for more at once: {} sends {statements:.0} statements per request, at least \
             {CHATTY_STATEMENTS} of them different, {:.1} ms each. Join what is read together, send what does \
             not depend on each other in one pipeline, and keep what seldom changes",
            request.name,
            seconds_per_statement * 1e3,
        ),
        impact: Impact::of_time_share(share),
        evidence: vec![
            observe("requests", float(request.requests), Unit::Count),
            observe("chatty_requests", float(request.chatty), Unit::Count),
            observe("statements_per_chatty_request", statements, Unit::Count),
            observe("most_statements_per_request", float(request.most_statements), Unit::Count),
            observe("seconds_per_statement", seconds_per_statement, Unit::Seconds),
            observe("share_of_database_time", share, Unit::Ratio),
        ],
        callers: request.chatty_caller.iter().cloned().collect(),
        found_at: now,
        seen_at: now,
    };
    Some((request.chatty_seconds, finding))
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
fn mean(sum: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}
