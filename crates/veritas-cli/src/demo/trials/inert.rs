//! Changes that do nothing, carried out honestly: applied, asked for, taken back.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use veritas::{
    database::Recorder,
    model::{
        Actuator, ActuatorError, ChangeKind, MeasuredGain, Plan, Presence, Proposal, Proven, Timestamp,
        WorkTotals,
    },
};

use crate::demo::kills::stated_gain;

/// Returns a proposal to do nothing in the scope of a table.
pub(super) fn proposal(scope: &str, number: usize, at: Timestamp) -> Proposal {
    let plan = Plan {
        target: format!("{scope}-{number}"),
        forward: "nothing".to_owned(),
        inverse: "nothing".to_owned(),
        object: format!("nothing-{scope}-{number}"),
        scope: vec![scope.to_owned()],
    };
    Proposal {
        id: Proposal::identity(ChangeKind::IndexDrop, &plan),
        finding: None,
        kind: ChangeKind::IndexDrop,
        summary: format!("nothing, watched on {scope}"),
        plan,
        estimate: None,
        proposed_at: at,
    }
}

/// Remembers what is in force; touches nothing.
#[derive(Debug)]
pub(super) struct Inert {
    recorder: Arc<Recorder>,
    in_force: Mutex<BTreeSet<String>>,
}

impl Inert {
    pub(super) fn new(recorder: Arc<Recorder>) -> Self {
        Self { recorder, in_force: Mutex::default() }
    }

    fn in_force(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Actuator for Inert {
    fn kinds(&self) -> &[ChangeKind] {
        &[ChangeKind::IndexDrop]
    }

    fn measure(&self, _: &Proposal) -> Result<MeasuredGain, ActuatorError> {
        Ok(stated_gain())
    }

    fn apply(&self, proven: &Proven) -> Result<(), ActuatorError> {
        self.in_force().insert(proven.proposal().plan.object.clone());
        Ok(())
    }

    fn revert(&self, _: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        self.in_force().remove(&plan.object);
        Ok(())
    }

    fn presence(&self, _: ChangeKind, plan: &Plan) -> Result<Presence, ActuatorError> {
        Ok(if self.in_force().contains(&plan.object) { Presence::Present } else { Presence::Absent })
    }

    fn work(&self, plan: &Plan) -> Vec<WorkTotals> {
        self.recorder.work(&plan.scope)
    }
}
