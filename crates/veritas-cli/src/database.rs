//! `veritas explain`, `veritas db …`, and the part of `veritas doctor` that looks at one server.

pub(crate) mod advise;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod grants;
mod workload;

use veritas::postgres::session::ConnectOptions;

use crate::{
    arguments::{DatabaseCommand, PostgresPlace},
    configuration,
    failure::Failure,
};

/// Runs `veritas db …`.
pub(crate) fn run(command: &DatabaseCommand) -> Result<(), Failure> {
    match command {
        DatabaseCommand::Advise(arguments) => advise::run(arguments),
        DatabaseCommand::Grants(arguments) => grants::run(arguments),
    }
}

/// Returns how the named database, else the configured one, is reached.
pub(crate) fn connect_options(place: &PostgresPlace) -> Result<ConnectOptions, Failure> {
    let mut flags = Vec::new();
    if let Some(url) = &place.postgres {
        flags.push(("targets.postgres", "--postgres", url.clone()));
    }
    if let Some(path) = &place.password_file {
        let path = path.to_string_lossy().into_owned();
        flags.push(("targets.postgres_password_file", "--password-file", path));
    }
    let config = configuration::load(&place.places, &flags)?.config;
    let Some(target) = &config.postgres else {
        return Err(Failure::new(
            Failure::USAGE,
            anyhow::anyhow!("no database is named"),
            "name it with --postgres postgresql://USER@HOST/DATABASE, or by the setting targets.postgres",
        ));
    };
    Ok(configuration::postgres_options(target))
}
