//! The simulated target: an actuator that fails as real ones do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use veritas_model::{
    Actuator, ActuatorError, Alpha, ChangeKind, ChangeState, Interval, MeasuredGain, Mode, Plan, Presence,
    Proposal, Proven, WorkMetric, WorkTotals,
};
use veritas_statistics::Rng;
use veritas_store::{ControlPlane, MemoryControlPlane};

use super::{
    control::Life,
    load::{Effect, Load, RunningLoad},
};

/// How often acts fail, as probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// The connection is lost before the act was done, or after.
    pub lost_connection: f64,
    /// The target is busy.
    pub busy: f64,
    /// A measurement is wrong or broken; a revert says that it was done and was not.
    pub lying: f64,
    /// The process is killed in the middle of an act.
    pub crash_in_act: f64,
}

/// A target in memory.
#[derive(Debug)]
pub(super) struct SimulatedTarget {
    life: Arc<Life>,
    /// What the ledger says: for the accusation, not for the act.
    ledger: Arc<MemoryControlPlane>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    load: RunningLoad,
    faults: Faults,
    faults_met: u32,
    effects: BTreeMap<String, Effect>,
    /// Objects in force, and their tables.
    present: BTreeMap<String, String>,
    modes: BTreeMap<ChangeKind, Mode>,
    accusations: Vec<String>,
}

impl State {
    fn happens(&mut self, probability: f64) -> bool {
        let happens = self.rng.next_f64() < probability;
        self.faults_met += u32::from(happens);
        happens
    }
}

