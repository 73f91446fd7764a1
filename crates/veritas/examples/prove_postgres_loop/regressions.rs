//! Planted regressions: harmful indexes that are approved, applied, and have to be taken back.

use std::{sync::Arc, thread, time::Duration};

use veritas::{
    Engine,
    model::{Change, ChangeState, ProposalId, ProposalState},
    optimize::Optimizer,
    store::ControlPlane,
};
use veritas_statistics::Rng;
use veritas_testkit::{Database, Postgres, data_dir};

use super::{
    harms::{HARMS, Harm},
    load::Load,
    planted::{Planted, plant},
    stage::{APPROVER, Failure, Windows, clock, database, engine, pause, server, wait},
};

/// How much is proven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Regressions, each kind in turn.
    pub(crate) planted: usize,
    /// Of them at the same time, each in a database of its own.
    pub(crate) together: usize,
    pub(crate) windows: Windows,
    pub(crate) seed: u64,
}

/// How long a proposal may take to be found, proven, applied.
const TO_APPLY: Duration = Duration::from_mins(2);
/// How long the harm may take to be seen before the proof gives up on it.
const TO_TAKE_BACK: Duration = Duration::from_mins(2);

/// What became of one planted regression.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) kind: &'static str,
    /// What was seen when it was taken back, or why it was missed.
    pub(crate) seen: Result<TakenBack, String>,
}

/// A harmful change that was taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenBack {
    /// From applied to reverted.
    pub(crate) seconds: f64,
    /// By how much the live load was found to cost more, as a share.
    pub(crate) dearer: f64,
}

/// Returns how many were taken back, and after how many seconds the slowest of them.
pub(crate) fn taken_back(outcomes: &[Outcome]) -> (usize, f64) {
    let seen: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.seen.as_ref().ok()).collect();
    (seen.len(), seen.iter().map(|seen| seen.seconds).fold(0.0, f64::max))
}

/// Plants all of them.
pub(crate) fn prove(extent: Extent, say: &dyn Fn(&str)) -> Result<Vec<Outcome>, Failure> {
    let server = server("");
    let mut rng = Rng::new(extent.seed);
    let mut outcomes = Vec::new();
    let numbers: Vec<usize> = (0..extent.planted).collect();
    for numbers in numbers.chunks(extent.together.max(1)) {
        let of_engine = play(&server, extent, numbers, &mut rng)?;
        for Outcome { kind, seen } in &of_engine {
            say(&match seen {
                Ok(seen) => {
                    format!("{kind}: taken back after {:.1} s, +{:.0} %", seen.seconds, seen.dearer * 100.0)
                }
                Err(why) => format!("{kind}: MISSED: {why}"),
            });
        }
        outcomes.extend(of_engine);
    }
    Ok(outcomes)
}

/// One engine with a planted regression in each of its databases.
fn play(
    server: &Postgres,
    extent: Extent,
    numbers: &[usize],
    rng: &mut Rng,
) -> Result<Vec<Outcome>, Failure> {
    let directory = data_dir();
    let scenes: Vec<(String, &Harm, Database)> = numbers
        .iter()
        .map(|number| {
            let (name, harm) = (format!("h{number}"), &HARMS[number % HARMS.len()]);
            let database = database(server, &harm.schema(&name));
            (name, harm, database)
        })
        .collect();
    let targets: Vec<(String, String)> =
        scenes.iter().map(|(name, _, database)| (name.clone(), database.url())).collect();
    let engine = engine(directory.path(), &targets, extent.windows)?;
    let lanes: Vec<Lane> = scenes
        .iter()
        .map(|(name, harm, database)| Lane::start(&engine, name, harm, database, extent, rng.next_u64()))
        .collect();
    let outcomes = thread::scope(|scope| {
        let running: Vec<_> =
            lanes.into_iter().map(|lane| (lane.harm.name, scope.spawn(|| lane.play()))).collect();
        let joined = running.into_iter().map(|(kind, lane)| {
            let seen = lane.join().unwrap_or_else(|_| Err("it panicked".into()));
            Outcome { kind, seen: seen.map_err(|error| error.to_string()) }
        });
        joined.collect()
    });
    drop(engine);
    Ok(outcomes)
}

/// One planted regression.
struct Lane {
    name: String,
    harm: &'static Harm,
    database: Database,
    optimizer: Arc<Optimizer>,
    control: Arc<dyn ControlPlane>,
    load: Load,
    windows: Windows,
}

impl Lane {
    fn start(
        engine: &Engine,
        name: &str,
        harm: &'static Harm,
        database: &Database,
        extent: Extent,
        seed: u64,
    ) -> Self {
        let recorder = Arc::clone(engine.database());
        Self {
            load: Load::start(&database.url(), &harm.statements(name), recorder, seed),
            name: name.to_owned(),
            harm,
            database: database.clone(),
            optimizer: Arc::clone(engine.optimizer()),
            control: Arc::clone(&engine.sources().control),
            windows: extent.windows,
        }
    }

    fn play(self) -> Result<TakenBack, Failure> {
        let proposal = if self.harm.columns.is_empty() { self.found()? } else { self.planted()? };
        let permitted = self.optimizer.approve(&proposal, APPROVER)?;
        let change = || -> Result<Option<Change>, Failure> { Ok(self.control.change(&permitted.id)?) };
        wait("the index to be applied", TO_APPLY, || match change()? {
            Some(change) if change.state == ChangeState::Failed => Err(change.reason.into()),
            change => Ok(change.filter(|change| change.applied_at.is_some())),
        })?;
        if let Some(rates) = self.harm.turn {
            self.load.turn(rates.to_vec());
        }
        let reverted = wait("the harm to be taken back", TO_TAKE_BACK, || {
            Ok(change()?.filter(|change| change.state == ChangeState::Reverted))
        });
        let reverted = reverted.map_err(|error| match change() {
            Ok(Some(change)) => {
                format!("{error}; it is {}: {}; {:?}", change.state.as_str(), change.reason, change.live)
            }
            _ => error.to_string(),
        })?;
        self.load.end()?;
        let left = self.database.psql(
            "SELECT indexrelid::regclass FROM pg_index WHERE indexrelid::regclass::text LIKE 'veritas%'",
        );
        if !left.is_empty() {
            return Err(format!("it is called reverted, and there is {left}").into());
        }
        let times = reverted.applied_at.zip(reverted.settled_at).ok_or("a reverted change has its times")?;
        let dearer = reverted.live.map_or(0.0, |live| -live.gain);
        Ok(TakenBack { seconds: times.1.since(times.0).as_secs_f64(), dearer })
    }

    /// Writes the proposal into the ledger, and lets its load be read for three times as long as it is compared with.
    fn planted(&self) -> Result<ProposalId, Failure> {
        let id = plant(&*self.control, &self.name, &self.name, self.harm.columns, Planted::Proven)?;
        let clock = clock();
        let since = clock.monotonic();
        while clock.monotonic().since(since) < self.windows.baseline * 3 {
            pause(Duration::from_millis(100));
        }
        Ok(id)
    }

    /// Waits until the product has come upon the index and proven it.
    fn found(&self) -> Result<ProposalId, Failure> {
        wait("a proposal that is proven", TO_APPLY, || {
            let records = self.control.proposals()?;
            let of_target = records.into_iter().filter(|record| record.proposal.plan.target == self.name);
            for record in of_target {
                match record.state {
                    ProposalState::Proven(_) => return Ok(Some(record.proposal.id)),
                    ProposalState::NotProven(why) => return Err(why.into()),
                    _ => {}
                }
            }
            Ok(None)
        })
    }
}
