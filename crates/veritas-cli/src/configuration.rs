//! The configuration in force: file, environment and flags, laid over the defaults.

use std::path::Path;

use anyhow::Context;
use veritas::{
    MySqlOptions, PostgresOptions, mysql,
    postgres::{scratch::ScratchPlace, session::ConnectOptions},
    redis::RedisOptions,
};
use veritas_config::{self as config, Configuration, Loader, MySqlTarget, PostgresTarget, RedisTarget};

use crate::{arguments::Places, failure::Failure};

/// The file that is read when `--config` does not name one.
const DEFAULT_FILE: &str = "veritas.toml";

/// Loads the configuration; `flags` are what the command line sets beyond `places`:
/// the setting's key, the flag's name, the value.
pub(crate) fn load(
    places: &Places,
    flags: &[(&'static str, &str, String)],
) -> Result<Configuration, Failure> {
    let mut loader = Loader::new();
    let (path, is_asked_for) = match &places.config {
        Some(path) => (path.as_path(), true),
        None => (Path::new(DEFAULT_FILE), false),
    };
    match std::fs::read_to_string(path) {
        Ok(text) => loader = loader.file(path.to_string_lossy(), text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_asked_for => {}
        Err(error) => {
            let error = anyhow::Error::new(error).context(format!("failed to read {}", path.display()));
            return Err(Failure::new(
                Failure::CONFIGURATION,
                error,
                "name a readable file with --config, or leave the flag out",
            ));
        }
    }
    loader = loader.environment(environment()?);
    if let Some(data_dir) = &places.data_dir {
        let data_dir = data_dir.to_str().context("the path given with --data-dir is not UTF-8")?;
        loader = loader.flag("data_dir", "--data-dir", data_dir);
    }
    for (key, flag, value) in flags {
        loader = loader.flag(key, *flag, value.as_str());
    }
    // A LoadError ends each of its lines with a hint of its own.
    let accepted = loader.load().map_err(|error| Failure {
        code: Failure::CONFIGURATION,
        error: error.into(),
        hint: None,
    })?;
    for rule in &accepted.config.alert_rules {
        veritas::alert::validate(rule).map_err(|error| {
            let error =
                anyhow::Error::new(error).context(format!("alerts.rules: {:?} is refused", rule.name));
            Failure::new(Failure::CONFIGURATION, error, "the API takes a rule under the same conditions")
        })?;
    }
    Ok(accepted)
}

/// Reads how the configured Redis server is reached.
pub(crate) fn redis_options(target: &RedisTarget) -> Result<RedisOptions, Failure> {
    let options = RedisOptions::parse(&target.url).map_err(|error| {
        Failure::new(Failure::CONFIGURATION, error, "write for example redis://user@127.0.0.1:6379/0")
    })?;
    let Some(path) = &target.password_file else { return Ok(options) };
    let password = std::fs::read_to_string(path).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("failed to read {}", path.display()));
        Failure::new(
            Failure::CONFIGURATION,
            error,
            "targets.redis_password_file names a file that this user can read",
        )
    })?;
    Ok(options.with_password(password.trim_end_matches(['\r', '\n'])))
}

/// Returns how the configured `PostgreSQL` database is reached. The password is read at each log-in.
pub(crate) fn postgres_options(target: &PostgresTarget) -> ConnectOptions {
    let mut options = ConnectOptions::new(target.url.as_str());
    options.password_file.clone_from(&target.password_file);
    options
}

/// Returns how the configured `PostgreSQL` database is looked at, and where proposals are proven.
pub(crate) fn postgres_target(target: &PostgresTarget) -> PostgresOptions {
    let connect = postgres_options(target);
    PostgresOptions {
        scratch: match &target.scratch {
            config::ScratchPlace::Off => ScratchPlace::Off,
            config::ScratchPlace::SameServer => ScratchPlace::SameServer,
            config::ScratchPlace::Url(url) => {
                ScratchPlace::Server(ConnectOptions { url: url.clone(), ..connect.clone() })
            }
        },
        index_budget: target.index_budget,
        ..PostgresOptions::new(connect)
    }
}

/// Returns how the configured `MariaDB` or `MySQL` database is looked at. The password is read at
/// each log-in.
pub(crate) fn mysql_target(target: &MySqlTarget) -> MySqlOptions {
    let mut connect = mysql::session::ConnectOptions::new(target.url.as_str());
    connect.password_file.clone_from(&target.password_file);
    let mut options = MySqlOptions::new(connect);
    options.trial.allowed = target.copies;
    options
}

/// Returns the variables that are text. One of ours that is not would go unnoticed otherwise.
fn environment() -> Result<Vec<(String, String)>, Failure> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with("VERITAS_") => {
                return Err(Failure::new(
                    Failure::CONFIGURATION,
                    anyhow::anyhow!("{name}: the value is not UTF-8"),
                    "set it to a text, or unset it",
                ));
            }
            _ => {}
        }
    }
    Ok(variables)
}
