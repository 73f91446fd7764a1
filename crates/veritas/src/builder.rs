//! The builder: what an engine is made of, and where it keeps what must last.

use std::{path::PathBuf, sync::Arc, time::Duration};

use veritas_alert::Alerts;
use veritas_api::Sources;
use veritas_cache::{CacheOptions, Caches};
use veritas_cache_advisor::AdvisorOptions;
use veritas_database::{Recorder, RecorderOptions};
use veritas_model::{AlertRule, Clock, Condition, Health, Mode, SystemClock};
use veritas_monitor::{Monitor, Sampler, SamplerOptions};
use veritas_optimize::{Optimizer, OptimizerOptions};
use veritas_store::{History, HistoryOptions};

use crate::{
    Engine, StartError,
    analysis::{Advisor, Analysis},
    caching::Caching,
    sampling::Sampling,
    storage::{self, Ownership, Storage},
    worker::Worker,
};

/// Builds an [`Engine`]. Every option has a default.
#[derive(Debug)]
pub struct EngineBuilder {
    clock: Arc<dyn Clock>,
    data_dir: Option<(PathBuf, Ownership)>,
    sampling_interval: Duration,
    analysis_interval: Duration,
    sampler: SamplerOptions,
    history: HistoryOptions,
    rules: Vec<AlertRule>,
    recorder: RecorderOptions,
    caches: CacheOptions,
    advice: AdvisorOptions,
    optimizer: OptimizerOptions,
    targets: Vec<Target>,
    #[cfg(feature = "mysql")]
    mysql: Vec<(String, crate::MySqlOptions)>,
    #[cfg(feature = "postgres")]
    postgres: Vec<(String, crate::PostgresOptions)>,
    #[cfg(feature = "redis")]
    redis: Option<veritas_redis::RedisOptions>,
}

/// A database that the engine advises on.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            data_dir: None,
            sampling_interval: Duration::from_secs(1),
            analysis_interval: Duration::from_secs(5),
            sampler: SamplerOptions::default(),
            history: HistoryOptions::default(),
            rules: veritas_alert::default_rules(),
            recorder: RecorderOptions::default(),
            caches: CacheOptions::default(),
            advice: AdvisorOptions::default(),
            optimizer: OptimizerOptions::default(),
            targets: Vec::new(),
            #[cfg(feature = "mysql")]
            mysql: Vec::new(),
            #[cfg(feature = "postgres")]
            postgres: Vec::new(),
            #[cfg(feature = "redis")]
            redis: None,
        }
    }
}

impl EngineBuilder {
    /// Tells the time by `clock` (default: the machine's).
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps history, the ledger and alert states in a directory (default: in
    /// memory only). When another engine owns it, this one runs in memory only
    /// and says so in its [health](Engine::health).
    ///
    /// Needs the feature `persist`.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some((path.into(), Ownership::Optional));
        self
    }

