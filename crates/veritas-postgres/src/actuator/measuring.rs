//! Proofs: the statements in a change's scope, executed with and without the index on a copy.

mod subjects;

use std::{sync::Arc, time::Duration};

use veritas_model::{ActuatorError, Clock, MeasuredGain, Proposal};
use veritas_statistics::Rng;

use self::subjects::{Subject, prepare};
use super::{
    Accepted, PostgresActuator,
    live::{busy, guard, said},
};
use crate::{
    guard::Parameters,
    plan::Relation,
    scratch::{Scratch, ScratchError},
    session::SessionError,
    target::PostgresTarget,
    trial::{self, Effort, Gain, Pairs, Side, TrialError, Vectors},
};

/// Pairs of the statement that the proof is about.
const PAIRS: usize = 96;
/// Pairs of each other statement in scope.
const OTHER_PAIRS: usize = 24;
/// Writes in scope that are measured, the most called first.
const WRITES: usize = 6;
/// Shares of the proof's time: for the statement, for other reads, for writes.
const TIMES: [f64; 3] = [0.5, 0.25, 0.25];
/// A share of more pages below which a read is not held to have become dearer.
const TOLERATED: f64 = 0.02;

/// Proves a proposal on a copy.
pub(super) fn measure(
    actuator: &PostgresActuator,
    target: &PostgresTarget,
    accepted: &Accepted,
    proposal: &Proposal,
) -> Result<MeasuredGain, ActuatorError> {
    let options = &actuator.options;
    let prepared = prepare(actuator, target, accepted, proposal)?;
    let scratch = Scratch::create(
        &target.options,
        &options.scratch,
        &prepared.relations,
        &options.limits,
        Arc::clone(&target.clock),
    );
    let mut proof = Proof {
        target,
        scratch: scratch.map_err(|error| of_scratch(target, &error))?,
        rng: Rng::new(veritas_model::stable_hash(proposal.id.as_str().as_bytes())),
        longest: options.longest_proof,
        index: (accepted.schema().to_owned(), accepted.index()),
        creates: matches!(accepted, Accepted::Create(_)),
    };
    let build = proof.build(accepted)?;
    proof.verdict(&prepared.subjects, build)
}

/// What a proof needs.
struct Proof<'a> {
    target: &'a PostgresTarget,
    scratch: Scratch,
    rng: Rng,
    longest: Duration,
    index: (String, String),
    creates: bool,
}

/// What the reads or the writes in scope showed.
#[derive(Default)]
struct Seen {
    before: f64,
    after: f64,
    measured: u32,
    failed: u32,
    /// The pairs of the statement that weighs most, with what it was run with.
    heaviest: Option<(f64, Pairs, Vectors)>,
    /// The first read that became dearer.
    dearer: Option<(Pairs, Vectors)>,
}

