//! A planted defect, or something that only looks like one.

use veritas::{database::Value, model::FindingKind};

/// What is true of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Truth {
    /// At least one of the first kinds must be found; the others may be, being true as well.
    Defect(&'static [FindingKind], &'static [FindingKind]),
    /// Nothing but these kinds may be found.
    Decoy(&'static [FindingKind]),
}

/// A value that the shop binds.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    Integer(i32),
    Long(i64),
    Text(String),
}

impl From<&Argument> for Value {
    fn from(argument: &Argument) -> Self {
        match argument {
            Argument::Integer(value) => Self::Integer(i64::from(*value)),
            Argument::Long(value) => Self::Integer(*value),
            Argument::Text(value) => Self::Text(value.clone()),
        }
    }
}

/// One statement of the shop with its values.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// Its label: by it findings are told to be of a case.
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) arguments: Vec<Argument>,
}

/// What the requests of one route run.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The route, and the label of the statement that the truth is about.
    pub(crate) name: &'static str,
    pub(crate) truth: Truth,
    /// Requests that the load makes.
    pub(crate) requests: u64,
    /// What the request of this number runs.
    pub(crate) request: fn(&'static str, u64) -> Vec<Statement>,
}

pub(crate) const fn case(
    name: &'static str,
    truth: Truth,
    requests: u64,
    request: fn(&'static str, u64) -> Vec<Statement>,
) -> Case {
    Case { name, truth, requests, request }
}

/// A request of one statement.
pub(crate) fn one(name: &'static str, sql: &'static str, arguments: Vec<Argument>) -> Vec<Statement> {
    vec![Statement { name, sql, arguments }]
}

pub(crate) const fn long(value: u64) -> Argument {
    Argument::Long(value.cast_signed())
}

pub(crate) fn integer(value: u64) -> Argument {
    Argument::Integer(i32::try_from(value % 1_000_000).unwrap_or(0))
}

pub(crate) fn text(value: impl Into<String>) -> Argument {
    Argument::Text(value.into())
}
