//! `veritas serve`: the engine and the API, until a signal ends them.

use std::{io::IsTerminal, net::SocketAddr, num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use veritas::{
    Engine,
    api::{
        self, Limits,
        address::TrustedProxies,
        auth::{Authenticator, KeySet, Revocations, Role, TokenAuthenticator, TokenOptions},
        limits::Rate,
        serve::{Bound, Drained, ServeOptions},
    },
    cache::CacheOptions,
    database::RecorderOptions,
    model::{ChangeKind, Clock, SystemClock},
    monitor::SamplerOptions,
    optimize::OptimizerOptions,
    store::HistoryOptions,
};
use veritas_config::{Config, JwtMode};

use crate::{arguments::ServeArguments, configuration, failure::Failure, signals};

/// How long the token lives that is printed at the first start.
const GREETING_TOKEN_LIFE: Duration = Duration::from_hours(1);
/// The open files that are asked for, where the system lets us.
const MOST_FILES: u64 = 8_192;

/// Runs `veritas serve`.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let mut flags = Vec::new();
    if let Some(listen) = arguments.listen {
        flags.push(("listen", "--listen", listen.to_string()));
    }
    if !arguments.sqlite.is_empty() {
        flags.push(("targets.sqlite", "--sqlite", arguments.sqlite.join(",")));
    }
    if let Some(url) = &arguments.redis {
        flags.push(("targets.redis", "--redis", url.clone()));
    }
    if let Some(url) = &arguments.postgres {
        flags.push(("targets.postgres", "--postgres", url.clone()));
    }
    if let Some(url) = &arguments.mysql {
        flags.push(("targets.mysql", "--mysql", url.clone()));
    }
    let config = configuration::load(&arguments.places, &flags)?.config;
    start_log(config.log_level.as_str())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("veritas-api")
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(serve(&config))
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let stop = signals::stop_requested().context("failed to listen for signals")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // The address first: a port in use is found out before anything is written.
    let bound = bind(config.listen).await?;
    let engine = start_engine(config, &clock)?;
    let data_dir = engine.data_dir().context("a server owns its data directory")?;
    let (address_path, keys_path) = (data_dir.address_path(), data_dir.keys_path());
    let is_first_start = !keys_path.exists();
    let (authenticator, keys) = authenticator(config, &engine, &clock, &keys_path)?;
    let router = api::server(Arc::clone(engine.sources()), authenticator, limits(config)?);

    let address = bound.address;
    announce(address, &address_path)?;
    // Not at every start: where stderr goes to a log, the log would always hold a token that works.
    if is_first_start || std::io::stderr().is_terminal() {
        greet(address, &keys, &*clock)?;
    }
    if !address.ip().is_loopback() {
        tracing::warn!("tokens travel as they are: let others reach this address by a proxy with TLS only");
    }
    let drained = bound.serve(router, connections(), stop).await;
    if let Drained::Cut(connections) = drained {
        tracing::warn!(connections, "cut connections that were still open after the drain time");
    }
    // The next server is not to find the address of this one.
    drop(std::fs::remove_file(address_path));
    tokio::task::spawn_blocking(move || drop(engine)).await.context("the engine did not stop cleanly")?;
    Ok(())
}

/// Binds the address, with a hint when it is taken.
pub(crate) async fn bind(address: SocketAddr) -> Result<Bound, Failure> {
    api::serve::bind(address).await.map_err(|error| {
        Failure::new(
            Failure::ADDRESS,
            error,
            "choose another address with --listen (port 0 picks a free one), or stop what listens there",
        )
    })
}

fn start_engine(config: &Config, clock: &Arc<dyn Clock>) -> Result<Engine, Failure> {
    let optimizer = OptimizerOptions {
        modes: ChangeKind::ALL.into_iter().map(|kind| (kind, config.optimize.mode(kind))).collect(),
        ..OptimizerOptions::default()
    };
    let mut builder = Engine::builder()
        .clock(Arc::clone(clock))
        .exclusive_data_dir(&config.data_dir)
        .sampling_interval(config.sampling.interval)
        .sampler(SamplerOptions { disk_path: config.sampling.disk_path.clone(), ..SamplerOptions::default() })
        .history(HistoryOptions {
            max_bytes: config.history.max_size,
            head_points: config.history.head_points,
            sync_every: config.history.sync_every,
        })
        .rules(rules(config))
        .recorder(RecorderOptions {
            slow_threshold: config.database.slow_threshold,
            keep_parameters: config.database.keep_parameters,
            ..RecorderOptions::default()
        })
        .caches(CacheOptions::default())
        .optimizer(optimizer);
    for target in &config.sqlite {
        builder = builder.sqlite(&target.name, &target.path);
    }
    if let Some(target) = &config.redis {
        builder = builder.redis_server(configuration::redis_options(target)?);
    }
    if let Some(target) = &config.postgres {
        builder = builder.postgres("postgres", configuration::postgres_target(target));
    }
    if let Some(target) = &config.mysql {
        builder = builder.mysql("mysql", configuration::mysql_target(target));
    }
    builder.start().map_err(|error| {
        let hint = error.hint();
        Failure::new(Failure::DATA_DIRECTORY, error, hint)
    })
}

