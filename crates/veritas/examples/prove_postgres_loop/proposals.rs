//! Whatever the advisor proposes for drawn workloads is proven, approved and applied; then the load is replayed.

use std::time::Duration;

use veritas::{
    Engine,
    model::{Change, ChangeState, Plan, ProposalState},
};
use veritas_statistics::Rng;
use veritas_testkit::{Database, Postgres, data_dir};

use super::{
    load::{Load, Recorded, connect},
    pairs::{Effect, replay},
    stage::{APPROVER, Failure, Windows, clock, database, engine, pause, server, unsettled},
    world::World,
};

/// How much is proven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Proposals that are applied at least.
    pub(crate) applied: usize,
    /// Tables of each database.
    pub(crate) tables: usize,
    /// Databases that one engine looks at, at the same time.
    pub(crate) databases: usize,
    /// How long an engine may take to find nothing more to propose.
    pub(crate) longest: Duration,
    pub(crate) seed: u64,
}

/// The load before a change, and after it.
const WINDOWS: Windows =
    Windows { baseline: Duration::from_secs(4), watch: Duration::from_secs(6), looks: 6 };
/// Without anything new for so long, an engine is done.
const QUIET: Duration = Duration::from_secs(12);
/// Engines one after the other that may apply nothing: a machine may be too busy for a while.
const MOST_IDLE: u32 = 3;
/// How long what was approved may take to be settled in the end.
const TO_SETTLE: Duration = Duration::from_mins(2);

/// What became of all proposals.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) databases: usize,
    pub(crate) statements: usize,
    pub(crate) proposed: usize,
    pub(crate) not_proven: usize,
    /// Proposed or proven when the time of their engine was over.
    pub(crate) left: usize,
    pub(crate) applied: usize,
    pub(crate) kept: usize,
    /// Kept because the live load was found to cost less, and not for want of calls.
    pub(crate) improved: usize,
    /// Reasons of what the watch took back.
    pub(crate) taken_back: Vec<String>,
    /// Reasons of what could not be applied.
    pub(crate) failed: Vec<String>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) seconds: f64,
}

impl Tally {
    /// Returns what regressed on replay, in words.
    pub(crate) fn regressions(&self) -> impl Iterator<Item = &String> {
        self.effects.iter().flat_map(|effect| &effect.regressions)
    }

    /// Says all of it, a line for each figure.
    pub(crate) fn report(&self) -> String {
        let sum = |of: fn(&Effect) -> usize| self.effects.iter().map(of).sum::<usize>();
        let pages = |side: fn(&Effect) -> f64| self.effects.iter().map(side).sum::<f64>();
        let (without, with) = (pages(|effect| effect.pages.0), pages(|effect| effect.pages.1));
        let mut lines = vec![
            format!("{} databases, {} statements, {:.0} s", self.databases, self.statements, self.seconds),
            format!(
                "proposals: {}; not proven: {}; left when the time of their engine was over: {}; could not be applied: {}",
                self.proposed,
                self.not_proven,
                self.left,
                self.failed.len()
            ),
            format!(
                "applied: {}; kept: {} ({} of them since the live load was found to cost less); taken back by the watch: {}",
                self.applied,
                self.kept,
                self.improved,
                self.taken_back.len()
            ),
            format!(
                "replayed: {} indexes, {} statements, {} pairs; reads a tenth cheaper or more: {}; writes dearer by as much: {}",
                self.effects.len(),
                sum(|effect| effect.statements),
                sum(|effect| effect.pairs),
                sum(|effect| effect.cheaper),
                sum(|effect| effect.dearer_writes)
            ),
            format!(
                "pages of the loads without an index and with it, summed over the indexes: {without:.0} -> {with:.0} ({:+.1} %)",
                (with / without.max(1.0) - 1.0) * 100.0
            ),
            format!("reads with more pages and less time: {}", sum(|effect| effect.more_pages_less_time)),
            format!("regressions on replay: {}", self.regressions().count()),
        ];
        lines.extend(self.regressions().map(|why| format!("  {why}")));
        lines.extend(self.taken_back.iter().map(|why| format!("taken back: {why}")));
        lines.extend(self.failed.iter().map(|why| format!("not applied: {why}")));
        lines.join("\n")
    }
}

/// Goes on until enough proposals are applied.
pub(crate) fn prove(extent: Extent, say: &dyn Fn(&str)) -> Result<Tally, Failure> {
    let server = server("");
    let clock = clock();
    let started = clock.monotonic();
    let mut rng = Rng::new(extent.seed);
    let mut tally = Tally::default();
    let (mut wave, mut idle) = (0, 0);
    while tally.applied < extent.applied {
        wave += 1;
        let before = tally.applied;
        play(&server, extent, wave, &mut rng, &mut tally)?;
        say(&format!(
            "{} databases: {} proposed, {} applied, {} kept, {} regressions; {:.0} s",
            tally.databases,
            tally.proposed,
            tally.applied,
            tally.kept,
            tally.regressions().count(),
            clock.monotonic().since(started).as_secs_f64()
        ));
        idle = if tally.applied == before { idle + 1 } else { 0 };
        if idle == MOST_IDLE {
            return Err(format!("{MOST_IDLE} engines applied nothing at all").into());
        }
    }
    tally.seconds = clock.monotonic().since(started).as_secs_f64();
    Ok(tally)
}

