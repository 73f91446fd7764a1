//! From plans to what an index could serve: conditions, joins, orders and needed columns
//! of each table that a plan reads.
//!
//! The plan is read and not the statement, because the server has resolved every name in
//! it, has pulled conditions through joins and views, and tells rows and costs. Asked for
//! with `VERBOSE`, it writes every column with its table's alias. What the printed text
//! does not tell (columns behind a subquery) is not guessed.

mod condition;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use veritas_index_advisor::{Condition, Key, Scan, TableFacts, TableId};

use crate::plan::{Node, NodeKind, Plan, Role};

/// Nodes of one plan that are looked at.
const MOST_NODES: usize = 2_000;

/// Returns how `plan`, of the statement at position `statement`, reads its tables.
///
/// `weight` is that of the statement, and `tables` what is known of them: a table that is
/// not there is left out. Pure; takes some ten microseconds a node.
pub fn scans(statement: usize, weight: f64, plan: &Plan, tables: &[TableFacts]) -> Vec<Scan> {
    let nodes = placed(plan);
    let needed = needed(&nodes);
    let mut found = Vec::new();
    for place in nodes.iter().filter(|place| place.node.kind.is_table_scan()) {
        let Some((alias, facts)) = place.alias().zip(place.facts(tables)) else { continue };
        let cost = weight * place.node.total_cost.max(0.01) * place.loops;
        let mut scan = Scan::of(statement, facts.table.clone(), cost);
        scan.rows_in = facts.rows;
        scan.rows_out = place.node.rows;
        scan.needed = needed
            .get(alias)
            .cloned()
            .flatten()
            .map(|columns| columns.into_iter().filter(|column| facts.column(column).is_some()).collect());
        let mut conditions = condition::Conditions::default();
        for sql in place.node.conditions() {
            conditions.read(sql, alias, facts);
        }
        for lower in place.node.children.iter().flat_map(Node::walk) {
            // The conditions of a bitmap are below its heap scan.
            if lower.kind == NodeKind::BitmapIndexScan {
                for sql in lower.conditions() {
                    conditions.read(sql, alias, facts);
                }
            }
        }
        for other in nodes.iter().filter(|other| other.node.kind.is_join()) {
            for sql in other.node.conditions() {
                conditions.read_join(sql, alias, facts);
            }
        }
        conditions.into_scan(&mut scan, facts);
        order(&nodes, place, alias, facts, &mut scan);
        found.push(scan);
    }
    found
}

/// Returns the columns of each table that a plan compares, sorts or groups by: those that
/// an index would begin with.
pub fn compared_columns(plan: &Plan, tables: &[TableFacts]) -> BTreeMap<TableId, BTreeSet<String>> {
    let mut columns: BTreeMap<TableId, BTreeSet<String>> = BTreeMap::new();
    for scan in scans(0, 1.0, plan, tables) {
        let of_table = columns.entry(scan.table.clone()).or_default();
        let conditions = scan.equalities.iter().chain(&scan.ranges).chain(&scan.joins);
        of_table.extend(conditions.map(|condition| condition.column.clone()));
        of_table.extend(scan.order.iter().filter_map(|key| key.name().map(str::to_owned)));
        of_table.extend(scan.group);
    }
    columns
}

/// A node with what its place in the plan says of it.
struct Place<'a> {
    node: &'a Node,
    /// Positions of the nodes above, the nearest last.
    above: Vec<usize>,
    /// How often it is run, as the planner expects.
    loops: f64,
}

impl<'a> Place<'a> {
    fn alias(&self) -> Option<&'a str> {
        let relation = self.node.relation.as_ref().map(|relation| relation.name.as_str());
        self.node.alias.as_deref().or(relation)
    }

    fn facts<'b>(&self, tables: &'b [TableFacts]) -> Option<&'b TableFacts> {
        let relation = self.node.relation.as_ref()?;
        tables.iter().find(|facts| facts.table.name == relation.name && facts.table.schema == relation.schema)
    }
}

fn placed(plan: &Plan) -> Vec<Place<'_>> {
    let mut places: Vec<Place<'_>> = Vec::new();
    let mut open: Vec<(&Node, Vec<usize>, f64)> = vec![(&plan.root, Vec::new(), 1.0)];
    while let Some((node, above, loops)) = open.pop() {
        if places.len() >= MOST_NODES {
            break;
        }
        let mut below = above.clone();
        below.push(places.len());
        for child in &node.children {
            let times = match child.role {
                Role::Inner if node.kind == NodeKind::NestedLoop => {
                    let outer = node.child(Role::Outer);
                    // What keeps rows, or results by key, is not run again each time.
                    let kept = matches!(child.kind, NodeKind::Materialize);
                    if kept { 1.0 } else { outer.map_or(1.0, |outer| outer.rows.max(1.0)) }
                }
                Role::SubPlan => {
                    let is_hashed = node.conditions().any(|condition| condition.contains("hashed SubPlan"));
                    if is_hashed { 1.0 } else { tested_rows(node) }
                }
                _ => 1.0,
            };
            open.push((child, below.clone(), loops * times));
        }
        places.push(Place { node, above, loops });
    }
    places
}

