//! `veritas explain`: the plan of one statement, asked for safely, and what it shows.

use std::{fmt::Write as _, io::Read as _};

use anyhow::Context as _;
use serde_json::json;
use veritas::{
    mysql,
    postgres::{
        guard::{Guard, LONGEST, Parameters},
        plan::Plan,
        rewrites::{ByRule, by_rule},
        session::Session,
    },
};

use super::connect_options;
use crate::{arguments::ExplainArguments, failure::Failure, reference::print};

/// Runs `veritas explain`.
pub(crate) fn run(arguments: &ExplainArguments) -> Result<(), Failure> {
    let statement = read(&arguments.statement)?;
    if let Some(url) = &arguments.mysql {
        return on_mysql(url, &statement, arguments);
    }
    let options = connect_options(&arguments.place)?;
    let mut session = Session::connect(&options).map_err(|error| {
        Failure::new(Failure::GENERAL, error, "`veritas doctor URL` says what is wrong with a server")
    })?;
    let explainable = Guard::new(&mut session).check(&statement).map_err(|refusal| {
        let hint = "only one SELECT, INSERT, UPDATE or DELETE is explained, of known functions; none is run";
        Failure::new(Failure::GENERAL, refusal, hint)
    })?;
    let values: Vec<_> = arguments.values.iter().cloned().map(Some).collect();
    let parameters = if values.is_empty() { Parameters::Unknown } else { Parameters::Values(&values) };
    let plan = explainable.explain(&mut session, parameters).map_err(|error| {
        let hint = "give each `$n` a --value, or cast it in the statement: `$1::bigint`";
        Failure::new(Failure::GENERAL, error, hint)
    })?;
    // What the rules cannot read has a plan all the same.
    let others = by_rule(&mut session, &statement).unwrap_or_default();
    if arguments.json {
        return print(format!("{}\n", serde_json::to_string_pretty(&to_json(&plan, &others))?).as_bytes());
    }
    print(render(&plan, &others)?.as_bytes())
}

/// Explains a statement on a `MariaDB` or `MySQL`.
fn on_mysql(url: &str, statement: &str, arguments: &ExplainArguments) -> Result<(), Failure> {
    let mut options = mysql::session::ConnectOptions::new(url);
    options.password_file.clone_from(&arguments.place.password_file);
    let mut session = mysql::session::Session::connect(&options).map_err(|error| {
        Failure::new(Failure::GENERAL, error, "`veritas doctor URL` says what is wrong with a server")
    })?;
    let query = mysql::guard::check(&mut session, statement).map_err(|refusal| {
        let hint = "only one SELECT is explained, of plain tables and known functions; none is run";
        Failure::new(Failure::GENERAL, refusal, hint)
    })?;
    let values = arguments.values.iter().map(|value| mysql::Value::from(value.as_str())).collect();
    let plan = mysql::explain::explain(&mut session, &query, values).map_err(|error| {
        Failure::new(
            Failure::GENERAL,
            error,
            "give each `?` a --value: this server has no plan for all values",
        )
    })?;
    let accesses = plan.accesses.iter().map(|access| {
        json!({
            "table": access.table,
            "method": access.method,
            "index": access.index,
            "rows": access.rows,
            "kept_percent": access.kept_percent,
            "whole": access.whole,
        })
    });
    if arguments.json {
        let json = json!({
            "accesses": accesses.collect::<Vec<_>>(),
            "sorts": plan.sorts,
            "uses_temporary_table": plan.uses_temporary_table,
        });
        return print(format!("{}\n", serde_json::to_string_pretty(&json)?).as_bytes());
    }
    let mut text = String::new();
    for access in &plan.accesses {
        let by =
            access.index.as_ref().map_or_else(|| "no index".to_owned(), |index| format!("index {index}"));
        let rows = access.rows.map_or_else(|| "an unknown number of".to_owned(), |rows| format!("{rows:.0}"));
        writeln!(text, "{}: {} by {by}, {rows} rows expected", access.table, access.method)?;
    }
    if plan.sorts {
        writeln!(text, "rows are sorted")?;
    }
    if plan.uses_temporary_table {
        writeln!(text, "a temporary table is filled")?;
    }
    writeln!(text, "\nThe plan for these values. Nothing was run.")?;
    print(text.as_bytes())
}

/// Returns the statement, from stdin where that is asked for; bounded either way.
fn read(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let most = u64::try_from(LONGEST + 1).unwrap_or(u64::MAX);
    std::io::stdin()
        .take(most)
        .read_to_string(&mut text)
        .context("failed to read the statement from stdin")?;
    Ok(text)
}

fn to_json(plan: &Plan, others: &[ByRule]) -> serde_json::Value {
    let nodes = plan.nodes().map(|node| {
        json!({
            "node": node.kind.as_str(),
            "relation": node.relation.as_ref().map(|table| format!("{}.{}", table.schema, table.name)),
            "index": node.index,
            "rows": node.rows,
            "cost": node.total_cost,
        })
    });
    json!({
        "generic": plan.generic,
        "cost": plan.cost(),
        "shape": format!("{:016x}", plan.shape()),
        "plan": plan.text_without_literals(),
        "nodes": nodes.collect::<Vec<_>>(),
        "rewrites": others.iter().map(|other| json!({
            "rule": other.rule,
            "sql": other.sql,
            "condition": other.condition,
            "note": other.note,
            "level": "rule",
        })).collect::<Vec<_>>(),
    })
}

fn render(plan: &Plan, others: &[ByRule]) -> Result<String, Failure> {
    let mut text = plan.text_without_literals();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let whose = if plan.generic { "for all values" } else { "for these values" };
    writeln!(text, "\nThe plan {whose}, estimated cost {:.2}. Nothing was run.", plan.cost())?;
    if !others.is_empty() {
        writeln!(
            text,
            "\nOther ways to write it; rules say that they return the same, and none was measured:"
        )?;
    }
    for other in others {
        writeln!(text, "\n{}: {}\n  {}", other.rule, other.note, other.sql)?;
        if let Some(condition) = &other.condition {
            writeln!(text, "  provided that {condition}")?;
        }
    }
    Ok(text)
}
