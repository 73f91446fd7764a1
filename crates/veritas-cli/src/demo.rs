//! `veritas demo`: a small real service with planted flaws, under real load,
//! with the engine inside.

mod dataset;
mod kills;
mod load;
mod narrator;
mod pool;
mod proportion;
mod report;
mod service;
mod story;
mod trials;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::sync::oneshot;
use veritas::{
    Engine, PostgresOptions,
    api::{
        self, Limits,
        auth::{Authenticator, KeySet, Revocations, Role, TokenAuthenticator, TokenOptions},
        serve::{Bound, ServeOptions},
    },
    cache_advisor::{AdvisorOptions, ProofOptions},
    model::{Bytes, ChangeKind, Clock, Mode, SystemClock},
    optimize::OptimizerOptions,
    postgres::{scratch::ScratchPlace, session::ConnectOptions},
    redis::{RedisOptions, RedisTier, TieredCaches},
};

use crate::{
    arguments::{DemoArguments, ProveCommand},
    failure::Failure,
    serve, signals,
};

use load::{Load, Mix};
use narrator::Narrator;
use pool::Pool;
use report::Report;
use service::Service;

/// The file of the demo's database in its place.
const DATABASE: &str = "demo.db";
/// The name of the demo's database among the engine's targets.
const TARGET: &str = "demo";

/// Runs `veritas demo`.
pub(crate) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    block_on(play(arguments))
}

/// Runs `veritas prove …`: what the demo shows once, many times, and counted.
pub(crate) fn prove(command: &ProveCommand) -> Result<(), Failure> {
    match command {
        ProveCommand::LiveVerdicts(arguments) => block_on(trials::run(arguments)),
        ProveCommand::Kill(arguments) => block_on(kills::run(arguments)),
        ProveCommand::Stage(arguments) => block_on(kills::stage(arguments)),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let done = runtime.block_on(work);
    // A request that is being worked on is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(2));
    done
}

async fn play(arguments: &DemoArguments) -> Result<(), Failure> {
    let stop = signals::stop_requested().context("failed to listen for signals")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let narrator = Narrator::new(Arc::clone(&clock));
    let place = Place::open(arguments.data_dir.as_deref())?;
    let bound = serve::bind(arguments.listen).await?;
    let mut stop = std::pin::pin!(stop);
    let redis = arguments.redis.as_deref().map(RedisOptions::parse).transpose().map_err(|error| {
        Failure::new(Failure::USAGE, error, "write for example --redis redis://127.0.0.1:6379")
    })?;
    let postgres = arguments.postgres.as_deref().map(dataset::postgres::in_schema);
    let setting = Setting { redis, postgres, ..Setting::demo(arguments.seed) };
    let stage = tokio::select! {
        stage = Stage::build(setting, &place.path, bound, &clock, &narrator) => stage?,
        () = &mut stop => return Ok(()),
    };
    let told = tokio::select! {
        told = stage.tell(&narrator) => Some(told),
        () = &mut stop => None,
    };
    let report = match told {
        Some(Ok(report)) => report,
        Some(Err(error)) => {
            narrator.end();
            stage.close().await;
            return Err(Failure::new(
                Failure::GENERAL,
                error,
                "a machine that is very busy may be too slow for the demo's time limits: try again",
            ));
        }
        None => {
            narrator.end();
            stage.close().await;
            return Ok(());
        }
    };
    narrator.say(&format!("told in {:.0} s", report.total_seconds));
    narrator.end();
    report.print(arguments.json)?;
    if !arguments.once {
        serve::greet(stage.address, &stage.keys, &*clock)?;
        eprintln!("the service, the load and the engine go on; Ctrl-C ends them");
        stop.await;
    }
    stage.close().await;
    Ok(())
}

/// Where the demo's files are; a temporary place is removed at the end.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn open(asked_for: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = asked_for {
            std::fs::create_dir_all(path).with_context(|| format!("failed to create {}", path.display()))?;
            return Ok(Self { path: path.to_owned(), _temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("veritas-demo-").tempdir().map_err(|error| {
            Failure::new(
                Failure::GENERAL,
                error,
                "the demo needs some 200 MB: name a directory with --data-dir",
            )
        })?;
        Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary) })
    }
}

/// What a stage is built with.
#[derive(Debug, Clone)]
struct Setting {
    /// Seed of the dataset and of the load.
    seed: u64,
    /// The folder of the engine's data in the stage's place.
    data: String,
    /// The second tier of the author cache; `None`: it has only the process.
    redis: Option<RedisOptions>,
    /// The `PostgreSQL` database that is used instead of `SQLite`.
    postgres: Option<String>,
    optimizer: OptimizerOptions,
    advice: AdvisorOptions,
    analysis_interval: Duration,
    sampling_interval: Duration,
    limits: Limits,
}

