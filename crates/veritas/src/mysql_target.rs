//! `MariaDB` and `MySQL` targets: readings on one thread, findings and trials of indexes on another.
//!
//! A trial may take seconds. It holds up neither the next reading nor the optimizer's
//! thread, which only picks up what was last said.

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
    view::MySqlReading,
    watch::Watch,
};

use crate::{analysis::Advisor, batching, error::StartError, worker::Worker};

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

/// Starts the threads of each target.
pub(crate) fn start_all(
    targets: Vec<(String, MySqlOptions)>,
    sources: &Arc<Sources>,
    advisors: &mut Vec<Advisor>,
) -> Result<Vec<Worker>, StartError> {
    let mut workers = Vec::with_capacity(2 * targets.len());
    for (name, options) in targets {
        let (of_target, advisor) = start(name, options, sources)?;
        workers.extend(of_target);
        advisors.push(advisor);
    }
    Ok(workers)
}

/// Starts the threads that read the server and advise on it; returns with them what the
/// optimizer's thread asks.
fn start(
    name: String,
    options: MySqlOptions,
    sources: &Arc<Sources>,
) -> Result<([Worker; 2], Advisor), StartError> {
    let MySqlOptions { connect, trial, interval } = options;
    let latest = Arc::clone(&sources.database_servers);
    let target = Arc::new(MySqlTarget::new(name, connect, Arc::clone(&sources.clock), latest));
    let (read, said) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
    let start = |name, job: Box<dyn FnMut() + Send>| {
        let (clock, health) = (Arc::clone(&sources.clock), Arc::clone(&sources.health));
        Worker::start(name, clock, health, move || interval, job)
            .map_err(|source| StartError::Thread { name, source })
    };
    let mut work = Advising {
        advisor: MySqlAdvisor::new(Arc::clone(&target), AdvisorOptions { trial }),
        read: Arc::clone(&read),
        said: Arc::clone(&said),
        sources: Arc::clone(sources),
        last: None,
    };
    let advising = start("mysql-advice", Box::new(move || work.tick()))?;
    let (part, health, waker) =
        (format!("target:{}", target.name), Arc::clone(&sources.health), advising.waker());
    let mut watch = Watch::new(target);
    let reading = start(
        "mysql",
        Box::new(move || {
            health.set(&part, watch.tick());
            let last = watch.last().cloned().map(Arc::new);
            *read.lock().unwrap_or_else(PoisonError::into_inner) = last;
            waker.wake();
        }),
    )?;
    let advisor: Advisor = Box::new(move |_, _| {
        let findings: Vec<Finding> = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((findings, Vec::new()))
    });
    Ok(([reading, advising], advisor))
}

/// One target as the thread sees it that advises on it.
struct Advising {
    advisor: MySqlAdvisor,
    /// The last reading.
    read: Arc<Mutex<Option<Arc<MySqlReading>>>>,
    said: Arc<Mutex<Vec<Finding>>>,
    sources: Arc<Sources>,
    /// When the reading was begun that was last looked at.
    last: Option<Timestamp>,
}

impl Advising {
    fn tick(&mut self) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(whole) = read else { return };
        if self.last.replace(whole.reading.read_at) == Some(whole.reading.read_at) {
            return;
        }
        let now = self.sources.clock.now();
        let snapshot = self.sources.database.snapshot();
        let repeated = batching::repeated(&self.sources.database.findings(now));
        // What is known is said before anything is tried, which takes longer.
        for trials in [0, TRIALS] {
            let mut found = findings::of(&whole, &FindingOptions::default(), now);
            self.advisor.advise(&mut found, &whole, &snapshot, trials, now);
            found.extend(self.advisor.batches(&repeated, &whole, &snapshot, trials, now));
            *self.said.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }
}