/// A database with its load.
struct Played {
    name: String,
    database: Database,
    world: World,
    load: Load,
}

/// One engine, from its first reading until it has nothing more to propose.
fn play(
    server: &Postgres,
    extent: Extent,
    wave: usize,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let directory = data_dir();
    let drawn: Vec<(String, World, Database)> = (0..extent.databases)
        .map(|number| {
            let name = format!("w{wave}d{number}");
            // Names of tables differ from database to database, since the recorder is one.
            let world = World::draw(&name, extent.tables, rng);
            let database = database(server, &world.schema);
            (name, world, database)
        })
        .collect();
    let targets: Vec<(String, String)> =
        drawn.iter().map(|(name, _, database)| (name.clone(), database.url())).collect();
    let engine = engine(directory.path(), &targets, WINDOWS)?;
    let played: Vec<Played> = drawn
        .into_iter()
        .map(|(name, world, database)| {
            let recorder = std::sync::Arc::clone(engine.database());
            let load = Load::start(&database.url(), &world.statements, recorder, rng.next_u64());
            Played { name, database, world, load }
        })
        .collect();
    approve_all(&engine, extent)?;
    let changes = engine.optimizer().changes()?;
    for record in engine.optimizer().proposals()? {
        tally.proposed += 1;
        match record.state {
            ProposalState::NotProven(_)
                if !changes.iter().any(|change| change.proposal == record.proposal.id) =>
            {
                tally.not_proven += 1;
            }
            ProposalState::Proposed | ProposalState::Proven(_) => tally.left += 1,
            _ => {}
        }
    }
    drop(engine);
    for played in played {
        tally.databases += 1;
        tally.statements += played.world.statements.len();
        let of_database = changes.iter().filter(|change| change.plan.target == played.name);
        let of_database: Vec<&Change> = of_database.collect();
        tally.count(&of_database);
        let recorded = played.load.end()?;
        tally.effects.extend(replay_all(&played.database, &played.world, &recorded, &of_database, rng)?);
    }
    Ok(())
}

/// Approves whatever is proven until there is enough, nothing new comes, or the time is over; then
/// waits for what was approved.
fn approve_all(engine: &Engine, extent: Extent) -> Result<(), Failure> {
    let clock = clock();
    let started = clock.monotonic();
    let (mut known, mut last_new) = (0, started);
    let optimizer = engine.optimizer();
    loop {
        let now = clock.monotonic();
        let is_enough = optimizer.changes()?.len() >= extent.applied;
        let is_over = is_enough || now.since(started) >= extent.longest;
        let proposals = optimizer.proposals()?;
        if proposals.len() > known {
            (known, last_new) = (proposals.len(), now);
        }
        let mut is_busy = !unsettled(engine)?.is_empty();
        for record in proposals {
            match record.state {
                ProposalState::Proven(_) if !is_over => {
                    optimizer.approve(&record.proposal.id, APPROVER)?;
                    is_busy = true;
                }
                ProposalState::Proposed => is_busy |= !is_over,
                _ => {}
            }
        }
        if is_busy {
            last_new = last_new.max(now);
        }
        if !is_busy && (is_over || (known > 0 && now.since(last_new) >= QUIET)) {
            return Ok(());
        }
        if now.since(started) >= extent.longest + TO_SETTLE {
            return Err(format!("not settled: {:?}", unsettled(engine)?).into());
        }
        pause(Duration::from_millis(100));
    }
}

impl Tally {
    fn count(&mut self, changes: &[&Change]) {
        for change in changes {
            let is_applied = change.applied_at.is_some();
            self.applied += usize::from(is_applied);
            match change.state {
                ChangeState::Kept => {
                    self.kept += 1;
                    self.improved +=
                        usize::from(change.reason.contains("costs") && change.reason.contains("less"));
                }
                _ if is_applied => self.taken_back.push(format!("{}: {}", change.summary, change.reason)),
                _ => self.failed.push(format!("{}: {}", change.summary, change.reason)),
            }
        }
    }
}

/// Replays the load for each change that is kept, in the order in which they were made.
fn replay_all(
    database: &Database,
    world: &World,
    recorded: &[Recorded],
    changes: &[&Change],
    rng: &mut Rng,
) -> Result<Vec<Effect>, Failure> {
    let mut kept: Vec<&Change> =
        changes.iter().copied().filter(|change| change.state == ChangeState::Kept).collect();
    kept.sort_by_key(|change| change.applied_at);
    let statements: Vec<_> = world.statements.iter().zip(recorded).collect();
    // As its own vacuum would leave it.
    database.psql("VACUUM (ANALYZE)");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = connect(&database.url()).await?;
        let mut effects = Vec::new();
        for (at, change) in kept.iter().enumerate() {
            let later: Vec<&Plan> = kept[at + 1..].iter().map(|change| &change.plan).collect();
            effects.push(replay(&mut client, &change.plan, &later, &statements, rng).await?);
        }
        Ok(effects)
    })
}
