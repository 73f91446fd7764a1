//! What nodes of plans do.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a node does.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum NodeKind {
            $($(#[$doc])* $name,)*
            /// Something that a later server calls by a name that is not known here.
            Other(String),
        }

        impl NodeKind {
            /// Returns the server's name of it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(name) => name,
                }
            }

            /// Reads the server's name of it.
            pub fn of(name: &str) -> Self {
                match name {
                    $($text => Self::$name,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

kinds! {
    /// Reads a whole table.
    SeqScan = "Seq Scan",
    /// Reads a random part of a table.
    SampleScan = "Sample Scan",
    /// Reads rows in the order of an index.
    IndexScan = "Index Scan",
    /// Reads an index, and the table only where it must.
    IndexOnlyScan = "Index Only Scan",
    /// Collects places of rows from an index.
    BitmapIndexScan = "Bitmap Index Scan",
    /// Reads collected places of a table.
    BitmapHeapScan = "Bitmap Heap Scan",
    /// Joins collected places: in both.
    BitmapAnd = "BitmapAnd",
    /// Joins collected places: in either.
    BitmapOr = "BitmapOr",
    /// Reads rows by place.
    TidScan = "Tid Scan",
    /// Reads rows between two places.
    TidRangeScan = "Tid Range Scan",
    /// Reads the result of a subquery.
    SubqueryScan = "Subquery Scan",
    /// Reads the result of a function.
    FunctionScan = "Function Scan",
    /// Reads a table made by a function over XML or JSON.
    TableFunctionScan = "Table Function Scan",
    /// Reads rows that stand in the statement.
    ValuesScan = "Values Scan",
    /// Reads the result of a `WITH` query.
    CteScan = "CTE Scan",
    /// Reads what the last round of a recursive query yielded.
    WorkTableScan = "WorkTable Scan",
    /// Reads another server's table.
    ForeignScan = "Foreign Scan",
    /// Keeps rows for a second reading.
    Materialize = "Materialize",
    /// Keeps results by key.
    Memoize = "Memoize",
    /// Sorts.
    Sort = "Sort",
    /// Sorts within groups that are sorted already.
    IncrementalSort = "Incremental Sort",
    /// Groups sorted rows.
    Group = "Group",
    /// Aggregates.
    Aggregate = "Aggregate",
    /// Computes window functions.
    WindowAgg = "WindowAgg",
    /// Leaves out equal neighbours.
    Unique = "Unique",
    /// Intersects or subtracts.
    SetOp = "SetOp",
    /// Locks rows.
    LockRows = "LockRows",
    /// Ends early.
    Limit = "Limit",
    /// Builds a hash table.
    Hash = "Hash",
    /// Gathers the rows of parallel processes.
    Gather = "Gather",
    /// Gathers them in order.
    GatherMerge = "Gather Merge",
    /// Computes without reading.
    Result = "Result",
    /// Computes functions that return sets.
    ProjectSet = "ProjectSet",
    /// Inserts, updates or deletes.
    ModifyTable = "ModifyTable",
    /// One input after the other.
    Append = "Append",
    /// Several ordered inputs, in order.
    MergeAppend = "Merge Append",
    /// Repeats until nothing new comes.
    RecursiveUnion = "Recursive Union",
    /// Runs the inner input for each row of the outer one.
    NestedLoop = "Nested Loop",
    /// Joins two ordered inputs.
    MergeJoin = "Merge Join",
    /// Joins by a hash table of the inner input.
    HashJoin = "Hash Join",
}

impl NodeKind {
    /// Returns whether it reads a table itself, by whatever way.
    pub const fn is_table_scan(&self) -> bool {
        matches!(
            self,
            Self::SeqScan | Self::IndexScan | Self::IndexOnlyScan | Self::BitmapHeapScan | Self::TidScan
        )
    }

    /// Returns whether it joins two inputs.
    pub const fn is_join(&self) -> bool {
        matches!(self, Self::NestedLoop | Self::MergeJoin | Self::HashJoin)
    }
}
