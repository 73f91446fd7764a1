//! A round: the statements that cost most, looked at one a turn, and what was found remembered.
//!
//! Looking at a statement takes a copy of its tables and some thousand small executions, so
//! it is done once for each statement and each state of the indexes and tables, and again
//! after a day. A statement of which the rules have nothing to offer costs three questions
//! to the catalogue. Between two looks the findings are said again, unchanged.

mod statements;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use veritas_database::{StatementSnapshot, server::ServerReading};
use veritas_model::{Bytes, Finding, FindingKind, Fingerprint, Impact, Monotonic, Timestamp, stable_hash};
use veritas_rewrite::{Rule, Schema, Usage};

use self::statements::{Candidate, candidates};
use super::{
    Offer, Options,
    by_rule::offered,
    finding::{checked, evidence, finding, shown},
    look,
};
use crate::{
    guard::Explainable,
    scratch::{Scratch, ScratchLimits, ScratchPlace},
    session::Session,
    target::PostgresTarget,
    trial::{self, Effort},
};

/// Statements that are remembered at most.
const MOST_KNOWN: usize = 1_000;

/// The bounds of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundOptions {
    /// Where copies are made; without a place nothing is looked for.
    pub place: ScratchPlace,
    /// How much is copied, and how fast.
    pub limits: ScratchLimits,
    /// Statements that are looked at, those that cost most first.
    pub statements: usize,
    /// Copies that are made in one turn.
    pub looks: usize,
    /// After this a statement is looked at again.
    pub again_after: Duration,
    /// What is tried of each rewrite.
    pub look: Options,
}

impl RoundOptions {
    /// Copies to `place`: 20 statements, one copy a turn of 128 MiB and 30 s at most, 100
    /// random databases and 24 pairs in 10 s for each rewrite, again after a day.
    pub fn at(place: ScratchPlace) -> Self {
        let effort = Effort { pairs: 24, time: Duration::from_secs(10) };
        Self {
            place,
            limits: ScratchLimits {
                bytes: Bytes::new(128 << 20),
                time: Duration::from_secs(30),
                ..ScratchLimits::default()
            },
            statements: 20,
            looks: 1,
            again_after: Duration::from_hours(24),
            look: Options { effort, ..Options::default() },
        }
    }
}

/// Finds rewrites of the statements of one target.
#[derive(Debug)]
pub struct Rewriter {
    target: Arc<PostgresTarget>,
    options: RoundOptions,
    known: BTreeMap<Fingerprint, Known>,
}

/// What was found of a statement.
#[derive(Debug)]
struct Known {
    /// The indexes and tables that there were.
    version: u64,
    at: Monotonic,
    /// Whether it was looked at as one that requests repeat.
    repeated: bool,
    findings: Vec<Finding>,
}

impl Rewriter {
    /// Makes one; sends nothing.
    pub const fn new(target: Arc<PostgresTarget>, options: RoundOptions) -> Self {
        Self { target, options, known: BTreeMap::new() }
    }

    /// Takes one turn, and returns what is known of all statements. `repeated` are those that
    /// requests send again and again.
    ///
    /// Findings of kind [`FindingKind::NPlusOne`] say the batch of such a statement; all others
    /// are of kind [`FindingKind::Rewrite`]. Never fails: what could not be looked at is left
    /// out, and tried again after a day. Blocks as long as the options say.
    pub fn round(
        &mut self,
        reading: &ServerReading,
        snapshot: &StatementSnapshot,
        repeated: &BTreeSet<Fingerprint>,
        now: Timestamp,
    ) -> Vec<Finding> {
        if self.options.place == ScratchPlace::Off || reading.is_replica {
            return Vec::new();
        }
        let candidates = candidates(reading, snapshot, repeated, self.options.statements);
        let all: f64 = candidates.iter().map(|candidate| candidate.seconds).sum();
        let version = version_of(reading);
        let mut session = None;
        let mut looks = self.options.looks;
        let mut findings = Vec::new();
        for candidate in &candidates {
            let at = self.target.clock.monotonic();
            let fresh = self.known.get(&candidate.fingerprint).is_some_and(|known| {
                known.version == version
                    && known.repeated == candidate.repeated
                    && at.since(known.at) < self.options.again_after
            });
            if !fresh && looks > 0 {
                if session.is_none() {
                    session = self.target.connect().ok();
                }
                let Some(open) = session.as_mut().filter(|session| !session.is_lost()) else { break };
                let share = if all > 0.0 { candidate.seconds / all } else { 0.0 };
                let findings = self.look(open, candidate, Impact::of_time_share(share), &mut looks, now);
                let known = Known { version, at, repeated: candidate.repeated, findings };
                self.remember(candidate.fingerprint, known);
            }
            let Some(known) = self.known.get(&candidate.fingerprint).filter(|known| known.version == version)
            else {
                continue;
            };
            findings.extend(known.findings.iter().map(|finding| Finding { seen_at: now, ..finding.clone() }));
        }
        findings
    }

