//! What the binary says about itself: configuration, OpenAPI, completions, manual.

use std::io::Write;

use clap::CommandFactory;
use serde_json::json;

use crate::{
    arguments::{CommandLine, ConfigCommand},
    configuration,
    failure::Failure,
};

/// Runs `veritas config …`.
pub(crate) fn config(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Show { origin, json, places } = command;
    let configuration = configuration::load(places, &[])?;
    if *json {
        let entries: Vec<_> = configuration
            .entries()
            .iter()
            .map(
                |entry| json!({ "key": entry.key, "value": entry.value, "origin": entry.origin.to_string() }),
            )
            .collect();
        print(format!("{}\n", serde_json::to_string_pretty(&entries)?).as_bytes())
    } else {
        print(configuration.show(*origin).as_bytes())
    }
}

/// Runs `veritas openapi`.
pub(crate) fn openapi() -> Result<(), Failure> {
    let document = veritas::api::openapi().to_pretty_json()?;
    print(format!("{document}\n").as_bytes())
}

/// Runs `veritas completions`.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "veritas", &mut script);
    print(&script)
}

/// Runs `veritas man`.
pub(crate) fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(CommandLine::command()).render(&mut page)?;
    print(&page)
}

/// Writes data to stdout; a reader that has seen enough is no failure.
pub(crate) fn print(data: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(data).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("failed to write to stdout").into())
        }
        _ => Ok(()),
    }
}