impl Proof<'_> {
    /// Builds the index on the copy, or builds it once more, and returns how long that took.
    fn build(&mut self, accepted: &Accepted) -> Result<Duration, ActuatorError> {
        let clock = Arc::clone(&self.target.clock);
        let target = self.target;
        let at = |error: SessionError| said(target, "build the index on the copy", &error);
        let session = self.scratch.session();
        let started = clock.monotonic();
        match accepted {
            Accepted::Create(definition) => {
                session.batch(&definition.create_alone()).map_err(at)?;
                let took = clock.monotonic().since(started);
                session.batch("ANALYZE").map_err(at)?;
                Ok(took)
            }
            Accepted::Drop(removal) => {
                // An index that cannot be used is not copied: it is made here.
                let gone = format!(
                    "DROP INDEX IF EXISTS {}",
                    crate::session::qualified(&self.index.0, &self.index.1)
                );
                session.batch(&gone).map_err(at)?;
                let started = clock.monotonic();
                session.batch(removal.definition()).map_err(at)?;
                let took = clock.monotonic().since(started);
                session.batch("ANALYZE").map_err(at)?;
                Ok(took)
            }
        }
    }

    fn verdict(&mut self, subjects: &[Subject], build: Duration) -> Result<MeasuredGain, ActuatorError> {
        let [about, reads, writes] = TIMES.map(|share| self.longest.mul_f64(share));
        let mut said = Vec::new();
        let chosen = if self.creates { Some(self.choose(subjects)?) } else { None };
        let others: Vec<&Subject> = subjects
            .iter()
            .enumerate()
            .filter(|(at, subject)| subject.statement.is_query() && Some(*at) != chosen)
            .map(|(_, subject)| subject)
            .collect();
        let reads = self.measure_all(&others, reads, true);
        let mut by_calls: Vec<&Subject> =
            subjects.iter().filter(|subject| !subject.statement.is_query()).collect();
        by_calls.sort_by(|one, other| other.calls.total_cmp(&one.calls));
        by_calls.truncate(WRITES);
        let writes = self.measure_all(&by_calls, writes, false);
        said.push(match (writes.measured, writes.failed) {
            (0, 0) => "no writes in scope".to_owned(),
            (measured, 0) => format!("writes in scope, rolled back: {measured}"),
            (measured, failed) => {
                format!("writes in scope, rolled back: {measured}, not to be repeated: {failed}")
            }
        });
        said.push(format!("other reads in scope that use the index: {}", reads.measured + reads.failed));
        let build = build.as_secs_f64();
        said.push(if self.creates {
            format!("index built in {build:.3} s")
        } else {
            // There is no hiding an index: this is the way back.
            format!("it cannot be hidden; making it again, by the statement that is kept, took {build:.3} s on the copy")
        });
        let slowdown =
            (writes.measured > 0 && writes.before > 0.0).then(|| writes.after / writes.before - 1.0);
        let (pairs, vectors) = if let Some(dearer) = reads.dearer {
            said.push("a read in scope became dearer: the verdict is about that one".to_owned());
            dearer
        } else if let Some(at) = chosen {
            let (pairs, vectors) = self.pairs(&subjects[at], PAIRS, about)?;
            (pairs, vectors)
        } else {
            let heaviest = writes.heaviest.ok_or_else(|| {
                busy(
                    self.target,
                    "no write in scope was seen that can be run: what dropping it saves is not known",
                )
            });
            let (_, pairs, vectors) = heaviest?;
            (pairs, vectors)
        };
        let copy = self.scratch.words();
        let measured = pairs.measured(self.rng.next_u64(), |pairs| {
            let failed = match (pairs.failed, &pairs.failure) {
                (0, _) | (_, None) => String::new(),
                (failed, Some(code)) => format!("; failed pairs: {failed} ({code})"),
            };
            format!(
                "{} pairs in random order, {}, on {copy}; {}{failed}",
                pairs.count(),
                vectors.words(),
                said.join("; ")
            )
        });
        let why = pairs.failure.as_deref().unwrap_or("the time was over before a pair was complete");
        let measured = measured.ok_or_else(|| guard(format!("no pair could be measured: {why}")))?;
        Ok(MeasuredGain { write_slowdown: slowdown, ..measured })
    }

    /// Chooses the statement that the proof of a creation is about: the one of the finding,
    /// else the dearest that uses the index.
    fn choose(&mut self, subjects: &[Subject]) -> Result<usize, ActuatorError> {
        let wanted: Vec<usize> = (0..subjects.len())
            .filter(|at| subjects[*at].is_wanted && subjects[*at].statement.is_query())
            .collect();
        for at in &wanted {
            if self.uses_index(&subjects[*at]) {
                return Ok(*at);
            }
        }
        wanted
            .first()
            .copied()
            .ok_or_else(|| busy(self.target, "the statement that it is for was not seen, or cannot be run"))
    }

    /// Returns whether the plan of a statement reads the index, with some of its values.
    fn uses_index(&mut self, subject: &Subject) -> bool {
        let Ok(vectors) = self.vectors(subject) else { return false };
        let name = self.index.1.clone();
        vectors.values.iter().take(4).any(|values| {
            let plan = subject.statement.explain(self.scratch.session(), Parameters::Values(values));
            plan.is_ok_and(|plan| plan.nodes().any(|node| node.index.as_deref() == Some(name.as_str())))
        })
    }

    fn vectors(&mut self, subject: &Subject) -> Result<Vectors, ActuatorError> {
        let real = trial::of_calls(&subject.kept, subject.statement.parameters());
        trial::sampled(
            self.scratch.session(),
            &subject.text,
            subject.statement.parameters(),
            real,
            subject.rows_per_call,
        )
        .map_err(|error| said(self.target, "draw values from the copy", &error))
    }

    /// Runs pairs of one statement: before and after are without and with the index for a
    /// creation, and the other way round for a removal.
    fn pairs(
        &mut self,
        subject: &Subject,
        pairs: usize,
        time: Duration,
    ) -> Result<(Pairs, Vectors), ActuatorError> {
        let vectors = self.vectors(subject)?;
        let clock: Arc<dyn Clock> = Arc::clone(&self.target.clock);
        let without = Side {
            statement: &subject.statement,
            without: Some((self.index.0.as_str(), self.index.1.as_str())),
        };
        let with = Side { statement: &subject.statement, without: None };
        let (before, after) = if self.creates { (without, with) } else { (with, without) };
        let effort = Effort { pairs, time };
        let ran =
            trial::run(&mut self.scratch, before, after, &vectors.values, effort, &clock, &mut self.rng);
        match ran {
            Ok(pairs) => Ok((pairs, vectors)),
            Err(TrialError::NoValues) => {
                Err(busy(self.target, "no calls were kept, and the meaning of a parameter is not known"))
            }
            Err(TrialError::Session(error)) => {
                Err(said(self.target, "run the statement on the copy", &error))
            }
        }
    }

    /// Measures several statements; of reads only those that use the index.
    fn measure_all(&mut self, subjects: &[&Subject], time: Duration, are_reads: bool) -> Seen {
        let mut seen = Seen::default();
        let each = time / u32::try_from(subjects.len().max(1)).unwrap_or(u32::MAX);
        for subject in subjects {
            if are_reads && !self.uses_index(subject) {
                continue;
            }
            let Ok((pairs, vectors)) = self.pairs(subject, OTHER_PAIRS, each) else {
                seen.failed += 1;
                continue;
            };
            let Some(gain) = pairs.pages(self.rng.next_u64()) else {
                seen.failed += 1;
                continue;
            };
            seen.measured += 1;
            seen.before += subject.calls * gain.before;
            seen.after += subject.calls * gain.after;
            if are_reads && (is_dearer(&gain) || pairs.differing > 0) && seen.dearer.is_none() {
                seen.dearer = Some((pairs, vectors));
            } else if seen.heaviest.as_ref().is_none_or(|(calls, ..)| *calls < subject.calls) {
                seen.heaviest = Some((subject.calls, pairs, vectors));
            }
        }
        seen
    }
}

