//! `veritas explain`: the plan of one statement, asked for safely, and what it shows.

use std::{fmt::Write as _, io::Read as _};

use anyhow::Context as _;
use serde_json::json;
use veritas::postgres::{
    guard::{Guard, LONGEST, Parameters},
    plan::Plan,
    rewrites::{ByRule, by_rule},
    session::Session,
};

use super::connect_options;
use crate::{arguments::ExplainArguments, failure::Failure, reference::print};

/// Runs `veritas explain`.
pub(crate) fn run(arguments: &ExplainArguments) -> Result<(), Failure> {
    let options = connect_options(&arguments.place)?;
    let statement = read(&arguments.statement)?;
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
