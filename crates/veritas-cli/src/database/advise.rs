//! `veritas db advise`: the indexes that a workload should have within a budget.

use std::{
    fmt::Write as _,
    fs,
    io::{IsTerminal as _, Read as _},
    ops::ControlFlow,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use veritas::{
    database::server::ServerReading,
    model::{Bytes, Clock, Plan, SystemClock},
    postgres::{
        advice::{WorkloadAdvice, WorkloadOptions, WorkloadStatement, advise_workload},
        migration::{self, Form},
        session::{ConnectOptions, Session},
        view::View,
    },
};

use super::{connect_options, workload};
use crate::{
    arguments::{DatabaseAdviseArguments, MigrationForm},
    cache::bytes,
    failure::Failure,
    reference::print,
    signals,
};

/// The most that a workload's file may hold.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;
/// The share of the tables that indexes may take when nobody says otherwise.
const BUDGET_SHARE: f64 = 0.2;

/// Runs `veritas db advise`.
pub(crate) fn run(arguments: &DatabaseAdviseArguments) -> Result<(), Failure> {
    let options = connect_options(&arguments.place)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let given = arguments.workload.as_deref().map(read).transpose()?;
    let needs_reading = given.is_none() || arguments.budget.is_none();
    let reading = if needs_reading { Some(look(&options, &clock)?) } else { None };
    let statements = match (given, &reading) {
        (Some(statements), _) => statements,
        (None, reading) => counted(reading.as_ref())?,
    };
    let budget = match arguments.budget {
        Some(budget) => Bytes::new(budget),
        None => share_of_tables(reading.as_ref())?,
    };
    let how = WorkloadOptions { time_limit: arguments.time_limit, ..WorkloadOptions::within(budget) };

    let stop = signals::stop_flag()?;
    let bar = progress_bar();
    let advice = advise_workload(&options, &statements, &how, &clock, &mut |progress| {
        let share = if progress.cost_before > 0.0 { progress.cost_now / progress.cost_before } else { 1.0 };
        bar.set_message(format!(
            "{} plans, {} indexes, {:.1} % of the cost",
            progress.calls,
            progress.indexes,
            share * 100.0
        ));
        bar.tick();
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let advice = advice.map_err(|error| {
        Failure::new(Failure::GENERAL, error, "`veritas doctor URL` says what is wrong with a server")
    })?;
    if let Some(form) = arguments.migration {
        return print(migrations(&advice, form, &clock)?.as_bytes());
    }
    if arguments.json {
        let document = to_json(&advice, budget);
        return print(format!("{}\n", serde_json::to_string_pretty(&document)?).as_bytes());
    }
    print(render(&advice, budget).as_bytes())
}

/// Reads a file of statements.
fn read(path: &Path) -> Result<Vec<WorkloadStatement>, Failure> {
    let unreadable = |error: anyhow::Error| {
        Failure::new(Failure::GENERAL, error, "`veritas db advise --help` tells what a workload file holds")
    };
    let mut text = String::new();
    let file = fs::File::open(path).with_context(|| format!("failed to open {}", path.display()));
    let read = file.and_then(|file| {
        file.take(LARGEST_FILE + 1)
            .read_to_string(&mut text)
            .with_context(|| format!("failed to read {}", path.display()))
    });
    let length = read.map_err(unreadable)?;
    if length as u64 > LARGEST_FILE {
        return Err(unreadable(anyhow::anyhow!("{} is larger than {LARGEST_FILE} bytes", path.display())));
    }
    let statements = workload::statements(&text)
        .map_err(|reason| unreadable(anyhow::anyhow!("{}: {reason}", path.display())))?;
    if statements.is_empty() {
        return Err(unreadable(anyhow::anyhow!("{} holds no statement", path.display())));
    }
    Ok(statements)
}

/// Takes a reading of the server.
fn look(options: &ConnectOptions, clock: &Arc<dyn Clock>) -> Result<ServerReading, Failure> {
    let mut session = Session::connect(options).map_err(|error| {
        Failure::new(Failure::GENERAL, error, "`veritas doctor URL` says what is wrong with a server")
    })?;
    // Once, and somebody waits for it: more patience than a reading that is taken again and again.
    Ok(View::new("postgres", Arc::clone(clock)).within(Duration::from_secs(5)).read(&mut session))
}

/// Returns the statements that the server counted.
fn counted(reading: Option<&ServerReading>) -> Result<Vec<WorkloadStatement>, Failure> {
    let hint = "give the statements with --workload FILE, or install pg_stat_statements";
    let nothing = |why: String| Failure::new(Failure::GENERAL, anyhow::anyhow!(why), hint);
    let statements = match reading.map(|reading| &reading.statements) {
        Some(Ok(statements)) => statements,
        Some(Err(why)) => return Err(nothing(why.to_string())),
        None => return Err(nothing("the server was not read".to_owned())),
    };
    let of_tables = statements.iter().filter(|statement| !statement.tables.is_empty());
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    let found: Vec<_> = of_tables
        .map(|statement| WorkloadStatement {
            sql: statement.text.clone(),
            calls: statement.seconds.count as f64,
            mean_seconds: statement.seconds.mean(),
        })
        .collect();
    if found.is_empty() {
        return Err(nothing("the server has counted no statement on a table yet".to_owned()));
    }
    Ok(found)
}

fn share_of_tables(reading: Option<&ServerReading>) -> Result<Bytes, Failure> {
    let tables = match reading.map(|reading| &reading.tables) {
        Some(Ok(tables)) => tables,
        Some(Err(why)) => {
            let error = anyhow::anyhow!("the sizes of the tables are not known: {why}");
            return Err(Failure::new(Failure::GENERAL, error, "say with --budget what indexes may take"));
        }
        None => return Ok(Bytes::new(0)),
    };
    let size: u64 = tables.iter().map(|table| table.size.get()).sum();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a size, for which a byte more or less does not matter"
    )]
    Ok(Bytes::new((size as f64 * BUDGET_SHARE) as u64))
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn migrations(
    advice: &WorkloadAdvice,
    form: MigrationForm,
    clock: &Arc<dyn Clock>,
) -> Result<String, Failure> {
    let (form, mark) = match form {
        MigrationForm::Sql => (Form::Sql, "--"),
        MigrationForm::Sqlx => (Form::Sqlx, "--"),
        MigrationForm::Alembic => (Form::Alembic, "#"),
        MigrationForm::Django => (Form::Django, "#"),
    };
    let mut text = String::new();
    for index in &advice.chosen {
        let plan = Plan {
            target: "postgres".to_owned(),
            forward: index.sql.clone(),
            inverse: index.inverse.clone(),
            object: String::new(),
            scope: Vec::new(),
        };
        for file in migration::write(&plan, form, clock.now())? {
            writeln!(text, "{mark} {}\n{}", file.name, file.text)?;
        }
    }
    Ok(text)
}

fn to_json(advice: &WorkloadAdvice, budget: Bytes) -> Value {
    let indexes = advice.chosen.iter().map(|index| {
        let statements = index.statements.iter().map(|(statement, before, after)| {
            json!({ "statement": statement + 1, "cost_before": before, "cost_after": after })
        });
        json!({
            "table": format!("{}.{}", index.spec.table.schema, index.spec.table.name),
            "sql": index.sql,
            "inverse": index.inverse,
            "bytes": index.size.mean.get(),
            "bytes_at_most": index.size.high.get(),
            "gain": index.gain,
            "statements": statements.collect::<Vec<_>>(),
        })
    });
    let skipped = advice.skipped.iter();
    json!({
        "indexes": indexes.collect::<Vec<_>>(),
        "cost_before": advice.cost_before,
        "cost_after": advice.cost_after,
        "provenance": "estimated",
        "budget_bytes": budget.get(),
        "gap": advice.gap,
        "gap_basis": format!("{:?}", advice.gap_basis).to_lowercase(),
        "candidates": advice.candidates,
        "plans": advice.plans,
        "what_if": advice.what_if.as_str(),
        "what_if_reason": advice.what_if_reason,
        "stopped": format!("{:?}", advice.stopped).to_lowercase(),
        "seconds": advice.took.as_secs_f64(),
        "skipped": skipped
            .map(|(statement, reason)| json!({ "statement": statement, "reason": reason }))
            .collect::<Vec<_>>(),
        "notes": advice.notes,
    })
}

fn render(advice: &WorkloadAdvice, budget: Bytes) -> String {
    let mut page = String::new();
    let mut line = |text: &str| {
        page.push_str(text);
        page.push('\n');
    };
    if advice.chosen.is_empty() {
        line("No index within the budget makes this workload cheaper.");
    }
    for (number, index) in advice.chosen.iter().enumerate() {
        line(&format!("{}. {};", number + 1, index.sql));
        let share = if advice.cost_before > 0.0 { index.gain / advice.cost_before * 100.0 } else { 0.0 };
        line(&format!(
            "   about {} (at most {}); without it the workload costs {share:.1} % more",
            bytes(float(index.size.mean)),
            bytes(float(index.size.high)),
        ));
        for (statement, before, after) in &index.statements {
            line(&format!("   statement {}: cost {before:.1} -> {after:.1}", statement + 1));
        }
    }
    let left = if advice.cost_before > 0.0 { advice.cost_after / advice.cost_before * 100.0 } else { 100.0 };
    line("");
    line(&format!(
        "Estimated: the workload would cost {left:.1} % of now, within {} ({} plans, {} candidates, {:.1} s, by {}).",
        bytes(float(budget)),
        advice.plans,
        advice.candidates,
        advice.took.as_secs_f64(),
        advice.what_if.as_str(),
    ));
    match advice.gap {
        Some(gap) => line(&format!("At most {:.1} % above the best set of these candidates.", gap * 100.0)),
        None => line("How far from the best set of these candidates is not known."),
    }
    line("An estimate is no gain: `veritas serve` with postgres.scratch proves by running.");
    for (statement, reason) in &advice.skipped {
        let short: String = statement.chars().take(70).collect();
        line(&format!("left out: {short}: {reason}"));
    }
    for note in &advice.notes {
        line(&format!("note: {note}"));
    }
    page
}

#[expect(clippy::cast_precision_loss, reason = "sizes for people")]
fn float(size: Bytes) -> f64 {
    size.get() as f64
}
