//! A load: statements with drawn values, one after the other on a connection of its own, told to the
//! recorder, and remembered for the replay.

use std::{
    collections::VecDeque,
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio_postgres::{
    Client, NoTls,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};
use veritas::database::{Recorder, Value};
use veritas_statistics::Rng;

use super::{stage::Failure, world::Draw};

/// Calls of one statement that are remembered, the last ones.
const REMEMBERED: usize = 24;
/// Between two statements.
const THINKING: Duration = Duration::from_millis(1);

/// A value that is bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Argument {
    Number(i64),
    Text(String),
}

/// A statement of an application.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) name: String,
    pub(crate) sql: String,
    /// How its parameters are drawn.
    pub(crate) draws: Vec<Draw>,
    /// How often it is run, beside the others.
    pub(crate) rate: u64,
    pub(crate) is_read: bool,
}

/// What was run of one statement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) calls: u64,
    pub(crate) vectors: VecDeque<Vec<Argument>>,
}

/// A running load. It ends when it is dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

struct Shared {
    stop: AtomicBool,
    rates: Mutex<Vec<u64>>,
    recorded: Mutex<Vec<Recorded>>,
}

impl Load {
    /// Starts to run statements at their rates.
    pub(crate) fn start(url: &str, statements: &[Statement], recorder: Arc<Recorder>, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            rates: Mutex::new(statements.iter().map(|statement| statement.rate).collect()),
            recorded: Mutex::new(vec![Recorded::default(); statements.len()]),
        });
        let (url, statements, inner) = (url.to_owned(), statements.to_vec(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(run(&url, &statements, &recorder, &inner, seed))
        });
        Self { shared, thread: Some(thread) }
    }

    /// Runs the statements at other rates from now on.
    pub(crate) fn turn(&self, rates: Vec<u64>) {
        *self.shared.rates.lock().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// Ends the load, and returns what it ran.
    ///
    /// # Errors
    ///
    /// When a statement failed.
    pub(crate) fn end(mut self) -> Result<Vec<Recorded>, Failure> {
        self.join()?;
        Ok(self.shared.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn join(&mut self) -> Result<(), String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err("the load panicked".to_owned()),
            None => Ok(()),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Whoever wants to know how it went has called `end`.
        drop(self.join());
    }
}

/// Connects as an application does.
pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // Its end is seen by whoever uses the client.
        connection.await.ok();
    });
    Ok(client)
}

async fn run(
    url: &str,
    statements: &[Statement],
    recorder: &Recorder,
    shared: &Shared,
    seed: u64,
) -> Result<(), String> {
    let in_words = |error: tokio_postgres::Error| {
        error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
    };
    let client = connect(url).await.map_err(in_words)?;
    let mut prepared: Vec<Option<tokio_postgres::Statement>> = vec![None; statements.len()];
    let mut rng = Rng::new(seed);
    while !shared.stop.load(Ordering::Relaxed) {
        let drawn = {
            let rates = shared.rates.lock().unwrap_or_else(PoisonError::into_inner);
            choose(&rates, &mut rng)
        };
        if let Some(number) = drawn {
            let statement = &statements[number];
            let vector = draw(&statement.draws, &mut rng);
            let plan = match &prepared[number] {
                Some(plan) => plan.clone(),
                None => client.prepare(&statement.sql).await.map_err(in_words)?,
            };
            execute(&client, recorder, statement, &plan, &vector)
                .await
                .map_err(|error| format!("{}: {}", statement.name, in_words(error)))?;
            prepared[number] = Some(plan);
            let mut ran = shared.recorded.lock().unwrap_or_else(PoisonError::into_inner);
            let of_statement = &mut ran[number];
            of_statement.calls += 1;
            if of_statement.vectors.len() == REMEMBERED {
                of_statement.vectors.pop_front();
            }
            of_statement.vectors.push_back(vector);
        }
        tokio::time::sleep(THINKING).await;
    }
    Ok(())
}

/// Chooses by rates; nothing when all are zero.
fn choose(rates: &[u64], rng: &mut Rng) -> Option<usize> {
    let all: u64 = rates.iter().sum();
    if all == 0 {
        return None;
    }
    let mut drawn = rng.below(all);
    rates.iter().position(|rate| {
        let is_it = drawn < *rate;
        drawn = drawn.saturating_sub(*rate);
        is_it
    })
}

fn draw(draws: &[Draw], rng: &mut Rng) -> Vec<Argument> {
    let mut vector: Vec<Argument> = Vec::with_capacity(draws.len());
    for draw in draws {
        let value = draw.value(vector.last(), rng);
        vector.push(value);
    }
    vector
}

async fn execute(
    client: &Client,
    recorder: &Recorder,
    statement: &Statement,
    prepared: &tokio_postgres::Statement,
    vector: &[Argument],
) -> Result<(), tokio_postgres::Error> {
    let values: Vec<Value> = vector.iter().map(Value::from).collect();
    let call = recorder.statement(&statement.sql).label(&statement.name).parameters(&values);
    let bound = bound(vector);
    if statement.is_read {
        let rows = client.query(prepared, &bound).await?;
        call.finish_with(rows.len() as u64, 0, None);
    } else {
        let changed = client.execute(prepared, &bound).await?;
        call.finish_with(0, changed, None);
    }
    Ok(())
}

/// Returns the values as a client takes them.
pub(crate) fn bound(vector: &[Argument]) -> Vec<&(dyn ToSql + Sync)> {
    vector.iter().map(|argument| argument as _).collect()
}

impl From<&Argument> for Value {
    fn from(argument: &Argument) -> Self {
        match argument {
            Argument::Number(number) => Self::Integer(*number),
            Argument::Text(text) => Self::Text(text.clone()),
        }
    }
}

impl ToSql for Argument {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Number(number) if *wanted == Type::INT4 => i32::try_from(*number)?.to_sql(wanted, out),
            Self::Number(number) => number.to_sql(wanted, out),
            Self::Text(text) => text.to_sql(wanted, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
