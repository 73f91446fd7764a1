//! The proof of verification on the demo's live load: changes that do nothing stay, the
//! planted harmful one goes.
//!
//! It is a trial of *verification*: what a change that does nothing brings is stated and
//! not measured, so that it passes as proven; from there on everything is the product's
//! own, on the work that the recorder counts of real requests.

mod inert;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use veritas::{
    Engine,
    database::sqlite::PREFIX,
    model::{Change, ChangeKind, ChangeState, Clock, Mode, Monotonic, Outcome, ProposalState, SystemClock},
    optimize::OptimizerOptions,
};

use super::{
    DATABASE, Place, Setting, Stage, dataset,
    load::{Load, Mix},
    narrator::Narrator,
    proportion::upper_bound,
    story,
};
use crate::{arguments::VerdictArguments, failure::Failure, serve};

use inert::Inert;

/// The tables in whose scope changes are made, each beside the other.
const SCOPES: [&str; 2] = ["content", "verifications"];
/// Proposals of each scope that are known ahead, so that their load is read before.
const AHEAD: u32 = 3;
/// How long a change that does nothing may take to be settled.
const TO_SETTLE: Duration = Duration::from_mins(2);
/// The largest share of changes that do nothing that may be taken back.
const GOAL: f64 = 0.01;
/// The smallest share that must have been judged, and not just kept for want of calls.
const JUDGED: f64 = 0.95;
/// The mixes that are played in turn, and for how long each.
const EACH_MIX: Duration = Duration::from_secs(7);
const MIXES: [Mix; 5] = [
    Mix::READS,
    Mix { author_content: 8.0, verify: 40.0, ..Mix::READS },
    Mix { verdicts: 20.0, record: 25.0, ..Mix::READS },
    Mix { feed: 8.0, export: 1.0, author: 45.0, verdicts: 40.0, ..Mix::READS },
    Mix { author_content: 5.0, verify: 20.0, record: 5.0, ..Mix::READS },
];

/// Runs the proof.
pub(super) async fn run(arguments: &VerdictArguments) -> Result<(), Failure> {
    let place = Place::open(None)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let started = clock.monotonic();
    let narrator = Narrator::new(Arc::clone(&clock));
    let trial = Trial { arguments, place: &place.path, clock: &clock, narrator: &narrator };
    let no_ops = if arguments.no_ops > 0 { trial.no_ops().await? } else { Vec::new() };
    let mut harmful = Vec::new();
    for run in 1..=arguments.harmful {
        let outcome = trial.harmful(run).await;
        let said = match &outcome {
            Ok(run) => format!("reverted {:.1} s after it was applied", run.seconds),
            Err(error) => format!("MISSED: {error:#}"),
        };
        narrator.say(&format!("harmful {run}: {said}"));
        harmful.push(outcome.map_err(|error| format!("{error:#}")));
    }
    narrator.end();
    let seconds = clock.monotonic().since(started).as_secs_f64();
    Verdicts { no_ops, harmful, seconds }.report(arguments)?;
    Ok(())
}

/// What became of a change that does nothing.
#[derive(Debug)]
struct Fate {
    change: Change,
    /// What the watch over the fresh change said.
    fresh: Option<Outcome>,
}

impl Fate {
    /// Returns whether it was taken back, fresh or later.
    fn is_taken_back(&self) -> bool {
        self.change.state != ChangeState::Kept
    }

    /// Returns whether its load was compared, and it was not just kept for want of calls.
    fn is_judged(&self) -> bool {
        self.fresh.is_some_and(|outcome| outcome != Outcome::NotEnoughData)
    }
}

/// A harmful change that was taken back.
#[derive(Debug)]
struct TakenBack {
    /// From applied to reverted.
    seconds: f64,
    outcome: Option<Outcome>,
}

struct Trial<'a> {
    arguments: &'a VerdictArguments,
    place: &'a Path,
    clock: &'a Arc<dyn Clock>,
    narrator: &'a Narrator,
}