    /// Like [`Self::data_dir`], but an engine that cannot own the directory does not start.
    #[must_use]
    pub fn exclusive_data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some((path.into(), Ownership::Required));
        self
    }

    /// Reads the machine and evaluates alerts every `interval` (default 1 s).
    #[must_use]
    pub const fn sampling_interval(mut self, interval: Duration) -> Self {
        self.sampling_interval = interval;
        self
    }

    /// Looks for findings, and takes one step of optimization, every `interval` (default 5 s).
    #[must_use]
    pub const fn analysis_interval(mut self, interval: Duration) -> Self {
        self.analysis_interval = interval;
        self
    }

    /// Sets what the sampler reads.
    #[must_use]
    pub fn sampler(mut self, options: SamplerOptions) -> Self {
        self.sampler = options;
        self
    }

    /// Sets how much history is kept.
    #[must_use]
    pub const fn history(mut self, options: HistoryOptions) -> Self {
        self.history = options;
        self
    }

    /// Sets the alert rules that hold until others are stored (default: the three of the contract).
    #[must_use]
    pub fn rules(mut self, rules: Vec<AlertRule>) -> Self {
        self.rules = rules;
        self
    }

    /// Sets how statements are recorded.
    #[must_use]
    pub fn recorder(mut self, options: RecorderOptions) -> Self {
        self.recorder = options;
        self
    }

    /// Sets how much the caches hold.
    #[must_use]
    pub fn caches(mut self, options: CacheOptions) -> Self {
        self.caches = options;
        self
    }

    /// Sets how the caches are watched, and from when on something is said about them.
    #[must_use]
    pub fn cache_advice(mut self, options: AdvisorOptions) -> Self {
        self.advice = options;
        self
    }

    /// Sets what may be changed, and how changes are verified. Without a data directory
    /// of its own an engine changes nothing: every kind is only reported, and the
    /// [health](Engine::health) says so.
    #[must_use]
    pub fn optimizer(mut self, options: OptimizerOptions) -> Self {
        self.optimizer = options;
        self
    }

    /// Advises on a `SQLite` database, whose statements the recorder sees.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn sqlite(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.targets.push(Target { name: name.into(), path: path.into() });
        self
    }

    /// Looks at a `PostgreSQL` database, says what is wrong with it, and advises on its
    /// indexes by the statements that the server counts and those that the recorder sees.
    /// What its role needs: `veritas_postgres::grants`.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn postgres(mut self, name: impl Into<String>, options: crate::PostgresOptions) -> Self {
        self.postgres.push((name.into(), options));
        self
    }

    /// Looks at a `MariaDB` or `MySQL` database, and says what is wrong with it and, where copies
    /// are allowed, which indexes would help. What its user needs: the guide to `MariaDB`.
    #[cfg(feature = "mysql")]
    #[must_use]
    pub fn mysql(mut self, name: impl Into<String>, options: crate::MySqlOptions) -> Self {
        self.mysql.push((name.into(), options));
        self
    }

    /// Looks at a Redis server every ten seconds, and says what is wrong with it. It needs few
    /// rights: see the page of `veritas_redis::server`. The caches do not use it: for
    /// that, see `veritas_redis::TieredCaches`.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis_server(mut self, options: veritas_redis::RedisOptions) -> Self {
        self.redis = Some(options);
        self
    }

    /// Starts the engine: opens what must last, recovers what a crash left, and
    /// starts the threads `veritas-sampler`, `veritas-optimizer` and `veritas-prover`.
    ///
    /// # Errors
    ///
    /// [`StartError`]: a required data directory that cannot be owned or read, a
    /// ledger that cannot be recovered, or a system that refuses threads. An
    /// optional part that cannot start only degrades the [health](Engine::health).
    pub fn start(self) -> Result<Engine, StartError> {
        let clock = self.clock;
        let health = Arc::new(Health::default());
        let storage = Storage::open(self.data_dir, &clock)?;
        storage.report(&health);

        let history = Arc::new(open_history(&storage, self.history, &health)?);
        let alerts = Alerts::load(Arc::clone(storage.control()), self.rules)
            .map_err(|source| StartError::Alerts { source })?
            .with_health(Arc::clone(&health));
        let recorder = Arc::new(Recorder::new(self.recorder, Arc::clone(&clock)));
        let options = permitted(self.optimizer, &storage, &health);
        let optimizer = Optimizer::new(Arc::clone(storage.control()), Arc::clone(&clock), options)
            .with_health(Arc::clone(&health));
        let optimizer = Arc::new(optimizer);
        #[cfg_attr(
            not(any(feature = "mysql", feature = "postgres", feature = "redis")),
            expect(unused_mut, reason = "a server adds an advisor")
        )]
        let mut advisors = register_targets(&self.targets, &recorder, &optimizer, &storage, &clock, &health);
        let database_servers = Arc::default();
        #[cfg(feature = "postgres")]
        let postgres =
            crate::postgres_target::register(self.postgres, &database_servers, &recorder, &optimizer, &clock);
        let caches = Arc::new(Caches::new(self.caches, Arc::clone(&clock)));
        let caching = Caching::start(self.advice, &caches, &optimizer, &clock);
        optimizer.recover().map_err(|source| StartError::Recover { source })?;
        caching.reinstate(&optimizer);

        let sources = Arc::new(Sources {
            version: env!("CARGO_PKG_VERSION"),
            caches,
            cache_advisor: caching.advisor,
            cache_server: Arc::default(),
            database_servers,
            database: recorder,
            monitor: Arc::new(Monitor::new()),
            history,
            alerts: Arc::new(alerts),
            optimizer,
            control: Arc::clone(storage.control()),
            clock: Arc::clone(&clock),
            health: Arc::clone(&health),
        });

        let mut sampling = Sampling::new(Arc::clone(&sources), Sampler::open(self.sampler));
        let sampling_interval = self.sampling_interval;
        let sampler = Worker::start(
            "sampler",
            Arc::clone(&clock),
            Arc::clone(&health),
            move || sampling_interval,
            move || sampling.tick(),
        )
        .map_err(|source| StartError::Thread { name: "sampler", source })?;
        #[cfg(feature = "tracing")]
        let layer_taken = crate::visibility::LayerTaken::default();
        #[cfg(feature = "redis")]
        let redis = match self.redis {
            Some(options) => {
                advisors.push(crate::server_watch::advisor(&sources));
                Some(watch_server(options, &sources)?)
            }
            None => None,
        };
        #[cfg(feature = "postgres")]
        let postgres = start_postgres(postgres, &sources, &mut advisors)?;
        #[cfg(feature = "mysql")]
        let mysql = crate::mysql_target::start_all(self.mysql, &sources, &mut advisors)?;
        let prover = start_prover(&sources, self.analysis_interval)?;
        let mut analysis = Analysis::new(
            Arc::clone(&sources),
            advisors,
            prover.waker(),
            #[cfg(feature = "tracing")]
            crate::visibility::Watch::new(layer_taken.clone()),
        );
        let analysis_interval = self.analysis_interval;
        let optimizer =
            Worker::start("optimizer", clock, health, move || analysis_interval, move || analysis.step())
                .map_err(|source| StartError::Thread { name: "optimizer", source })?;
        sources.health.set("engine", Condition::Ready);
        Ok(Engine {
            sampler,
            optimizer,
            _prover: prover,
            #[cfg(feature = "mysql")]
            _mysql: mysql,
            #[cfg(feature = "postgres")]
            _postgres: postgres,
            #[cfg(feature = "redis")]
            _redis: redis,
            sources,
            storage,
            #[cfg(feature = "tracing")]
            layer_taken,
        })
    }
}

