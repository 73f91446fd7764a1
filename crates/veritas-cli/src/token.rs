//! `veritas token`: access tokens, made with the keys in the data directory.

use std::time::Duration;

use veritas::{
    api::auth::{KeySet, Role, keys::IssueError},
    model::SystemClock,
    store::DataDir,
};

use crate::{
    arguments::{Places, RoleArgument, TokenCommand},
    configuration,
    failure::Failure,
    reference::print,
};

/// Runs `veritas token …`.
pub(crate) fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { subject, role, ttl, places } => create(&subject, role, ttl, &places),
    }
}

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
    let keys = keys.naming(config.jwt.issuer, config.jwt.audience);
    let issued = keys.issue(subject, role, ttl, &SystemClock::new()).map_err(|error| match error {
        IssueError::Subject => {
            Failure::new(Failure::USAGE, error, "name whom the token is for with --subject")
        }
        error => error.into(),
    })?;
    print(format!("{}\n", issued.token).as_bytes())
}
