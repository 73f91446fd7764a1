//! Plans: `EXPLAIN FORMAT=JSON` of a query that the guard has let through.

use mysql::Value;
use serde_json::Value as Json;

use crate::{
    guard::Readable,
    session::{Session, SessionError},
};

/// How one table is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// The table, or its alias, as the plan names it.
    pub table: String,
    /// How (`ALL`, `index`, `range`, `ref`, `eq_ref`, `const`).
    pub method: String,
    /// The index, where one is read.
    pub index: Option<String>,
    /// Rows that are expected to be read.
    pub rows: Option<f64>,
    /// The share of them that is expected to be kept, in per cent.
    pub kept_percent: Option<f64>,
    /// Whether it is read from start to end.
    pub whole: bool,
}

/// A plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How each table is read, in the plan's order.
    pub accesses: Vec<Access>,
    /// Whether rows are sorted.
    pub sorts: bool,
    /// Whether a temporary table is filled.
    pub uses_temporary_table: bool,
}

/// Asks for the plan of a query. Nothing is run; `values` stand in place of its `?`.
///
/// # Errors
///
/// As [`Session::query`].
pub fn explain(session: &mut Session, query: &Readable, values: Vec<Value>) -> Result<Plan, SessionError> {
    let rows = session.query_with(&format!("EXPLAIN FORMAT=JSON {}", query.sql()), values)?;
    let text = rows.into_iter().next().and_then(|mut row| row.pop().flatten()).ok_or(SessionError::Lost)?;
    Ok(Plan::parse(&text))
}

impl Plan {
    /// Reads what the server printed; what is not understood is left out.
    pub fn parse(text: &str) -> Self {
        let mut plan = Self { accesses: Vec::new(), sorts: false, uses_temporary_table: false };
        if let Ok(json) = serde_json::from_str::<Json>(text) {
            plan.walk(&json);
        }
        plan
    }

    fn walk(&mut self, json: &Json) {
        match json {
            Json::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Json::Object(fields) => {
                if let Some(access) = fields.get("table").and_then(Access::of) {
                    self.accesses.push(access);
                }
                self.sorts |= fields.contains_key("filesort")
                    || fields.get("using_filesort") == Some(&Json::Bool(true));
                self.uses_temporary_table |= fields.contains_key("temporary_table")
                    || fields.get("using_temporary_table") == Some(&Json::Bool(true));
                fields.values().for_each(|value| self.walk(value));
            }
            _ => {}
        }
    }
}

impl Access {
    fn of(table: &Json) -> Option<Self> {
        let text = |name: &str| table.get(name).and_then(Json::as_str).map(str::to_owned);
        // MySQL writes the rows that it expects under another name than MariaDB.
        let number = |names: [&str; 2]| names.iter().find_map(|name| number(table.get(*name)?));
        let method = text("access_type")?;
        let whole = method.eq_ignore_ascii_case("all") || method == "index";
        Some(Self {
            table: text("table_name")?,
            index: text("key"),
            rows: number(["rows", "rows_examined_per_scan"]),
            kept_percent: number(["filtered", "filtered"]),
            method,
            whole,
        })
    }
}

fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}
