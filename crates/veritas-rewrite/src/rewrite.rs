//! What is offered: another text, what it asks of the caller, how it can be checked.

/// The SQL that a statement is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `PostgreSQL` 13 and later.
    PostgreSql,
    /// `SQLite` 3.35 and later.
    Sqlite,
    /// `MySQL` 8 and `MariaDB` 10.6, and later.
    MySql,
}

/// What is done to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// The next page begins after a key instead of after a number of rows.
    OffsetToKeyset,
    /// Each side of an `OR` is asked by itself.
    OrToUnionAll,
    /// `NOT IN (SELECT …)` becomes `NOT EXISTS`.
    NotInToNotExists,
    /// An aggregate asked for each row is computed once for all rows.
    CorrelatedToJoin,
    /// A join whose duplicates `DISTINCT` takes away becomes `EXISTS`.
    DistinctToExists,
    /// A function of a time becomes a range of times.
    FunctionToRange,
    /// `coalesce` of a column becomes a comparison of the column.
    CoalesceToColumn,
    /// The beginning of a text becomes a `LIKE` that an index can serve.
    PrefixToLike,
    /// Arithmetic moves from the column to the value.
    ArithmeticToValue,
    /// A conversion moves from the column to the value.
    CastToValue,
    /// A list of parameters becomes one array.
    InListToAny,
    /// A count that is compared with zero becomes `EXISTS`.
    CountToExists,
    /// An order that nobody sees goes.
    UnneededOrderBy,
    /// A `DISTINCT` that takes nothing away goes.
    UnneededDistinct,
    /// A `UNION` that takes nothing away becomes `UNION ALL`.
    UnionToUnionAll,
    /// A condition on groups is asked of the rows.
    HavingToWhere,
    /// A condition on a key of a JSON document becomes containment.
    JsonToContainment,
    /// An outer join whose additional rows are thrown away becomes an inner one.
    LeftJoinToInner,
    /// A join that changes nothing goes.
    UnneededJoin,
    /// `SELECT *` becomes the columns that are used.
    WildcardToColumns,
    /// A statement for each key becomes one for all keys.
    SingleToBatch,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 21] = [
        Self::OffsetToKeyset,
        Self::OrToUnionAll,
        Self::NotInToNotExists,
        Self::CorrelatedToJoin,
        Self::DistinctToExists,
        Self::FunctionToRange,
        Self::CoalesceToColumn,
        Self::PrefixToLike,
        Self::ArithmeticToValue,
        Self::CastToValue,
        Self::InListToAny,
        Self::CountToExists,
        Self::UnneededOrderBy,
        Self::UnneededDistinct,
        Self::UnionToUnionAll,
        Self::HavingToWhere,
        Self::JsonToContainment,
        Self::LeftJoinToInner,
        Self::UnneededJoin,
        Self::WildcardToColumns,
        Self::SingleToBatch,
    ];

    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OffsetToKeyset => "offset_to_keyset",
            Self::OrToUnionAll => "or_to_union_all",
            Self::NotInToNotExists => "not_in_to_not_exists",
            Self::CorrelatedToJoin => "correlated_to_join",
            Self::DistinctToExists => "distinct_to_exists",
            Self::FunctionToRange => "function_to_range",
            Self::CoalesceToColumn => "coalesce_to_column",
            Self::PrefixToLike => "prefix_to_like",
            Self::ArithmeticToValue => "arithmetic_to_value",
            Self::CastToValue => "cast_to_value",
            Self::InListToAny => "in_list_to_any",
            Self::CountToExists => "count_to_exists",
            Self::UnneededOrderBy => "unneeded_order_by",
            Self::UnneededDistinct => "unneeded_distinct",
            Self::UnionToUnionAll => "union_to_union_all",
            Self::HavingToWhere => "having_to_where",
            Self::JsonToContainment => "json_to_containment",
            Self::LeftJoinToInner => "left_join_to_inner",
            Self::UnneededJoin => "unneeded_join",
            Self::WildcardToColumns => "wildcard_to_columns",
            Self::SingleToBatch => "single_to_batch",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == word)
    }
}

