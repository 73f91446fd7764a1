//! The actuator: proves an index on copies, creates it, drops it again.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use veritas_model::{
    Actuator, ActuatorError, ChangeKind, Finding, FindingKind, Interval, MeasuredGain, Plan, Presence,
    Proposal, Proven, Subject, WorkMetric, WorkTotals,
};
use veritas_statistics::Rng;

use super::{
    copy::Workshop,
    definition::{IndexDefinition, PREFIX},
    guard::{bounded, is_busy, rows_only},
    plan::QueryPlan,
    runnable::{Runnable, runnables, touches, without_quotes, writes_in_scope},
    schema::Schema,
    target::SqliteTarget,
    trial::{Bench, Gain},
};
use crate::{Recorder, StatementStatistics};

/// Pairs that a proof runs when the time allows.
const PAIRS: usize = 96;
/// Share of the proof's time that is kept for the writes in scope.
const WRITE_TIME: f64 = 0.25;
/// What is said when the clock saw no time pass: an interval nobody is confident of.
const UNKNOWN: Interval = Interval { low: 0.0, high: 0.0, confidence: 0.0 };

/// Creates indexes on SQLite files, and proves beforehand that they help.
///
/// It carries out [`ChangeKind::IndexCreate`]. Dropping indexes of the
/// application ([`ChangeKind::IndexDrop`]) is not offered: only indexes whose
/// names begin with [`PREFIX`] are ever dropped, and only as the inverse of
/// their own creation.
///
/// `CREATE INDEX` holds SQLite's write lock while it builds: in WAL mode the
/// application goes on reading, and its writes wait (or get `SQLITE_BUSY` when
/// their own time-out is shorter). The proof measures how long that takes on
/// the copy and refuses an index that takes longer than
/// [`SqliteOptions::longest_build`](super::SqliteOptions::longest_build); on the live
/// file building is interrupted after twice that, and leaves nothing.
#[derive(Debug)]
pub struct IndexActuator {
    targets: Vec<Arc<SqliteTarget>>,
    recorder: Arc<Recorder>,
    workshop: Workshop,
}

impl IndexActuator {
    /// Makes an actuator for some targets. Copies go to `proofs` in `data_dir`,
    /// which is emptied now: no other actuator may use the same data directory.
    ///
    /// # Errors
    ///
    /// When that directory cannot be made ([`ActuatorError::Guard`]).
    pub fn new(
        targets: impl IntoIterator<Item = Arc<SqliteTarget>>,
        recorder: Arc<Recorder>,
        data_dir: &Path,
    ) -> Result<Self, ActuatorError> {
        let workshop = Workshop::open(data_dir).map_err(|error| ActuatorError::Guard {
            reason: format!("no place for copies in the data directory: {}", error.kind()),
        })?;
        Ok(Self { targets: targets.into_iter().collect(), recorder, workshop })
    }

    fn target(&self, plan: &Plan) -> Result<&SqliteTarget, ActuatorError> {
        let found = self.targets.iter().find(|target| target.name() == plan.target);
        found.map(Arc::as_ref).ok_or_else(|| ActuatorError::UnknownTarget { target: plan.target.clone() })
    }

    /// Reads the plan, and refuses what is not letter for letter one of ours.
    fn accept(
        &self,
        kind: ChangeKind,
        plan: &Plan,
    ) -> Result<(&SqliteTarget, IndexDefinition), ActuatorError> {
        let target = self.target(plan)?;
        let refused = |reason: String| ActuatorError::PlanRefused { reason };
        if kind != ChangeKind::IndexCreate {
            return Err(refused(format!("{} is not offered for SQLite", kind.as_str())));
        }
        IndexDefinition::of_plan(plan).map(|definition| (target, definition)).map_err(refused)
    }
}

impl Actuator for IndexActuator {
    fn kinds(&self) -> &[ChangeKind] {
        &[ChangeKind::IndexCreate]
    }

