//! Query plans: what `EXPLAIN QUERY PLAN` says is read from start to end.

use rusqlite::Connection;

use super::{access::Access, binding::bind};
use crate::Value;

/// The lines of one plan, indented as a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueryPlan {
    lines: Vec<(usize, String)>,
}

/// Why an access of a plan is worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Weakness {
    /// The table, or a whole index of it, is read from start to end.
    Scan,
    /// SQLite builds an index for one execution and throws it away.
    AutomaticIndex,
    /// The rows are found but have to be sorted.
    Sort,
}

impl QueryPlan {
    /// Asks SQLite how it would run a statement. Nothing is run. `parameters`
    /// are bound where their number fits, else none is, which SQLite plans for
    /// as for unknown values.
    pub(crate) fn explain(
        connection: &Connection,
        sql: &str,
        parameters: &[Value],
    ) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        if statement.is_explain() != 2 {
            return Err(rusqlite::Error::InvalidQuery); // a comment or a quote swallowed the prefix
        }
        if statement.parameter_count() == parameters.len() {
            bind(&mut statement, parameters)?;
        }
        let mut rows = statement.raw_query();
        let mut depths: Vec<(i64, usize)> = Vec::new();
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, parent): (i64, i64) = (row.get(0)?, row.get(1)?);
            let depth = depths
                .iter()
                .find(|(known, _)| *known == parent)
                .map_or(0, |(_, depth)| depth.saturating_add(1));
            depths.push((id, depth));
            lines.push((depth, row.get(3)?));
        }
        Ok(Self { lines })
    }

    /// Returns the plan as text, one line each, children indented.
    pub(crate) fn text(&self) -> String {
        let lines: Vec<String> =
            self.lines.iter().map(|(depth, line)| format!("{}{line}", "  ".repeat(*depth))).collect();
        lines.join("\n")
    }

    /// Returns what is weak in how the plan reads `access`.
    pub(crate) fn weakness(&self, access: &Access) -> Option<Weakness> {
        let mut searched = false;
        for (_, line) in &self.lines {
            if let Some(rest) = line.strip_prefix("SCAN ").and_then(|rest| after_name(rest, &access.shown))
                && !rest.starts_with(" VIRTUAL TABLE")
            {
                return Some(Weakness::Scan);
            }
            if let Some(rest) = line.strip_prefix("SEARCH ").and_then(|rest| after_name(rest, &access.shown))
            {
                if rest.starts_with(" USING AUTOMATIC") {
                    return Some(Weakness::AutomaticIndex);
                }
                searched = true;
            }
        }
        (searched && !access.sort.is_empty() && self.sorts()).then_some(Weakness::Sort)
    }

    /// Returns whether some part of the plan sorts or groups in a temporary tree.
    pub(crate) fn sorts(&self) -> bool {
        self.lines.iter().any(|(_, line)| {
            line.starts_with("USE TEMP B-TREE") && (line.contains("ORDER BY") || line.contains("GROUP BY"))
        })
    }

    /// Returns whether the plan searches `index`, or reads it in its order.
    pub(crate) fn uses(&self, index: &str) -> bool {
        let plain = format!(" USING INDEX {index}");
        let covering = format!(" USING COVERING INDEX {index}");
        self.lines.iter().any(|(_, line)| {
            [&plain, &covering].into_iter().any(|used| {
                line.find(used.as_str()).is_some_and(|at| {
                    let rest = &line[at + used.len()..];
                    rest.is_empty() || rest.starts_with(' ')
                })
            })
        })
    }

    /// Returns whether the plan finds rows by key in `index`, instead of
    /// reading all of it.
    pub(crate) fn searches(&self, index: &str) -> bool {
        let searching = self.lines.iter().filter(|(_, line)| line.starts_with("SEARCH ")).cloned().collect();
        Self { lines: searching }.uses(index)
    }
}

/// Returns what follows a table's name, which plans show without quotes.
fn after_name<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(name)?;
    (rest.is_empty()
        || rest.starts_with(" USING ")
        || rest.starts_with(" VIRTUAL ")
        || rest.starts_with(" LEFT-JOIN"))
    .then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE users(id INTEGER PRIMARY KEY, email TEXT, age INT);
                 CREATE TABLE \"odd name\"(id INTEGER PRIMARY KEY, user INT);
                 CREATE INDEX users_age ON users(age)",
            )
            .unwrap();
        connection
    }

    fn access(shown: &str, sort: bool) -> Access {
        Access {
            table: String::new(),
            shown: shown.to_owned(),
            equal: Vec::new(),
            range: Vec::new(),
            sort: if sort { vec![("email".to_owned(), false)] } else { Vec::new() },
            limited: false,
            bound: Vec::new(),
        }
    }

    #[track_caller]
    fn check(sql: &str, shown: &str, sort: bool, expected: Option<Weakness>) {
        let plan = QueryPlan::explain(&connection(), sql, &[]).unwrap();
        assert_eq!(plan.weakness(&access(shown, sort)), expected, "{sql}\n{}", plan.text());
    }

    #[test]
    fn scans_sorts_and_automatic_indexes_are_weak() {
        check("SELECT * FROM users WHERE email = ?", "users", false, Some(Weakness::Scan));
        check("SELECT * FROM users u WHERE email = ?", "u", false, Some(Weakness::Scan));
        check("SELECT age FROM users WHERE age + 1 = ?", "users", false, Some(Weakness::Scan));
        check("SELECT * FROM \"odd name\" WHERE user = 1", "odd name", false, Some(Weakness::Scan));
        check("SELECT * FROM users WHERE id = ?", "users", false, None);
        check("SELECT * FROM users WHERE age = ?", "users", false, None);
        check("SELECT * FROM users WHERE age = ? ORDER BY email", "users", true, Some(Weakness::Sort));
        check(
            "SELECT * FROM users u JOIN \"odd name\" o ON o.user = u.id + 1",
            "o",
            false,
            Some(Weakness::AutomaticIndex),
        );
    }

    #[test]
    fn a_used_index_is_seen() {
        let plan = QueryPlan::explain(&connection(), "SELECT age FROM users WHERE age = ?", &[]).unwrap();
        assert!(plan.uses("users_age") && plan.searches("users_age"));
        assert!(!plan.uses("users_ag"));
    }
}