    fn remember(&mut self, fingerprint: Fingerprint, known: Known) {
        if self.known.len() >= MOST_KNOWN && !self.known.contains_key(&fingerprint) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.at).map(|(oldest, _)| *oldest);
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(fingerprint, known);
    }

    /// Looks at one statement. Only a statement that a rule has something to offer for takes
    /// one of `looks`.
    fn look(
        &self,
        session: &mut Session,
        candidate: &Candidate,
        impact: Impact,
        looks: &mut usize,
        now: Timestamp,
    ) -> Vec<Finding> {
        let usage = Usage { repeated: candidate.repeated, columns: None };
        let (statement, schema) = match offered(session, &candidate.sql, &usage) {
            Ok(Some((statement, schema, _))) => (statement, schema),
            Ok(None) => return Vec::new(),
            Err(reason) => {
                tracing::debug!(statement = candidate.subject.name(), reason, "no rewrite is looked for");
                return Vec::new();
            }
        };
        *looks -= 1;
        match self.tried(&statement, &schema, candidate, &usage) {
            Ok(offers) => said(offers, candidate, impact, now),
            Err(reason) => {
                tracing::debug!(statement = candidate.subject.name(), reason, "no rewrite was tried");
                Vec::new()
            }
        }
    }

    fn tried(
        &self,
        statement: &Explainable,
        schema: &Schema,
        candidate: &Candidate,
        usage: &Usage,
    ) -> Result<Vec<Offer>, String> {
        let Self { target, options, .. } = self;
        let clock = Arc::clone(&target.clock);
        let relations = statement.relations();
        let mut scratch =
            Scratch::create(&target.options, &options.place, relations, &options.limits, Arc::clone(&clock))
                .map_err(|error| error.words())?;
        let parameters = statement.parameters();
        let real = trial::of_calls(&candidate.kept, parameters);
        let vectors =
            trial::sampled(scratch.session(), &candidate.sql, parameters, real, candidate.rows_per_call)
                .map_err(|error| error.to_string())?;
        let outcome =
            look(&mut scratch, &candidate.sql, schema, usage, &vectors.values, &options.look, &clock)
                .map_err(|error| error.to_string())?;
        for (rule, declined) in &outcome.declined {
            let name = candidate.subject.name();
            tracing::debug!(statement = name, rule = rule.as_str(), %declined, "a rewrite is not offered");
        }
        Ok(outcome.offers)
    }
}

/// Says the best rewrite of a statement, and its batch.
fn said(offers: Vec<Offer>, candidate: &Candidate, impact: Impact, now: Timestamp) -> Vec<Finding> {
    let (batches, others): (Vec<Offer>, Vec<Offer>) =
        offers.into_iter().partition(|offer| offer.rewrite.rule == Rule::SingleToBatch);
    let best = others.first().map(|best| {
        let mut best = finding(candidate.subject.clone(), best, impact, now, now);
        best.callers.clone_from(&candidate.callers);
        best
    });
    let batch = batches.first().map(|batch| {
        let mut said = finding(candidate.subject.clone(), batch, impact, now, now);
        said.kind = FindingKind::NPlusOne;
        said.id = Finding::identity(said.kind, &said.subject);
        said.callers.clone_from(&candidate.callers);
        said.evidence = evidence(batch, now);
        said.recommendation = format!(
            "Fetch the rows of all keys at once: {}; {} (its rows are those of the single statements, with \
             their key: {})",
            shown(&batch.rewrite.sql),
            batch.rewrite.condition.as_deref().unwrap_or_default(),
            checked(batch),
        );
        said
    });
    best.into_iter().chain(batch).collect()
}

/// The tables and indexes that there are, as a number: what was found holds for these.
fn version_of(reading: &ServerReading) -> u64 {
    let tables = reading.tables.iter().flatten().map(|table| format!("{}.{}", table.schema, table.name));
    let indexes =
        reading.indexes.iter().flatten().map(|index| format!("{} {}", index.definition, index.valid));
    let mut all: Vec<String> = tables.chain(indexes).collect();
    all.sort_unstable();
    stable_hash(all.join("\n").as_bytes())
}
