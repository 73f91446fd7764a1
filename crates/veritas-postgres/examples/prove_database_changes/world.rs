//! A database with a table, and actuators for it.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use veritas_database::{Recorder, RecorderOptions};
use veritas_index_advisor::{IndexSpec, TableId};
use veritas_model::{
    Alpha, ChangeKind, Clock, Interval, MeasuredGain, Plan, Proposal, Proven, SystemClock, Timestamp,
    WorkMetric,
};
use veritas_postgres::{
    actuator::{ActuatorOptions, IndexDefinition, PostgresActuator},
    session::{ConnectOptions, Session},
    target::PostgresTarget,
};

/// Waits long for locks, so that it can be held at a step.
pub(crate) fn patient() -> ActuatorOptions {
    ActuatorOptions { lock_wait: Duration::from_mins(5), attempts: 1, ..ActuatorOptions::default() }
}

/// Gives up soon.
pub(crate) fn hasty() -> ActuatorOptions {
    ActuatorOptions { lock_wait: Duration::from_millis(500), ..ActuatorOptions::default() }
}

pub(crate) fn target(url: &str) -> Arc<PostgresTarget> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Arc::new(PostgresTarget::new("main", ConnectOptions::new(url), clock))
}

pub(crate) fn actuator(target: Arc<PostgresTarget>, options: ActuatorOptions) -> PostgresActuator {
    let recorder = Recorder::new(RecorderOptions::default(), Arc::clone(&target.clock));
    PostgresActuator::new([target], Arc::new(recorder), options)
}

pub(crate) fn session(url: &str) -> Session {
    let options = ConnectOptions { statement_timeout: Duration::from_mins(2), ..ConnectOptions::new(url) };
    Session::connect_writing(&options).expect("the test server takes connections")
}

/// The plan that creates an index on a column of a table.
pub(crate) fn plan(table: &str, column: &str) -> Plan {
    let spec = IndexSpec::on(TableId::new("public", table), [column]);
    IndexDefinition::new(spec).expect("a plain index").plan("main")
}

pub(crate) fn proven(plan: &Plan) -> Proven {
    let interval = Interval { low: 0.7, high: 0.9, confidence: 0.95 };
    let gain = MeasuredGain {
        metric: WorkMetric::Buffers,
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
        method: "given".to_owned(),
    };
    let proposal = Proposal {
        id: Proposal::identity(ChangeKind::IndexCreate, plan),
        finding: None,
        kind: ChangeKind::IndexCreate,
        summary: String::new(),
        plan: plan.clone(),
        estimate: None,
        proposed_at: Timestamp::default(),
    };
    proposal.prove(gain, Alpha::ONE_PERCENT).expect("it was measured")
}

/// Lets some time pass: the moment of a kill is meant to be a random one.
pub(crate) fn pause(time: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _nothing_was_sent = receiver.recv_timeout(time);
}
