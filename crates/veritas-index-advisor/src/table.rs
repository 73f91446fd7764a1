//! What is known of a table: rows, columns, how many values are distinct, and
//! how often it is written.

use std::fmt;

use crate::index::ExistingIndex;

/// A table, by schema and name without quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
}

impl TableId {
    /// Names a table.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// How values of a type lie in a tuple (`pg_type.typlen`, `typalign`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Always this many bytes, starting at a multiple of `align` (1, 2, 4 or 8).
    Fixed {
        /// `typlen`.
        bytes: u16,
        /// `typalign` in bytes.
        align: u8,
    },
    /// A length and then the value (`typlen` = -1). Below 127 bytes the length
    /// takes one byte and nothing is aligned; from there on it takes 4, aligned.
    Variable {
        /// `typalign` in bytes, used only by long values.
        align: u8,
    },
}

/// How many distinct values there are, and how well that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distinct {
    /// The number of distinct values, NULLs not counted.
    pub count: f64,
    /// Where the number comes from.
    pub source: DistinctSource,
}

/// Where a number of distinct values comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DistinctSource {
    /// Counted over the whole table, or known by a constraint: the key of a
    /// unique index, a foreign key that is total on the referenced rows.
    Exact,
    /// A sketch over the whole table, with this relative standard error (0.01
    /// for a `HyperLogLog` of 2^13 registers).
    Sketch {
        /// The relative standard error.
        error: f64,
    },
    /// Estimated from a sample (`pg_stats`, extended statistics).
    Sample {
        /// How many rows the sample had: 300 times the statistics target.
        rows: f64,
    },
    /// Estimated, with bounds of the truth.
    Bounded {
        /// There are hardly fewer.
        low: f64,
        /// There are hardly more.
        high: f64,
    },
}

/// What is known of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnFacts {
    /// Its name without quotes.
    pub name: String,
    /// How its values lie in a tuple.
    pub layout: Layout,
    /// Whether its type has a default B-tree operator class.
    pub has_btree: bool,
    /// Whether values that compare equal are the same bytes, so that a B-tree
    /// may deduplicate them: not so for `numeric`, `float4/8`, `jsonb`, arrays
    /// of them, and texts under a nondeterministic collation (`btequalimage`).
    pub deduplicates: bool,
    /// The mean bytes of a value that is not NULL, the header of a variable
    /// length included (`pg_stats.avg_width`).
    pub average_bytes: f64,
    /// Shares of stored widths (bytes with header, share), when a sample was
    /// looked at; sums to 1. Without it, widths of variable values are taken to
    /// be spread around the mean.
    pub widths: Option<Vec<(u32, f64)>>,
    /// How many values `widths` were seen of.
    pub widths_seen: f64,
    /// The share of rows that hold NULL, 0 to 1.
    pub null_share: f64,
    /// How many distinct values there are.
    pub distinct: Distinct,
    /// Shares of all rows of the most common values, the largest first.
    pub most_common: Vec<f64>,
    /// How physical order follows the values, -1 to 1.
    pub correlation: Option<f64>,
}

impl ColumnFacts {
    /// Returns facts of a column of fixed width whose type deduplicates, without
    /// NULLs and common values.
    pub fn fixed(name: impl Into<String>, bytes: u16, align: u8, distinct: Distinct) -> Self {
        Self {
            name: name.into(),
            layout: Layout::Fixed { bytes, align },
            has_btree: true,
            deduplicates: true,
            average_bytes: f64::from(bytes),
            widths: None,
            widths_seen: 0.0,
            null_share: 0.0,
            distinct,
            most_common: Vec::new(),
            correlation: None,
        }
    }
}

/// The number of distinct tuples of several columns.
#[derive(Debug, Clone, PartialEq)]
pub struct DistinctSet {
    /// The columns, in any order.
    pub columns: Vec<String>,
    /// How many distinct tuples, all-NULL ones not counted.
    pub distinct: Distinct,
}

/// How many keys occur how often: what decides how well equal keys share their place.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// The columns of the key, in any order.
    pub columns: Vec<String>,
    /// All keys of the table, but for that of NULL alone.
    pub keys: Vec<KeysAlike>,
}

/// Keys that occur about equally often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeysAlike {
    /// The rows of each.
    pub rows: f64,
    /// How many there are.
    pub keys: f64,
    /// The stored width of the value in the one column of the key whose widths vary, with its
    /// header, and 0 for NULL: values that occur often may be shorter than those that do not.
    /// `None` when it is not known, when no width varies, or those of several columns do.
    pub width: Option<u32>,
}

/// How often rows of a table are written, per second.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteRates {
    /// Rows inserted per second.
    pub inserts: f64,
    /// Rows deleted per second.
    pub deletes: f64,
    /// Rows updated per second, by what columns the updates set.
    pub updates: Vec<UpdateRate>,
}

/// Updates of one set of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRate {
    /// The columns that are set; empty when that is not known (any column).
    pub columns: Vec<String>,
    /// Rows updated per second.
    pub rows: f64,
    /// The share of them that touch no index today (`n_tup_hot_upd`), 0 to 1. An
    /// index on an updated column loses it for every index of the table.
    pub hot_share: f64,
}

/// What is known of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFacts {
    /// The table.
    pub table: TableId,
    /// Live rows.
    pub rows: f64,
    /// Pages of 8 KiB.
    pub pages: f64,
    /// The share of pages that are all-visible, 0 to 1; index-only scans live of it.
    pub all_visible_share: f64,
    /// Its columns.
    pub columns: Vec<ColumnFacts>,
    /// Distinct tuples of several columns, as far as they are known.
    pub distinct_sets: Vec<DistinctSet>,
    /// How unevenly rows are spread over keys, as far as it was looked at; what is not here
    /// is taken to have fallen on its keys at random.
    pub spreads: Vec<Spread>,
    /// Indexes that it has.
    pub existing: Vec<ExistingIndex>,
    /// How often it is written.
    pub writes: WriteRates,
}

impl TableFacts {
    /// Returns facts of a table without columns, indexes and writes; fill in what is known.
    pub fn new(table: TableId, rows: f64, pages: f64) -> Self {
        Self {
            table,
            rows,
            pages,
            all_visible_share: 1.0,
            columns: Vec::new(),
            distinct_sets: Vec::new(),
            spreads: Vec::new(),
            existing: Vec::new(),
            writes: WriteRates::default(),
        }
    }

    /// Returns what is known of a column.
    pub fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns the known number of distinct tuples of exactly these columns, in any order.
    pub fn distinct_set(&self, columns: &[&str]) -> Option<Distinct> {
        if let [one] = columns {
            return self.column(one).map(|facts| facts.distinct);
        }
        self.distinct_sets.iter().find(|set| are_same(&set.columns, columns)).map(|set| set.distinct)
    }

    /// Returns how the rows are spread over the tuples of exactly these columns, in any order.
    pub fn spread(&self, columns: &[&str]) -> Option<&Spread> {
        self.spreads.iter().find(|spread| are_same(&spread.columns, columns))
    }
}

fn are_same(known: &[String], columns: &[&str]) -> bool {
    known.len() == columns.len() && known.iter().all(|name| columns.contains(&name.as_str()))
}
