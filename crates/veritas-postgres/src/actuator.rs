//! The actuator: proves an index on a copy, creates or drops it beside the running load, and takes that back.

mod applying;
mod definition;
pub(crate) mod expression;
mod live;
mod measuring;
mod options;
mod rails;
mod removal;
mod work;

use std::{sync::Arc, time::Duration};

use veritas_database::Recorder;
use veritas_model::{
    Actuator, ActuatorError, ChangeKind, MeasuredGain, Plan, Presence, Proposal, Proven, WorkTotals,
};

pub use definition::{IndexDefinition, PREFIX};
pub use live::APPLIER_LOCK;
pub use options::ActuatorOptions;
pub use removal::IndexRemoval;

use crate::target::PostgresTarget;

/// Creates and drops indexes of `PostgreSQL` databases, and proves beforehand that this helps.
///
/// Everything is done beside the running load (`CONCURRENTLY`), by one process at a time
/// for a database ([`APPLIER_LOCK`]), within limits of time, of waiting for locks, of
/// load, of space, and of how far replicas are behind ([`ActuatorOptions`]). A build that
/// failed leaves an index that nobody can use; it is dropped at once, or by the next try.
///
/// [`ChangeKind::IndexCreate`] makes indexes whose names begin with [`PREFIX`], and only
/// those are ever dropped as the inverse. [`ChangeKind::IndexDrop`] drops an index of the
/// application when it is neither unique nor serves a constraint, a foreign key,
/// replication, clustering or a partition, when its definition is exactly the one that
/// the plan would make again, and when another index covers it or it was seen without a
/// scan for [`ActuatorOptions::disuse`]. `PostgreSQL` cannot hide an index; what it has
/// instead is the statement that makes it again, which takes as long as building it does.
#[derive(Debug)]
pub struct PostgresActuator {
    targets: Vec<Arc<PostgresTarget>>,
    recorder: Arc<Recorder>,
    options: ActuatorOptions,
    ledger: work::Ledger,
}

/// A plan that was read back.
enum Accepted {
    Create(IndexDefinition),
    Drop(IndexRemoval),
}

impl PostgresActuator {
    /// Makes an actuator for some targets. Connects to nothing.
    pub fn new(
        targets: impl IntoIterator<Item = Arc<PostgresTarget>>,
        recorder: Arc<Recorder>,
        options: ActuatorOptions,
    ) -> Self {
        Self { targets: targets.into_iter().collect(), recorder, options, ledger: work::Ledger::default() }
    }

    fn target(&self, plan: &Plan) -> Result<&PostgresTarget, ActuatorError> {
        let found = self.targets.iter().find(|target| target.name == plan.target);
        found.map(Arc::as_ref).ok_or_else(|| ActuatorError::UnknownTarget { target: plan.target.clone() })
    }

    /// Reads the plan, and refuses what is not letter for letter one of ours.
    fn accept(&self, kind: ChangeKind, plan: &Plan) -> Result<(&PostgresTarget, Accepted), ActuatorError> {
        let target = self.target(plan)?;
        let accepted = match kind {
            ChangeKind::IndexCreate => IndexDefinition::of_plan(plan).map(Accepted::Create),
            ChangeKind::IndexDrop => IndexRemoval::of_plan(plan).map(Accepted::Drop),
            other => Err(format!("{} is not a change of a database", other.as_str())),
        };
        accepted.map(|accepted| (target, accepted)).map_err(live::refused)
    }
}

impl Actuator for PostgresActuator {
    fn kinds(&self) -> &[ChangeKind] {
        &[ChangeKind::IndexCreate, ChangeKind::IndexDrop]
    }

    /// Copies the tables that the statements in scope need to a database of our own, and
    /// runs the statements there with and without the index, in pairs, with the values of
    /// real calls: what is proposed for, other reads whose plan uses the index, and writes,
    /// which are rolled back. Takes about [`ActuatorOptions::longest_proof`], besides
    /// copying and building.
    ///
    /// The verdict of a creation is about the finding's statement, that of a removal about
    /// the write that is called most. Should a read in scope become dearer, it is about
    /// that one.
    fn measure(&self, proposal: &Proposal) -> Result<MeasuredGain, ActuatorError> {
        let (target, accepted) = self.accept(proposal.kind, &proposal.plan)?;
        measuring::measure(self, target, &accepted, proposal)
    }

    fn apply(&self, proven: &Proven) -> Result<(), ActuatorError> {
        let proposal = proven.proposal();
        let (target, accepted) = self.accept(proposal.kind, &proposal.plan)?;
        let done = match accepted {
            Accepted::Create(definition) => applying::create(target, &definition, &self.options),
            Accepted::Drop(removal) => applying::remove(target, &removal, &self.options, |found| {
                let since =
                    self.ledger.unscanned_since(target, removal.schema(), removal.name(), found.scans);
                since.map_or(Duration::ZERO, |since| target.clock.now().since(since))
            }),
        };
        self.ledger.changed(target);
        done
    }

    fn revert(&self, kind: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        let (target, accepted) = self.accept(kind, plan)?;
        let done = match accepted {
            Accepted::Create(definition) => applying::drop_ours(target, &definition, &self.options),
            Accepted::Drop(removal) => applying::restore(target, &removal, &self.options),
        };
        self.ledger.changed(target);
        done
    }

    /// Of a creation: whether there is an index of its name, finished or not, so that what
    /// an interrupted build left is taken back. Of a removal: whether there is no index
    /// that can be used.
    fn presence(&self, kind: ChangeKind, plan: &Plan) -> Result<Presence, ActuatorError> {
        let (target, accepted) = self.accept(kind, plan)?;
        match accepted {
            Accepted::Create(definition) => {
                let schema = &definition.spec().table.schema;
                applying::presence(target, schema, &definition.name(), |found| found.is_some())
            }
            Accepted::Drop(removal) => {
                applying::presence(target, removal.schema(), removal.name(), |found| {
                    found.is_none_or(|found| !found.valid)
                })
            }
        }
    }

    fn work(&self, plan: &Plan) -> Vec<WorkTotals> {
        self.target(plan).map(|target| self.ledger.work(target, plan, &self.recorder)).unwrap_or_default()
    }
}
