//! `MariaDB` and `MySQL` targets: readings, findings and trials of indexes, each on a thread of its own.
//!
//! A trial may take seconds. It happens on the thread that reads the server, so that the
//! optimizer's thread only picks up what was last said.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use veritas_api::Sources;
use veritas_model::{Finding, Timestamp};
use veritas_mysql::{
    advice::{AdvisorOptions, MySqlAdvisor},
    findings::{self, FindingOptions},
    session::ConnectOptions,
    target::MySqlTarget,
    trial::TrialOptions,
    watch::Watch,
};

use crate::{analysis::Advisor, error::StartError, worker::Worker};

/// Statements whose indexes are tried in one turn.
const TRIALS: usize = 2;

/// How a `MariaDB` or `MySQL` database is looked at.
#[derive(Debug, Clone)]
pub struct MySqlOptions {
    /// How to connect.
    pub connect: ConnectOptions,
    /// Whether, and how, indexes are tried on copies of tables on the same server (default: not).
    pub trial: TrialOptions,
    /// The time between two readings (default: ten seconds).
    pub interval: Duration,
}

impl MySqlOptions {
    /// Looks at the database of `connect` every ten seconds, and makes no copies.
    pub fn new(connect: ConnectOptions) -> Self {
        Self { connect, trial: TrialOptions::default(), interval: Duration::from_secs(10) }
    }
}

/// Starts a thread for each target.
pub(crate) fn start_all(
    targets: Vec<(String, MySqlOptions)>,
    sources: &Arc<Sources>,
    advisors: &mut Vec<Advisor>,
) -> Result<Vec<Worker>, StartError> {
    let mut workers = Vec::with_capacity(targets.len());
    for (name, options) in targets {
        let (worker, advisor) = start(name, options, sources)?;
        workers.push(worker);
        advisors.push(advisor);
    }
    Ok(workers)
}

/// Starts the thread that reads the server and advises on it; returns with it what the
/// optimizer's thread asks.
fn start(
    name: String,
    options: MySqlOptions,
    sources: &Arc<Sources>,
) -> Result<(Worker, Advisor), StartError> {
    let MySqlOptions { connect, trial, interval } = options;
    let latest = Arc::clone(&sources.database_servers);
    let target = Arc::new(MySqlTarget::new(name, connect, Arc::clone(&sources.clock), latest));
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut watched = Watched {
        watch: Watch::new(Arc::clone(&target)),
        advisor: MySqlAdvisor::new(Arc::clone(&target), AdvisorOptions { trial }),
        said: Arc::clone(&said),
        sources: Arc::clone(sources),
        last: None,
        target,
    };
    let (clock, health) = (Arc::clone(&sources.clock), Arc::clone(&sources.health));
    let worker = Worker::start("mysql", clock, health, move || interval, move || watched.tick())
        .map_err(|source| StartError::Thread { name: "mysql", source })?;
    let advisor: Advisor = Box::new(move |_, _| {
        let findings: Vec<Finding> = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((findings, Vec::new()))
    });
    Ok((worker, advisor))
}

/// One target as its thread sees it.
struct Watched {
    target: Arc<MySqlTarget>,
    watch: Watch,
    advisor: MySqlAdvisor,
    said: Arc<Mutex<Vec<Finding>>>,
    sources: Arc<Sources>,
    /// When the reading was begun that was last looked at.
    last: Option<Timestamp>,
}

impl Watched {
    fn tick(&mut self) {
        let condition = self.watch.tick();
        self.sources.health.set(&format!("target:{}", self.target.name), condition);
        let Some(whole) = self.watch.last() else { return };
        if self.last.replace(whole.reading.read_at) == Some(whole.reading.read_at) {
            return;
        }
        let now = self.sources.clock.now();
        let snapshot = self.sources.database.snapshot();
        // What is known is said before anything is tried, which takes longer.
        for trials in [0, TRIALS] {
            let mut found = findings::of(whole, &FindingOptions::default(), now);
            self.advisor.advise(&mut found, whole, &snapshot, trials, now);
            *self.said.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }
}
