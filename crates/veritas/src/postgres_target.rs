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
use veritas_model::{Bytes, Clock, Condition, Finding, Monotonic, Proposal, Timestamp};
use veritas_optimize::Optimizer;
use veritas_postgres::{
    actuator::{ActuatorOptions, PostgresActuator},
    advice::{AdvisorOptions, PostgresAdvisor},
    findings,
    rewrites::round::{Rewriter, RoundOptions},
    scratch::ScratchPlace,
    session::ConnectOptions,
    target::PostgresTarget,
    watch::Watch,
};

use crate::{analysis::Advisor, batching, error::StartError, worker::Worker};

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
        let rewrites = RoundOptions::at(advice.scratch.clone());
        let said = Arc::new(Mutex::new(Said::default()));
        let mut watched = Watched {
            watch: Watch::new(Arc::clone(&target), Arc::clone(&target.latest)),
            advisor: PostgresAdvisor::new(Arc::clone(&target), advice),
            rewriter: Rewriter::new(Arc::clone(&target), rewrites),
            said: Arc::clone(&said),
            sources: Arc::clone(sources),
            last: None,
            noted: None,
            target,
        };
        watched.go_on();
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
    rewriter: Rewriter,
    said: Arc<Mutex<Said>>,
    sources: Arc<Sources>,
    /// When the reading was begun that was last advised on.
    last: Option<Timestamp>,
    /// When it was written down last how indexes are used.
    noted: Option<Monotonic>,
}

impl Watched {
    /// How often it is written down how indexes are used. A crash loses no evidence: since when
    /// each is watched stands in the first note.
    const BETWEEN_NOTES: Duration = Duration::from_hours(1);

    fn note_key(&self) -> String {
        format!("index usage of {}", self.target.name)
    }

    /// Goes on from what was known of the use of indexes before a restart.
    fn go_on(&self) {
        match self.sources.control.note(&self.note_key()) {
            Ok(Some(note)) => self.advisor.go_on_from(&note),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "how indexes were used before is not known"),
        }
    }

    fn write_down(&mut self) {
        let now = self.sources.clock.monotonic();
        if self.noted.is_some_and(|noted| now.since(noted) < Self::BETWEEN_NOTES) {
            return;
        }
        match self.sources.control.put_note(&self.note_key(), &self.advisor.usage_note()) {
            Ok(()) => self.noted = Some(now),
            Err(error) => tracing::warn!(%error, "how indexes are used was not written down"),
        }
    }

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
        let snapshot = self.sources.database.snapshot();
        let advice = self.advisor.advise(reading, &snapshot, now);
        for skipped in &advice.skipped {
            tracing::debug!(target = name, statement = skipped.name, reason = skipped.reason, "left alone");
        }
        let condition = advice.failure.map_or(Condition::Ready, Condition::Degraded);
        health.set(&format!("advice:{name}"), condition);
        let mut findings = findings::of_reading(reading, readings.before.as_deref());
        findings.extend(advice.findings);
        // What is known is said before rewrites are tried, which takes longer.
        let known = findings.len();
        self.say(Said { findings: findings.clone(), proposals: advice.proposals.clone() });
        let repeated = batching::repeated(&self.sources.database.findings(now));
        findings.extend(self.rewriter.round(reading, &snapshot, &repeated, now));
        if findings.len() > known {
            self.say(Said { findings, proposals: advice.proposals });
        }
        self.write_down();
    }

    fn say(&self, what: Said) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}