    /// Copies the file twice, creates the index on one copy, and runs the
    /// finding's statement on both, in pairs, with the values of real calls.
    /// Takes about [`SqliteOptions::longest_proof`](super::SqliteOptions::longest_proof)
    /// at most, besides copying and building.
    ///
    /// The verdict's metric is steps of the virtual machine, unless the steps
    /// fall while the time shows a loss beyond chance: then it is the time.
    fn measure(&self, proposal: &Proposal) -> Result<MeasuredGain, ActuatorError> {
        let (target, definition) = self.accept(proposal.kind, &proposal.plan)?;
        let options = target.options();
        let snapshot = self.recorder.snapshot();
        let in_scope: Vec<StatementStatistics> = snapshot
            .statements
            .into_iter()
            .filter(|statement| touches(statement, &definition.table) && !statement.normalized.is_empty())
            .collect();
        let not_yet = |reason: &str| ActuatorError::Busy {
            target: target.name().to_owned(),
            reason: reason.to_owned(),
        };
        let wanted = |statement: &StatementStatistics| {
            proposal.finding.is_none() || proposal.finding.as_ref() == Some(&finding_of(statement))
        };
        if !in_scope.iter().any(wanted) {
            return Err(not_yet("the statement was not seen since the start"));
        }

        let copies = self.workshop.copy(target)?;
        let said = |step: &'static str| move |error: rusqlite::Error| target.error(step, &error);
        let bench = Bench::open(&copies.without, &copies.with, Arc::clone(target.clock()))
            .map_err(said("open the copies"))?;
        let schema = Schema::read(bench.with()).map_err(said("read the schema"))?;
        let build = bench
            .build(&definition.create(), options.longest_build)
            .map_err(said("build the index on the copy"))?;
        if build > options.longest_build {
            let (took, may) = (build.as_secs_f64(), options.longest_build.as_secs_f64());
            return Err(ActuatorError::Guard {
                reason: format!(
                    "building the index takes {took:.1} s and holds the write lock, allowed {may:.1} s"
                ),
            });
        }

        let mut rng = Rng::new(seed_of(proposal));
        let (subjects, reason) =
            runnables(&in_scope, &bench, &schema, &mut rng, 8, |statement, _| wanted(statement));
        let uses_it = |subject: &&Runnable<'_>| {
            let sample = subject.vectors.first().map_or(&[][..], Vec::as_slice);
            rows_only(bench.with(), || QueryPlan::explain(bench.with(), &subject.executable.sql, sample))
                .is_ok_and(|plan| plan.uses(&definition.name()))
        };
        let Some(subject) = subjects.iter().find(uses_it).or_else(|| subjects.first()) else {
            return Err(not_yet(&reason.unwrap_or_else(|| "no statement in scope can be run".to_owned())));
        };
        let write_time = options.longest_proof.mul_f64(WRITE_TIME);
        let read_time = options.longest_proof.saturating_sub(write_time);
        let pairs = bench
            .pairs(&subject.executable.sql, &subject.vectors, PAIRS, read_time, &mut rng)
            .map_err(said("run the statement on the copies"))?;
        let Some(steps) = pairs.steps(rng.next_u64()) else {
            let why = pairs.error.as_deref().unwrap_or("the time was over before a pair was complete");
            return Err(ActuatorError::Guard { reason: format!("no pair could be measured: {why}") });
        };
        let seconds = pairs.seconds(rng.next_u64());
        let bytes = bench.bytes_read(&subject.executable.sql, &subject.vectors, read_time / 8);
        let (write_slowdown, writes) = writes_in_scope(&in_scope, &bench, &schema, write_time, &mut rng);

