//! What operators may do, what they are told, and what becomes of changes that a target
//! or a former process left half done.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use veritas_model::{
    Actuator, ActuatorError, Change, ChangeKind, ChangeState, Clock, Condition, Fingerprint, Health,
    Interval, MeasuredGain, Mode, Moments, Outcome, Plan, Presence, Proposal, ProposalState, Proven,
    WorkMetric, WorkTotals,
};
use veritas_optimize::{Act, ApproveError, DismissError, Optimizer, RevertError, simulation::short_options};
use veritas_store::{ControlPlane, MemoryControlPlane};
use veritas_testkit::{VirtualClock, wait_for};

/// A target with switches.
#[derive(Default)]
struct Bench {
    present: AtomicBool,
    stuck: AtomicBool,
    busy: AtomicBool,
    /// Proving is switched off.
    off: AtomicBool,
    applies: AtomicU32,
    reverts: AtomicU32,
    lost: AtomicBool,
    work: Mutex<Moments>,
    /// Measurements that were begun.
    measures: AtomicU32,
    /// A measurement waits for it.
    gate: Mutex<()>,
}

impl Bench {
    fn run(&self, calls: u32, steps: f64) {
        let mut work = self.work.lock().unwrap();
        (0..calls).for_each(|_| work.add(steps));
    }
}

impl Actuator for Bench {
    fn kinds(&self) -> &[ChangeKind] {
        &[ChangeKind::IndexCreate]
    }

    fn measure(&self, _: &Proposal) -> Result<MeasuredGain, ActuatorError> {
        self.measures.fetch_add(1, Ordering::Relaxed);
        drop(self.gate.lock().unwrap());
        if self.off.load(Ordering::Relaxed) {
            return Err(ActuatorError::SwitchedOff { what: "proving".into(), hint: "switch it on".into() });
        }
        let interval = Interval { low: 0.7, high: 0.9, confidence: 0.95 };
        Ok(MeasuredGain {
            metric: WorkMetric::VmSteps,
            pairs: 40,
            before: 1_000.0,
            after: 200.0,
            gain: 0.8,
            gain_interval: interval,
            p_value: 1e-6,
            seconds_before: 0.1,
            seconds_after: 0.02,
            seconds_gain_interval: interval,
            bytes_read_before: None,
            bytes_read_after: None,
            write_slowdown: None,
            results_equal: true,
            method: "test".into(),
        })
    }

    fn apply(&self, _: &Proven) -> Result<(), ActuatorError> {
        self.applies.fetch_add(1, Ordering::Relaxed);
        if self.busy.load(Ordering::Relaxed) {
            return Err(ActuatorError::Busy { target: "main".into(), reason: "locked".into() });
        }
        self.present.store(true, Ordering::Relaxed);
        if self.lost.load(Ordering::Relaxed) {
            return Err(target_error("apply"));
        }
        Ok(())
    }

    fn revert(&self, _: ChangeKind, _: &Plan) -> Result<(), ActuatorError> {
        self.reverts.fetch_add(1, Ordering::Relaxed);
        if self.stuck.load(Ordering::Relaxed) {
            return Err(target_error("revert"));
        }
        self.present.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn presence(&self, _: ChangeKind, _: &Plan) -> Result<Presence, ActuatorError> {
        Ok(if self.present.load(Ordering::Relaxed) { Presence::Present } else { Presence::Absent })
    }

    fn work(&self, _: &Plan) -> Vec<WorkTotals> {
        let moments = *self.work.lock().unwrap();
        vec![WorkTotals {
            fingerprint: Fingerprint::of_normalized("q"),
            name: "q".into(),
            metric: WorkMetric::VmSteps,
            steps: moments,
            seconds: moments,
        }]
    }
}

fn target_error(step: &'static str) -> ActuatorError {
    ActuatorError::Target { step, target: "main".into(), reason: "no".into() }
}

struct Scene {
    clock: VirtualClock,
    control: Arc<MemoryControlPlane>,
    bench: Arc<Bench>,
    optimizer: Optimizer,
    proposal: Proposal,
}

impl Scene {
    fn new(mode: Mode) -> Self {
        let clock = VirtualClock::new();
        let control = Arc::new(MemoryControlPlane::new(Arc::new(clock.clone())));
        let bench = Arc::new(Bench::default());
        let plan = Plan {
            target: "main".into(),
            forward: "CREATE INDEX i ON t(a)".into(),
            inverse: "DROP INDEX i".into(),
            object: "i".into(),
            scope: vec!["t".into()],
        };
        let proposal = Proposal {
            id: Proposal::identity(ChangeKind::IndexCreate, &plan),
            finding: None,
            kind: ChangeKind::IndexCreate,
            summary: "index t(a)".into(),
            plan,
            estimate: None,
            proposed_at: clock.now(),
        };
        let optimizer = start(&clock, &control, &bench, mode);
        Self { clock, control, bench, optimizer, proposal }
    }