/// Returns whether a read costs more pages, beyond chance and beyond what is tolerated.
fn is_dearer(gain: &Gain) -> bool {
    gain.interval.high < 0.0 && gain.share < -TOLERATED && gain.after - gain.before >= 1.0
}

fn of_scratch(target: &PostgresTarget, error: &ScratchError) -> ActuatorError {
    match error {
        ScratchError::Server { step, source } => said(target, step, source),
        ScratchError::Off => ActuatorError::SwitchedOff {
            what: "proving".to_owned(),
            hint: "say where copies of tables may be made (postgres.scratch)".to_owned(),
        },
        ScratchError::TooSlow => busy(target, error.to_string()),
        other => guard(other.to_string()),
    }
}

/// The relations that a proof copies.
pub(super) fn relation_of(schema: &str, name: &str) -> Relation {
    Relation { schema: schema.to_owned(), name: name.to_owned() }
}

impl Accepted {
    /// Returns the schema of the index.
    fn schema(&self) -> &str {
        match self {
            Self::Create(definition) => &definition.spec().table.schema,
            Self::Drop(removal) => removal.schema(),
        }
    }

    /// Returns the name of the index.
    fn index(&self) -> String {
        match self {
            Self::Create(definition) => definition.name(),
            Self::Drop(removal) => removal.name().to_owned(),
        }
    }
}