/// Where the value of a parameter of the new statement comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterSource {
    /// The parameter of the old statement with this number, from 1.
    Same(usize),
    /// An array of these parameters of the old statement, in this order.
    ArrayOf(Vec<usize>),
    /// An array (JSON text on `SQLite`) of all values that this parameter of the old
    /// statement takes in the calls that become one.
    Every(usize),
    /// The value that the last row of the page before has in this column of the result,
    /// counted from 0.
    LastRow(usize),
}

/// How the old statement's parameters become the new one's: one source for each
/// parameter of the new statement, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParameterMap(pub Vec<ParameterSource>);

impl ParameterMap {
    /// Returns whether the new statement takes the first parameters of the old one as they are.
    pub fn is_identity(&self) -> bool {
        self.0.iter().enumerate().all(|(index, source)| *source == ParameterSource::Same(index + 1))
    }
}

/// In which form both statements can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Both return the same rows. In the same order where `ordered`: where the old
    /// statement asks for an order without ties.
    SameRows {
        /// Whether the order is the same, too.
        ordered: bool,
    },
    /// The pages are the same, one by one. The statement of the first page has no key.
    Pages {
        /// The statement of the first page; its parameters.
        first: String,
        /// How the old statement's parameters become those of `first`.
        first_parameters: ParameterMap,
        /// The old statement's parameter that is the offset; `None` where it is written out.
        offset: Option<usize>,
        /// What is written as the offset, where it is written out.
        offset_literal: Option<u64>,
        /// The old statement's parameter that is the limit; `None` where it is written out.
        limit: Option<usize>,
        /// What is written as the limit, where it is written out.
        limit_literal: Option<u64>,
    },
    /// The new rows with one key are those that the old statement returns for that key.
    Batch {
        /// The old statement's parameter that becomes an array.
        parameter: usize,
        /// The column of the new result that holds the key, from 0.
        key: usize,
        /// Whether that column was appended: the old result does not have it.
        appended: bool,
        /// Whether the rows of one key have the same order, too.
        ordered: bool,
    },
    /// The new rows are the old ones, in the same order where `ordered`, with these columns only.
    Columns {
        /// The columns of the old result, from 0, in the order of the new one.
        kept: Vec<usize>,
        /// Whether the order is the same, too.
        ordered: bool,
    },
}

/// Another text for a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// What was done.
    pub rule: Rule,
    /// The new statement. Literals of the old one that it still needs are in it.
    pub sql: String,
    /// What changes for the caller, or must hold; `None` where nothing does.
    pub condition: Option<String>,
    /// How the old statement's parameters become the new one's.
    pub parameters: ParameterMap,
    /// In which form both can be compared.
    pub form: Form,
    /// The index without which it helps little, as SQL; `None` where it needs none.
    pub index: Option<String>,
    /// Why it may help, in a sentence.
    pub note: &'static str,
}

/// What is known of the way that the application uses a statement: some rules apply
/// only then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// One request runs it again and again, with other values (N+1).
    pub repeated: bool,
    /// The columns of the result that are read, by name; `None` where not known.
    pub columns: Option<Vec<String>>,
}

/// Why no rewrite is looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The text is longer than [`MAX_BYTES`](crate::MAX_BYTES).
    #[error("the statement has {bytes} bytes, more than are looked at")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has more operators than [`MAX_OPERATORS`](crate::MAX_OPERATORS).
    #[error("the statement has too many operators")]
    TooComplex,
    /// It does not parse. What the parser says may quote the statement, so it is not told.
    #[error("the statement does not parse")]
    NotParsed,
    /// It parses, but what would be printed is not the same statement.
    #[error("the statement cannot be printed as it was read")]
    NotPrintable,
    /// It is not one query: something else than `SELECT`, or several statements.
    #[error("the statement is not a single query")]
    NotAQuery,
    /// The thread in which statements are parsed could not be started.
    #[error("failed to start the thread that parses")]
    Thread,
}