    fn proven(mode: Mode) -> Self {
        let scene = Self::new(mode);
        scene.optimizer.observe(Vec::new(), vec![scene.proposal.clone()]).unwrap();
        scene.steps(1, 100.0);
        assert!(matches!(scene.state(), ProposalState::Proven(_)));
        scene
    }

    /// A change that is applied and watched.
    fn verifying() -> (Self, Change) {
        let scene = Self::proven(Mode::Approve);
        scene.steps(12, 100.0);
        let change = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
        scene.steps(1, 100.0);
        let change = scene.change(&change);
        assert_eq!(change.state, ChangeState::Verifying);
        (scene, change)
    }

    /// The process ends, and another one starts.
    fn restart(&mut self, mode: Mode) {
        self.optimizer = start(&self.clock, &self.control, &self.bench, mode);
    }

    /// Seconds go by, with calls that cost this many steps.
    fn steps(&self, seconds: u32, steps: f64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            self.bench.run(100, steps);
            self.optimizer.step().unwrap();
            self.optimizer.prove().unwrap();
        }
    }

    /// Seconds go by, with a call each.
    fn rare(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            self.bench.run(1, 100.0);
            self.optimizer.step().unwrap();
            self.optimizer.prove().unwrap();
        }
    }

    /// A proven proposal whose load was hardly seen.
    fn hardly_seen() -> (Self, Change) {
        let scene = Self::new(Mode::Approve);
        scene.optimizer.observe(Vec::new(), vec![scene.proposal.clone()]).unwrap();
        scene.rare(2);
        let change = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
        (scene, change)
    }

    fn state(&self) -> ProposalState {
        self.control.proposal(&self.proposal.id).unwrap().unwrap().state
    }

    fn change(&self, change: &Change) -> Change {
        self.control.change(&change.id).unwrap().unwrap()
    }
}

fn start(
    clock: &VirtualClock,
    control: &Arc<MemoryControlPlane>,
    bench: &Arc<Bench>,
    mode: Mode,
) -> Optimizer {
    let mut options = short_options();
    options.modes.insert(ChangeKind::IndexCreate, mode);
    let optimizer = Optimizer::new(control.clone(), Arc::new(clock.clone()), options);
    optimizer.register(bench.clone());
    optimizer
}