impl Trial<'_> {
    async fn stage(&self, setting: Setting) -> Result<Stage, Failure> {
        let bound = serve::bind(([127, 0, 0, 1], 0).into()).await?;
        Stage::build(setting, self.place, bound, self.clock, self.narrator).await
    }

    /// Makes changes that do nothing, one after the other in each scope.
    async fn no_ops(&self) -> Result<Vec<Fate>, Failure> {
        let window = Duration::from_secs(self.arguments.window.into());
        let regression = Duration::from_secs(self.arguments.regression.into());
        let demo = Setting::demo(self.arguments.seed);
        let stage = self
            .stage(Setting {
                data: "no-ops".to_owned(),
                optimizer: OptimizerOptions {
                    modes: [(ChangeKind::IndexDrop, Mode::Approve)].into(),
                    watch_window: window,
                    watch_looks: 5,
                    regression_watch: regression,
                    ..demo.optimizer.clone()
                },
                analysis_interval: Duration::from_millis(250),
                ..demo
            })
            .await?;
        stage.engine.optimizer().register(Arc::new(Inert::new(Arc::clone(stage.engine.database()))));
        let baseline = demo_baseline();
        let [first, second] = SCOPES;
        let half = self.arguments.no_ops.div_ceil(2);
        let lanes = async {
            let (one, other) = tokio::try_join!(
                self.lane(&stage.engine, first, half, baseline),
                self.lane(&stage.engine, second, self.arguments.no_ops - half, baseline),
            )?;
            // The last ones are watched as long as the first.
            tokio::time::sleep(regression + Duration::from_secs(2)).await;
            anyhow::Ok([one, other].concat())
        };
        let settled = tokio::select! {
            settled = lanes => settled,
            never = turn(&stage.load) => match never {},
        };
        let mut fates = Vec::new();
        for (id, fresh) in settled? {
            let change = stage.engine.sources().control.change(&id).context("failed to read the ledger")?;
            fates.push(Fate { change: change.context("a change is lost")?, fresh });
        }
        stage.close().await;
        Ok(fates)
    }

    /// Makes `count` changes in one scope. Each has a target of its own, so that none
    /// disturbs the watch over the ones that are kept already.
    async fn lane(
        &self,
        engine: &Engine,
        scope: &str,
        count: u32,
        baseline: Duration,
    ) -> anyhow::Result<Vec<(veritas::model::ChangeId, Option<Outcome>)>> {
        let optimizer = engine.optimizer();
        let mut offered: Vec<(veritas::model::ProposalId, Monotonic)> = Vec::new();
        let mut settled = Vec::new();
        for number in 0..count {
            while offered.len() < (number + AHEAD).min(count) as usize {
                let proposal = inert::proposal(scope, offered.len(), self.clock.now());
                offered.push((proposal.id.clone(), self.clock.monotonic()));
                optimizer.observe(Vec::new(), vec![proposal])?;
            }
            let (id, since) = &offered[number as usize];
            self.wait("a proof, and a baseline", || {
                let record = engine.sources().control.proposal(id)?;
                let is_proven = record.is_some_and(|record| matches!(record.state, ProposalState::Proven(_)));
                let is_read = self.clock.monotonic().since(*since) >= baseline;
                Ok((is_proven && is_read).then_some(()))
            })
            .await?;
            let change = optimizer.approve(id, "trial")?;
            engine.analyze_now();
            let change = self
                .wait("a verdict", || {
                    let change = engine.sources().control.change(&change.id)?;
                    Ok(change
                        .filter(|change| change.state.is_settled() || change.state == ChangeState::Reverting))
                })
                .await?;
            let outcome = change.live.as_ref().map(|live| live.outcome);
            if change.state != ChangeState::Kept {
                self.narrator.say(&format!("{scope} {number}: {} {}", change.state.as_str(), change.reason));
            } else if number % 10 == 9 {
                self.narrator.say(&format!("{scope}: {} changes that do nothing", number + 1));
            }
            settled.push((change.id, outcome));
        }
        Ok(settled)
    }

    async fn wait<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let since = self.clock.monotonic();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if self.clock.monotonic().since(since) > TO_SETTLE {
                bail!("gave up waiting for {what} after {} s", TO_SETTLE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes the planted harmful change once, with a ledger and a load of its own: what
    /// was taken back is not offered again.
    async fn harmful(&self, run: u32) -> anyhow::Result<TakenBack> {
        let database = self.place.join(DATABASE);
        if database.exists() {
            drop_our_indexes(&database)?;
        }
        let setting =
            Setting { data: format!("harmful-{run}"), ..Setting::demo(self.arguments.seed + u64::from(run)) };
        let stage = self.stage(setting).await.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        let told = story::tell_harmful(&stage.engine, &stage.load, self.narrator).await;
        stage.close().await;
        let change = told?;
        let (applied, settled) =
            change.applied_at.zip(change.settled_at).context("a reverted change has its times")?;
        Ok(TakenBack {
            seconds: settled.since(applied).as_secs_f64(),
            outcome: change.live.map(|live| live.outcome),
        })
    }
}

/// The window before each change, as in the demo.
fn demo_baseline() -> Duration {
    Setting::demo(0).optimizer.baseline_window
}

/// Plays one mix after the other, for ever.
async fn turn(load: &Load) -> std::convert::Infallible {
    loop {
        for mix in MIXES {
            load.set_mix(mix);
            tokio::time::sleep(EACH_MIX).await;
        }
    }
}

/// Undoes what a run left that did not end as it should.
fn drop_our_indexes(database: &Path) -> anyhow::Result<()> {
    let connection = dataset::sqlite::connect(database)?;
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'index'")?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
        connection.execute(&format!("DROP INDEX \"{name}\""), [])?;
    }
    Ok(())
}

