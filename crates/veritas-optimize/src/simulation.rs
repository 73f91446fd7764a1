//! Seeded simulation of the whole loop: a target, a load and a control plane that fail
//! in every way that we know of, on a clock that only the simulation moves.
//!
//! [`run_seed`] lets operators and an optimizer loose on a simulated target, cuts
//! connections, fills the disk, and kills the process between any two calls of the
//! control plane and in the middle of acts. After every step it checks that
//!
//! 1. nothing was applied without a journaled permission, a proof that holds, and an
//!    inverse, nor while the mode of its kind was `ReportOnly`;
//! 2. nothing was taken back that was not journaled as being taken back;
//! 3. each change went through its states in an order that the ledger allows, and no
//!    proposal has two changes in force;
//!
//! and, once the faults are over, that the ledger and the target agree. [`watch_one`]
//! runs one change under a load without faults, to measure how often verification errs.
//! A violation names its seed; the same seed always does the same.

mod clock;
mod control;
mod invariants;
mod load;
mod target;

use std::{sync::Arc, time::Duration};

use veritas_model::{
    Alpha, Change, ChangeId, ChangeKind, Finding, Mode, Plan, Proposal, ProposalId, ProposalState,
};
use veritas_statistics::Rng;
use veritas_store::{ControlPlane, MemoryControlPlane};

use self::{clock::SimulatedClock, control::MortalControl, invariants::Invariants, target::SimulatedTarget};
pub use self::{
    load::{Effect, Load},
    target::Faults,
};
use crate::{Optimizer, OptimizerOptions};

/// What a simulated run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Changes that were begun.
    pub changes: u32,
    /// Of these, kept at the end.
    pub kept: u32,
    /// Taken back.
    pub reverted: u32,
    /// Failed.
    pub failed: u32,
    /// Times that the process was killed.
    pub crashes: u32,
    /// Calls of the control plane and acts that failed on purpose.
    pub faults: u32,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.kept += other.kept;
        self.reverted += other.reverted;
        self.failed += other.failed;
        self.crashes += other.crashes;
        self.faults += other.faults;
    }
}

/// A rule that a run broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}: {what}")]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// What was broken.
    pub what: String,
}

/// Steps with faults in one run.
const STORMY_STEPS: u32 = 250;
/// Steps without faults in which everything must come to rest.
const CALM_STEPS: u32 = 250;

/// Runs one seed. Takes some milliseconds.
///
/// # Errors
///
/// The first rule that was broken.
pub fn run_seed(seed: u64) -> Result<Summary, Violation> {
    World::new(seed).run().map_err(|what| Violation { seed, what })
}

/// Proves, applies and watches one change of the given effect under a load without
/// faults, in automatic mode, until its regression watch is over; returns how it ended,
/// `None` when it never came to a change.
pub fn watch_one(seed: u64, load: Load, effect: Effect, options: &OptimizerOptions) -> Option<Change> {
    let clock = SimulatedClock::new();
    let control = Arc::new(MemoryControlPlane::new(Arc::new(clock.clone())));
    let target = SimulatedTarget::new(seed, load, control.clone());
    let proposal = proposal(0, "a", &clock);
    target.plant(&proposal.plan.object, effect);
    let mut options = options.clone();
    options.modes.insert(ChangeKind::IndexCreate, Mode::Automatic);
    // The engine steps far more often than it looks.
    let tick = options.watch_interval().min(options.regression_interval()) / 8;
    let end = options.baseline_window + options.watch_window * 7 + options.regression_watch;
    let optimizer = Optimizer::new(control.clone(), Arc::new(clock.clone()), options);
    optimizer.register(target.clone());
    optimizer.observe(Vec::new(), vec![proposal]).ok()?;
    let mut passed = Duration::ZERO;
    while passed < end {
        clock.advance(tick);
        passed += tick;
        target.run(tick);
        optimizer.step().ok()?;
        optimizer.prove().ok()?;
        if control
            .changes()
            .ok()?
            .first()
            .is_some_and(|change| change.state == veritas_model::ChangeState::Reverted)
        {
            break;
        }
    }
    control.changes().ok()?.into_iter().next()
}

