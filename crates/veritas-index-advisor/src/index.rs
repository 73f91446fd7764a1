//! What an index is: its keys in order, what it carries along, and what guards it.

use std::{fmt, time::Duration};

use veritas_model::Bytes;

use crate::table::TableId;

/// One key of an index, in the index's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What is indexed.
    pub part: KeyPart,
    /// Whether the key runs from the largest value down.
    pub descending: bool,
    /// Whether NULLs come first. `PostgreSQL`'s default: only when descending.
    pub nulls_first: bool,
    /// The operator class, when it is not the default one of the type.
    pub opclass: Option<String>,
    /// The collation, when it is not the one of the column.
    pub collation: Option<String>,
}

/// What a key is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPart {
    /// A column, by its name without quotes.
    Column(String),
    /// An expression, as SQL without literals of an application's statement.
    Expression(String),
}

impl Key {
    /// Returns an ascending key on a column, with every default.
    pub fn column(name: impl Into<String>) -> Self {
        Self {
            part: KeyPart::Column(name.into()),
            descending: false,
            nulls_first: false,
            opclass: None,
            collation: None,
        }
    }

    /// Returns an ascending key on an expression, with every default.
    pub fn expression(sql: impl Into<String>) -> Self {
        Self { part: KeyPart::Expression(sql.into()), ..Self::column("") }
    }

    /// Returns the key in descending order, NULLs first: the exact mirror image.
    #[must_use]
    pub fn descending(self) -> Self {
        Self { descending: true, nulls_first: true, ..self }
    }

    /// Returns the column's name; `None` for an expression.
    pub fn name(&self) -> Option<&str> {
        match &self.part {
            KeyPart::Column(name) => Some(name),
            KeyPart::Expression(_) => None,
        }
    }

    /// Returns whether both keys hold the same values compared alike, whatever
    /// their direction: a B-tree is read both ways.
    pub fn is_same_value(&self, other: &Self) -> bool {
        self.part == other.part && self.opclass == other.opclass && self.collation == other.collation
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            KeyPart::Column(name) => f.write_str(name)?,
            KeyPart::Expression(sql) => write!(f, "({sql})")?,
        }
        if let Some(collation) = &self.collation {
            write!(f, " COLLATE {collation}")?;
        }
        if let Some(opclass) = &self.opclass {
            write!(f, " {opclass}")?;
        }
        if self.descending {
            f.write_str(" DESC")?;
        }
        match (self.descending, self.nulls_first) {
            (true, false) => f.write_str(" NULLS LAST"),
            (false, true) => f.write_str(" NULLS FIRST"),
            _ => Ok(()),
        }
    }
}

/// The access method of an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Method {
    /// A B-tree.
    #[default]
    BTree,
    /// A hash index.
    Hash,
    /// Block ranges: tiny, for columns that follow the table's physical order.
    Brin,
    /// An inverted index.
    Gin,
    /// A generalized search tree.
    Gist,
    /// Any other, by its name.
    Other(String),
}

impl Method {
    /// Returns the name that `USING` takes.
    pub fn as_str(&self) -> &str {
        match self {
            Self::BTree => "btree",
            Self::Hash => "hash",
            Self::Brin => "brin",
            Self::Gin => "gin",
            Self::Gist => "gist",
            Self::Other(name) => name,
        }
    }
}

/// The definition of an index, existing or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexSpec {
    /// The table.
    pub table: TableId,
    /// The access method.
    pub method: Method,
    /// The keys, in order; at least one.
    pub keys: Vec<Key>,
    /// Columns carried along in the leaves (`INCLUDE`), in order.
    pub include: Vec<String>,
    /// The predicate of a partial index, as SQL.
    pub predicate: Option<String>,
    /// Whether the index refuses duplicates.
    pub unique: bool,
    /// How full leaf pages are built, in percent; 90 is `PostgreSQL`'s default.
    pub fillfactor: u8,
    /// Whether equal keys share a posting list (`deduplicate_items`, on by default).
    pub deduplicate: bool,
}

impl IndexSpec {
    /// Returns a plain B-tree over `keys`.
    pub fn btree(table: TableId, keys: Vec<Key>) -> Self {
        Self {
            table,
            method: Method::BTree,
            keys,
            include: Vec::new(),
            predicate: None,
            unique: false,
            fillfactor: 90,
            deduplicate: true,
        }
    }

    /// Returns a plain B-tree over columns, ascending.
    pub fn on<'a>(table: TableId, columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self::btree(table, columns.into_iter().map(Key::column).collect())
    }

    /// Returns the same index that also carries `columns`.
    #[must_use]
    pub fn including<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.include = columns.into_iter().map(ToOwned::to_owned).collect();
        self
    }

    /// Returns whether the index must be tried away from the primary: partial
    /// and expression indexes can bring a server with `HypoPG` down (its issue
    /// 116), and other methods than B-tree are not what it estimates well.
    pub fn is_elsewhere(&self) -> bool {
        self.predicate.is_some()
            || self.method != Method::BTree
            || self.keys.iter().any(|key| key.name().is_none())
    }

    /// Returns the columns of the keys, in order; expressions are left out.
    pub fn key_columns(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Key::name)
    }

    /// Returns every column that the index stores, keys first.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.key_columns().chain(self.include.iter().map(String::as_str))
    }
}

/// Prints `table (keys) INCLUDE (columns) WHERE predicate`: for people, not for
/// a server (names are not quoted).
impl fmt::Display for IndexSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table)?;
        if self.method != Method::BTree {
            write!(f, " USING {}", self.method.as_str())?;
        }
        f.write_str(" (")?;
        for (at, key) in self.keys.iter().enumerate() {
            write!(f, "{}{key}", if at > 0 { ", " } else { "" })?;
        }
        f.write_str(")")?;
        if !self.include.is_empty() {
            write!(f, " INCLUDE ({})", self.include.join(", "))?;
        }
        if let Some(predicate) = &self.predicate {
            write!(f, " WHERE {predicate}")?;
        }
        Ok(())
    }
}

/// Why an index is never dropped by us, however little it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// It is the primary key.
    PrimaryKey,
    /// It keeps values unique, by a constraint or by itself.
    Unique,
    /// It carries an exclusion constraint.
    Exclusion,
    /// A foreign key refers to it, or it serves the checks of one.
    ForeignKey,
    /// Logical replication identifies rows by it.
    ReplicaIdentity,
    /// The table is clustered by it.
    Clustered,
    /// It belongs to an index of a partitioned table.
    Partition,
    /// It belongs to an extension.
    Extension,
    /// Someone asked us to keep it.
    Pinned,
}

/// An index that the database has.
#[derive(Debug, Clone, PartialEq)]
pub struct ExistingIndex {
    /// Its name without schema and quotes; unique within the schema of its table.
    pub name: String,
    /// What it is.
    pub spec: IndexSpec,
    /// Its size on disk, when known.
    pub bytes: Option<Bytes>,
    /// Why it is not dropped; empty when it may be.
    pub protections: Vec<Protection>,
    /// Whether reads may use it (`indisvalid`).
    pub valid: bool,
    /// How it was used, when that is known for the server and its replicas.
    pub usage: Option<Usage>,
}

/// How often an index was read over a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Scans within `window`, on the primary and every replica that is known.
    pub scans: u64,
    /// For how long that was watched without a reset of the statistics.
    pub window: Duration,
    /// Whether every replica was asked. Without it, disuse is not proven.
    pub replicas_asked: bool,
}

impl ExistingIndex {
    /// Returns whether something forbids dropping it.
    pub fn is_protected(&self) -> bool {
        self.spec.unique || !self.protections.is_empty()
    }
}
