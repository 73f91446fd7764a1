//! Plans as `EXPLAIN (FORMAT JSON)` prints them, typed.
//!
//! Texts of conditions ([`Node::filter`] and its kin) are kept as the server printed
//! them, with the literals of the statement, because advice is derived from them. They
//! stay in memory; what leaves is [`Plan::text_without_literals`] and [`Plan::shape`].

mod kind;
mod parse;
mod shape;
mod text;

pub use kind::NodeKind;
pub use text::without_literals;

/// A plan of one statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The top of the plan.
    pub root: Node,
    /// Settings that differ from the server's defaults and bear on planning.
    pub settings: Vec<(String, String)>,
    /// Whether it is the plan for all values (`true`), or for the values in the text or given.
    pub generic: bool,
    /// Milliseconds of planning, where they were measured.
    pub planning_ms: Option<f64>,
    /// Milliseconds of execution, where the statement was executed.
    pub execution_ms: Option<f64>,
}

/// A table, view or partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

/// How a node belongs to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The first or only input, or the top.
    Outer,
    /// The second input of a join.
    Inner,
    /// One of several inputs (of an `Append`).
    Member,
    /// Computed once, before.
    InitPlan,
    /// Computed for each row of the parent (unless hashed).
    SubPlan,
    /// The plan of a subquery.
    Subquery,
}

/// What an execution showed of a node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Actual {
    /// Mean rows of a loop.
    pub rows: f64,
    /// How often the node was run; 0 when never.
    pub loops: f64,
    /// Mean milliseconds of a loop, where timing was on.
    pub ms: Option<f64>,
    /// Mean rows of a loop that `filter` removed.
    pub removed_by_filter: Option<f64>,
    /// Mean rows of a loop that the join's filter removed.
    pub removed_by_join_filter: Option<f64>,
    /// Mean rows of a loop that the second look at the condition of the index removed.
    pub removed_by_recheck: Option<f64>,
    /// Rows that an index-only scan had to fetch from the table after all.
    pub heap_fetches: Option<f64>,
    /// How it sorted (`external merge`).
    pub sort_method: Option<String>,
    /// Kilobytes that the sort took.
    pub sort_kilobytes: Option<f64>,
    /// Whether the sort took them on disk.
    pub sort_on_disk: bool,
    /// Batches that a hash table was cut into; more than one went to disk.
    pub hash_batches: Option<f64>,
    /// Kilobytes that a hashed aggregate wrote to disk.
    pub disk_kilobytes: Option<f64>,
    /// Pages, where they were counted: the node and all below it.
    pub buffers: Option<Buffers>,
}

/// Pages that were touched.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Buffers {
    /// Found in the server's buffers.
    pub hit: f64,
    /// Not found there.
    pub read: f64,
    /// Made dirty.
    pub dirtied: f64,
    /// Written by the statement.
    pub written: f64,
    /// Of temporary files, read.
    pub temp_read: f64,
    /// Of temporary files, written.
    pub temp_written: f64,
}

