//! Proposals without end, proven at once, that are real indexes on the demo's database.
//!
//! An honest proof takes seconds; lives here last less. So the measurement is a stated
//! one, and everything after it is the product's own: the journal, `CREATE INDEX` on the
//! live file under load, the watch, `DROP INDEX`, and the recovery of what was interrupted.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use veritas::{
    Engine,
    database::sqlite::{IndexActuator, PREFIX, SqliteTarget},
    model::{
        Actuator, ActuatorError, ChangeKind, Interval, MeasuredGain, Plan, Presence, Proposal, ProposalState,
        Proven, WorkMetric, WorkTotals, stable_hash,
    },
};
use veritas_statistics::Rng;

use crate::{
    arguments::StageArguments,
    demo::{DATABASE, TARGET},
};

/// How many proposals wait for a permission at a time.
const WAITING: usize = 8;
/// What the summary of an offered proposal begins with.
pub(super) const OFFERED: &str = "offered:";

/// The columns that are indexed, in all orders of at most three.
const TABLES: [(&str, &[&str]); 3] = [
    ("authors", &["id", "name", "affiliation"]),
    ("content", &["author_id", "kind", "status", "score", "created_at"]),
    ("verifications", &["content_id", "verifier", "verdict", "confidence", "checked_at"]),
];

/// Keeps some proven proposals waiting for permission, for ever.
pub(super) async fn offer(engine: &Engine, place: &Path, arguments: &StageArguments) -> anyhow::Result<()> {
    let clock = Arc::clone(&engine.sources().clock);
    let target = Arc::new(SqliteTarget::open(TARGET, place.join(DATABASE), clock)?);
    let copies = place.join("copies");
    std::fs::create_dir_all(&copies)?;
    let inner = IndexActuator::new([target], Arc::clone(engine.database()), &copies)?;
    // Registered last, it is asked instead of the engine's own; which recovers what was
    // interrupted before this is reached.
    engine.optimizer().register(Arc::new(Offered { inner, measures: arguments.measure }));
    let plans = plans(arguments.seed);
    loop {
        let records = engine.optimizer().proposals()?;
        let known: BTreeSet<_> = records.iter().map(|record| record.proposal.id.clone()).collect();
        let waiting = records.iter().filter(|record| {
            record.proposal.summary.starts_with(OFFERED)
                && matches!(record.state, ProposalState::Proposed | ProposalState::Proven(_))
        });
        let wanted = WAITING.saturating_sub(waiting.count());
        let new: Vec<_> = plans
            .iter()
            .map(|plan| Proposal {
                id: Proposal::identity(ChangeKind::IndexCreate, plan),
                finding: None,
                kind: ChangeKind::IndexCreate,
                summary: format!("{OFFERED} {}", plan.object),
                plan: plan.clone(),
                estimate: None,
                proposed_at: engine.sources().clock.now(),
            })
            .filter(|proposal| !known.contains(&proposal.id))
            .take(wanted)
            .collect();
        // A ledger that cannot be written is said by `/readyz`, and seen by the proof.
        engine.optimizer().observe(Vec::new(), new).ok();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns every plan that is offered, in an order that the seed decides.
fn plans(seed: u64) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (table, columns) in TABLES {
        let directed: Vec<String> =
            columns.iter().flat_map(|column| [quoted(column), format!("{} DESC", quoted(column))]).collect();
        let is_other = |one: usize, other: usize| one / 2 != other / 2;
        for first in 0..directed.len() {
            plans.push(plan(table, columns, &[first], &directed));
            for second in (0..directed.len()).filter(|second| is_other(first, *second)) {
                plans.push(plan(table, columns, &[first, second], &directed));
                for third in
                    (0..directed.len()).filter(|third| is_other(first, *third) && is_other(second, *third))
                {
                    plans.push(plan(table, columns, &[first, second, third], &directed));
                }
            }
        }
    }
    Rng::new(seed).shuffle(&mut plans);
    plans
}

/// Writes a plan as the actuator reads it; it refuses one that is a letter off.
fn plan(table: &str, columns: &[&str], chosen: &[usize], directed: &[String]) -> Plan {
    let keys: Vec<_> = chosen.iter().map(|index| directed[*index].as_str()).collect();
    let body = format!("{} ({})", quoted(table), keys.join(", "));
    let words: Vec<_> = std::iter::once(table).chain(chosen.iter().map(|index| columns[index / 2])).collect();
    let mut readable = words.join("_");
    readable.truncate(40);
    let object = format!("{PREFIX}{readable}_{:08x}", stable_hash(body.as_bytes()) >> 32);
    Plan {
        target: TARGET.to_owned(),
        forward: format!("CREATE INDEX IF NOT EXISTS {} ON {body}", quoted(&object)),
        inverse: format!("DROP INDEX IF EXISTS {}", quoted(&object)),
        object,
        scope: vec![table.to_owned()],
    }
}

fn quoted(identifier: &str) -> String {
    format!("\"{identifier}\"")
}

/// The product's actuator, but for the measurement of what is offered.
struct Offered {
    inner: IndexActuator,
    /// Whether what is not offered is measured.
    measures: bool,
}

impl Actuator for Offered {
    fn kinds(&self) -> &[ChangeKind] {
        self.inner.kinds()
    }

    fn measure(&self, proposal: &Proposal) -> Result<MeasuredGain, ActuatorError> {
        if proposal.summary.starts_with(OFFERED) {
            return Ok(stated_gain());
        }
        if !self.measures {
            return Err(ActuatorError::Busy {
                target: proposal.plan.target.clone(),
                reason: "nothing is measured in this life".to_owned(),
            });
        }
        self.inner.measure(proposal)
    }

    fn apply(&self, proven: &Proven) -> Result<(), ActuatorError> {
        self.inner.apply(proven)
    }

    fn revert(&self, kind: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        self.inner.revert(kind, plan)
    }

    fn presence(&self, kind: ChangeKind, plan: &Plan) -> Result<Presence, ActuatorError> {
        self.inner.presence(kind, plan)
    }

    fn work(&self, plan: &Plan) -> Vec<WorkTotals> {
        self.inner.work(plan)
    }
}

/// A measurement that nobody made: the proofs here are about what comes after it.
pub(in crate::demo) fn stated_gain() -> MeasuredGain {
    let interval = Interval { low: 0.4, high: 0.6, confidence: 0.95 };
    MeasuredGain {
        metric: WorkMetric::VmSteps,
        pairs: Proposal::FEWEST_PAIRS,
        before: 2.0,
        after: 1.0,
        gain: 0.5,
        gain_interval: interval,
        p_value: 0.001,
        seconds_before: 2e-3,
        seconds_after: 1e-3,
        seconds_gain_interval: interval,
        bytes_read_before: None,
        bytes_read_after: None,
        write_slowdown: None,
        results_equal: true,
        method: "stated, not measured: for a proof of what comes after the measurement".to_owned(),
    }
}
