//! Old and new text on many small random databases: do they return the same?
//!
//! A rule's reasoning may be wrong, and so may its code. What is offered is therefore run:
//! on databases with few distinct values (so that joins and conditions match), `NULL`s,
//! duplicates, empty tables, extreme values, and with the literals of the statement, their
//! neighbours included. One difference refutes a rewrite; none in some hundred databases
//! is no proof, but the deliberately wrong variants in our tests are all refuted within
//! some dozens.
//!
//! The thinking is here, the talking is not: a [`Database`] runs the statements.

use std::fmt;

use veritas_statistics::Rng;

use crate::{Dialect, Form, ParameterMap, ParameterSource, Rewrite, RewriteError, schema::Schema};

mod compare;
mod content;
mod parameters;
mod pool;

pub use content::{Content, definitions};

/// A value of a column or of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `NULL`.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Anything else, in the engine's text form.
    Text(String),
    /// An array; on `SQLite` to be passed as JSON text.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    /// Writes the engine's text form; an array as `PostgreSQL` writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("NULL"),
            Self::Boolean(value) => formatter.write_str(if *value { "t" } else { "f" }),
            Self::Integer(value) => value.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
            Self::List(values) => {
                formatter.write_str("{")?;
                for (index, value) in values.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "," };
                    match value {
                        Self::Text(text) => {
                            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                            write!(formatter, "{separator}\"{escaped}\"")?;
                        }
                        other => write!(formatter, "{separator}{other}")?,
                    }
                }
                formatter.write_str("}")
            }
        }
    }
}

/// A row of a result.
pub type Row = Vec<Value>;

/// A database that has the schema's tables (see [`definitions`]) and nothing in them.
pub trait Database {
    /// Why a statement failed.
    type Error: fmt::Display;

    /// Puts `content` into the empty tables.
    ///
    /// # Errors
    ///
    /// When the database refuses it.
    fn fill(&mut self, content: &Content) -> Result<(), Self::Error>;

    /// Runs a query with its numbered parameters (positional ones on `MySQL`).
    ///
    /// # Errors
    ///
    /// When the database refuses it. The database may then refuse everything until [`Self::clear`].
    fn run(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Self::Error>;

    /// Empties the tables, whatever happened before.
    ///
    /// # Errors
    ///
    /// When the database is lost.
    fn clear(&mut self) -> Result<(), Self::Error>;
}

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Decides every random choice.
    pub seed: u64,
    /// How many databases.
    pub databases: u32,
    /// How many sets of parameters in each, where the statement has parameters.
    pub parameter_sets: u32,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Databases in which both statements ran.
    pub databases: u32,
    /// Comparisons of results.
    pub comparisons: u64,
    /// Rows that the old statement returned in them.
    pub rows: u64,
    /// Comparisons in which the old statement returned rows.
    pub not_empty: u64,
    /// Times that the old statement itself failed (a sum overflowed), so that nothing was compared.
    pub refused: u64,
    /// The first difference, after which nothing more is tried.
    pub mismatch: Option<Box<Mismatch>>,
}

impl Report {
    /// Returns whether there were results to compare, and no difference.
    pub const fn agrees(&self) -> bool {
        self.mismatch.is_none() && self.not_empty > 0
    }
}

/// Both texts do not return the same. Everything in it is made up, but for the literals of
/// the statement: not for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Which database, from 0.
    pub database: u32,
    /// What was in it.
    pub content: Content,
    /// The old statement's parameters.
    pub parameters: Vec<Value>,
    /// What the old statement returned.
    pub expected: Vec<Row>,
    /// What the new one returned; `None` when it failed.
    pub found: Option<Vec<Row>>,
    /// Why the new one failed.
    pub failure: Option<String>,
}

