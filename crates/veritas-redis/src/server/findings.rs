//! What is wrong with a server, by its own figures: each finding with a recommendation
//! and the evidence for it.
//!
//! A pure function of readings: [`findings`] asks nobody anything. What happens per
//! second needs an earlier reading, some minutes old; without one the totals since the
//! server's start stand for it where they say something. Nothing is concluded from a
//! part that could not be read. Thresholds are constants beside their rules, with
//! their reasons; the rules are those of the Redis manual ("Diagnosing latency issues",
//! "Memory optimization", "Key eviction") where nothing else is said.

mod commands;
mod health;
mod keys;
mod memory;

use std::time::Duration;

use veritas_cache::server::{NodeRates, NodeReading, ServerReading};
use veritas_model::{Cause, Finding, FindingKind, Impact, Observation, Provenance, Subject, Timestamp, Unit};

/// How many findings one reading gives at most: the weightiest.
pub const MOST: usize = 64;

/// What is older than this in a log of the server is not found any more.
const RECENT: Duration = Duration::from_hours(1);

/// Returns what is wrong with the server of `reading`, the weightiest first, 64 at
/// most. `earlier` is a reading of the same server that is some minutes older.
///
/// The same trouble of the same server has the same identity in every reading.
pub fn findings(reading: &ServerReading, earlier: Option<&ServerReading>) -> Vec<Finding> {
    let mut found = Vec::new();
    for node in &reading.nodes {
        let before = earlier.and_then(|earlier| earlier.node(&node.address));
        let mut case = Case {
            reading,
            node,
            rates: before.and_then(|before| NodeRates::between(before, node)),
            found: &mut found,
        };
        health::find(&mut case);
        memory::find(&mut case);
        commands::find(&mut case);
        keys::find(&mut case);
    }
    found.sort_by(|one, other| other.impact.cmp(&one.impact).then_with(|| one.id.cmp(&other.id)));
    found.truncate(MOST);
    found
}

/// One node, and the findings so far.
struct Case<'a> {
    reading: &'a ServerReading,
    node: &'a NodeReading,
    rates: Option<NodeRates>,
    found: &'a mut Vec<Finding>,
}

/// What is found, before it knows of which server.
struct Found {
    kind: FindingKind,
    /// What of the server it is about; of a cluster, the node is added.
    part: String,
    cause: Cause,
    impact: Impact,
    recommendation: String,
    evidence: Vec<Observation>,
}

impl Case<'_> {
    fn add(&mut self, found: Found) {
        let Found { kind, part, cause, impact, recommendation, evidence } = found;
        let part = if self.reading.nodes.len() > 1 { format!("{} {part}", self.node.address) } else { part };
        let subject = Subject::Server { name: self.reading.name.clone(), part: Some(part) };
        self.found.push(Finding {
            id: Finding::identity(kind, &subject),
            kind,
            subject,
            cause,
            recommendation,
            impact,
            evidence,
            callers: Vec::new(),
            found_at: self.reading.read_at,
            seen_at: self.reading.read_at,
        });
    }

    /// Adds a finding on what the server says of itself in `section`.
    fn add_condition(
        &mut self,
        kind: FindingKind,
        (section, part): (&str, &str),
        detail: String,
        impact: Impact,
        recommendation: &str,
        evidence: Vec<Observation>,
    ) {
        let cause = Cause::ServerCondition { section: section.to_owned(), detail };
        let recommendation = recommendation.to_owned();
        self.add(Found { kind, part: part.to_owned(), cause, impact, recommendation, evidence });
    }

    fn measured(&self, name: &str, value: f64, unit: Unit) -> Observation {
        Observation::measured(name, value, unit, self.reading.read_at)
    }

    fn estimated(&self, name: &str, value: f64, unit: Unit) -> Observation {
        Observation { provenance: Provenance::Estimated, ..self.measured(name, value, unit) }
    }

    /// Tells whether `at`, on the server's clock, is less than an hour ago.
    fn is_recent(&self, at: Timestamp) -> bool {
        let server_time = self.node.server.as_ref().ok().and_then(|server| server.server_time);
        server_time.unwrap_or(self.reading.read_at).since(at) < RECENT
    }

    /// Returns how long the server has been running: at least a second, since it tells whole ones and 0 at first.
    fn uptime(&self) -> Option<Duration> {
        self.node.server.as_ref().ok().map(|server| server.uptime.max(Duration::from_secs(1)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// Returns a size for people, in the unit that leaves the fewest digits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = float(bytes);
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Returns a share in percent for people.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = usize::from(percent < 10.0);
    format!("{percent:.digits$} %")
}

/// Returns a duration in milliseconds for people.
fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    let digits = if millis < 10.0 { 2 } else { 0 };
    format!("{millis:.digits$} ms")
}