struct Verdicts {
    no_ops: Vec<Fate>,
    harmful: Vec<Result<TakenBack, String>>,
    seconds: f64,
}

impl Verdicts {
    /// Prints the figures.
    ///
    /// # Errors
    ///
    /// When a goal is missed.
    #[expect(clippy::print_stdout, reason = "the figures are this command's data")]
    fn report(&self, arguments: &VerdictArguments) -> anyhow::Result<()> {
        let made = self.no_ops.len() as u64;
        let taken_back: Vec<_> = self.no_ops.iter().filter(|fate| fate.is_taken_back()).collect();
        let judged = self.no_ops.iter().filter(|fate| fate.is_judged()).count() as u64;
        let untouched: Vec<_> = self.harmful.iter().filter_map(|run| run.as_ref().err()).collect();
        let (false_reverts, misses) = (taken_back.len() as u64, untouched.len() as u64);
        let runs = self.harmful.len() as u64;
        let seconds: Vec<f64> =
            self.harmful.iter().filter_map(|run| Some(run.as_ref().ok()?.seconds)).collect();
        let slowest = seconds.iter().copied().fold(0.0, f64::max);
        let worse = self
            .harmful
            .iter()
            .filter(|run| run.as_ref().is_ok_and(|run| run.outcome == Some(Outcome::Worse)))
            .count();
        let (bound, missed_bound) = (upper_bound(false_reverts, made), upper_bound(misses, runs));
        if arguments.json {
            let reasons: Vec<_> = taken_back.iter().map(|fate| fate.change.reason.clone()).collect();
            let document = json!({
                "proof": "live-verdicts",
                "seed": arguments.seed,
                "windows_seconds": {
                    "baseline": demo_baseline().as_secs(),
                    "watch": arguments.window,
                    "regression": arguments.regression,
                },
                "no_ops": {
                    "changes": made,
                    "judged": judged,
                    "false_reverts": false_reverts,
                    "rate": share(false_reverts, made),
                    "rate_upper_bound_95": bound,
                    "reasons": reasons,
                },
                "harmful": {
                    "runs": runs,
                    "reverted": runs - misses,
                    "found_worse": worse,
                    "miss_rate_upper_bound_95": missed_bound,
                    "slowest_seconds": slowest,
                    "seconds": seconds,
                    "missed": untouched,
                },
                "seconds": self.seconds,
            });
            println!("{}", serde_json::to_string_pretty::<Value>(&document)?);
        } else {
            println!(
                "windows: {} s before, {} s after, {} s once kept; the mix of the load turns every {} s; seed {}",
                demo_baseline().as_secs(),
                arguments.window,
                arguments.regression,
                EACH_MIX.as_secs(),
                arguments.seed,
            );
            println!(
                "changes that do nothing: {made}, judged {judged}, taken back {false_reverts} = {:.2} % (95 % upper bound {:.2} %)",
                share(false_reverts, made) * 100.0,
                bound * 100.0,
            );
            for fate in &taken_back {
                println!("  {} {}", fate.change.state.as_str(), fate.change.reason);
            }
            println!(
                "the harmful change, with the demo's windows: {runs} runs, reverted {} ({worse} found worse), slowest {slowest:.1} s after it was applied (95 % upper bound of a miss {:.1} %)",
                runs - misses,
                missed_bound * 100.0,
            );
            for reason in &untouched {
                println!("  missed: {reason}");
            }
            println!("{:.0} s", self.seconds);
        }
        if share(false_reverts, made) > GOAL {
            bail!("{false_reverts} of {made} changes that do nothing were taken back: more than 1 %");
        }
        if made > 0 && share(judged, made) < JUDGED {
            bail!("only {judged} of {made} changes that do nothing were judged");
        }
        if misses > 0 {
            bail!("{misses} of {runs} harmful changes were not taken back");
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
