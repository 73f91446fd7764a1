//! The rules that hold after every step, whatever happened.

use std::sync::Arc;

use veritas_model::{Change, ChangeState};
use veritas_store::{ControlPlane, MemoryControlPlane};

use super::target::SimulatedTarget;

pub(super) struct Invariants {
    target: Arc<SimulatedTarget>,
    ledger: Arc<MemoryControlPlane>,
}

impl Invariants {
    pub(super) const fn new(target: Arc<SimulatedTarget>, ledger: Arc<MemoryControlPlane>) -> Self {
        Self { target, ledger }
    }

    /// Checks what must hold at any time.
    pub(super) fn check(&mut self) -> Result<(), String> {
        if let Some(accusation) = self.target.accusations().first() {
            return Err(accusation.clone());
        }
        let changes = self.ledger.changes().map_err(|error| error.to_string())?;
        for change in &changes {
            self.check_journal(change)?;
            // Nothing is in force that the ledger does not know as such.
            let may_be_absent = !matches!(change.state, ChangeState::Verifying | ChangeState::Kept);
            if !may_be_absent && !self.target.is_present(&change.plan.object) {
                return Err(format!("{} is {} and not there", change.id, change.state.as_str()));
            }
            let others = changes.iter().filter(|other| other.proposal == change.proposal);
            let open = others.filter(|other| !is_over(other.state)).count();
            if open > 1 {
                return Err(format!("{} has {open} changes in force", change.proposal));
            }
        }
        let unknown = changes.iter().find(|change| {
            self.target.is_present(&change.plan.object)
                && changes
                    .iter()
                    .filter(|other| other.proposal == change.proposal)
                    .all(|other| is_over(other.state))
        });
        match unknown {
            Some(change) => Err(format!("{} is there and the ledger says it is not", change.plan.object)),
            None => Ok(()),
        }
    }

    /// Checks what must hold once the faults are over and everything had time to end.
    pub(super) fn check_rest(&self) -> Result<(), String> {
        for change in self.ledger.changes().map_err(|error| error.to_string())? {
            if matches!(change.state, ChangeState::Applying | ChangeState::Reverting) {
                return Err(format!("{} is still {}", change.id, change.state.as_str()));
            }
        }
        Ok(())
    }

    fn check_journal(&self, change: &Change) -> Result<(), String> {
        use ChangeState::{Applying, Failed, Kept, Reverted, Reverting, Verifying};
        let events = self.ledger.change_events(&change.id).map_err(|error| error.to_string())?;
        let states: Vec<ChangeState> = events.iter().map(|event| event.state).collect();
        let legal = states.first() == Some(&Applying)
            && states.last() == Some(&change.state)
            && states.windows(2).all(|pair| match (pair[0], pair[1]) {
                (Applying, next) => matches!(next, Applying | Verifying | Reverting | Reverted | Failed),
                (Verifying, next) => matches!(next, Verifying | Kept | Reverting),
                (Kept, next) => matches!(next, Kept | Reverting),
                (Reverting, next) => matches!(next, Reverting | Reverted),
                (Reverted | Failed, _) => false,
            });
        if legal { Ok(()) } else { Err(format!("{} went through {states:?}", change.id)) }
    }
}

const fn is_over(state: ChangeState) -> bool {
    matches!(state, ChangeState::Reverted | ChangeState::Failed)
}
