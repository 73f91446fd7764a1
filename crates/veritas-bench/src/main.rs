//! Whole-system benchmarks: the served binary beside a twin in FastAPI, and the caches
//! (`cache`) beside their peers in Rust and Python; each in one run.
//!
//! The server under test is pinned to one core and the load generator to
//! another, so that "requests per second" means "on one core".

mod cache;
mod client;
mod machine;
mod process;
mod report;
mod servers;
mod startup;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

/// Measures `veritas serve` beside its FastAPI twin and prints ratios.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// The release binary of veritas.
    #[arg(long, default_value = "target/release/veritas")]
    veritas: PathBuf,
    /// The Python that has fastapi, uvicorn and pyjwt.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Seconds of each load phase.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Requests per second of the open-loop phase against veritas.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Seconds over which idle CPU is measured.
    #[arg(long, default_value_t = 30)]
    idle_seconds: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// What is measured instead.
#[derive(Debug, Subcommand)]
enum What {
    Cache(cache::Arguments),
    #[command(hide = true)]
    CacheCaller(cache::Caller),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.what {
        None => serve(&arguments),
        Some(What::Cache(arguments)) => cache::run(arguments),
        Some(What::CacheCaller(caller)) => cache::run_caller(caller),
    }
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    machine::pin_this_process(1)?;
    let duration = Duration::from_secs(arguments.seconds);

    eprintln!("cold start, 9 times …");
    let startup = startup::measure(&arguments.veritas, 9)?;

    let veritas = servers::Server::veritas(&arguments.veritas)?;
    eprintln!("idle for {} s …", arguments.idle_seconds);
    let idle = process::idle(veritas.pid(), Duration::from_secs(arguments.idle_seconds))?;
    eprintln!("veritas, saturated …");
    let ours = client::saturate(veritas.address(), &veritas.request(), 32, duration)?;
    eprintln!("veritas, open loop at {} requests/s …", arguments.rate);
    let ours_open = client::open_loop(veritas.address(), &veritas.request(), arguments.rate, duration)?;
    let after_load = process::resident_bytes(veritas.pid())?;
    drop(veritas);

    let twin = servers::Server::twin(&arguments.python)?;
    eprintln!("FastAPI twin, saturated …");
    let theirs = client::saturate(twin.address(), &twin.request(), 32, duration)?;
    let half = (theirs.per_second() / 2.0).max(1.0);
    eprintln!("FastAPI twin, open loop at half of that …");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate")]
    let theirs_open = client::open_loop(twin.address(), &twin.request(), half as u64, duration)?;
    let twin_resident = process::resident_bytes(twin.pid())?;
    drop(twin);

    let report = report::Report {
        machine: machine::describe(),
        startup,
        idle,
        after_load,
        binary_bytes: std::fs::metadata(&arguments.veritas)?.len(),
        ours,
        ours_open,
        theirs,
        theirs_open,
        twin_resident,
    };
    report.print(arguments.json)
}
