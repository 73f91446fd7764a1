//! What a crash left in the ledger is settled at the start.

use std::{sync::Arc, time::Duration};

use veritas::{
    Engine,
    model::{Change, ChangeId, Condition, ProposalState, SystemClock, WorkMetric},
    model::{ChangeKind, ChangeState, Clock, Interval, MeasuredGain, Plan, Proposal, ProposalRecord},
    store::{ControlPlane, DataDir, SqliteControlPlane},
};
use veritas_testkit::{data_dir, wait_for};

fn gain() -> MeasuredGain {
    let interval = Interval { low: 0.7, high: 0.9, confidence: 0.95 };
    MeasuredGain {
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
        method: "planted by a test".into(),
    }
}

/// Writes a change into the ledger as an engine that was killed while applying it leaves it.
fn leave_interrupted(directory: &DataDir, clock: &Arc<dyn Clock>) -> ChangeId {
    let control = SqliteControlPlane::open(&directory.control_path(), Arc::clone(clock)).unwrap();
    let plan = Plan {
        target: "gone".into(),
        forward: "CREATE INDEX i ON t(a)".into(),
        inverse: "DROP INDEX i".into(),
        object: "i".into(),
        scope: vec!["t".into()],
    };
    let kind = ChangeKind::IndexCreate;
    let proposal = Proposal {
        id: Proposal::identity(kind, &plan),
        finding: None,
        kind,
        summary: "index on t(a)".into(),
        plan: plan.clone(),
        estimate: None,
        proposed_at: clock.now(),
    };
    let change = Change {
        id: ChangeId::derive(&[proposal.id.as_str(), "now"]),
        proposal: proposal.id.clone(),
        kind,
        summary: proposal.summary.clone(),
        plan,
        state: ChangeState::Applying,
        approved_by: "ann".into(),
        approved_at: clock.now(),
        applied_at: None,
        settled_at: None,
        predicted: gain(),
        live: None,
        reason: "approved".into(),
    };
    let state = ProposalState::Proven(gain());
    control.put_proposal(&ProposalRecord { proposal, state, changed_at: clock.now() }).unwrap();
    control.begin_change(&change).unwrap();
    change.id
}

#[test]
fn a_change_whose_target_is_gone_is_not_lost_and_not_called_applied() {
    let directory = data_dir();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let id = leave_interrupted(&DataDir::open(directory.path()).unwrap(), &clock);

    let engine = Engine::builder().exclusive_data_dir(directory.path()).start().unwrap();
    let changes = engine.optimizer().changes().unwrap();
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(change.id, id);
    assert!(!matches!(change.state, ChangeState::Kept | ChangeState::Verifying), "{change:?}");
    // It shows, and goes on showing when an analysis went well.
    let part = |name: &str| engine.health().components().into_iter().find(|(part, _)| part == name);
    wait_for(Duration::from_mins(1), || part("analysis"));
    let Some((_, Condition::Degraded(reason))) = part("optimizer") else { panic!("{:?}", part("optimizer")) };
    assert!(reason.contains("cannot be taken back"), "{reason}");
}
