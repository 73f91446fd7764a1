//! Harm that is planted on a real server is seen in what the load is said to cost.

use std::sync::Arc;

use veritas_model::{Actuator as _, Plan, WorkTotals};
use veritas_postgres::{actuator::PostgresActuator, session::Session, watch::Watch};
use veritas_testkit::{Database, Postgres};

use crate::world::{actuator, hasty, plan, proven, session, target};

/// Harmful changes, and as many that do nothing.
const PLANTED: usize = 20;
/// Calls before a change and after it.
const CALLS: i32 = 60;
/// A load that costs this share more is a regression.
const WORSE: f64 = 0.05;

pub(crate) fn prove() -> Result<String, String> {
    let server = Postgres::start_alone(
        "shared_preload_libraries = 'pg_stat_statements'\ncompute_query_id = on\nsynchronous_commit = on",
    );
    let database = server.database();
    database.extension("pg_stat_statements");
    let target = target(&database.url());
    let mut watch = Watch::new(Arc::clone(&target), Arc::clone(&target.latest));
    let actuator = actuator(target, hasty());
    let mut load = session(&database.url());
    let (mut seen, mut false_alarms, mut least, mut most) = (0, 0, f64::MAX, 0.0_f64);
    for number in 0..2 * PLANTED {
        let harmful = number < PLANTED;
        let share = dearer(&database, &mut load, &mut watch, &actuator, number, harmful)?;
        if harmful {
            seen += usize::from(share > WORSE);
            least = least.min(share);
        } else {
            false_alarms += usize::from(share > WORSE);
            most = most.max(share.abs());
        }
    }
    let figures = format!(
        "{seen} of {PLANTED} seen (the least of them {:.0} % more pages a call); of {PLANTED} changes that do nothing \
         {false_alarms} looked harmful (the most {:.1} %)",
        least * 100.0,
        most * 100.0
    );
    if seen == PLANTED && false_alarms == 0 { Ok(figures) } else { Err(figures) }
}

/// Runs a load, makes a change, runs the load again, and returns the share by which it
/// costs more pages, as the actuator says.
fn dearer(
    database: &Database,
    load: &mut Session,
    watch: &mut Watch,
    actuator: &PostgresActuator,
    number: usize,
    harmful: bool,
) -> Result<f64, String> {
    let table = format!("r{number}");
    database.psql(&format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, a int, b int, c int, d int);
         INSERT INTO {table} SELECT n, n, n, n, n FROM generate_series(1, 3000) n;
         CREATE INDEX {table}_b ON {table} (b); ANALYZE {table}"
    ));
    let writes = number % 2 == 1;
    // Without statistics of its own the plan would change by itself.
    let plan = plan(&table, "a");
    let run = |load: &mut Session, from: i32| -> Result<(), String> {
        let sql = if writes {
            format!("INSERT INTO {table} VALUES ($1, $1, $1, $1, $1)")
        } else {
            format!("SELECT count(*) FROM {table} WHERE b = $1")
        };
        for call in 0..CALLS {
            load.query(&sql, &[&(from + call)]).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    // The first calls fill caches; the first reading is where counting begins.
    run(load, 10_000)?;
    look(watch, actuator, &plan)?;
    run(load, 20_000)?;
    let before = mean(&look(watch, actuator, &plan)?, &[])?;
    let earlier = actuator.work(&plan);
    // A change is applied by us; what harms is planted with it.
    actuator.apply(&proven(&plan)).map_err(|error| error.to_string())?;
    let planted = match (harmful, writes) {
        (true, false) => format!("DROP INDEX {table}_b"),
        (true, true) => format!("CREATE INDEX ON {table} (c); CREATE INDEX ON {table} (d)"),
        (false, true) => format!("DROP INDEX {}", plan.object),
        (false, false) => "SELECT 1".to_owned(),
    };
    database.psql(&planted);
    run(load, 30_000)?;
    look(watch, actuator, &plan)?;
    run(load, 40_000)?;
    let after = mean(&look(watch, actuator, &plan)?, &earlier)?;
    Ok(after / before - 1.0)
}

/// Takes a reading, and returns the work in the plan's scope.
fn look(watch: &mut Watch, actuator: &PostgresActuator, plan: &Plan) -> Result<Vec<WorkTotals>, String> {
    let condition = watch.tick();
    if condition != veritas_model::Condition::Ready {
        return Err(format!("no reading: {condition:?}"));
    }
    Ok(actuator.work(plan))
}

/// Returns the pages of a call since an earlier reading.
#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn mean(work: &[WorkTotals], earlier: &[WorkTotals]) -> Result<f64, String> {
    let (mut pages, mut calls) = (0.0, 0_u64);
    for totals in work {
        let before = earlier.iter().find(|before| before.fingerprint == totals.fingerprint);
        let steps = before.map_or(totals.steps, |before| totals.steps.since(&before.steps));
        pages += steps.sum;
        calls += steps.count;
    }
    if calls < u64::from(CALLS.unsigned_abs()) {
        return Err(format!("only {calls} calls were counted"));
    }
    Ok(pages / calls as f64)
}
