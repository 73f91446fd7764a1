//! The proof that a kill loses nothing: the demo's service, killed with SIGKILL at
//! random moments, and asked after each restart for everything that it acknowledged.
//!
//! A kill takes the process, not the machine: what was written and not yet synced
//! survives it. That acknowledged also means *synced* is for the tests of the store.

mod child;
mod offers;
mod traffic;
mod witness;

use std::{
    collections::BTreeMap,
    io::Read as _,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::json;
use veritas::{
    api::{
        Limits,
        auth::{KeySet, Role},
        limits::Rate,
    },
    model::{ChangeKind, Clock, Mode, Monotonic, SystemClock},
    optimize::OptimizerOptions,
    store::DataDir,
};
use veritas_statistics::Rng;

use super::{Place, Setting, Stage, narrator::Narrator, proportion::upper_bound};
use crate::{
    arguments::{KillArguments, StageArguments},
    client::Client,
    failure::Failure,
    serve, signals,
};

pub(super) use offers::stated_gain;

use child::Child;
use witness::Witness;

/// Share of the kills that fall into the start of the service.
const DURING_START: f64 = 0.25;
/// Share of the lives in which the demo's own proposals are measured, which holds everything
/// else up for seconds: kills are to meet that too, but not that alone.
const MEASURING: f64 = 0.25;
/// The latest moment of a kill during the start, after the process was made.
const LONGEST_START: Duration = Duration::from_millis(300);
/// The moments of the other kills, after the service is ready.
const SHORTEST_LIFE: Duration = Duration::from_millis(50);
const LONGEST_LIFE: Duration = Duration::from_secs(3);
/// How long unfinished changes may take to be finished after the last kill.
const TO_FINISH: Duration = Duration::from_secs(30);

/// Runs the service that is killed, until its stdin ends.
pub(super) async fn stage(arguments: &StageArguments) -> Result<(), Failure> {
    let stop = signals::stop_requested().context("failed to listen for signals")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let narrator = Narrator::new(Arc::clone(&clock));
    let place = &arguments.data_dir;
    std::fs::create_dir_all(place).with_context(|| format!("failed to create {}", place.display()))?;
    let (ended, stdin_ended) = tokio::sync::oneshot::channel();
    // Not to outlive a driver that is killed itself.
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        ended.send(()).ok();
    });
    let bound = serve::bind(([127, 0, 0, 1], 0).into()).await?;
    let stage = Stage::build(setting(arguments.seed), place, bound, &clock, &narrator).await?;
    let offering = offers::offer(&stage.engine, place, arguments);
    tokio::select! {
        offering = offering => offering?,
        _ = stdin_ended => {}
        () = stop => {}
    }
    stage.close().await;
    Ok(())
}

/// Everything quick, so that a life of a second sees all of it.
fn setting(seed: u64) -> Setting {
    let any = Rate::new(NonZeroU32::MAX, NonZeroU32::MAX);
    Setting {
        optimizer: OptimizerOptions {
            modes: [(ChangeKind::IndexCreate, Mode::Approve)].into(),
            baseline_window: Duration::from_secs(1),
            watch_window: Duration::from_millis(200),
            watch_looks: 2,
            regression_watch: Duration::from_secs(5),
            regression_looks: 5,
            ..OptimizerOptions::default()
        },
        analysis_interval: Duration::from_millis(50),
        sampling_interval: Duration::from_millis(100),
        limits: Limits { subject_rate: any, address_rate: any, ..Limits::loopback() },
        ..Setting::demo(seed)
    }
}

/// Runs the proof.
pub(super) async fn run(arguments: &KillArguments) -> Result<(), Failure> {
    let place = Place::open(arguments.data_dir.as_deref())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let driver = Driver {
        place: place.path.clone(),
        seed: arguments.seed,
        witness: Arc::new(Witness::default()),
        started: clock.monotonic(),
        clock,
    };
    driver.play(arguments.rounds).await.map_err(|error| {
        let log = child::end_of_log(&driver.place);
        Failure::new(Failure::GENERAL, error, format!("the service said last:\n{log}"))
    })?;
    driver.report(arguments)?;
    Ok(())
}

struct Driver {
    place: PathBuf,
    seed: u64,
    witness: Arc<Witness>,
    clock: Arc<dyn Clock>,
    started: Monotonic,
}

