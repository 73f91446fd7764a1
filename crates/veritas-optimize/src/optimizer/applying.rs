//! From a permission to a change in force.

use veritas_model::{Actuator, ActuatorError, Change, ChangeState, Mode, Presence, Proven};

use super::{Optimizer, Permit, Working, failed, locked, overlap, watching::held_to};
use crate::{
    Act, OptimizeError,
    baseline::{Baseline, Ring},
    watch::Watch,
};

/// What the reason of a change says while it waits.
const WAITS: &str = "waits until its load was seen often enough to be compared";

impl Optimizer {
    /// Applies the change that was permitted first, unless it has to wait; returns
    /// whether there was one.
    pub(super) fn apply_one(
        &self,
        changes: &[Change],
        working: &mut Working,
        acts: &mut Vec<Act>,
    ) -> Result<bool, OptimizeError> {
        let permitted = locked(&self.ledger).clone();
        working.waiting.retain(|id, _| permitted.contains_key(id));
        for change in changes.iter().rev().filter(|change| change.state == ChangeState::Applying) {
            let Some(Permit { proven, .. }) = permitted.get(&change.id) else { continue };
            let waits = changes.iter().any(|other| {
                matches!(other.state, ChangeState::Verifying | ChangeState::Reverting)
                    && overlap((other.kind, &other.plan), (change.kind, &change.plan))
            });
            if waits || !self.is_due(change.id.as_str()) {
                continue;
            }
            let is_applied = working.applied.contains_key(&change.id);
            if self.mode(change.kind) == Mode::ReportOnly && !is_applied {
                let error = ActuatorError::PlanRefused {
                    reason: "its kind was set to report only before it was applied".to_owned(),
                };
                self.give_up(change, &error, acts)?;
                return Ok(true);
            }
            match self.actuator(change.kind, &change.plan) {
                Ok(actuator) if is_applied => self.watch_applied(change, actuator.as_ref(), working, acts)?,
                Ok(actuator) => {
                    let Some(baseline) = self.baseline(change, actuator.as_ref(), working)? else {
                        continue;
                    };
                    self.apply(change, proven, actuator.as_ref(), baseline, working, acts)?;
                }
                Err(error) => self.give_up(change, &error, acts)?,
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Returns what the load cost so far; `None` when the change has to wait until the load
    /// was seen often enough. A change made earlier could only be kept unverified. The wait
    /// is bounded: a load that hardly ever runs does not keep a change away for ever.
    fn baseline(
        &self,
        change: &Change,
        actuator: &dyn Actuator,
        working: &mut Working,
    ) -> Result<Option<Baseline>, OptimizeError> {
        let (now, options) = (self.clock.monotonic(), &self.options);
        let work = actuator.work(&change.plan);
        let fallback = Ring::new(options.baseline_window);
        let baseline = working.rings.get(&change.proposal).unwrap_or(&fallback).baseline(
            now,
            &work,
            options.verification.min_calls,
        );
        let longest = options.watch_window * Watch::PATIENCE;
        let since = *working.waiting.entry(change.id.clone()).or_insert(now);
        if baseline.is_comparable(&options.verification) || now.since(since) >= longest {
            return Ok(Some(baseline));
        }
        if !change.reason.contains(WAITS) {
            self.enter(&change.id, ChangeState::Applying, |change| {
                let most = longest.as_secs_f64();
                change.reason = format!("{}; {WAITS}, {most:.0} s at most", change.reason);
            })?;
        }
        Ok(None)
    }

    fn apply(
        &self,
        change: &Change,
        proven: &Proven,
        actuator: &dyn Actuator,
        baseline: Baseline,
        working: &mut Working,
        acts: &mut Vec<Act>,
    ) -> Result<(), OptimizeError> {
        let id = &change.id;
        self.control.put_baseline(id, &baseline.before).map_err(failed("store the baseline"))?;
        match locked(&self.ledger).get_mut(id) {
            Some(permit) => permit.is_begun = true,
            None => return Ok(()), // withdrawn meanwhile
        }
        let applied = actuator.apply(proven).and_then(|()| is_there(change, actuator));
        if let Err(error) = applied {
            return self.not_applied(change, actuator, &error, acts);
        }
        // Should the next write fail, the change is found here at the next step, and
        // its baseline stays that of before.
        working.applied.insert(id.clone(), baseline);
        self.watch_applied(change, actuator, working, acts)
    }

    /// Journals that a change is applied, and begins to watch it.
    fn watch_applied(
        &self,
        change: &Change,
        actuator: &dyn Actuator,
        working: &mut Working,
        acts: &mut Vec<Act>,
    ) -> Result<(), OptimizeError> {
        let id = &change.id;
        let Some(baseline) = working.applied.get(id) else { return Ok(()) };
        let is_comparable = baseline.is_comparable(&self.options.verification);
        let at = self.clock.now();
        let entered = self.enter(id, ChangeState::Applying, |change| {
            change.state = ChangeState::Verifying;
            change.applied_at = Some(at);
            change.reason = if is_comparable {
                "applied; the live load is watched".to_owned()
            } else {
                "applied, though its load ran too rarely to be compared; it is watched".to_owned()
            };
        })?;
        working.waiting.remove(id);
        let Some(baseline) = working.applied.remove(id) else { return Ok(()) };
        if entered.is_some() {
            self.succeeded(id.as_str());
            self.disturb_others(change, "another change in its scope was applied", working)?;
            let work = actuator.work(&change.plan);
            let watch = Watch::start(baseline, self.clock.monotonic(), work, &self.options);
            working.watches.insert(id.clone(), held_to(change, watch));
            working.rings.remove(&change.proposal);
            acts.push(Act::Entered(id.clone(), ChangeState::Verifying));
        }
        Ok(())
    }

    /// Decides what becomes of a change whose apply failed.
    fn not_applied(
        &self,
        change: &Change,
        actuator: &dyn Actuator,
        error: &ActuatorError,
        acts: &mut Vec<Act>,
    ) -> Result<(), OptimizeError> {
        let subject = change.id.as_str();
        if matches!(error, ActuatorError::Busy { .. })
            && actuator.presence(change.kind, &change.plan) == Ok(Presence::Absent)
            && self.trouble(subject, "apply", error) < self.options.most_attempts
        {
            // Nothing is there, and until the next attempt it may be withdrawn.
            if let Some(permit) = locked(&self.ledger).get_mut(&change.id) {
                permit.is_begun = false;
            }
            acts.push(Act::Failed(subject.to_owned()));
            return Ok(());
        }
        self.give_up(change, error, acts)
    }

    /// Ends a change that is not to be applied (any more): as failed when the target says
    /// that nothing is there, else by taking back what may be there.
    fn give_up(
        &self,
        change: &Change,
        error: &ActuatorError,
        acts: &mut Vec<Act>,
    ) -> Result<(), OptimizeError> {
        let presence = self
            .actuator(change.kind, &change.plan)
            .and_then(|actuator| actuator.presence(change.kind, &change.plan));
        let at = self.clock.now();
        let entered = self.enter(&change.id, ChangeState::Applying, |change| {
            if presence == Ok(Presence::Absent) {
                change.state = ChangeState::Failed;
                change.settled_at = Some(at);
                change.reason = format!("it could not be applied: {error}");
            } else {
                change.state = ChangeState::Reverting;
                change.reason = format!("it is taken back, since it could not be applied: {error}");
            }
        })?;
        self.succeeded(change.id.as_str());
        acts.extend(entered.map(|change| Act::Entered(change.id, change.state)));
        Ok(())
    }
}

/// Asks the target whether a change that was reported as applied is there. When it
/// cannot be asked, the report stands.
fn is_there(change: &Change, actuator: &dyn Actuator) -> Result<(), ActuatorError> {
    match actuator.presence(change.kind, &change.plan) {
        Ok(Presence::Absent) => Err(ActuatorError::Target {
            step: "find what was applied",
            target: change.plan.target.clone(),
            reason: format!("there is no {}", change.plan.object),
        }),
        Ok(Presence::Present) | Err(_) => Ok(()),
    }
}
