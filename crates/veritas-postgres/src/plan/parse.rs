//! From JSON to a typed plan.

use serde_json::{Map, Value};

use super::{Actual, Buffers, Node, NodeKind, Plan, PlanError, Relation, Role};

/// Larger plans are not looked at: a plan of hundreds of tables stays below.
pub(super) const LARGEST: usize = 16 * 1024 * 1024;

type Object = Map<String, Value>;

pub(super) fn plan(json: &str) -> Result<Plan, PlanError> {
    if json.len() > LARGEST {
        return Err(PlanError::TooLarge);
    }
    // The reader of JSON refuses more than 128 levels; a node takes two.
    let value: Value = serde_json::from_str(json).map_err(|_not_json| PlanError::Json)?;
    let whole = match &value {
        Value::Array(plans) => plans.first(),
        Value::Object(_) => Some(&value),
        _ => None,
    };
    let whole = whole.and_then(Value::as_object).ok_or(PlanError::Missing("Plan"))?;
    let root = whole.get("Plan").and_then(Value::as_object).ok_or(PlanError::Missing("Plan"))?;
    let settings = whole.get("Settings").and_then(Value::as_object).into_iter().flatten();
    Ok(Plan {
        root: node(root)?,
        settings: settings
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        generic: false,
        planning_ms: number(whole, "Planning Time"),
        execution_ms: number(whole, "Execution Time"),
    })
}

fn node(object: &Object) -> Result<Node, PlanError> {
    let kind = object.get("Node Type").and_then(Value::as_str).ok_or(PlanError::Missing("Node Type"))?;
    let children = object.get("Plans").and_then(Value::as_array).into_iter().flatten();
    let children: Result<Vec<Node>, PlanError> =
        children.map(|child| child.as_object().ok_or(PlanError::Missing("Plans")).and_then(node)).collect();
    let relation = text(object, "Relation Name")
        .map(|name| Relation { schema: text(object, "Schema").unwrap_or_default(), name });
    Ok(Node {
        kind: NodeKind::of(kind),
        role: role(object),
        subplan: text(object, "Subplan Name"),
        relation,
        alias: text(object, "Alias"),
        index: text(object, "Index Name"),
        source: text(object, "Function Name").or_else(|| text(object, "CTE Name")),
        join_type: text(object, "Join Type"),
        strategy: text(object, "Strategy"),
        partial_mode: text(object, "Partial Mode").filter(|mode| mode != "Simple"),
        operation: text(object, "Operation"),
        backward: text(object, "Scan Direction").is_some_and(|direction| direction == "Backward"),
        parallel_aware: object.get("Parallel Aware").and_then(Value::as_bool).unwrap_or_default(),
        workers_planned: number(object, "Workers Planned"),
        startup_cost: number(object, "Startup Cost").unwrap_or_default(),
        total_cost: number(object, "Total Cost").ok_or(PlanError::Missing("Total Cost"))?,
        rows: number(object, "Plan Rows").ok_or(PlanError::Missing("Plan Rows"))?,
        width: number(object, "Plan Width").unwrap_or_default(),
        filter: text(object, "Filter"),
        index_condition: text(object, "Index Cond"),
        recheck_condition: text(object, "Recheck Cond"),
        hash_condition: text(object, "Hash Cond"),
        merge_condition: text(object, "Merge Cond"),
        join_filter: text(object, "Join Filter"),
        one_time_filter: text(object, "One-Time Filter"),
        sort_key: texts(object, "Sort Key"),
        presorted_key: texts(object, "Presorted Key"),
        group_key: texts(object, "Group Key"),
        output: texts(object, "Output"),
        subplans_removed: number(object, "Subplans Removed"),
        actual: actual(object),
        children: children?,
    })
}

fn role(object: &Object) -> Role {
    match object.get("Parent Relationship").and_then(Value::as_str) {
        Some("Inner") => Role::Inner,
        Some("Member") => Role::Member,
        Some("InitPlan") => Role::InitPlan,
        Some("SubPlan") => Role::SubPlan,
        Some("Subquery") => Role::Subquery,
        _ => Role::Outer,
    }
}

fn actual(object: &Object) -> Option<Actual> {
    let loops = number(object, "Actual Loops")?;
    Some(Actual {
        rows: number(object, "Actual Rows").unwrap_or_default(),
        loops,
        ms: number(object, "Actual Total Time"),
        removed_by_filter: number(object, "Rows Removed by Filter"),
        removed_by_join_filter: number(object, "Rows Removed by Join Filter"),
        removed_by_recheck: number(object, "Rows Removed by Index Recheck"),
        heap_fetches: number(object, "Heap Fetches"),
        sort_method: text(object, "Sort Method"),
        sort_kilobytes: number(object, "Sort Space Used"),
        sort_on_disk: text(object, "Sort Space Type").is_some_and(|place| place == "Disk"),
        hash_batches: number(object, "Hash Batches").or_else(|| number(object, "HashAgg Batches")),
        disk_kilobytes: number(object, "Disk Usage"),
        buffers: number(object, "Shared Hit Blocks").map(|hit| Buffers {
            hit,
            read: number(object, "Shared Read Blocks").unwrap_or_default(),
            dirtied: number(object, "Shared Dirtied Blocks").unwrap_or_default(),
            written: number(object, "Shared Written Blocks").unwrap_or_default(),
            temp_read: number(object, "Temp Read Blocks").unwrap_or_default(),
            temp_written: number(object, "Temp Written Blocks").unwrap_or_default(),
        }),
    })
}

fn text(object: &Object, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn texts(object: &Object, key: &str) -> Vec<String> {
    let list = object.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn number(object: &Object, key: &str) -> Option<f64> {
    object.get(key).and_then(Value::as_f64)
}