/// Why nothing was compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FuzzError {
    /// The old statement is not one that is looked at.
    #[error("failed to read the statement")]
    Read(#[source] RewriteError),
    /// Nothing is known of the values that a parameter may take.
    #[error("nothing is known of parameter {number}")]
    Parameter {
        /// Its number, from 1.
        number: usize,
    },
    /// Tables refer to each other in a circle.
    #[error("tables refer to each other in a circle")]
    Circle,
    /// The database is lost, or refuses its content.
    #[error("the database refuses: {0}")]
    Database(String),
}

/// How often the old statement may fail before anything was compared: each time may take
/// as long as the database allows.
const MOST_REFUSED: u64 = 10;

/// Compares a statement with its rewrite on random databases.
///
/// # Errors
///
/// When nothing can be compared; a difference is no error but in the report.
pub fn check<D: Database>(
    sql: &str,
    rewrite: &Rewrite,
    dialect: Dialect,
    schema: &Schema,
    database: &mut D,
    effort: &Effort,
) -> Result<Report, FuzzError> {
    let kinds = parameters::kinds(sql, dialect, schema).map_err(FuzzError::Read)?;
    let pool = pool::Pool::of(sql, dialect);
    let order = content::order(schema).ok_or(FuzzError::Circle)?;
    // A few pages, or a few rows that are joined.
    let most_rows = if matches!(rewrite.form, Form::Pages { .. }) { 18 } else { 8 };
    let lost = |error: D::Error| FuzzError::Database(error.to_string());
    let mut report = Report::default();
    for number in 0..effort.databases {
        let mut rng = Rng::new(effort.seed ^ (u64::from(number) << 20));
        let content = Content::random(schema, &order, &pool, most_rows, &mut rng);
        database.fill(&content).map_err(lost)?;
        let sets = if kinds.is_empty() { 1 } else { effort.parameter_sets };
        let (mut broken, mut compared) = (false, false);
        for _ in 0..sets {
            let parameters = kinds
                .iter()
                .enumerate()
                .map(|(index, kind)| {
                    let kind = kind.as_ref().ok_or(FuzzError::Parameter { number: index + 1 })?;
                    Ok(kind.random(&content, &pool, &mut rng))
                })
                .collect::<Result<Vec<Value>, FuzzError>>()?;
            match compare::once(
                sql,
                rewrite,
                &parameters,
                &kinds,
                dialect,
                &content,
                &pool,
                database,
                &mut rng,
            ) {
                compare::Outcome::Same { rows, comparisons, not_empty } => {
                    report.rows += rows;
                    report.comparisons += comparisons;
                    report.not_empty += not_empty;
                    compared = true;
                }
                compare::Outcome::Refused => {
                    report.refused += 1;
                    broken = true;
                }
                compare::Outcome::Different { parameters, expected, found, failure } => {
                    report.mismatch = Some(Box::new(Mismatch {
                        database: number,
                        content: content.clone(),
                        parameters,
                        expected,
                        found,
                        failure,
                    }));
                    broken = true;
                }
            }
            // After a failure a transaction refuses all that follows.
            if broken {
                break;
            }
        }
        database.clear().map_err(lost)?;
        report.databases += u32::from(compared);
        let hopeless = report.comparisons == 0 && report.refused >= MOST_REFUSED;
        if report.mismatch.is_some() || hopeless {
            break;
        }
    }
    Ok(report)
}

/// Returns the new statement's parameters. `every` and `last` are what the sources ask for
/// that one call of the old statement does not have.
///
/// `None` when a source names a parameter or a column that is not there.
pub fn mapped(map: &ParameterMap, old: &[Value], every: &[Value], last: Option<&Row>) -> Option<Vec<Value>> {
    map.0
        .iter()
        .map(|source| match source {
            ParameterSource::Same(number) => old.get(number.checked_sub(1)?).cloned(),
            ParameterSource::ArrayOf(numbers) => {
                let values = numbers.iter().map(|number| old.get(number.checked_sub(1)?).cloned());
                Some(Value::List(values.collect::<Option<Vec<_>>>()?))
            }
            ParameterSource::Every(_) => Some(Value::List(every.to_vec())),
            ParameterSource::LastRow(column) => last?.get(*column).cloned(),
        })
        .collect()
}