/// Returns the default rules, with the configured ones beside or instead of them.
fn rules(config: &Config) -> Vec<veritas::model::AlertRule> {
    let known: Vec<_> = veritas::monitor::SERIES.iter().map(|series| series.name).collect();
    for rule in &config.alert_rules {
        for warning in veritas::alert::warnings(rule, &known) {
            tracing::warn!(rule = rule.name, "an alert rule looks odd: {warning}");
        }
    }
    let mut rules = veritas::alert::default_rules();
    rules.retain(|rule| config.alert_rules.iter().all(|configured| configured.name != rule.name));
    rules.extend(config.alert_rules.iter().cloned());
    rules
}

fn authenticator(
    config: &Config,
    engine: &Engine,
    clock: &Arc<dyn Clock>,
    keys_path: &Path,
) -> Result<(Arc<dyn Authenticator>, KeySet), Failure> {
    let load = || {
        KeySet::load_or_create(keys_path, &**clock)
            .map(|keys| keys.naming(config.jwt.issuer.clone(), config.jwt.audience.clone()))
            .map_err(|error| {
                Failure::new(
                    Failure::DATA_DIRECTORY,
                    error,
                    "the keys must be files of the user that runs veritas, with mode 600",
                )
            })
    };
    let revocations = Revocations::load(Arc::clone(&engine.sources().control))
        .map_err(|error| Failure::new(Failure::DATA_DIRECTORY, error, "the data directory may be damaged"))?;
    let options = TokenOptions {
        audience: config.jwt.audience.clone(),
        issuer: config.jwt.issuer.clone(),
        leeway: config.jwt.leeway,
        role_claim: config.jwt.role_claim.clone(),
    };
    let mut authenticator =
        TokenAuthenticator::own_keys(load()?, options, Arc::new(revocations), Arc::clone(clock));
    if config.jwt.mode == JwtMode::Hs256 {
        let path = config.jwt.secret_file.as_ref().context("mode hs256 has a secret file")?;
        let secret = std::fs::read(path)
            .with_context(|| format!("failed to read the secret {}", path.display()))
            .map_err(|error| {
                Failure::new(Failure::CONFIGURATION, error, "set jwt.secret_file to a readable file")
            })?;
        authenticator = authenticator.and_shared_secret(secret.trim_ascii()).map_err(|error| Failure {
            code: Failure::CONFIGURATION,
            error: error.into(),
            hint: None,
        })?;
    }
    Ok((Arc::new(authenticator), load()?))
}

fn limits(config: &Config) -> anyhow::Result<Limits> {
    let defaults = if config.listen.ip().is_loopback() { Limits::loopback() } else { Limits::default() };
    let rate = |per_second: NonZeroU32, burst: NonZeroU32| Rate::new(per_second, burst);
    let proxies: Vec<_> = config.limits.trusted_proxies.iter().map(ToString::to_string).collect();
    Ok(Limits {
        subject_rate: rate(config.limits.requests_per_second, config.limits.burst),
        address_rate: rate(config.limits.requests_per_second, config.limits.burst),
        failure_rate: rate(config.limits.failed_tokens_per_second, config.limits.failed_tokens_burst),
        trusted_proxies: TrustedProxies::parse(proxies.iter().map(String::as_str))?,
        ..defaults
    })
}

/// Bounds the connections so that files can be opened still when all of them are taken.
fn connections() -> ServeOptions {
    let defaults = ServeOptions::default();
    let allowed = getrlimit(Resource::Nofile);
    // `None` is without bound.
    let Some(mut files) = allowed.current else { return defaults };
    // The usual 1,024 are few; what the system grants beyond is there to be used.
    let wanted = allowed.maximum.map_or(MOST_FILES, |most| most.min(MOST_FILES));
    if wanted > files && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..allowed }).is_ok() {
        files = wanted;
    }
    let half = usize::try_from(files / 2).unwrap_or(usize::MAX);
    ServeOptions { connections: defaults.connections.min(half).max(1), ..defaults }
}

/// Tells people and scripts where the server listens. Who has read the line finds the
/// file, and who finds the file finds the whole address in it.
pub(crate) fn announce(address: SocketAddr, path: &Path) -> anyhow::Result<()> {
    let write = || {
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, format!("{address}\n"))?;
        std::fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))?;
    eprintln!("listening on http://{address}");
    Ok(())
}

/// Prints a request that works, to be pasted.
pub(crate) fn greet(address: SocketAddr, keys: &KeySet, clock: &dyn Clock) -> anyhow::Result<()> {
    let issued = keys.issue("first-look", Role::Viewer, GREETING_TOKEN_LIFE, clock)?;
    eprintln!("look around for an hour with this token of a viewer:");
    eprintln!();
    eprintln!("  curl -H 'Authorization: Bearer {}' \\", issued.token);
    eprintln!("       http://{address}/api/v1/performance/monitoring/system");
    eprintln!();
    eprintln!("the operations: http://{address}/docs   more tokens: veritas token create --help");
    Ok(())
}

/// Sends log lines to stderr, coloured on a terminal only.
fn start_log(level: &str) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_new(level)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!(error))
}