/// Returns settings with short windows, for simulations.
pub fn short_options() -> OptimizerOptions {
    OptimizerOptions {
        baseline_window: Duration::from_secs(10),
        watch_window: Duration::from_secs(20),
        watch_looks: 10,
        regression_watch: Duration::from_secs(40),
        regression_looks: 20,
        longest_retry: Duration::from_secs(8),
        prove_again_after: Duration::from_mins(2),
        proof_alpha: Alpha::ONE_PERCENT,
        ..OptimizerOptions::default()
    }
}

fn proposal(number: usize, table: &str, clock: &SimulatedClock) -> Proposal {
    use veritas_model::Clock as _;
    let object = format!("veritas_{table}_{number}");
    let plan = Plan {
        target: "main".to_owned(),
        forward: format!("CREATE INDEX {object} ON {table}(c{number})"),
        inverse: format!("DROP INDEX {object}"),
        object,
        scope: vec![table.to_owned()],
    };
    // Both kinds, so that each has its own mode. To the target they are the same.
    let kind = if number % 3 == 2 { ChangeKind::IndexDrop } else { ChangeKind::IndexCreate };
    Proposal {
        id: Proposal::identity(kind, &plan),
        finding: None,
        kind,
        summary: format!("index c{number} of {table}"),
        plan,
        estimate: None,
        proposed_at: clock.now(),
    }
}