impl Setting {
    /// The demo's own.
    fn demo(seed: u64) -> Self {
        let optimizer = OptimizerOptions {
            modes: [(ChangeKind::IndexCreate, Mode::Approve), (ChangeKind::CacheStart, Mode::Approve)].into(),
            baseline_window: Duration::from_secs(10),
            watch_window: Duration::from_secs(12),
            watch_looks: 6,
            regression_watch: Duration::from_mins(1),
            regression_looks: 20,
            ..OptimizerOptions::default()
        };
        // Half a minute of load is all that there is.
        let advice = AdvisorOptions {
            fewest_look_ups: 100,
            shortest_observation: Duration::from_secs(5),
            steady_for: Duration::from_secs(2),
            proof: ProofOptions {
                windows: 12,
                look_ups_per_window: 5,
                shortest: Duration::from_secs(4),
                ..ProofOptions::default()
            },
            ..AdvisorOptions::default()
        };
        Self {
            seed,
            data: "veritas".to_owned(),
            redis: None,
            postgres: None,
            optimizer,
            advice,
            analysis_interval: Duration::from_secs(1),
            sampling_interval: Duration::from_secs(1),
            limits: Limits::loopback(),
        }
    }
}

/// The running service, engine and load.
struct Stage {
    engine: Arc<Engine>,
    load: Load,
    address: SocketAddr,
    keys: KeySet,
    dataset_seconds: f64,
    seed: u64,
    postgres: Option<String>,
    stop_serving: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
}

impl Stage {
    async fn build(
        setting: Setting,
        place: &Path,
        bound: Bound,
        clock: &Arc<dyn Clock>,
        narrator: &Narrator,
    ) -> Result<Self, Failure> {
        let Setting { seed, limits, redis, .. } = setting.clone();
        let database = place.join(DATABASE);
        let postgres = setting.postgres.clone();
        let dataset_seconds = match &postgres {
            Some(url) => build_in_postgres(url, seed, narrator).await?,
            None => build_dataset(&database, seed, narrator).await?,
        };
        let engine = Arc::new(start_engine(setting, place, &database, clock)?);
        let keys_path = engine.data_dir().context("the demo has a data directory")?.keys_path();
        let load_keys =
            || KeySet::load_or_create(&keys_path, &**clock).context("failed to make a signing key");
        let revocations =
            Revocations::load(Arc::clone(&engine.sources().control)).context("failed to read the ledger")?;
        let authenticator: Arc<dyn Authenticator> = Arc::new(TokenAuthenticator::own_keys(
            load_keys()?,
            TokenOptions::default(),
            Arc::new(revocations),
            Arc::clone(clock),
        ));

        let api = api::server(Arc::clone(engine.sources()), authenticator, limits);
        let tiers = redis.map(|options| second_tier(options, &engine, narrator)).transpose()?;
        let pool = match &postgres {
            Some(url) => Pool::postgres(url).await,
            None => Pool::sqlite(&database).map_err(anyhow::Error::new),
        };
        let pool = pool.context("failed to open the demo's database")?;
        let service = Service::new(pool, &engine, tiers.as_ref());
        let address = bound.address;
        let (stop_serving, stopped) = oneshot::channel();
        let router = api.merge(service.router());
        let serving = tokio::spawn(async move {
            let stopped = async {
                // An error means that the stage is gone, which ends the server as well.
                stopped.await.ok();
            };
            bound.serve(router, ServeOptions::default(), stopped).await;
        });
        let address_path = engine.data_dir().context("the demo has a data directory")?.address_path();
        serve::announce(address, &address_path)?;
        let keys = load_keys()?;
        let token = keys.issue("first-look", Role::Viewer, Duration::from_hours(1), &**clock)?.token;
        narrator.say(&format!(
            "look on with: curl -H 'Authorization: Bearer {token}' http://{address}/api/v1/performance/findings"
        ));
        let load = Load::start(address, Mix::READS, seed);
        narrator.say(&format!(
            "load: {:.0} requests a second at the demo's service, over HTTP",
            Mix::READS.requests_per_second()
        ));
        Ok(Self { engine, load, address, keys, dataset_seconds, seed, postgres, stop_serving, serving })
    }

    async fn tell(&self, narrator: &Narrator) -> anyhow::Result<Report> {
        let telling = story::tell(&self.engine, &self.load, narrator);
        let watching = self.show_load(narrator);
        let story = tokio::select! {
            story = telling => story?,
            () = watching => unreachable!("the load is shown for ever"),
        };
        Ok(Report::of(story, &self.load, self.address, self.seed, self.dataset_seconds, narrator.seconds()))
    }

    /// Keeps the live line up to date, for ever.
    async fn show_load(&self, narrator: &Narrator) {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let latencies = self.load.take_latencies();
            #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
            let p99 = latencies.quantile(0.99).unwrap_or_default() as f64 / 1e6;
            narrator.show(format!("{:4} requests/s, p99 {p99:.1} ms", latencies.count() * 2));
        }
    }

    async fn close(self) {
        drop(self.load);
        self.stop_serving.send(()).ok();
        // The server drains within its own limit.
        self.serving.await.ok();
        let engine = self.engine;
        tokio::task::spawn_blocking(move || drop(engine)).await.ok();
        if let Some(url) = self.postgres {
            let cleared = async {
                let client = dataset::postgres::connect(&url).await?;
                dataset::postgres::clear(&client).await
            };
            if let Err(error) = cleared.await {
                eprintln!("the schema {} was left behind: {error:#}", dataset::postgres::SCHEMA);
            }
        }
    }
}

