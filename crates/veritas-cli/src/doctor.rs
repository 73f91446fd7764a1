//! `veritas doctor`: what works on this machine, what does not, and how to mend it.

use std::{fmt::Write as _, net::TcpStream, path::Path, sync::Arc, time::Duration};

use serde_json::json;
use veritas::{
    api::auth::KeySet,
    database::sqlite::SqliteTarget,
    model::{Clock, SystemClock, Timestamp},
    monitor::{Sampler, SamplerOptions},
    redis::{self, RedisOptions},
    store::{DataDir, DataDirError},
};
use veritas_config::Config;

use crate::{arguments::DoctorArguments, configuration, database, failure::Failure, reference};

/// How long a Redis server may take for all that it is asked. A busy machine takes seconds
/// for the two dozen round trips, which does not make the server unusable.
const REDIS_PATIENCE: Duration = Duration::from_secs(15);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Note,
    Wrong,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
struct Check {
    name: String,
    verdict: Verdict,
    says: String,
    hint: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, verdict: Verdict, says: impl Into<String>) -> Self {
        Self { name: name.into(), verdict, says: says.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Runs `veritas doctor`. Fails when something is wrong.
pub(crate) fn run(arguments: &DoctorArguments) -> Result<(), Failure> {
    if let Some(url) = &arguments.url {
        return database::doctor::run(url, arguments.password_file.as_deref(), arguments.json);
    }
    let flags: Vec<_> = arguments.redis.iter().map(|url| ("targets.redis", "--redis", url.clone())).collect();
    let config = configuration::load(&arguments.places, &flags)?.config;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut checks = vec![
        Check::new("configuration", Verdict::Fine, "every key and value is known"),
        check_clock(&*clock),
        check_sampler(&config),
        check_data_dir(&config.data_dir),
        check_keys(&config.data_dir),
    ];
    checks.extend(check_server(&config.data_dir));
    let redis = config.redis.as_ref().map(configuration::redis_options).transpose()?;
    checks.extend(redis.iter().flat_map(|options| check_redis(options, &clock)));
    checks.extend(config.sqlite.iter().map(|target| check_target(&target.name, &target.path, &clock)));
    print(&checks, arguments.json)?;
    let wrong = checks.iter().filter(|check| check.verdict == Verdict::Wrong).count();
    if wrong > 0 {
        return Err(Failure::new(
            Failure::GENERAL,
            anyhow::anyhow!("{wrong} of {} checks went wrong", checks.len()),
            "the hints above say how to mend each",
        ));
    }
    Ok(())
}

fn check_clock(clock: &dyn Clock) -> Check {
    // When this was written: a clock before it makes every token look unissued.
    let written_at = Timestamp::from_seconds(1_760_000_000.0);
    if clock.now() > written_at {
        Check::new("clock", Verdict::Fine, "the date is plausible")
    } else {
        Check::new("clock", Verdict::Wrong, "the clock is years behind")
            .hint("set it, for example with timedatectl")
    }
}

fn check_sampler(config: &Config) -> Check {
    let options =
        SamplerOptions { disk_path: config.sampling.disk_path.clone(), ..SamplerOptions::default() };
    match Sampler::open(options) {
        Ok(_) => Check::new("sampler", Verdict::Fine, "this machine can be sampled"),
        Err(error) => Check::new("sampler", Verdict::Wrong, error.to_string())
            .hint("veritas reads /proc; in a container, do not hide it"),
    }
}

fn check_data_dir(path: &Path) -> Check {
    if !path.exists() {
        return Check::new("data directory", Verdict::Note, format!("{} is not there yet", path.display()))
            .hint("`veritas serve` creates it");
    }
    match DataDir::open(path) {
        Ok(_) => Check::new("data directory", Verdict::Fine, format!("{} can be owned", path.display())),
        Err(error @ DataDirError::Locked { .. }) => {
            Check::new("data directory", Verdict::Note, error.to_string())
                .hint("as it should be while `veritas serve` runs on it")
        }
        Err(error) => Check::new("data directory", Verdict::Wrong, error.to_string()).hint(error.hint()),
    }
}

fn check_keys(data_dir: &Path) -> Check {
    let path = DataDir::keys_path_in(data_dir);
    if !path.exists() {
        return Check::new("keys", Verdict::Note, "no signing key yet").hint("`veritas serve` makes one");
    }
    match KeySet::load(&path) {
        Ok(_) => Check::new("keys", Verdict::Fine, "tokens can be made and checked"),
        Err(error) => Check::new("keys", Verdict::Wrong, error.to_string())
            .hint("the keys must be files of this user, with mode 600"),
    }
}

/// Looks whether the server that wrote its address answers.
fn check_server(data_dir: &Path) -> Option<Check> {
    let address = std::fs::read_to_string(DataDir::address_path_in(data_dir)).ok()?;
    let address: std::net::SocketAddr = address.trim().parse().ok()?;
    let check = match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
        Ok(_) => Check::new("server", Verdict::Fine, format!("listens on http://{address}")),
        Err(error) => Check::new("server", Verdict::Note, format!("nobody listens on {address}: {error}"))
            .hint("it was killed; the next `veritas serve` on this directory recovers what it left"),
    };
    Some(check)
}

fn check_target(name: &str, path: &Path, clock: &Arc<dyn Clock>) -> Check {
    let title = format!("target {name}");
    match SqliteTarget::open(name, path, Arc::clone(clock)) {
        Ok(_) => Check::new(title, Verdict::Fine, format!("{} can be read", path.display())),
        Err(error) => Check::new(title, Verdict::Wrong, error.to_string())
            .hint("name an existing SQLite file that this user may read and write"),
    }
}

/// Looks whether the Redis server can be used, and does not wait long for one that cannot.
fn check_redis(options: &RedisOptions, clock: &Arc<dyn Clock>) -> Vec<Check> {
    let checks = redis::server::doctor::examine(options, clock, REDIS_PATIENCE);
    let ours = checks.into_iter().map(|check| Check {
        name: format!("redis {}", check.name),
        verdict: match check.verdict {
            redis::server::doctor::Verdict::Fine => Verdict::Fine,
            redis::server::doctor::Verdict::Note => Verdict::Note,
            redis::server::doctor::Verdict::Wrong => Verdict::Wrong,
        },
        says: check.says,
        hint: check.hint,
    });
    ours.collect()
}

fn print(checks: &[Check], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let all: Vec<_> = checks
            .iter()
            .map(|check| {
                json!({
                    "check": check.name,
                    "verdict": check.verdict.as_str(),
                    "says": check.says,
                    "hint": check.hint,
                })
            })
            .collect();
        return reference::print(format!("{}\n", serde_json::to_string_pretty(&all)?).as_bytes());
    }
    let mut text = String::new();
    for check in checks {
        writeln!(text, "{:<6} {:<16} {}", check.verdict.as_str(), check.name, check.says)?;
        if let Some(hint) = &check.hint {
            writeln!(text, "       {:<16} hint: {hint}", "")?;
        }
    }
    reference::print(text.as_bytes())
}
