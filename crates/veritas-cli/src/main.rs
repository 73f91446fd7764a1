//! The `veritas` binary: reads the command line and hands over.

mod arguments;
mod cache;
mod client;
mod configuration;
mod database;
mod demo;
mod doctor;
mod failure;
mod reference;
mod serve;
mod signals;
mod token;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Command, CommandLine};

fn main() -> ExitCode {
    let done = match CommandLine::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Prove(command) => demo::prove(&command),
        Command::Token(command) => token::run(command),
        Command::Cache(command) => cache::run(&command),
        Command::Database(command) => database::run(&command),
        Command::Explain(arguments) => database::explain::run(&arguments),
        Command::Config(command) => reference::config(&command),
        Command::Openapi => reference::openapi(),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completions { shell } => reference::completions(shell),
        Command::Man => reference::man(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
