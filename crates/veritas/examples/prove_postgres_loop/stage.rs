//! What a proof stands on: a server, an engine that looks at some of its databases, and a way to wait.

use std::{
    error::Error,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use veritas::{
    Engine, PostgresOptions,
    database::RecorderOptions,
    model::{Change, ChangeKind, Clock, Mode, SystemClock},
    optimize::OptimizerOptions,
    postgres::{scratch::ScratchPlace, session::ConnectOptions},
};
use veritas_testkit::{Database, Postgres};

/// Why a proof could not go on.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Settings of the servers of these proofs. Nothing vacuums by itself, so that what is
/// compared stays the same; plans are those of one process.
const SERVER: &str = "
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = top
shared_buffers = 256MB
max_parallel_workers_per_gather = 0
jit = off
";

/// Who approves in these proofs, as the ledger names it.
pub(crate) const APPROVER: &str = "proof";
/// Between two looks at something that is waited for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// How long the load is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// Before a change.
    pub(crate) baseline: Duration,
    /// After it, before it is kept.
    pub(crate) watch: Duration,
    /// Verdicts within that time.
    pub(crate) looks: u32,
}

/// Starts a server that can ask about indexes that are not there.
pub(crate) fn server(further: &str) -> Postgres {
    Postgres::start_alone(&format!("{SERVER}{further}"))
}

/// Makes a database with the extensions, and what `schema` makes, with its statistics gathered.
pub(crate) fn database(server: &Postgres, schema: &str) -> Database {
    let database = server.database();
    database.extension("pg_stat_statements").extension("hypopg");
    database.psql(schema);
    database.psql("VACUUM (ANALYZE)");
    // What built it is no load.
    database.psql("SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()))");
    database
}

/// Starts an engine with a ledger in `directory`, for databases by name and address. It may
/// change indexes once somebody approved.
pub(crate) fn engine(
    directory: &Path,
    targets: &[(String, String)],
    windows: Windows,
) -> Result<Engine, Failure> {
    let optimizer = OptimizerOptions {
        modes: [(ChangeKind::IndexCreate, Mode::Approve)].into(),
        baseline_window: windows.baseline,
        watch_window: windows.watch,
        watch_looks: windows.looks,
        regression_watch: Duration::from_mins(1),
        regression_looks: 20,
        first_retry: Duration::from_millis(200),
        longest_retry: Duration::from_secs(2),
        ..OptimizerOptions::default()
    };
    let mut builder = Engine::builder()
        .exclusive_data_dir(directory)
        .analysis_interval(Duration::from_millis(200))
        .recorder(RecorderOptions { slow_threshold: Duration::from_mins(10), ..RecorderOptions::default() })
        .optimizer(optimizer);
    for (name, url) in targets {
        let options = PostgresOptions {
            scratch: ScratchPlace::SameServer,
            interval: Duration::from_secs(1),
            longest_turn: Duration::from_secs(30),
            ..PostgresOptions::new(ConnectOptions::new(url))
        };
        builder = builder.postgres(name, options);
    }
    Ok(builder.start()?)
}

/// Returns the changes that are not settled yet.
pub(crate) fn unsettled(engine: &Engine) -> Result<Vec<Change>, Failure> {
    let changes = engine.optimizer().changes()?;
    Ok(changes.into_iter().filter(|change| !change.state.is_settled()).collect())
}

/// Asks again and again until there is an answer.
///
/// # Errors
///
/// When asking fails, or there is none within `patience`.
pub(crate) fn wait<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let clock = clock();
    let started = clock.monotonic();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if clock.monotonic().since(started) > patience {
            return Err(format!("gave up waiting for {what} after {} s", patience.as_secs()).into());
        }
        pause(BETWEEN_LOOKS);
    }
}

/// Returns the machine's clock.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Lets some time pass.
pub(crate) fn pause(time: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _nothing_was_sent = receiver.recv_timeout(time);
}