        let (metric, verdict) = verdict(steps, seconds);
        let (seconds_before, seconds_after) = pairs.median_seconds();
        let method = format!(
            "{} pairs in random order, {}, on two copies of {} ({} MiB); index built in {:.3} s; {writes}{}",
            pairs.count(),
            subject.source.words(subject.vectors.len()),
            target.name(),
            copies.size.mebibytes(),
            build.as_secs_f64(),
            if pairs.failed > 0 { format!("; failed pairs: {}", pairs.failed) } else { String::new() },
        );
        Ok(MeasuredGain {
            metric,
            pairs: pairs.count() as u64,
            before: verdict.before,
            after: verdict.after,
            gain: verdict.share,
            gain_interval: verdict.interval,
            p_value: verdict.p_value,
            seconds_before,
            seconds_after,
            seconds_gain_interval: seconds.map_or(UNKNOWN, |gain| gain.interval),
            bytes_read_before: bytes.map(|bytes| bytes.0),
            bytes_read_after: bytes.map(|bytes| bytes.1),
            write_slowdown,
            results_equal: pairs.results_equal,
            method,
        })
    }

    fn apply(&self, proven: &Proven) -> Result<(), ActuatorError> {
        let proposal = proven.proposal();
        let (target, definition) = self.accept(proposal.kind, &proposal.plan)?;
        let limit = target.options().longest_build * 2;
        patiently(target, "create the index", |live| {
            if in_schema(live, &definition.name())?.is_some() {
                return Ok(());
            }
            bounded(live, target.clock(), limit, || live.execute(&definition.create(), []).map(drop))
        })?;
        match patiently(target, "look for the index", |live| in_schema(live, &definition.name()))? {
            Some(sql) if sql == definition.in_schema() => Ok(()),
            Some(_) => Err(ActuatorError::PlanRefused {
                reason: format!("another object has the name {}", definition.name()),
            }),
            None => Err(ActuatorError::Target {
                step: "create the index",
                target: target.name().to_owned(),
                reason: "it is not in the schema".to_owned(),
            }),
        }
    }

    fn revert(&self, kind: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        let (target, definition) = self.accept(kind, plan)?;
        debug_assert!(definition.name().starts_with(PREFIX), "a definition names itself");
        let limit = target.options().longest_build * 2;
        patiently(target, "drop the index", |live| {
            if in_schema(live, &definition.name())?.is_none() {
                return Ok(());
            }
            bounded(live, target.clock(), limit, || live.execute(&definition.drop(), []).map(drop))
        })
    }

    fn presence(&self, kind: ChangeKind, plan: &Plan) -> Result<Presence, ActuatorError> {
        let (target, definition) = self.accept(kind, plan)?;
        let present = target
            .reader()
            .and_then(|live| in_schema(&live, &definition.name()))
            .map_err(|error| target.error("look for the index", &error))?;
        Ok(if present.is_some() { Presence::Present } else { Presence::Absent })
    }

    fn work(&self, plan: &Plan) -> Vec<WorkTotals> {
        // The recorder keeps names without their quotes, inner ones too.
        let tables: Vec<String> = plan.scope.iter().map(|table| without_quotes(table)).collect();
        self.recorder.work(&tables)
    }
}

/// Does something on a connection that may write, again while someone else
/// holds the lock, as often as the options allow; each wait is bounded by the
/// busy time-out.
fn patiently<T>(
    target: &SqliteTarget,
    step: &'static str,
    work: impl Fn(&Connection) -> rusqlite::Result<T>,
) -> Result<T, ActuatorError> {
    let said = |error: rusqlite::Error| target.error(step, &error);
    let live = target.writer().map_err(said)?;
    let mut attempts = target.options().attempts.max(1);
    loop {
        attempts -= 1;
        match work(&live) {
            Err(error) if is_busy(&error) && attempts > 0 => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                return Err(ActuatorError::Guard {
                    reason: format!("{step}: it took longer than it may hold the write lock"),
                });
            }
            result => return result.map_err(said),
        }
    }
}

/// Returns the text of an index in the schema.
fn in_schema(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT sql FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE";
    let found = connection.query_row(sql, [name], |row| row.get::<_, Option<String>>(0)).optional()?;
    Ok(found.map(Option::unwrap_or_default))
}

fn finding_of(statement: &StatementStatistics) -> veritas_model::FindingId {
    let subject = Subject::Statement {
        name: statement.name.clone(),
        fingerprint: statement.fingerprint,
        normalized: String::new(),
    };
    Finding::identity(FindingKind::MissingIndex, &subject)
}

/// Chooses what the verdict rests on. Steps do not see what a page costs: an
/// index that saves steps and reads the table in a bad order shows in the time.
fn verdict(steps: Gain, seconds: Option<Gain>) -> (WorkMetric, Gain) {
    let slower = seconds.filter(|gain| gain.interval.high < 0.0);
    slower.map_or((WorkMetric::VmSteps, steps), |gain| (WorkMetric::Seconds, gain))
}

/// The same proposal draws the same random numbers, so that a proof can be repeated.
fn seed_of(proposal: &Proposal) -> u64 {
    veritas_model::stable_hash(proposal.id.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(low: f64, high: f64) -> Gain {
        let share = f64::midpoint(low, high);
        Gain {
            before: 1.0,
            after: 1.0 - share,
            share,
            interval: Interval { low, high, confidence: 0.95 },
            p_value: 0.001,
        }
    }

    #[test]
    fn the_verdict_rests_on_steps_unless_the_time_shows_a_loss() {
        let steps = gain(0.5, 0.6);
        assert_eq!(verdict(steps, None).0, WorkMetric::VmSteps);
        assert_eq!(verdict(steps, Some(gain(-0.3, 0.2))).0, WorkMetric::VmSteps);
        assert_eq!(verdict(steps, Some(gain(0.1, 0.2))).0, WorkMetric::VmSteps);
        let (metric, against) = verdict(steps, Some(gain(-0.5, -0.1)));
        assert_eq!(metric, WorkMetric::Seconds);
        assert!(against.interval.low < MeasuredGain::SMALLEST_WORTHWHILE);
    }
}
