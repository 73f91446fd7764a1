//! `veritas token`: access tokens, made with the keys in the data directory.

use std::time::Duration;

use veritas::{
    api::auth::{KeySet, Role},
    model::SystemClock,
    store::DataDir,
};

use crate::{
    arguments::{Places, RoleArgument, TokenCommand},
    configuration,
    failure::Failure,
};

/// Runs `veritas token …`.
pub(crate) fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { subject, role, ttl, places } => create(&subject, role, ttl, &places),
    }
}

#[expect(clippy::print_stdout, reason = "the token is this command's data")]
fn create(subject: &str, role: RoleArgument, ttl: Duration, places: &Places) -> Result<(), Failure> {
    let config = configuration::load(places, &[])?.config;
    let directory = DataDir::keys_path_in(&config.data_dir);
    let keys = KeySet::load(&directory).map_err(|error| {
        Failure::new(
            Failure::DATA_DIRECTORY,
            error,
            format!(
                "start `veritas serve --data-dir {0}` once, which makes the key; or is it another directory?",
                config.data_dir.display()
            ),
        )
    })?;
    let role = match role {
        RoleArgument::Viewer => Role::Viewer,
        RoleArgument::Operator => Role::Operator,
        RoleArgument::Admin => Role::Admin,
    };
    let issued =
        keys.naming(config.jwt.issuer, config.jwt.audience).issue(subject, role, ttl, &SystemClock::new())?;
    println!("{}", issued.token);
    Ok(())
}
