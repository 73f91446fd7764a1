//! `cargo xtask prove planted`: a shop on PostgreSQL with planted defects, and as many things that only
//! look like some. Fails when the findings are not precise or not complete enough.

#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

mod case;
mod decoys;
mod defects;
mod judge;
mod load;
mod objects;
mod schema;

use std::{error::Error, sync::Arc, time::Duration};

use tokio_postgres::{Client, NoTls};
use veritas::{
    Engine, PostgresOptions,
    database::{Recorder, RecorderOptions},
    model::SystemClock,
    postgres::{findings::Thresholds, scratch::ScratchPlace, session::ConnectOptions},
};
use veritas_testkit::Postgres;

use case::Case;
use judge::{Judgement, judge};

/// What must hold.
const PRECISION: f64 = 0.98;
const RECALL: f64 = 0.95;
/// How long the findings may take to be complete.
const PATIENCE: Duration = Duration::from_mins(4);
/// A day of this shop takes half a minute: what is long is long for it.
const THRESHOLDS: Thresholds = Thresholds {
    idle_in_transaction: Duration::from_secs(10),
    long_transaction: Duration::from_secs(15),
    disuse: Duration::from_mins(2),
    ..Thresholds::DEFAULT
};

const SERVER: &str = "
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = top
shared_buffers = 256MB
work_mem = 1MB
max_parallel_workers_per_gather = 0
jit = off
";

fn main() -> Result<(), Box<dyn Error>> {
    let server = Postgres::start_alone(SERVER);
    let database = server.database();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cases: Vec<Case> = [
        defects::MISSING_INDEXES,
        defects::PREDICATES,
        defects::RESULTS,
        defects::REQUESTS,
        decoys::STATEMENTS,
        decoys::REQUESTS,
    ]
    .concat();

    let client = runtime.block_on(build(&database.url()))?;
    println!("the shop is built; {} cases", cases.len());
    // The day before: every index that is of use is used before anybody looks for the others.
    let unheard = Arc::new(Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new())));
    let run = runtime.block_on(load::run(&client, &unheard, &cases))?;
    println!("{run} statements run before anybody looks");
    let options = PostgresOptions {
        scratch: ScratchPlace::SameServer,
        thresholds: THRESHOLDS,
        interval: Duration::from_secs(2),
        ..PostgresOptions::new(ConnectOptions::new(database.url()))
    };
    let engine = Engine::builder()
        .analysis_interval(Duration::from_secs(1))
        .recorder(RecorderOptions { slow_threshold: Duration::from_mins(10), ..RecorderOptions::default() })
        .postgres("shop", options)
        .start()?;
    let _standing = runtime.block_on(stand_in_the_way(&database.url()))?;
    let recorder = Arc::clone(engine.database());
    let judgement = runtime.block_on(async {
        let started = tokio::time::Instant::now();
        loop {
            let run = load::run(&client, &recorder, &cases).await?;
            println!("{run} statements run, {:.0} s", started.elapsed().as_secs_f64());
            let findings = engine.optimizer().findings()?;
            let all: Vec<&Case> = cases.iter().collect();
            let judgement = judge(&findings, &all, &recorder.snapshot());
            println!(
                "{} findings: precision {:.3}, recall {:.3}",
                findings.len(),
                judgement.precision(),
                judgement.recall()
            );
            if judgement.recall() >= 1.0 || started.elapsed() > PATIENCE {
                return Ok::<Judgement, Box<dyn Error>>(judgement);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    })?;
    report(&judgement);
    if judgement.precision() < PRECISION || judgement.recall() < RECALL {
        return Err(format!("wanted: precision {PRECISION}, recall {RECALL}").into());
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // Its end is seen by whoever uses the client.
        connection.await.ok();
    });
    Ok(client)
}

/// The address for sessions of this name.
fn named(url: &str, name: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}application_name={name}")
}

async fn build(url: &str) -> Result<Client, Box<dyn Error>> {
    let client = connect(&named(url, "shop")).await?;
    client.batch_execute(schema::SCHEMA).await?;
    client.batch_execute(schema::ANALYZE).await?;
    client.batch_execute(objects::SQL).await?;
    for statement in objects::WEAR {
        client.batch_execute(statement).await?;
    }
    // It fails: that is what leaves the invalid index.
    if client.batch_execute(objects::INVALID).await.is_ok() {
        return Err("the index that was to be invalid is valid".into());
    }
    client.batch_execute("SELECT pg_stat_statements_reset()").await?;
    Ok(client)
}

/// Opens sessions that hold what others wait for, and keeps them.
async fn stand_in_the_way(url: &str) -> Result<Vec<Client>, Box<dyn Error>> {
    let holder = connect(&named(url, "till")).await?;
    holder.batch_execute("BEGIN; UPDATE settings SET value = value WHERE key = 'k1'").await?;
    let waiter = connect(&named(url, "shelf")).await?;
    tokio::spawn(async move {
        // Waits until the holder is gone.
        waiter.batch_execute("UPDATE settings SET value = value WHERE key = 'k1'").await.ok();
    });
    let reporter = connect(&named(url, "report")).await?;
    tokio::spawn(async move {
        // Works in one transaction until the server ends.
        reporter.batch_execute("BEGIN; SELECT count(*) FROM stock; SELECT pg_sleep(3600)").await.ok();
    });
    Ok(vec![holder])
}

fn report(judgement: &Judgement) {
    let (defects, decoys) = (judgement.defects.len(), judgement.decoys.len());
    println!("{defects} defects, {decoys} decoys");
    for (name, found) in &judgement.defects {
        if !found {
            println!("  missed: {name}");
        }
    }
    for (about, kind) in &judgement.wrong {
        println!("  wrong: {kind} of {about}");
    }
    let silent = judgement.decoys.values().filter(|silent| **silent).count();
    println!("decoys of which nothing was said: {silent} of {decoys}");
    println!("precision {:.3}, recall {:.3}", judgement.precision(), judgement.recall());
}
