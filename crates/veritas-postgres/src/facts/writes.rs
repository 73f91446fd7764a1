//! How often tables are written: what an index costs, beside its bytes.

use std::collections::BTreeMap;

use sqlparser::{
    ast::{AssignmentTarget, Statement, TableFactor},
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use veritas_database::server::{ServerReading, ServerStatement, TableReading};
use veritas_index_advisor::{TableFacts, UpdateRate, WriteRates};

/// Statements that are looked at for the columns that they set.
const MOST_STATEMENTS: usize = 500;

/// Puts the writes between two readings into `tables`. With one reading, its counters are
/// taken over the server's uptime; without a duration nothing is known, and rates stay zero.
pub fn observed_writes(tables: &mut [TableFacts], reading: &ServerReading, before: Option<&ServerReading>) {
    let before = before.filter(|before| before.read_at < reading.read_at);
    let seconds = match before {
        Some(before) => reading.read_at.since(before.read_at).as_secs_f64(),
        None => reading.uptime.map_or(0.0, |uptime| uptime.as_secs_f64()),
    };
    let Ok(now) = &reading.tables else { return };
    if seconds <= 0.0 {
        return;
    }
    let columns = update_rates(reading, before, seconds);
    for facts in tables {
        let of = |readings: &[TableReading]| {
            let same =
                |table: &&TableReading| table.schema == facts.table.schema && table.name == facts.table.name;
            readings.iter().find(same).cloned()
        };
        let Some(table) = of(now) else { continue };
        let earlier = before.and_then(|before| before.tables.as_ref().ok()).and_then(|tables| of(tables));
        facts.writes = rates(&table, earlier.as_ref(), seconds);
        let hot_share = facts.writes.updates.first().map_or(0.0, |rate| rate.hot_share);
        let all = facts.writes.updates.first().map_or(0.0, |rate| rate.rows);
        let known = columns.get(&facts.table.name).or_else(|| columns.get(&facts.table.to_string()));
        let mut updates: Vec<UpdateRate> = known.cloned().unwrap_or_default();
        for rate in &mut updates {
            rate.hot_share = hot_share;
        }
        let told: f64 = updates.iter().map(|rate| rate.rows).sum();
        // What the statements do not explain may set any column.
        if all > told {
            updates.push(UpdateRate { columns: Vec::new(), rows: all - told, hot_share });
        }
        facts.writes.updates = updates;
    }
}

fn rates(table: &TableReading, before: Option<&TableReading>, seconds: f64) -> WriteRates {
    #[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
    let rate = |now: u64, then: fn(&TableReading) -> u64| {
        // A counter that went back was reset: all of it is new.
        let then = before.map_or(0, then);
        (if now >= then { now - then } else { now }) as f64 / seconds
    };
    let changed = rate(table.updated, |before| before.updated);
    let hot = rate(table.hot_updated, |before| before.hot_updated);
    let hot_share = if changed > 0.0 { (hot / changed).clamp(0.0, 1.0) } else { 0.0 };
    let updates = vec![UpdateRate { columns: Vec::new(), rows: changed, hot_share }];
    WriteRates {
        inserts: rate(table.inserted, |before| before.inserted),
        deletes: rate(table.deleted, |before| before.deleted),
        updates: if changed > 0.0 { updates } else { Vec::new() },
    }
}

/// Returns the rows that UPDATE statements change per second, by table (as the text names
/// it) and by the columns that they set. Unreadable statements are left out.
pub fn update_rates(
    reading: &ServerReading,
    before: Option<&ServerReading>,
    seconds: f64,
) -> BTreeMap<String, Vec<UpdateRate>> {
    let mut rates: BTreeMap<String, Vec<UpdateRate>> = BTreeMap::new();
    let (Ok(statements), true) = (&reading.statements, seconds > 0.0) else { return rates };
    let earlier = before.and_then(|before| before.statements.as_ref().ok());
    for statement in statements.iter().filter(|statement| statement.writes).take(MOST_STATEMENTS) {
        let then = earlier.and_then(|earlier| {
            let same = |known: &&ServerStatement| known.fingerprint == statement.fingerprint;
            earlier.iter().find(same).map(|known| known.rows)
        });
        let rows = statement.rows.checked_sub(then.unwrap_or(0)).unwrap_or(statement.rows);
        let Some((table, columns)) = set_columns(&statement.text) else { continue };
        if rows > 0 {
            #[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
            let rate = UpdateRate { columns, rows: rows as f64 / seconds, hot_share: 0.0 };
            rates.entry(table).or_default().push(rate);
        }
    }
    rates
}

/// Returns the table of an UPDATE and the columns that it sets; `None` for anything else.
fn set_columns(sql: &str) -> Option<(String, Vec<String>)> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    let [Statement::Update(update)] = parsed.as_slice() else { return None };
    let TableFactor::Table { name, .. } = &update.table.relation else { return None };
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(folded)).collect();
    let mut columns = Vec::new();
    for assignment in &update.assignments {
        let names = match &assignment.target {
            AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
            AssignmentTarget::Tuple(names) => names.as_slice(),
        };
        for name in names {
            columns.push(name.0.last()?.as_ident().map(folded)?);
        }
    }
    Some((parts?.join("."), columns))
}

fn folded(name: &sqlparser::ast::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: Option<(&str, &[&str])>) {
        let expected = expected.map(|(table, columns)| {
            (table.to_owned(), columns.iter().map(|&column| column.to_owned()).collect())
        });
        assert_eq!(set_columns(sql), expected, "{sql}");
    }

    #[test]
    fn the_columns_that_an_update_sets_are_read() {
        check(
            "UPDATE orders SET status = $1, \"At\" = now() WHERE id = $2",
            Some(("orders", &["status", "At"])),
        );
        check("UPDATE shop.orders o SET (a, b) = ($1, $2)", Some(("shop.orders", &["a", "b"])));
        check("DELETE FROM orders", None);
        check("UPDATE", None);
    }
}