struct World {
    rng: Rng,
    clock: SimulatedClock,
    /// What survives a crash.
    durable: Arc<MemoryControlPlane>,
    /// What the living process writes through.
    mortal: Arc<MortalControl>,
    target: Arc<SimulatedTarget>,
    optimizer: Optimizer,
    modes: [Mode; 2],
    proposals: Vec<Proposal>,
    summary: Summary,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let clock = SimulatedClock::new();
        let durable = Arc::new(MemoryControlPlane::new(Arc::new(clock.clone())));
        let load = Load { calls_per_second: 15.0, both_tables: true, ..Load::steady() };
        let target = SimulatedTarget::new(seed ^ 0x5eed, load, durable.clone());
        let tables = ["a", "b"];
        let proposals: Vec<Proposal> = (0..=index(&mut rng, 5))
            .map(|number| proposal(number, tables[index(&mut rng, tables.len())], &clock))
            .collect();
        for proposal in &proposals {
            let effects = [Effect::Helps, Effect::Nothing, Effect::Harms(1.5), Effect::Helps];
            target.plant(&proposal.plan.object, effects[index(&mut rng, effects.len())]);
        }
        target.set_faults(Faults {
            lost_connection: 0.15 * rng.next_f64(),
            busy: 0.15 * rng.next_f64(),
            lying: 0.2 * rng.next_f64(),
            crash_in_act: 0.1 * rng.next_f64(),
        });
        let modes = [0, 1].map(|_| [Mode::Approve, Mode::Automatic, Mode::ReportOnly][index(&mut rng, 3)]);
        let mortal = Arc::new(MortalControl::new(durable.clone(), target.life(), rng.next_u64()));
        let optimizer = start(&mortal, &clock, &target, modes);
        Self { rng, clock, durable, mortal, target, optimizer, modes, proposals, summary: Summary::default() }
    }

    fn run(mut self) -> Result<Summary, String> {
        let mut invariants = Invariants::new(self.target.clone(), self.durable.clone());
        for _ in 0..STORMY_STEPS {
            self.mortal.set_chances(0.03, 0.04);
            self.operate();
            self.tick();
            if self.target.life().is_dead() {
                self.restart();
            }
            invariants.check()?;
        }
        self.mortal.set_chances(0.0, 0.0);
        self.target.set_faults(Faults::default());
        self.restart();
        for _ in 0..CALM_STEPS {
            self.tick();
            invariants.check()?;
        }
        invariants.check_rest()?;
        self.summary.faults = self.mortal.faults() + self.target.faults_met();
        for change in self.durable.changes().map_err(|error| error.to_string())? {
            use veritas_model::ChangeState::{Failed, Kept, Reverted};
            self.summary.changes += 1;
            self.summary.kept += u32::from(change.state == Kept);
            self.summary.reverted += u32::from(change.state == Reverted);
            self.summary.failed += u32::from(change.state == Failed);
        }
        Ok(self.summary)
    }

    /// Lets a little time pass, the load run, and the optimizer step. What it returns may
    /// be an error of the control plane; it must go on from there.
    fn tick(&mut self) {
        let tick = Duration::from_millis(200 + self.rng.below(1_300));
        self.clock.advance(tick);
        if self.rng.below(50) == 0 {
            // The machine's clock is set.
            self.clock.jump_wall(i64::try_from(self.rng.below(20_000_000_000)).unwrap_or(0) - 10_000_000_000);
        }
        self.target.run(tick);
        let _acts = (self.optimizer.step(), self.optimizer.prove());
    }

    /// Does what analyses and operators may do at any time.
    fn operate(&mut self) {
        let proposal = self.proposals[index(&mut self.rng, self.proposals.len())].clone();
        match self.rng.below(12) {
            0..=2 => drop(self.optimizer.observe(Vec::<Finding>::new(), vec![proposal])),
            3 | 4 => self.approve_twice(&proposal.id),
            5 if self.rng.below(6) == 0 => {
                if let Some(id) = self.any_change() {
                    drop(self.optimizer.revert(&id, "operator", "a change of mind"));
                }
            }
            6 if self.rng.below(8) == 0 => drop(self.optimizer.dismiss(&proposal.id, "operator")),
            7 if self.rng.below(6) == 0 => {
                let kind = index(&mut self.rng, 2);
                let mode = [Mode::Approve, Mode::Automatic, Mode::ReportOnly][index(&mut self.rng, 3)];
                self.modes[kind] = mode;
                self.optimizer.set_mode(ChangeKind::ALL[kind], mode);
                self.target.set_mode(ChangeKind::ALL[kind], mode);
            }
            _ => {}
        }
    }

    /// Two operators approve the same proposal: at most one wins.
    fn approve_twice(&self, id: &ProposalId) {
        let both = [self.optimizer.approve(id, "one"), self.optimizer.approve(id, "two")];
        if both.iter().all(Result::is_ok) {
            self.target.accuse(format!("both approvals of {id} won"));
        }
        let proposal = self.durable.proposal(id).ok().flatten();
        if both.iter().any(Result::is_ok)
            && proposal.is_some_and(|record| matches!(record.state, ProposalState::Proposed))
        {
            self.target.accuse(format!("{id} was approved without a proof"));
        }
    }

    fn any_change(&mut self) -> Option<ChangeId> {
        let changes = self.durable.changes().ok()?;
        (!changes.is_empty()).then(|| changes[index(&mut self.rng, changes.len())].id.clone())
    }

    /// The process is gone with all that it remembered; another one starts.
    fn restart(&mut self) {
        self.summary.crashes += u32::from(self.target.life().is_dead());
        self.target.life().revive();
        self.optimizer = start(&self.mortal, &self.clock, &self.target, self.modes);
        let _report = self.optimizer.recover();
    }
}

fn start(
    control: &Arc<MortalControl>,
    clock: &SimulatedClock,
    target: &Arc<SimulatedTarget>,
    modes: [Mode; 2],
) -> Optimizer {
    let mut options = short_options();
    for (kind, mode) in ChangeKind::ALL.into_iter().zip(modes) {
        options.modes.insert(kind, mode);
        target.set_mode(kind, mode);
    }
    let optimizer = Optimizer::new(control.clone(), Arc::new(clock.clone()), options);
    optimizer.register(target.clone());
    optimizer
}

/// Returns an index below `length`.
fn index(rng: &mut Rng, length: usize) -> usize {
    usize::try_from(rng.below(length as u64)).unwrap_or(0)
}
