//! Tables with old statistics, many dead rows, or old transaction ids.

use veritas_database::server::{ServerReading, TableReading};
use veritas_model::{Finding, FindingKind, Impact, Observation, Unit};

use super::{Verdict, condition, figure, on_server};

/// Statistics are gathered anew by default once a tenth changed; three tenths are late.
const CHANGED: f64 = 0.3;
/// Fewer changed rows mislead nobody.
const LEAST_CHANGED: u64 = 1_000;
/// A table of this size should have statistics.
const LEAST_SIZE: u64 = 1024 * 1024;
/// Dead rows are cleaned by default once they are a fifth of all; half is late.
const DEAD: f64 = 0.5;
/// Fewer dead rows take no room that matters.
const LEAST_DEAD: u64 = 10_000;
/// Half of the ids that there are (2^31), less what it takes to act in time.
const OLD: u64 = 1_000_000_000;

pub(super) fn findings(reading: &ServerReading) -> Vec<Finding> {
    let mut found: Vec<Finding> = wraparound(reading).into_iter().collect();
    // A replica has no say in what is cleaned and gathered.
    if reading.is_replica {
        return found;
    }
    for table in reading.tables.as_deref().unwrap_or_default() {
        found.extend(is_stale(table).then(|| stale(reading, table)));
        found.extend(is_bloated(table).then(|| bloated(reading, table)));
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
fn part_of(count: u64, rows: u64) -> f64 {
    count as f64 / rows.max(1) as f64
}

/// Whether the statistics of a table are old, or were never gathered.
pub(super) fn is_stale(table: &TableReading) -> bool {
    let changed = table.changed_since_analyze.unwrap_or(0);
    let never = table.analyzed_at.is_none() && table.rows.is_none() && table.size.get() >= LEAST_SIZE;
    never || changed >= LEAST_CHANGED && part_of(changed, table.rows.unwrap_or(0)) >= CHANGED
}

fn stale(reading: &ServerReading, table: &TableReading) -> Finding {
    let detail = match table.changed_since_analyze {
        Some(changed) if table.rows.is_some() => {
            format!("{changed} rows of {} changed since its statistics were gathered", table.name)
        }
        _ => format!("the statistics of {} were never gathered", table.name),
    };
    let recommendation = format!(
        "Run ANALYZE {}.{}, and let autovacuum do so earlier (autovacuum_analyze_scale_factor)",
        table.schema, table.name
    );
    let mut evidence = vec![figure(reading, "table_bytes", table.size.get(), Unit::Bytes)];
    evidence.extend(
        table.changed_since_analyze.map(|changed| figure(reading, "changed_rows", changed, Unit::Rows)),
    );
    evidence.extend(table.rows.map(|rows| figure(reading, "rows", rows, Unit::Rows)));
    let kind = FindingKind::StaleStatistics;
    let cause = condition("tables", detail);
    on_server(reading, Some(part(table)), Impact::Medium, Verdict { kind, cause, recommendation, evidence })
}

fn is_bloated(table: &TableReading) -> bool {
    let dead = table.dead_rows.unwrap_or(0);
    dead >= LEAST_DEAD && part_of(dead, table.rows.unwrap_or(0)) >= DEAD
}

fn bloated(reading: &ServerReading, table: &TableReading) -> Finding {
    let dead = table.dead_rows.unwrap_or(0);
    let detail = format!("{} holds {dead} dead rows", table.name);
    let recommendation = format!(
        "Run VACUUM {}.{}, and look for what keeps autovacuum from it (old transactions, slots, cost limits)",
        table.schema, table.name
    );
    let evidence = vec![
        figure(reading, "dead_rows", dead, Unit::Rows),
        figure(reading, "rows", table.rows.unwrap_or(0), Unit::Rows),
        figure(reading, "table_bytes", table.size.get(), Unit::Bytes),
    ];
    let kind = FindingKind::TableBloat;
    let cause = condition("tables", detail);
    on_server(reading, Some(part(table)), Impact::Medium, Verdict { kind, cause, recommendation, evidence })
}

fn part(table: &TableReading) -> String {
    format!("table {}.{}", table.schema, table.name)
}

fn wraparound(reading: &ServerReading) -> Option<Finding> {
    let age = reading.transaction_id_age.filter(|age| *age >= OLD)?;
    let oldest = reading.tables.as_deref().unwrap_or_default().iter();
    let oldest = oldest
        .filter(|table| table.transaction_id_age.is_some())
        .max_by_key(|table| table.transaction_id_age);
    let named =
        oldest.map_or(String::new(), |table| format!(", beginning with {}.{}", table.schema, table.name));
    let recommendation = format!(
        "Run VACUUM (FREEZE){named}, and end what holds old transactions: at 2 147 483 648 the server takes no \
         more writes"
    );
    let kind = FindingKind::Wraparound;
    let cause = condition("transactions", format!("the oldest transaction id is {age} transactions old"));
    let evidence: Vec<Observation> = vec![figure(reading, "transaction_id_age", age, Unit::Count)];
    Some(on_server(reading, None, Impact::High, Verdict { kind, cause, recommendation, evidence }))
}
