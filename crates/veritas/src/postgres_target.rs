//! `PostgreSQL` targets: readings and advice on threads of their own, one actuator for each.
//!
//! Advising may take seconds, and trying rewrites a minute. Both happen beside the thread
//! that reads the server: changes are watched by its readings. The optimizer's thread only
//! picks up what was last said.

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
    findings::{self, Thresholds},
    rewrites::round::{Rewriter, RoundOptions},
    scratch::{ScratchPlace, sweep},
    session::{ConnectOptions, Session},
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
    /// How long a turn of index advice may take (default: five seconds). It holds up nothing but
    /// the next turn; on a machine that is busy a longer one sees more.
    pub longest_turn: Duration,
    /// From when on the condition of the server is worth a finding; the disuse of an index also
    /// decides from when on it may be proposed, and allowed, to drop it.
    pub thresholds: Thresholds,
}

impl PostgresOptions {
    /// Looks at the database of `connect` every ten seconds, and proves nothing.
    pub const fn new(connect: ConnectOptions) -> Self {
        Self {
            connect,
            scratch: ScratchPlace::Off,
            index_budget: None,
            interval: Duration::from_secs(10),
            longest_turn: Duration::from_secs(5),
            thresholds: Thresholds::DEFAULT,
        }
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
        let options = ActuatorOptions {
            scratch: options.scratch.clone(),
            disuse: options.thresholds.disuse,
            ..ActuatorOptions::default()
        };
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
    /// Starts the threads that read the server and advise on it; returns with them what the
    /// optimizer's thread asks.
    pub(crate) fn start(self, sources: &Arc<Sources>) -> Result<([Worker; 2], Advisor), StartError> {
        let Self { target, options } = self;
        let interval = options.interval;
        let advice = AdvisorOptions {
            budget: options.index_budget,
            scratch: options.scratch,
            longest_turn: options.longest_turn,
            disuse: options.thresholds.disuse,
            ..AdvisorOptions::default()
        };
        let place = advice.scratch.clone();
        let rewrites = RoundOptions::at(place.clone());
        let said = Arc::new(Mutex::new(Said::default()));
        let mut advised = Advised {
            advisor: PostgresAdvisor::new(Arc::clone(&target), advice),
            rewriter: Rewriter::new(Arc::clone(&target), rewrites),
            rewrites: Vec::new(),
            said: Arc::clone(&said),
            sources: Arc::clone(sources),
            last: None,
            noted: None,
            swept: None,
            place,
            thresholds: options.thresholds,
            target: Arc::clone(&target),
        };
        advised.go_on();
        let start = |name, job: Box<dyn FnMut() + Send>| {
            let (clock, health) = (Arc::clone(&sources.clock), Arc::clone(&sources.health));
            Worker::start(name, clock, health, move || interval, job)
                .map_err(|source| StartError::Thread { name, source })
        };
        let thinker = start("postgres-advice", Box::new(move || advised.tick()))?;
        let mut watch = Watch::new(Arc::clone(&target), Arc::clone(&target.latest));
        let (waker, health) = (thinker.waker(), Arc::clone(&sources.health));
        let part = format!("target:{}", target.name);
        let reader = start(
            "postgres",
            Box::new(move || {
                health.set(&part, watch.tick());
                waker.wake();
            }),
        )?;
        let advisor: Advisor = Box::new(move |_, _| {
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((said.findings.clone(), said.proposals.clone()))
        });
        Ok(([reader, thinker], advisor))
    }
}

/// One target as the thread sees it that advises on it.
struct Advised {
    target: Arc<PostgresTarget>,
    advisor: PostgresAdvisor,
    rewriter: Rewriter,
    /// What it said last.
    rewrites: Vec<Finding>,
    said: Arc<Mutex<Said>>,
    sources: Arc<Sources>,
    /// When the reading was begun that was last advised on.
    last: Option<Timestamp>,
    /// When it was written down last how indexes are used.
    noted: Option<Monotonic>,
    /// Where copies are made.
    place: ScratchPlace,
    /// When copies that killed processes left were looked for last.
    swept: Option<Monotonic>,
    thresholds: Thresholds,
}

impl Advised {
    /// How often it is written down how indexes are used. A crash loses no evidence: since when
    /// each is watched stands in the first note.
    const BETWEEN_NOTES: Duration = Duration::from_hours(1);

    /// How often copies that killed processes left are looked for, besides before each copy
    /// of ours: nothing may be left to prove.
    const BETWEEN_SWEEPS: Duration = Duration::from_mins(10);

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

    /// Drops the copies that killed processes left, now and then.
    fn sweep(&mut self) {
        let now = self.sources.clock.monotonic();
        let server = match &self.place {
            ScratchPlace::Off => return,
            ScratchPlace::SameServer => &self.target.options,
            ScratchPlace::Server(options) => options,
        };
        if self.swept.is_some_and(|swept| now.since(swept) < Self::BETWEEN_SWEEPS) {
            return;
        }
        self.swept = Some(now);
        if let Err(error) = Session::connect_writing(server).and_then(|mut session| sweep(&mut session)) {
            tracing::debug!(%error, "copies that were left behind were not looked for");
        }
    }

    fn tick(&mut self) {
        self.sweep();
        let name = &self.target.name;
        let health = &self.sources.health;
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
        let mut findings = findings::of_reading(reading, readings.before.as_deref(), &self.thresholds);
        findings.extend(advice.findings);
        // What is known is said before rewrites are tried, which takes longer.
        let mut known = findings.clone();
        known.extend(self.rewrites.iter().cloned());
        self.say(Said { findings: known, proposals: advice.proposals.clone() });
        let repeated = batching::repeated(&self.sources.database.findings(now));
        self.rewrites = self.rewriter.round(reading, &snapshot, &repeated, now);
        findings.extend(self.rewrites.iter().cloned());
        self.say(Said { findings, proposals: advice.proposals });
        self.write_down();
    }

    fn say(&self, what: Said) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}