/// Starts the thread that proves what was proposed, one proposal a turn.
fn start_prover(sources: &Arc<Sources>, interval: Duration) -> Result<Worker, StartError> {
    let (clock, health) = (Arc::clone(&sources.clock), Arc::clone(&sources.health));
    let sources = Arc::clone(sources);
    let prove = move || {
        let condition = match sources.optimizer.prove() {
            Ok(_) => Condition::Ready,
            Err(error) => Condition::Degraded(error.to_string()),
        };
        sources.health.set("proofs", condition);
    };
    Worker::start("prover", clock, health, move || interval, prove)
        .map_err(|source| StartError::Thread { name: "prover", source })
}

/// Opens the history. Where the data directory is optional, one that cannot be opened is
/// replaced by memory: the application starts.
fn open_history(
    storage: &Storage,
    options: HistoryOptions,
    health: &Arc<Health>,
) -> Result<History, StartError> {
    let Some(path) = storage.history_path() else { return Ok(History::in_memory(options.head_points)) };
    match History::open(&path, options, Arc::clone(health)) {
        Ok(history) => Ok(history),
        Err(source) if storage.is_required() => Err(StartError::History { source }),
        Err(error) => {
            let reason = format!("runs in memory only: {}", storage::chain(&error));
            tracing::warn!(%reason, path = %path.display(), "the history is not recorded");
            health.set("history", Condition::Degraded(reason));
            Ok(History::in_memory(options.head_points))
        }
    }
}

/// Permits no change where the ledger does not last: a crash would leave the change
/// without its inverse, and the owner of the directory may act on the same targets.
fn permitted(mut options: OptimizerOptions, storage: &Storage, health: &Health) -> OptimizerOptions {
    let wants_changes = options.modes.values().any(|mode| *mode != Mode::ReportOnly);
    if wants_changes && storage.directory().is_none() {
        options.modes.clear();
        let reason = "changes are only reported: the ledger is in memory and would not outlast a crash";
        tracing::warn!(reason, "no change is permitted");
        health.set("changes", Condition::Degraded(reason.to_owned()));
    }
    options
}

/// Starts the threads of each `PostgreSQL` database.
#[cfg(feature = "postgres")]
fn start_postgres(
    targets: Vec<crate::postgres_target::Registered>,
    sources: &Arc<Sources>,
    advisors: &mut Vec<Advisor>,
) -> Result<Vec<Worker>, StartError> {
    let mut workers = Vec::with_capacity(2 * targets.len());
    for target in targets {
        let (of_target, advisor) = target.start(sources)?;
        workers.extend(of_target);
        advisors.push(advisor);
    }
    Ok(workers)
}

#[cfg(feature = "redis")]
fn watch_server(options: veritas_redis::RedisOptions, sources: &Arc<Sources>) -> Result<Worker, StartError> {
    let watch = crate::server_watch::ServerWatch::new(options, Arc::clone(sources));
    Worker::start(
        "redis",
        Arc::clone(&sources.clock),
        Arc::clone(&sources.health),
        || crate::server_watch::INTERVAL,
        move || watch.tick(),
    )
    .map_err(|source| StartError::Thread { name: "redis", source })
}

#[cfg(feature = "sqlite")]
fn register_targets(
    targets: &[Target],
    recorder: &Arc<Recorder>,
    optimizer: &Optimizer,
    storage: &Storage,
    clock: &Arc<dyn Clock>,
    health: &Health,
) -> Vec<Advisor> {
    crate::sqlite::register(targets, recorder, optimizer, storage, clock, health)
}

#[cfg(not(feature = "sqlite"))]
fn register_targets(
    _targets: &[Target],
    _recorder: &Arc<Recorder>,
    _optimizer: &Optimizer,
    _storage: &Storage,
    _clock: &Arc<dyn Clock>,
    _health: &Health,
) -> Vec<Advisor> {
    Vec::new()
}
