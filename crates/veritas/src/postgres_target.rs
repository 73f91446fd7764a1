//! `PostgreSQL` targets: readings and advice on a thread of their own, one actuator for all.
//!
//! Advising may take seconds. It happens on the thread that reads the server, so that the
//! optimizer's thread, which watches changes, only picks up what was last said.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use veritas_api::Sources;
use veritas_database::{Recorder, server::LatestReadings};
use veritas_model::{Bytes, Clock, Condition, Finding, Proposal, Timestamp};
use veritas_optimize::Optimizer;
use veritas_postgres::{
    actuator::{ActuatorOptions, PostgresActuator},
    advice::{AdvisorOptions, PostgresAdvisor},
    findings,
    scratch::ScratchPlace,
    session::ConnectOptions,
    target::PostgresTarget,
    watch::Watch,
};

use crate::{analysis::Advisor, error::StartError, worker::Worker};

/// How a `PostgreSQL` database is looked at, and where proposals for it are proven.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// How to connect.
    pub connect: ConnectOptions,
    /// Where proposals are proven (default: nowhere).
    pub scratch: ScratchPlace,
    /// The most that proposed indexes may take together; `None`: a fifth of the tables.
    pub index_budget: Option<Bytes>,
    /// The time between two readings (default: ten seconds).
    pub interval: Duration,
}

impl PostgresOptions {
    /// Looks at the database of `connect` every ten seconds, and proves nothing.
    pub const fn new(connect: ConnectOptions) -> Self {
        Self { connect, scratch: ScratchPlace::Off, index_budget: None, interval: Duration::from_secs(10) }
    }
}

/// A target that is about to be looked at.
pub(crate) struct Registered {
    target: Arc<PostgresTarget>,
    options: PostgresOptions,
}

/// Registers an actuator for the targets. Nothing is connected to yet.
pub(crate) fn register(
    targets: Vec<(String, PostgresOptions)>,
    latest: &Arc<LatestReadings>,
    recorder: &Arc<Recorder>,
    optimizer: &Optimizer,
    clock: &Arc<dyn Clock>,
) -> Vec<Registered> {
    let registered = targets.into_iter().map(|(name, options)| {
        let target = PostgresTarget::new(name, options.connect.clone(), Arc::clone(clock));
        Registered { target: Arc::new(target.publishing_to(Arc::clone(latest))), options }
    });
    let registered: Vec<_> = registered.collect();
    // One for each: where proofs are made is said of each target.
    for Registered { target, options } in &registered {
        let options = ActuatorOptions { scratch: options.scratch.clone(), ..ActuatorOptions::default() };
        let actuator = PostgresActuator::new([Arc::clone(target)], Arc::clone(recorder), options);
        optimizer.register(Arc::new(actuator));
    }
    registered
}

/// What was last said of one target.
#[derive(Debug, Default)]
struct Said {
    findings: Vec<Finding>,
    proposals: Vec<Proposal>,
}

impl Registered {
    /// Starts the thread that reads the server and advises on it; returns with it what the
    /// optimizer's thread asks.
    pub(crate) fn start(self, sources: &Arc<Sources>) -> Result<(Worker, Advisor), StartError> {
        let Self { target, options } = self;
        let advice = AdvisorOptions {
            budget: options.index_budget,
            scratch: options.scratch,
            ..AdvisorOptions::default()
        };
        let said = Arc::new(Mutex::new(Said::default()));
        let mut watched = Watched {
            watch: Watch::new(Arc::clone(&target), Arc::clone(&target.latest)),
            advisor: PostgresAdvisor::new(Arc::clone(&target), advice),
            said: Arc::clone(&said),
            sources: Arc::clone(sources),
            last: None,
            target,
        };
        let (clock, health) = (Arc::clone(&sources.clock), Arc::clone(&sources.health));
        let worker =
            Worker::start("postgres", clock, health, move || options.interval, move || watched.tick())
                .map_err(|source| StartError::Thread { name: "postgres", source })?;
        let advisor: Advisor = Box::new(move |_, _| {
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((said.findings.clone(), said.proposals.clone()))
        });
        Ok((worker, advisor))
    }
}

/// One target as its thread sees it.
struct Watched {
    target: Arc<PostgresTarget>,
    watch: Watch,
    advisor: PostgresAdvisor,
    said: Arc<Mutex<Said>>,
    sources: Arc<Sources>,
    /// When the reading was begun that was last advised on.
    last: Option<Timestamp>,
}

impl Watched {
    fn tick(&mut self) {
        let name = &self.target.name;
        let health = &self.sources.health;
        health.set(&format!("target:{name}"), self.watch.tick());
        let Some(readings) = self.target.latest.get(name) else { return };
        let reading = &readings.reading;
        if self.last.replace(reading.read_at) == Some(reading.read_at) {
            return;
        }
        let now = self.sources.clock.now();
        let advice = self.advisor.advise(reading, &self.sources.database.snapshot(), now);
        for skipped in &advice.skipped {
            tracing::debug!(target = name, statement = skipped.name, reason = skipped.reason, "left alone");
        }
        let condition = advice.failure.map_or(Condition::Ready, Condition::Degraded);
        health.set(&format!("advice:{name}"), condition);
        let mut findings = findings::of_reading(reading, readings.before.as_deref());
        findings.extend(advice.findings);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        *said = Said { findings, proposals: advice.proposals };
    }
}