#[test]
fn report_only_refuses_an_approval_and_says_why() {
    let scene = Scene::proven(Mode::ReportOnly);
    let error = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap_err();
    assert!(matches!(error, ApproveError::ReportOnly { kind: ChangeKind::IndexCreate }));
    assert_eq!(
        error.to_string(),
        "changes of the kind index_create are only reported: set its mode to approve or automatic"
    );
    scene.steps(30, 100.0);
    assert_eq!(scene.bench.applies.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_not_proven_cannot_be_approved() {
    let scene = Scene::new(Mode::Approve);
    let unknown = scene.optimizer.approve(&scene.proposal.id, "alice");
    assert!(matches!(unknown, Err(ApproveError::UnknownProposal(_))));
    scene.optimizer.observe(Vec::new(), vec![scene.proposal.clone()]).unwrap();
    let early = scene.optimizer.approve(&scene.proposal.id, "alice");
    assert!(matches!(early, Err(ApproveError::NotProvenYet { state: "proposed" })));
}

#[test]
fn a_stored_measurement_that_is_no_proof_is_not_applied() {
    let scene = Scene::proven(Mode::Approve);
    let mut record = scene.control.proposal(&scene.proposal.id).unwrap().unwrap();
    if let ProposalState::Proven(gain) = &mut record.state {
        gain.p_value = 0.4;
    }
    scene.control.put_proposal(&record).unwrap();
    let error = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap_err();
    assert!(matches!(error, ApproveError::NotProven(_)), "{error}");
    assert!(scene.control.changes().unwrap().is_empty());
}

#[test]
fn of_many_approvals_at_once_one_wins() {
    for _ in 0..20 {
        let scene = Scene::proven(Mode::Approve);
        let won = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let scene = &scene;
                    scope.spawn(move || {
                        scene.optimizer.approve(&scene.proposal.id, &format!("operator {number}"))
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).count()
        });
        assert_eq!(won, 1);
        assert_eq!(scene.control.changes().unwrap().len(), 1);
    }
}

#[test]
fn an_approved_change_is_journaled_applied_watched_and_kept() {
    let (scene, change) = Scene::verifying();
    assert_eq!((change.approved_by.as_str(), change.applied_at.is_some()), ("alice", true));
    scene.steps(30, 100.0);
    let kept = scene.change(&change);
    assert_eq!((kept.state, kept.live.unwrap().outcome), (ChangeState::Kept, Outcome::NoDifference));
    assert_eq!(kept.reason, "no difference on the live load");
    let improvements = scene.optimizer.improvements().unwrap();
    assert_eq!((improvements.indexes_created, improvements.queries_optimized), (1, 0));
    assert_eq!(improvements.kinds_kept, [ChangeKind::IndexCreate]);
    let states: Vec<_> =
        scene.control.change_events(&change.id).unwrap().into_iter().map(|event| event.state).collect();
    assert_eq!(states, [ChangeState::Applying, ChangeState::Verifying, ChangeState::Kept]);
}

#[test]
fn an_approved_change_waits_until_its_load_was_seen_often_enough_to_be_compared() {
    let (scene, change) = Scene::hardly_seen();
    scene.rare(26);
    let waiting = scene.change(&change);
    assert_eq!((waiting.state, scene.bench.applies.load(Ordering::Relaxed)), (ChangeState::Applying, 0));
    assert_eq!(
        waiting.reason,
        "approved by alice; waits until its load was seen often enough to be compared, 120 s at most"
    );
    scene.rare(3);
    let applied = scene.change(&change);
    assert_eq!(applied.state, ChangeState::Verifying);
    assert_eq!(applied.reason, "applied; the live load is watched");
    scene.steps(30, 100.0);
    let kept = scene.change(&change);
    assert_eq!((kept.state, kept.live.unwrap().outcome), (ChangeState::Kept, Outcome::NoDifference));
    // Of the wait it is told once.
    let events = scene.control.change_events(&change.id).unwrap();
    assert_eq!(events.iter().filter(|event| event.reason.contains("waits")).count(), 1);
}

#[test]
fn the_wait_for_a_load_is_bounded() {
    let (scene, change) = Scene::hardly_seen();
    // Six watch windows of 20 s.
    for _ in 0..120 {
        assert_eq!(scene.bench.applies.load(Ordering::Relaxed), 0);
        scene.clock.advance(Duration::from_secs(1));
        scene.optimizer.step().unwrap();
    }
    scene.clock.advance(Duration::from_secs(1));
    scene.optimizer.step().unwrap();
    let applied = scene.change(&change);
    assert_eq!(applied.state, ChangeState::Verifying);
    assert_eq!(applied.reason, "applied, though its load ran too rarely to be compared; it is watched");
}

#[test]
fn the_permission_of_a_change_that_waits_for_its_load_can_be_withdrawn() {
    let (scene, change) = Scene::hardly_seen();
    scene.rare(1);
    scene.optimizer.set_mode(ChangeKind::IndexCreate, Mode::ReportOnly);
    scene.rare(1);
    assert_eq!(scene.change(&change).state, ChangeState::Failed);
}

#[test]
fn a_change_that_waits_for_its_load_can_be_taken_back_at_once() {
    let (scene, change) = Scene::hardly_seen();
    scene.rare(1);
    let withdrawn = scene.optimizer.revert(&change.id, "bob", "not today").unwrap();
    assert_eq!(withdrawn.state, ChangeState::Reverted);
    assert_eq!(withdrawn.reason, "withdrawn by bob before it was applied: not today");
    scene.rare(60);
    assert_eq!(
        (scene.change(&change).state, scene.bench.applies.load(Ordering::Relaxed)),
        (withdrawn.state, 0)
    );
    let again = scene.optimizer.revert(&change.id, "bob", "");
    assert!(matches!(again, Err(RevertError::NotInForce { .. })), "{again:?}");
}

#[test]
fn the_automatic_mode_applies_what_is_proven_once_there_is_something_to_compare_with() {
    let scene = Scene::proven(Mode::Automatic);
    scene.steps(3, 100.0);
    assert!(scene.control.changes().unwrap().is_empty(), "too early");
    scene.steps(12, 100.0);
    let change = scene.control.changes().unwrap().remove(0);
    assert_eq!((change.approved_by.as_str(), change.state), ("automatic", ChangeState::Verifying));
}

#[test]
fn a_change_under_which_the_load_costs_more_is_taken_back_and_not_tried_again() {
    let scene = Scene::proven(Mode::Automatic);
    scene.steps(15, 100.0);
    let change = scene.control.changes().unwrap().remove(0);
    scene.steps(6, 110.0);
    let change = scene.change(&change);
    assert_eq!(change.state, ChangeState::Reverted);
    assert!(change.reason.starts_with("the live load costs "), "{}", change.reason);
    assert!(change.live.is_some_and(|live| live.outcome == Outcome::Worse && live.gain < -0.01));
    scene.steps(60, 100.0);
    assert!(matches!(scene.state(), ProposalState::NotProven(_)));
    scene.optimizer.observe(Vec::new(), vec![scene.proposal.clone()]).unwrap();
    scene.clock.advance(Duration::from_hours(48));
    scene.optimizer.observe(Vec::new(), vec![scene.proposal.clone()]).unwrap();
    scene.steps(20, 100.0);
    assert_eq!(scene.control.changes().unwrap().len(), 1);
}

#[test]
fn an_operator_takes_back_a_kept_change() {
    let (scene, change) = Scene::verifying();
    scene.steps(30, 100.0);
    let reverting = scene.optimizer.revert(&change.id, "bob", "not needed").unwrap();
    assert_eq!(reverting.state, ChangeState::Reverting);
    // Asking again changes nothing, and nothing is done before the step.
    scene.optimizer.revert(&change.id, "bob", "again").unwrap();
    assert!(scene.bench.present.load(Ordering::Relaxed));
    scene.steps(2, 100.0);
    let reverted = scene.change(&change);
    assert_eq!((reverted.state, reverted.reason.as_str()), (ChangeState::Reverted, "not needed"));
    assert_eq!(scene.state(), ProposalState::Dismissed);
    let again = scene.optimizer.revert(&change.id, "bob", "");
    assert!(matches!(again, Err(RevertError::NotInForce { state: ChangeState::Reverted })));
    let events = scene.control.change_events(&change.id).unwrap();
    assert!(events.iter().any(|event| event.state == ChangeState::Reverting && event.by == "bob"));
}

#[test]
fn a_dismissed_proposal_is_neither_proven_nor_applied() {
    let scene = Scene::proven(Mode::Automatic);
    scene.optimizer.dismiss(&scene.proposal.id, "alice").unwrap();
    scene.steps(30, 100.0);
    assert!(scene.control.changes().unwrap().is_empty());
    let (scene, change) = Scene::verifying();
    assert_eq!(change.state, ChangeState::Verifying);
    assert!(matches!(scene.optimizer.dismiss(&scene.proposal.id, "alice"), Err(DismissError::Applied)));
}

#[test]
fn what_fails_to_be_measured_is_no_trouble_any_more_once_it_is_dismissed() {
    let mut scene = Scene::new(Mode::Approve);
    // No actuator knows the target.
    scene.optimizer = Optimizer::new(scene.control.clone(), Arc::new(scene.clock.clone()), short_options());
    scene.optimizer.observe(Vec::new(), vec![scene.proposal.clone()]).unwrap();
    scene.steps(1, 100.0);
    assert_eq!(scene.optimizer.troubles()[0].step, "measure");
    scene.optimizer.dismiss(&scene.proposal.id, "alice").unwrap();
    assert!(scene.optimizer.troubles().is_empty());
}

#[test]
fn what_is_switched_off_stays_proposed_and_is_proven_once_it_is_switched_on() {
    let scene = Scene::new(Mode::Approve);
    scene.bench.off.store(true, Ordering::Relaxed);
    scene.optimizer.observe(Vec::new(), vec![scene.proposal.clone()]).unwrap();
    scene.steps(300, 100.0);
    let state = |scene: &Scene| scene.optimizer.proposals().unwrap().remove(0).state;
    assert!(scene.bench.measures.load(Ordering::Relaxed) > short_options().most_attempts);
    assert_eq!(state(&scene), ProposalState::Proposed);
    scene.bench.off.store(false, Ordering::Relaxed);
    scene.steps(20, 100.0);
    assert!(matches!(state(&scene), ProposalState::Proven(_)), "{:?}", state(&scene));
}

#[test]
fn a_revert_that_fails_is_tried_again_for_ever_and_shown() {
    let (mut scene, change) = Scene::verifying();
    let health = Arc::new(Health::default());
    scene.optimizer = scene.optimizer.with_health(health.clone());
    scene.bench.stuck.store(true, Ordering::Relaxed);
    scene.optimizer.revert(&change.id, "bob", "harmful").unwrap();
    scene.steps(60, 100.0);
    let reverts = scene.bench.reverts.load(Ordering::Relaxed);
    // At 0, 1, 3, 7, 15 s, then each 8 s (the longest wait of these settings).
    assert!((8..=13).contains(&reverts), "{reverts}");
    let trouble = scene.optimizer.troubles().remove(0);
    assert_eq!((trouble.step, trouble.attempts), ("revert", reverts));
    assert!(
        matches!(&health.components()[0].1, Condition::Degraded(why) if why.contains("cannot be taken back"))
    );
    scene.bench.stuck.store(false, Ordering::Relaxed);
    scene.steps(9, 100.0);
    assert_eq!(scene.change(&change).state, ChangeState::Reverted);
    assert!(health.is_ready() && scene.optimizer.troubles().is_empty());
}

#[test]
fn a_busy_target_is_tried_again_and_then_given_up() {
    let scene = Scene::proven(Mode::Approve);
    scene.bench.busy.store(true, Ordering::Relaxed);
    let change = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
    scene.steps(120, 100.0);
    let change = scene.change(&change);
    assert_eq!(change.state, ChangeState::Failed);
    assert_eq!(scene.bench.applies.load(Ordering::Relaxed), 10);
    assert!(matches!(scene.state(), ProposalState::Proven(_)), "an operator may try again");
    scene.bench.busy.store(false, Ordering::Relaxed);
    scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
    scene.steps(1, 100.0);
    assert_eq!(scene.control.changes().unwrap()[0].state, ChangeState::Verifying);
}

#[test]
fn a_connection_lost_after_the_act_leaves_nothing_behind() {
    let scene = Scene::proven(Mode::Approve);
    scene.bench.lost.store(true, Ordering::Relaxed);
    let change = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
    scene.steps(3, 100.0);
    assert_eq!(scene.change(&change).state, ChangeState::Reverted);
    assert!(!scene.bench.present.load(Ordering::Relaxed));
}

#[test]
fn a_permission_withdrawn_before_the_act_is_respected() {
    let scene = Scene::proven(Mode::Approve);
    let change = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
    scene.optimizer.set_mode(ChangeKind::IndexCreate, Mode::ReportOnly);
    scene.steps(2, 100.0);
    assert_eq!(scene.change(&change).state, ChangeState::Failed);
    assert_eq!(scene.bench.applies.load(Ordering::Relaxed), 0);
}

#[test]
fn a_change_interrupted_before_the_act_is_reverted_without_one() {
    let mut scene = Scene::proven(Mode::Approve);
    let change = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
    scene.restart(Mode::Approve);
    let report = scene.optimizer.recover().unwrap();
    assert_eq!((report.interrupted.len(), report.unfinished.len()), (1, 0));
    let change = scene.change(&change);
    assert_eq!(
        (change.state, change.reason.as_str()),
        (ChangeState::Reverted, "interrupted before it was applied")
    );
    assert_eq!(scene.bench.reverts.load(Ordering::Relaxed), 0);
}

#[test]
fn a_change_interrupted_after_the_act_is_taken_back() {
    let mut scene = Scene::proven(Mode::Approve);
    let change = scene.optimizer.approve(&scene.proposal.id, "alice").unwrap();
    scene.bench.present.store(true, Ordering::Relaxed);
    scene.restart(Mode::Approve);
    scene.optimizer.recover().unwrap();
    assert_eq!(scene.change(&change).state, ChangeState::Reverted);
    assert!(!scene.bench.present.load(Ordering::Relaxed));
    // What was permitted and interrupted waits for an operator, proof in hand.
    scene.steps(1, 100.0);
    assert!(matches!(scene.state(), ProposalState::Proven(_)));
}

#[test]
fn a_watch_goes_on_after_a_restart() {
    for (steps, expected) in [(100.0, ChangeState::Kept), (150.0, ChangeState::Reverted)] {
        let (mut scene, change) = Scene::verifying();
        scene.steps(5, 100.0);
        scene.restart(Mode::Approve);
        assert_eq!(scene.optimizer.recover().unwrap().verifying, std::slice::from_ref(&change.id));
        // The first look of the new process is 2 s away; the window counts what was
        // watched before.
        scene.steps(18, steps);
        assert_eq!(scene.change(&change).state, expected);
    }
}

#[test]
fn what_grew_while_the_process_was_away_is_not_held_against_the_change() {
    let (mut scene, change) = Scene::verifying();
    scene.clock.advance(Duration::from_mins(1));
    scene.restart(Mode::Approve);
    scene.optimizer.recover().unwrap();
    // A growing table: half a percent a second, before and after the restart.
    for second in 60..85 {
        scene.steps(1, 100.0 + 0.5 * f64::from(second));
    }
    let change = scene.change(&change);
    assert_eq!(change.state, ChangeState::Kept, "{}", change.reason);
}

#[test]
fn a_load_that_does_not_run_leaves_the_change_unverified() {
    let (scene, change) = Scene::verifying();
    for _ in 0..130 {
        scene.clock.advance(Duration::from_secs(1));
        scene.optimizer.step().unwrap();
    }
    let change = scene.change(&change);
    assert_eq!((change.state, change.live.unwrap().outcome), (ChangeState::Kept, Outcome::NotEnoughData));
    assert!(change.reason.starts_with("kept unverified"), "{}", change.reason);
}

#[test]
fn a_harmful_change_is_taken_back_while_a_proof_is_under_way() {
    let (scene, change) = Scene::verifying();
    let closed = scene.bench.gate.lock().unwrap();
    let mut other = scene.proposal.clone();
    other.plan.forward = "CREATE INDEX j ON u(a)".into();
    other.plan.object = "j".into();
    other.plan.scope = vec!["u".into()];
    other.id = Proposal::identity(other.kind, &other.plan);
    scene.optimizer.observe(Vec::new(), vec![other.clone()]).unwrap();
    std::thread::scope(|threads| {
        let proof = threads.spawn(|| scene.optimizer.prove().unwrap());
        wait_for(Duration::from_mins(1), || scene.bench.measures.load(Ordering::Relaxed) == 2);
        for _ in 0..12 {
            scene.clock.advance(Duration::from_secs(1));
            scene.bench.run(100, 300.0);
            scene.optimizer.step().unwrap();
        }
        assert_eq!(scene.change(&change).state, ChangeState::Reverted);
        drop(closed);
        assert_eq!(proof.join().unwrap().acts, [Act::Proved(other.id)]);
    });
}
