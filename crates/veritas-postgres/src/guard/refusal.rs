//! Why a statement may not be explained.

use crate::session::SessionError;

/// Why a statement may not be explained. None holds a literal of it; names of functions,
/// operators, types and tables are those of the catalogues.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is longer than what is looked at.
    #[error("it is longer than {} bytes", super::LONGEST)]
    TooLong,
    /// It nests, or chains operators, beyond what is looked at.
    #[error("it nests too deeply")]
    TooDeep,
    /// It is not understood, or holds what the server's words cannot be told from.
    #[error("it is not understood")]
    Malformed,
    /// It is empty, or more than one statement.
    #[error("it is not exactly one statement")]
    NotOne,
    /// It is something else than SELECT, INSERT, UPDATE or DELETE, or holds such.
    #[error("it is not a SELECT, INSERT, UPDATE or DELETE all the way down")]
    OtherKind,
    /// It locks rows (`FOR UPDATE`).
    #[error("it locks rows")]
    Locks,
    /// It makes a table (`SELECT INTO`).
    #[error("it makes a table")]
    MakesTable,
    /// A part of it changes rows while another reads.
    #[error("a query in its WITH changes rows")]
    WritesInWith,
    /// It is spelled in a way that is not looked at (`U&'…'`).
    #[error("it is spelled in a way that is not looked at: {0}")]
    Spelling(&'static str),
    /// It may call a function that is not known to be harmless.
    #[error("it may call {function}: {reason}")]
    Function {
        /// The function.
        function: String,
        /// What is not known to be harmless.
        reason: &'static str,
    },
    /// An argument decides how much is computed, and is not small.
    #[error("an argument of {function} is not a small number in the text")]
    Size {
        /// The function.
        function: String,
    },
    /// It may use an operator that is not the server's own.
    #[error("it may use the operator {operator}, which is not the server's own")]
    Operator {
        /// The operator.
        operator: String,
    },
    /// It may use a type that is not the server's own.
    #[error("it may use the type {type_name}, which is not the server's own")]
    Type {
        /// The type.
        type_name: String,
    },
    /// It reads a table of another server, or something that is no table.
    #[error("{relation} is {what}")]
    Relation {
        /// The relation.
        relation: String,
        /// What it is.
        what: &'static str,
    },
    /// A table or view brings along something that is not known to be harmless.
    #[error("{relation} brings along {object}, which is not known to be harmless")]
    BroughtAlong {
        /// The table or view.
        relation: String,
        /// The function, operator or type.
        object: String,
    },
    /// Its tables bring along more than is looked at.
    #[error("its tables bring along more than is looked at")]
    TooMuch,
    /// The catalogues could not be read.
    #[error("the catalogues could not be read: {0}")]
    NotAsked(String),
}

impl Refusal {
    /// Returns a word for counting refusals by their kind.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::Malformed => "malformed",
            Self::NotOne => "not_one",
            Self::OtherKind => "other_kind",
            Self::Locks => "locks",
            Self::MakesTable => "makes_table",
            Self::WritesInWith => "writes_in_with",
            Self::Spelling(_) => "spelling",
            Self::Function { .. } => "function",
            Self::Size { .. } => "size",
            Self::Operator { .. } => "operator",
            Self::Type { .. } => "type",
            Self::Relation { .. } => "relation",
            Self::BroughtAlong { .. } => "brought_along",
            Self::TooMuch => "too_much",
            Self::NotAsked(_) => "not_asked",
        }
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::NotAsked(error.to_string())
    }
}
