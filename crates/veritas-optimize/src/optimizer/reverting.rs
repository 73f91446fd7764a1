//! From a change in force back to what was before.

use veritas_model::{ActuatorError, Change, ChangeState, Presence};

use super::{Optimizer, Working, locked};
use crate::{Act, OptimizeError};

impl Optimizer {
    /// Takes back one change that is to be; returns whether there was one.
    pub(super) fn revert_one(
        &self,
        changes: &[Change],
        working: &mut Working,
        acts: &mut Vec<Act>,
    ) -> Result<bool, OptimizeError> {
        let permitted: Vec<_> = locked(&self.ledger).keys().cloned().collect();
        let next = changes.iter().rev().find(|change| match change.state {
            ChangeState::Reverting => self.is_due(change.id.as_str()),
            ChangeState::Applying => !permitted.contains(&change.id),
            _ => false,
        });
        let Some(change) = next else { return Ok(false) };
        let state = if change.state == ChangeState::Applying {
            self.take_back_interrupted(change, working)?
        } else {
            self.run_inverse(change, working)?
        };
        acts.push(match state {
            Some(state) => Act::Entered(change.id.clone(), state),
            None => Act::Failed(change.id.to_string()),
        });
        Ok(true)
    }

    /// Takes back a change that a former process was applying. Returns the state entered.
    pub(super) fn take_back_interrupted(
        &self,
        change: &Change,
        working: &mut Working,
    ) -> Result<Option<ChangeState>, OptimizeError> {
        // The list may be older than the permission: look again, under the lock.
        if locked(&self.ledger).contains_key(&change.id) {
            return Ok(None);
        }
        let presence = self
            .actuator(change.kind, &change.plan)
            .and_then(|actuator| actuator.presence(change.kind, &change.plan));
        let at = self.clock.now();
        let entered = self.enter(&change.id, ChangeState::Applying, |change| {
            if presence == Ok(Presence::Absent) {
                change.state = ChangeState::Reverted;
                change.settled_at = Some(at);
                "interrupted before it was applied".clone_into(&mut change.reason);
            } else {
                change.state = ChangeState::Reverting;
                "interrupted while it was being applied".clone_into(&mut change.reason);
            }
        })?;
        match entered {
            Some(change) if change.state == ChangeState::Reverting => {
                Ok(self.run_inverse(&change, working)?.or(Some(ChangeState::Reverting)))
            }
            entered => Ok(entered.map(|change| change.state)),
        }
    }

    /// Runs the inverse of a change that is journaled as being taken back. Returns the
    /// state entered; `None` when it failed and will be tried again.
    pub(super) fn run_inverse(
        &self,
        change: &Change,
        working: &mut Working,
    ) -> Result<Option<ChangeState>, OptimizeError> {
        working.watches.remove(&change.id);
        let reverted = self.actuator(change.kind, &change.plan).and_then(|actuator| {
            actuator.revert(change.kind, &change.plan)?;
            match actuator.presence(change.kind, &change.plan) {
                Ok(Presence::Present) => Err(ActuatorError::Target {
                    step: "take it back",
                    target: change.plan.target.clone(),
                    reason: format!("{} is still there", change.plan.object),
                }),
                Ok(Presence::Absent) => Ok(()),
                Err(error) => Err(error),
            }
        });
        if let Err(error) = reverted {
            self.trouble(change.id.as_str(), "revert", &error);
            return Ok(None);
        }
        self.disturb_others(change, "another change in its scope was taken back", working)?;
        let at = self.clock.now();
        let entered = self.enter(&change.id, ChangeState::Reverting, |change| {
            change.state = ChangeState::Reverted;
            change.settled_at = Some(at);
        })?;
        self.succeeded(change.id.as_str());
        Ok(entered.map(|change| change.state))
    }
}
