//! What the rules may rely on: tables, columns, keys.

/// The tables that a statement may name. What is not in here is not known, and no
/// rule relies on it.
///
/// The caller vouches for it: a column that is said to be `NOT NULL`, or a key that
/// is said to be unique, is enforced by the database for every row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// The tables. Views are none: they have no keys.
    pub tables: Vec<Table>,
}

/// A base table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The schema that it is in (`public`); `None` where the engine has none.
    pub schema: Option<String>,
    /// Its name, as the catalogue has it.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// Sets of columns of which no two rows have the same values, where none of them is
    /// `NULL`. Only of the whole table: no partial index. Checked at once: not deferrable.
    pub unique_keys: Vec<Vec<String>>,
    /// Foreign keys that every row fulfils: validated and not deferrable.
    pub foreign_keys: Vec<ForeignKey>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, as the catalogue has it.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Whether it may be `NULL`.
    pub nullable: bool,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table that is referred to.
    pub table: String,
    /// The columns that are referred to, in the order of `columns`: a unique key.
    pub referenced: Vec<String>,
}

/// The type of a column, as far as rules tell types apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `smallint`: 2 bytes.
    SmallInt,
    /// `integer`: 4 bytes.
    Integer,
    /// `bigint`: 8 bytes.
    BigInt,
    /// `numeric`, of any precision.
    Numeric,
    /// `real`.
    Real,
    /// `double precision`.
    Double,
    /// `boolean`.
    Boolean,
    /// `text` or `varchar`, with a collation under which only identical texts are equal.
    Text,
    /// `date`.
    Date,
    /// `timestamp without time zone`.
    Timestamp,
    /// `timestamp with time zone`.
    TimestampTz,
    /// `uuid`.
    Uuid,
    /// `jsonb`.
    Jsonb,
    /// Any other type, by its name in the catalogue.
    Other(String),
}

impl ColumnType {
    /// Reads the name that `PostgreSQL` gives a type (`format_type`), or a declaration of
    /// the other engines. What it does not know is [`Self::Other`], on which no rule that
    /// needs a type relies.
    pub fn parse(name: &str) -> Self {
        let lower = name.trim().to_ascii_lowercase();
        let base = lower.split('(').next().unwrap_or_default().trim();
        match base {
            "smallint" | "int2" => Self::SmallInt,
            "integer" | "int" | "int4" => Self::Integer,
            "bigint" | "int8" => Self::BigInt,
            "numeric" | "decimal" => Self::Numeric,
            "real" | "float4" => Self::Real,
            "double precision" | "float8" => Self::Double,
            "boolean" | "bool" => Self::Boolean,
            "text" | "character varying" | "varchar" => Self::Text,
            "date" => Self::Date,
            // The words after a precision: timestamp(3) with time zone.
            "timestamp" if lower.contains("with time zone") => Self::TimestampTz,
            "timestamp" | "timestamp without time zone" => Self::Timestamp,
            "timestamptz" | "timestamp with time zone" => Self::TimestampTz,
            "uuid" => Self::Uuid,
            "jsonb" => Self::Jsonb,
            _ => Self::Other(lower),
        }
    }

    /// Returns the name in SQL.
    pub fn name(&self) -> &str {
        match self {
            Self::SmallInt => "SMALLINT",
            Self::Integer => "INTEGER",
            Self::BigInt => "BIGINT",
            Self::Numeric => "NUMERIC",
            Self::Real => "REAL",
            Self::Double => "DOUBLE PRECISION",
            Self::Boolean => "BOOLEAN",
            Self::Text => "TEXT",
            Self::Date => "DATE",
            Self::Timestamp => "TIMESTAMP",
            Self::TimestampTz => "TIMESTAMP WITH TIME ZONE",
            Self::Uuid => "UUID",
            Self::Jsonb => "JSONB",
            Self::Other(name) => name,
        }
    }

    /// Returns whether it is a whole number.
    pub const fn is_integer(&self) -> bool {
        matches!(self, Self::SmallInt | Self::Integer | Self::BigInt)
    }

    /// Returns whether values that are equal are the same in every respect. `1.0` and
    /// `1.00`, or `0` and `-0`, are not.
    pub const fn is_exact(&self) -> bool {
        self.is_integer()
            || matches!(
                self,
                Self::Boolean | Self::Text | Self::Date | Self::Timestamp | Self::TimestampTz | Self::Uuid
            )
    }

    /// Returns whether a comparison of both finds the same pairs equal as grouping would.
    pub fn compares_with(&self, other: &Self) -> bool {
        (self.is_exact() && self == other) || (self.is_integer() && other.is_integer())
    }
}

impl Table {
    /// Returns the column of this name (as the catalogue has it).
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns the keys that identify every row: unique, and never `NULL`.
    pub fn identifying_keys(&self) -> impl Iterator<Item = &Vec<String>> {
        self.unique_keys.iter().filter(|key| {
            !key.is_empty() && key.iter().all(|name| self.column(name).is_some_and(|column| !column.nullable))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_as_the_catalogue_writes_it() {
        for (name, kind) in [
            ("character varying(20)", ColumnType::Text),
            ("timestamp(3) with time zone", ColumnType::TimestampTz),
            ("timestamp without time zone", ColumnType::Timestamp),
            ("NUMERIC(10,2)", ColumnType::Numeric),
            ("character(3)", ColumnType::Other("character(3)".into())),
            ("integer[]", ColumnType::Other("integer[]".into())),
        ] {
            assert_eq!(ColumnType::parse(name), kind, "{name}");
        }
    }

    #[test]
    fn a_unique_key_that_may_be_null_identifies_nothing() {
        let column = |name: &str, nullable| Column { name: name.into(), kind: ColumnType::Integer, nullable };
        let table = Table {
            schema: None,
            name: "t".into(),
            columns: vec![column("id", false), column("code", true)],
            unique_keys: vec![vec!["code".into()], vec!["id".into()]],
            foreign_keys: vec![],
        };
        assert_eq!(table.identifying_keys().collect::<Vec<_>>(), [&vec!["id".to_owned()]]);
    }
}