/// Rows for which a subplan of the node is computed, about: those that go in.
fn tested_rows(node: &Node) -> f64 {
    let below = node.children.iter().filter(|child| matches!(child.role, Role::Outer | Role::Inner));
    below.map(|child| child.rows).fold(node.rows, f64::max).max(1.0)
}

/// Returns the columns of each alias that something needs; `None` for a whole row.
fn needed(nodes: &[Place<'_>]) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut needed: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
    // A statement on one table prints its outputs without the table's alias.
    let mut aliases: Vec<&str> = nodes.iter().filter_map(Place::alias).collect();
    aliases.dedup();
    let only = if let [one] = aliases.as_slice() { Some(*one) } else { None };
    for place in nodes {
        let node = place.node;
        let mut texts: Vec<&str> = node.conditions().collect();
        texts.extend(node.sort_key.iter().chain(&node.group_key).map(String::as_str));
        // A scan below a join or an aggregate may be listed with all columns, as it has
        // them on its pages: what is taken of it stands above.
        let passes_on = |at: &usize| {
            matches!(
                nodes[*at].node.kind,
                NodeKind::Limit
                    | NodeKind::Gather
                    | NodeKind::GatherMerge
                    | NodeKind::Append
                    | NodeKind::MergeAppend
                    | NodeKind::LockRows
                    | NodeKind::ModifyTable
                    | NodeKind::SubqueryScan
            )
        };
        if !node.kind.is_table_scan() || place.above.iter().all(passes_on) {
            texts.extend(node.output.iter().map(String::as_str));
            if let Some(only) = only {
                let columns = needed.entry(only.to_owned()).or_insert_with(|| Some(BTreeSet::new()));
                if let Some(columns) = columns {
                    columns.extend(node.output.iter().flat_map(|text| text::bare_words(text)));
                }
            }
        }
        for text in texts {
            for (alias, column) in text::columns(text) {
                let columns = needed.entry(alias).or_insert_with(|| Some(BTreeSet::new()));
                match column {
                    Some(column) => {
                        if let Some(columns) = columns {
                            let _new = columns.insert(column);
                        }
                    }
                    None => *columns = None,
                }
            }
        }
    }
    needed
}

/// Finds the order and the groups that something above wants of the rows of one scan.
fn order(nodes: &[Place<'_>], place: &Place<'_>, alias: &str, facts: &TableFacts, scan: &mut Scan) {
    let mut limited = false;
    for &at in &place.above {
        let node = nodes[at].node;
        match node.kind {
            NodeKind::Limit => limited = true,
            NodeKind::Sort | NodeKind::IncrementalSort if scan.order.is_empty() => {
                if let Some(keys) = sort_keys(&node.sort_key, alias, facts) {
                    scan.order = keys;
                    scan.limited = limited;
                }
                limited = false;
            }
            NodeKind::Aggregate | NodeKind::Group | NodeKind::Unique if scan.group.is_empty() => {
                let keys = plain_columns(&node.group_key, alias, facts);
                scan.group = keys.unwrap_or_default();
                limited = false;
            }
            NodeKind::Gather
            | NodeKind::GatherMerge
            | NodeKind::Append
            | NodeKind::MergeAppend
            | NodeKind::LockRows
            | NodeKind::SubqueryScan
            | NodeKind::Result
            | NodeKind::NestedLoop => {}
            _ => limited = false,
        }
    }
}

fn sort_keys(keys: &[String], alias: &str, facts: &TableFacts) -> Option<Vec<Key>> {
    let keys: Option<Vec<Key>> = keys
        .iter()
        .map(|key| {
            let (column, descending, nulls_first) = text::sort_key(key, alias)?;
            let known = facts.column(&column)?.has_btree;
            known.then(|| Key { descending, nulls_first, ..Key::column(column) })
        })
        .collect();
    keys.filter(|keys| !keys.is_empty())
}

fn plain_columns(keys: &[String], alias: &str, facts: &TableFacts) -> Option<Vec<String>> {
    let columns: Option<Vec<String>> = keys
        .iter()
        .map(|key| {
            let (column, ..) = text::sort_key(key, alias)?;
            facts.column(&column)?.has_btree.then_some(column)
        })
        .collect();
    columns.filter(|columns| !columns.is_empty())
}

/// Returns a condition of known selectivity.
fn kept(column: &str, selectivity: f64) -> Condition {
    Condition { column: column.to_owned(), selectivity: selectivity.clamp(1e-9, 1.0) }
}