impl Driver {
    async fn play(&self, rounds: u32) -> anyhow::Result<()> {
        let mut rng = Rng::new(self.seed);
        // The dataset is made, and the key.
        let mut child = Child::start(&self.place, self.seed, true)?;
        child.address().await?;
        let token = self.token()?;
        for round in 1..=rounds {
            if round > 1 && rng.next_f64() < DURING_START {
                // Its moment may lie behind the start, if that is quick: no harm done.
                tokio::time::sleep(LONGEST_START.mul_f64(rng.next_f64())).await;
                child.kill()?;
                self.witness.killed(true);
            } else {
                let mut client = Client::ready(child.address().await?, &token).await?;
                if round == 1 {
                    self.witness.check(&mut client, &self.database()).await?;
                } else {
                    self.check(client).await.with_context(|| format!("round {round}"))?;
                }
                let address = child.address().await?;
                let mut traffic = traffic::start(address, &token, &self.witness, rng.next_u64());
                let more = LONGEST_LIFE.saturating_sub(SHORTEST_LIFE).mul_f64(rng.next_f64());
                tokio::time::sleep(SHORTEST_LIFE + more).await;
                child.kill()?;
                self.witness.killed(false);
                while traffic.join_next().await.is_some() {}
            }
            eprintln!(
                "[{:6.1} s] kill {round}: {}",
                self.clock.monotonic().since(self.started).as_secs_f64(),
                self.witness.summary()
            );
            child = Child::start(&self.place, self.seed, rng.next_f64() < MEASURING)?;
        }
        let address = child.address().await?;
        self.check(Client::ready(address, &token).await?).await.context("after the last kill")?;
        self.finish(&mut Client::ready(address, &token).await?).await?;
        let mut client = Client::ready(address, &token).await?;
        self.witness.check(&mut client, &self.database()).await.context("at the end")?;
        child.stop().await?;
        for path in [DataDir::open(self.place.join("veritas"))?.control_path(), self.database()] {
            integrity(&path)?;
        }
        Ok(())
    }

    fn database(&self) -> PathBuf {
        self.place.join(super::DATABASE)
    }

    fn token(&self) -> anyhow::Result<String> {
        let keys = KeySet::load(&DataDir::keys_path_in(&self.place.join("veritas")))?;
        let life = Duration::from_hours(12);
        Ok(keys.issue("kill-proof", Role::Admin, life, &*self.clock)?.token)
    }

    /// Asks a service that was just started after a kill, and that nobody else asks, for everything.
    async fn check(&self, mut client: Client) -> anyhow::Result<()> {
        self.witness.check_restart(&mut client, &self.database()).await
    }

    /// Waits until no change is under way any more.
    async fn finish(&self, client: &mut Client) -> anyhow::Result<()> {
        let since = self.clock.monotonic();
        loop {
            let unfinished = witness::unfinished(client).await?;
            if unfinished.is_empty() {
                return Ok(());
            }
            if self.clock.monotonic().since(since) > TO_FINISH {
                bail!(
                    "{} s after the last kill these are still under way: {unfinished:?}",
                    TO_FINISH.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Prints the figures.
    ///
    /// # Errors
    ///
    /// When something that was acknowledged is not there, or is not as it must be.
    #[expect(clippy::print_stdout, reason = "the figures are this command's data")]
    fn report(&self, arguments: &KillArguments) -> anyhow::Result<()> {
        let figures = self.witness.figures();
        let failures = self.witness.failures();
        let failed = failures.len() as u64;
        // Records share the fate of their restart: only restarts are independent trials.
        let bound = upper_bound(figures.faulty, figures.restarts);
        let seconds = self.clock.monotonic().since(self.started).as_secs_f64();
        if arguments.json {
            let document = json!({
                "proof": "kill",
                "seed": self.seed,
                "kills": figures.kills,
                "kills_during_start": figures.kills_during_start,
                "restarts_checked": figures.restarts,
                "restarts_with_a_loss": figures.faulty,
                "records": figures.records,
                "kinds": figures.kinds.iter().copied().collect::<BTreeMap<_, _>>(),
                "looked_for": figures.looked_for,
                "changes_killed_before_the_act": figures.met[0],
                "changes_killed_in_the_act": figures.met[1],
                "changes_kept": figures.met[2],
                "indexes_compared": figures.indexes,
                "lost_or_wrong": failed,
                "rate_upper_bound_95": bound,
                "degraded": figures.degraded,
                "seconds": seconds,
                "failures": failures,
            });
            println!("{}", serde_json::to_string_pretty(&document)?);
        } else {
            println!(
                "{} kills (seed {}), {} of them within 0.3 s of the start; {} restarts checked",
                figures.kills, self.seed, figures.kills_during_start, figures.restarts
            );
            println!("acknowledged or shown, and asked for after the restarts:");
            for (kind, count) in &figures.kinds {
                println!("  {count:8}  {kind}");
            }
            println!("  {:8}  in all, looked for {} times", figures.records, figures.looked_for);
            let [before, within, kept] = figures.met;
            println!(
                "changes that a kill met before they were applied {before}, while they were {within}; kept {kept}"
            );
            println!(
                "index of a change compared with the schema of the live file: {} times",
                figures.indexes
            );
            println!(
                "lost, gone back, or not as the ledger says: {failed}, in {} of {} restarts (95 % upper bound of the rate: {:.2} %)",
                figures.faulty,
                figures.restarts,
                bound * 100.0
            );
            println!("degraded after a restart, at some time: {}", figures.degraded.join("; "));
            println!("{seconds:.0} s");
            for failure in failures.iter().take(20) {
                println!("  {failure}");
            }
        }
        if failed > 0 {
            bail!("{failed} records did not survive as they must");
        }
        Ok(())
    }
}

/// Lets `SQLite` look over a whole file.
fn integrity(path: &Path) -> anyhow::Result<()> {
    let connection = rusqlite::Connection::open(path)?;
    let says: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if says != "ok" {
        bail!("{} is damaged: {says}", path.display());
    }
    Ok(())
}
