//! The caches beside their peers: hits in the process, batches and stampedes over
//! Redis. One run, everything interleaved or right after one another; read the ratios.

mod batches;
mod caller;
mod in_process;
mod peers;
mod stampede;
mod table;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use veritas_testkit::Redis;

pub(crate) use caller::{Caller, run as run_caller};

use crate::machine;
use table::Table;

/// Measures the caches beside their peers and prints ratios.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The Python that has cashews, aiocache, dogpile.cache, cachetools and redis.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Rounds of each in-process figure; the median is shown, with the extremes.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Keys of one batch.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// Stampedes of each library.
    #[arg(long, default_value_t = 3)]
    stampedes: usize,
    /// Processes of a stampede.
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// Callers of a stampede in each process.
    #[arg(long, default_value_t = 50)]
    callers: usize,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Runs everything and prints it.
#[expect(clippy::print_stdout, reason = "the report is this program's data")]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut tables = Vec::new();
    for threads in [1, 2] {
        eprintln!("hits in the process, {threads} thread(s) …");
        tables.push(in_process::measure(threads, arguments.rounds));
    }
    eprintln!("hits in Python …");
    tables.push(peers::hits(&arguments.python)?);
    let redis = Redis::start_tcp();
    eprintln!("batches of {} keys over Redis …", arguments.batch);
    tables.extend(batches::measure(&redis, &arguments.python, arguments.batch)?);
    eprintln!("stampedes of {} × {} callers …", arguments.processes, arguments.callers);
    tables.extend(stampede::measure(&redis, arguments)?);
    if arguments.json {
        let tables: Vec<_> = tables.iter().map(Table::json).collect();
        println!("{:#}", json!({ "machine": machine::describe(), "tables": tables }));
        return Ok(());
    }
    println!("machine: {}", machine::describe());
    for table in &tables {
        print!("\n{table}");
    }
    Ok(())
}