/// Puts Redis behind the engine's caches. One that does not answer is no failure: it is used
/// as soon as it does.
fn second_tier(options: RedisOptions, engine: &Engine, narrator: &Narrator) -> anyhow::Result<TieredCaches> {
    let place = options.topology.to_string();
    let clock = Arc::clone(&engine.sources().clock);
    let tier = RedisTier::connect(options, Arc::clone(&clock)).context("failed to begin with Redis")?;
    narrator.say(&match tier.get_blocking(b"veritas:demo") {
        Ok(_) => format!("authors are cached in the process and in Redis at {place}"),
        Err(error) => {
            format!("Redis at {place} does not answer ({error}): authors are cached in the process")
        }
    });
    Ok(TieredCaches::new(Arc::clone(engine.caches()), tier, clock))
}

async fn build_dataset(path: &Path, seed: u64, narrator: &Narrator) -> anyhow::Result<f64> {
    let started = narrator.seconds();
    if path.exists() {
        narrator.say("using the database that is there");
        return Ok(0.0);
    }
    let (progress, mut heard) = tokio::sync::watch::channel(0.0_f64);
    let (at, unfinished) = (path.to_owned(), path.with_extension("unfinished"));
    let building = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        // What an interrupted run left is half a database: it never gets the real name.
        for suffix in ["", "-wal", "-shm"] {
            let mut left = unfinished.clone().into_os_string();
            left.push(suffix);
            match std::fs::remove_file(&left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        dataset::sqlite::build(&unfinished, seed, |share| {
            // Nobody listening is no reason to stop.
            progress.send(share).ok();
        })?;
        Ok(std::fs::rename(&unfinished, &at)?)
    });
    while heard.changed().await.is_ok() {
        let share = *heard.borrow();
        narrator.show(format!("filling the database: {:.0} %", share * 100.0));
    }
    building.await?.context("failed to fill the demo's database")?;
    let seconds = narrator.seconds() - started;
    narrator.say(&format!(
        "a SQLite database with {} rows of content and {} verifications, filled in {seconds:.1} s",
        dataset::CONTENT_ROWS,
        dataset::VERIFICATIONS
    ));
    Ok(seconds)
}

/// Fills a schema of a `PostgreSQL` database; it is dropped when the stage is closed.
async fn build_in_postgres(url: &str, seed: u64, narrator: &Narrator) -> anyhow::Result<f64> {
    let started = narrator.seconds();
    let (progress, mut heard) = tokio::sync::watch::channel(0.0_f64);
    let client = dataset::postgres::connect(url).await?;
    let runtime = tokio::runtime::Handle::current();
    let building = tokio::task::spawn_blocking(move || {
        dataset::postgres::build(&runtime, &client, seed, |share| {
            // Nobody listening is no reason to stop.
            progress.send(share).ok();
        })
    });
    while heard.changed().await.is_ok() {
        let share = *heard.borrow();
        narrator.show(format!("filling the database: {:.0} %", share * 100.0));
    }
    building.await?.context("failed to fill the demo's tables")?;
    dataset::postgres::analyze(url).await?;
    let seconds = narrator.seconds() - started;
    narrator.say(&format!(
        "the schema {} with {} rows of content and {} verifications, filled in {seconds:.1} s",
        dataset::postgres::SCHEMA,
        dataset::CONTENT_ROWS,
        dataset::VERIFICATIONS
    ));
    Ok(seconds)
}

/// Looks often, since half a minute of load is all that there is, and proves beside the demo's tables.
/// Room for all indexes of the story, whatever columns they carry.
const INDEX_BUDGET: Bytes = Bytes::new(64 << 20);

fn postgres_target(url: &str) -> PostgresOptions {
    PostgresOptions {
        scratch: ScratchPlace::SameServer,
        index_budget: Some(INDEX_BUDGET),
        interval: Duration::from_secs(2),
        ..PostgresOptions::new(ConnectOptions::new(url))
    }
}

fn start_engine(
    setting: Setting,
    place: &Path,
    database: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<Engine, Failure> {
    let mut builder = Engine::builder()
        .clock(Arc::clone(clock))
        .exclusive_data_dir(place.join(setting.data))
        .sampling_interval(setting.sampling_interval)
        .analysis_interval(setting.analysis_interval)
        .optimizer(setting.optimizer)
        .cache_advice(setting.advice);
    builder = match &setting.postgres {
        Some(url) => builder.postgres(TARGET, postgres_target(url)),
        None => builder.sqlite(TARGET, database),
    };
    if let Some(redis) = setting.redis {
        builder = builder.redis_server(redis);
    }
    builder.start().map_err(|error| {
        let hint = error.hint();
        Failure::new(Failure::DATA_DIRECTORY, error, hint)
    })
}