impl SimulatedTarget {
    pub(super) fn new(seed: u64, load: Load, ledger: Arc<MemoryControlPlane>) -> Arc<Self> {
        let state = State {
            rng: Rng::new(seed),
            load: RunningLoad::new(load, seed.wrapping_add(1)),
            faults: Faults::default(),
            faults_met: 0,
            effects: BTreeMap::new(),
            present: BTreeMap::new(),
            modes: BTreeMap::new(),
            accusations: Vec::new(),
        };
        Arc::new(Self { life: Arc::default(), ledger, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn life(&self) -> Arc<Life> {
        self.life.clone()
    }

    pub(super) fn plant(&self, object: &str, effect: Effect) {
        self.state().effects.insert(object.to_owned(), effect);
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    pub(super) fn set_mode(&self, kind: ChangeKind, mode: Mode) {
        self.state().modes.insert(kind, mode);
    }

    pub(super) fn faults_met(&self) -> u32 {
        self.state().faults_met
    }

    pub(super) fn is_present(&self, object: &str) -> bool {
        self.state().present.contains_key(object)
    }

    /// Records that a rule was broken.
    pub(super) fn accuse(&self, what: String) {
        self.state().accusations.push(what);
    }

    pub(super) fn accusations(&self) -> Vec<String> {
        self.state().accusations.clone()
    }

    /// Lets the load run.
    pub(super) fn run(&self, time: Duration) {
        let mut state = self.state();
        let in_force: Vec<(String, Effect)> = state
            .present
            .iter()
            .filter_map(|(object, table)| Some((table.clone(), *state.effects.get(object)?)))
            .collect();
        state.load.run(time, &in_force);
    }

    /// Fails when the process is dead, or as the dice fall.
    fn disturb(&self, state: &mut State, step: &'static str) -> Result<(), ActuatorError> {
        if self.life.is_dead() {
            return Err(lost(step));
        }
        let Faults { busy, lost_connection, .. } = state.faults;
        if state.happens(busy) {
            return Err(ActuatorError::Busy { target: "main".to_owned(), reason: "simulated".to_owned() });
        }
        if state.happens(lost_connection) {
            return Err(lost(step));
        }
        Ok(())
    }

    /// Does an act, and then perhaps loses the connection or the process.
    fn finish(&self, state: &mut State, step: &'static str) -> Result<(), ActuatorError> {
        let Faults { crash_in_act, lost_connection, .. } = state.faults;
        if state.happens(crash_in_act) {
            self.life.end();
            return Err(lost(step));
        }
        if state.happens(lost_connection) { Err(lost(step)) } else { Ok(()) }
    }

    /// Returns whether the ledger shows a change of this object in this state.
    fn is_journaled(&self, object: &str, state: ChangeState) -> bool {
        let changes = self.ledger.changes().unwrap_or_default();
        changes.iter().any(|change| change.plan.object == object && change.state == state)
    }
}

fn lost(step: &'static str) -> ActuatorError {
    ActuatorError::Target { step, target: "main".to_owned(), reason: "the connection was lost".to_owned() }
}

impl Actuator for SimulatedTarget {
    fn kinds(&self) -> &[ChangeKind] {
        &ChangeKind::ALL
    }

    fn measure(&self, _: &Proposal) -> Result<MeasuredGain, ActuatorError> {
        let mut state = self.state();
        self.disturb(&mut state, "measure")?;
        let interval = Interval { low: 0.7, high: 0.85, confidence: 0.95 };
        let mut gain = MeasuredGain {
            metric: WorkMetric::VmSteps,
            pairs: 50,
            before: 4_000.0,
            after: 800.0,
            gain: 0.8,
            gain_interval: interval,
            p_value: 1e-9,
            seconds_before: 80e-6,
            seconds_after: 16e-6,
            seconds_gain_interval: interval,
            bytes_read_before: None,
            bytes_read_after: None,
            write_slowdown: None,
            results_equal: true,
            method: "simulated".to_owned(),
        };
        let lying = state.faults.lying;
        if state.happens(lying) {
            match state.rng.below(5) {
                0 => gain.results_equal = false,
                1 => gain.gain_interval.low = f64::NAN,
                2 => gain.p_value = 0.2,
                3 => gain.pairs = 3,
                _ => gain.gain_interval.low = -0.5,
            }
        }
        Ok(gain)
    }

    fn apply(&self, proven: &Proven) -> Result<(), ActuatorError> {
        let (plan, kind) = (&proven.proposal().plan, proven.proposal().kind);
        let journaled = self.is_journaled(&plan.object, ChangeState::Applying);
        let proposal = self.ledger.proposal(&proven.proposal().id).ok().flatten();
        let mut state = self.state();
        self.disturb(&mut state, "apply")?;
        if !journaled {
            state.accusations.push(format!("{} was applied without being journaled", plan.object));
        }
        if plan.inverse.is_empty() || proposal.is_none() {
            state.accusations.push(format!("{} was applied without an inverse or a proposal", plan.object));
        }
        if proven.proposal().clone().prove(proven.gain().clone(), Alpha::ONE_PERCENT).is_err() {
            state.accusations.push(format!("{} was applied without a proof", plan.object));
        }
        if state.modes.get(&kind).copied().unwrap_or_default() == Mode::ReportOnly {
            state.accusations.push(format!("{} was applied while changes are only reported", plan.object));
        }
        let table = plan.scope.first().cloned().unwrap_or_default();
        state.present.insert(plan.object.clone(), table);
        self.finish(&mut state, "apply")
    }

    fn revert(&self, _: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        let journaled = self.is_journaled(&plan.object, ChangeState::Reverting);
        let mut state = self.state();
        self.disturb(&mut state, "revert")?;
        let lying = state.faults.lying;
        if state.happens(lying) {
            return Ok(());
        }
        if state.present.remove(&plan.object).is_some() && !journaled {
            state.accusations.push(format!("{} was taken back without being journaled", plan.object));
        }
        self.finish(&mut state, "revert")
    }

    fn presence(&self, _: ChangeKind, plan: &Plan) -> Result<Presence, ActuatorError> {
        let mut state = self.state();
        self.disturb(&mut state, "look")?;
        Ok(if state.present.contains_key(&plan.object) { Presence::Present } else { Presence::Absent })
    }

    fn work(&self, plan: &Plan) -> Vec<WorkTotals> {
        self.state().load.work(&plan.scope)
    }
}