/// A node of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it does.
    pub kind: NodeKind,
    /// How it belongs to its parent.
    pub role: Role,
    /// The name of a subplan (`InitPlan 1 (returns $0)`, `CTE recent`).
    pub subplan: Option<String>,
    /// The table that it reads or changes.
    pub relation: Option<Relation>,
    /// What the statement calls it.
    pub alias: Option<String>,
    /// The index that it reads.
    pub index: Option<String>,
    /// The function, or the `WITH` query, that it reads.
    pub source: Option<String>,
    /// `Inner`, `Left`, `Semi`, `Anti` …
    pub join_type: Option<String>,
    /// `Plain`, `Sorted`, `Hashed` or `Mixed`; of a set operation too.
    pub strategy: Option<String>,
    /// `Partial` or `Finalize` of a parallel aggregate.
    pub partial_mode: Option<String>,
    /// `Insert`, `Update` or `Delete`.
    pub operation: Option<String>,
    /// Whether an index is read from its end.
    pub backward: bool,
    /// Whether several processes share the work.
    pub parallel_aware: bool,
    /// Processes that were planned beside the first.
    pub workers_planned: Option<f64>,
    /// Estimated cost until the first row, in the planner's unit.
    pub startup_cost: f64,
    /// Estimated cost of all rows, in the planner's unit.
    pub total_cost: f64,
    /// Estimated rows of a loop.
    pub rows: f64,
    /// Estimated bytes of a row.
    pub width: f64,
    /// What is tested on each row that was read.
    pub filter: Option<String>,
    /// What the index is searched by.
    pub index_condition: Option<String>,
    /// What is tested again on rows of lossy pages.
    pub recheck_condition: Option<String>,
    /// What a hash join compares.
    pub hash_condition: Option<String>,
    /// What a merge join compares.
    pub merge_condition: Option<String>,
    /// What is tested on each pair of rows beside.
    pub join_filter: Option<String>,
    /// What is tested once, before anything is read.
    pub one_time_filter: Option<String>,
    /// What rows are sorted by.
    pub sort_key: Vec<String>,
    /// What they are sorted by already.
    pub presorted_key: Vec<String>,
    /// What rows are grouped by.
    pub group_key: Vec<String>,
    /// What it yields.
    pub output: Vec<String>,
    /// Inputs that were left out before the start, since their partitions cannot match.
    pub subplans_removed: Option<f64>,
    /// What an execution showed; `None` when it was planned only.
    pub actual: Option<Actual>,
    /// Its inputs.
    pub children: Vec<Node>,
}

/// Why a text is not a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is not JSON, or nests deeper than 60 levels.
    #[error("failed to read the plan: not JSON, or nested too deeply")]
    Json,
    /// It is JSON, and something is missing.
    #[error("failed to read the plan: no {0:?}")]
    Missing(&'static str),
    /// It is larger than what is looked at.
    #[error("failed to read the plan: larger than {} bytes", parse::LARGEST)]
    TooLarge,
}

impl Plan {
    /// Reads what `EXPLAIN (FORMAT JSON)` printed, with or without `ANALYZE` and `BUFFERS`.
    ///
    /// # Errors
    ///
    /// When it is not such a text.
    pub fn parse(json: &str) -> Result<Self, PlanError> {
        parse::plan(json)
    }

    /// Returns the estimated cost of the whole statement, in the planner's unit.
    pub const fn cost(&self) -> f64 {
        self.root.total_cost
    }

    /// Hashes what the plan does: nodes, tables, indexes, ways of joining; not costs, not
    /// values. Partitions below one `Append` count once for each way of reading them.
    pub fn shape(&self) -> u64 {
        shape::of(&self.root)
    }

    /// Writes the plan as the server's text format does, without literals.
    pub fn text_without_literals(&self) -> String {
        text::of(self)
    }

    /// Returns all nodes, from the top down.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.root.walk()
    }

    /// Returns all nodes with their parents, from the top down.
    pub fn nodes_with_parents(&self) -> Vec<(Option<&Node>, &Node)> {
        let mut found = Vec::new();
        let mut open = vec![(None, &self.root)];
        while let Some((parent, node)) = open.pop() {
            found.push((parent, node));
            open.extend(node.children.iter().rev().map(|child| (Some(node), child)));
        }
        found
    }

    /// Returns the tables that it reads or changes, each once.
    pub fn relations(&self) -> Vec<&Relation> {
        let mut relations: Vec<&Relation> = self.nodes().filter_map(|node| node.relation.as_ref()).collect();
        relations.sort();
        relations.dedup();
        relations
    }
}

impl Node {
    /// Returns the node and all below it, from the top down.
    pub fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(node.children.iter().rev());
            Some(node)
        })
    }

    /// Returns the input in the role, where there is one.
    pub fn child(&self, role: Role) -> Option<&Self> {
        self.children.iter().find(|child| child.role == role)
    }

    /// Returns the texts of all of its conditions: with literals, not to be shown.
    pub fn conditions(&self) -> impl Iterator<Item = &str> {
        [
            &self.index_condition,
            &self.recheck_condition,
            &self.hash_condition,
            &self.merge_condition,
            &self.join_filter,
            &self.one_time_filter,
            &self.filter,
        ]
        .into_iter()
        .filter_map(|condition| condition.as_deref())
    }
}
