//! Asking for a plan: one statement, one transaction that only reads and is rolled back.

use tokio_postgres::types::{Format, IsNull, ToSql, Type, private::BytesMut};

use super::Explainable;
use crate::{
    plan::{Plan, PlanError},
    session::{Session, SessionError},
};

/// Limits of one planning; `true` at the end of `set_config` is `SET LOCAL`. Nothing may
/// be compiled for a plan that is never run, literals mean what the guard took them for,
/// and constants of this session's planning are the server's.
const BEGIN: &str = "BEGIN TRANSACTION READ ONLY; \
    SET LOCAL standard_conforming_strings = on; \
    SET LOCAL statement_timeout = '5s'; \
    SET LOCAL lock_timeout = '100ms'; \
    SET LOCAL jit = off";
/// The same, for plans for all values.
const GENERIC: &str = "SET LOCAL plan_cache_mode = force_generic_plan";
/// Whatever happened, nothing stays.
const ROLLBACK: &str = "ROLLBACK";
/// What stands before the statement.
const EXPLAIN: &str = "EXPLAIN (FORMAT JSON, VERBOSE, SETTINGS) ";
/// From version 16 on, plans for all values need no prepared statement.
const EXPLAIN_GENERIC: &str = "EXPLAIN (GENERIC_PLAN, FORMAT JSON, VERBOSE, SETTINGS) ";
/// The name of the prepared statement; it lives as long as the call.
const PREPARED: &str = "veritas_explained";

/// The values of a statement's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameters<'a> {
    /// None are known: the plan is the one for all values.
    Unknown,
    /// The values as text, `None` for `NULL`: the plan is the one for them.
    Values(&'a [Option<String>]),
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The values are not as many as the parameters.
    #[error("failed to explain: the statement has {expected} parameters, not {given}")]
    Count {
        /// The parameters of the statement.
        expected: usize,
        /// The values given.
        given: usize,
    },
    /// A parameter decides how much is computed while planning.
    #[error("failed to explain: with values, planning could compute too much")]
    GenericOnly,
    /// The types of the parameters do not follow from the statement.
    #[error("failed to explain: the types of its parameters do not follow from it ({code})")]
    Types {
        /// The code of the server's error.
        code: String,
    },
    /// The server refused, or was lost.
    #[error("failed to explain")]
    Session(#[from] SessionError),
    /// What came back is not a plan.
    #[error("failed to explain")]
    Plan(#[from] PlanError),
}

impl Explainable {
    /// Asks for the plan. One transaction of its own, which only reads and is rolled back.
    /// Costs four to six round trips and the planning.
    ///
    /// # Errors
    ///
    /// As [`ExplainError`] says. The session stays usable, unless it is lost.
    pub fn explain(&self, session: &mut Session, parameters: Parameters<'_>) -> Result<Plan, ExplainError> {
        if let Parameters::Values(values) = parameters {
            if values.len() != self.parameters {
                return Err(ExplainError::Count { expected: self.parameters, given: values.len() });
            }
            if self.generic_only {
                return Err(ExplainError::GenericOnly);
            }
        }
        session.batch(BEGIN)?;
        let planned = match parameters {
            Parameters::Values(values) => {
                let sent: Vec<Option<String>> =
                    self.sent.iter().map(|number| values[number - 1].clone()).collect();
                self.custom(session, &sent)
            }
            Parameters::Unknown if self.sent.is_empty() => self.custom(session, &[]),
            Parameters::Unknown => self.generic(session),
        };
        let ended = session.batch(ROLLBACK);
        let plan = planned?;
        ended?;
        Ok(plan)
    }

    fn custom(&self, session: &mut Session, values: &[Option<String>]) -> Result<Plan, ExplainError> {
        let values: Vec<AsText<'_>> = values.iter().map(|value| AsText(value.as_deref())).collect();
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let planned = read(session, &format!("{EXPLAIN}{}", self.text), &values);
        planned.map_err(|error| self.of_types(error))
    }

    /// Tells types that do not follow from whatever else the server refuses.
    fn of_types(&self, error: ExplainError) -> ExplainError {
        match &error {
            ExplainError::Session(refused) if !self.sent.is_empty() => match refused.code() {
                // Indeterminate or ambiguous type, ambiguous or no such operator or function of unknowns.
                Some(code @ ("42P18" | "42P08" | "42725" | "42883")) => {
                    ExplainError::Types { code: code.to_owned() }
                }
                _ => error,
            },
            _ => error,
        }
    }

    fn generic(&self, session: &mut Session) -> Result<Plan, ExplainError> {
        if session.version() >= 160_000 {
            let planned = read(session, &format!("{EXPLAIN_GENERIC}{}", self.text), &[]);
            let planned = planned.map_err(|error| self.of_types(error));
            return planned.map(|plan| Plan { generic: true, ..plan });
        }
        session.batch(GENERIC)?;
        // A savepoint is not needed: the transaction ends with the first error.
        let _none = session
            .execute(&format!("PREPARE {PREPARED} AS {}", self.text), &[])
            .map_err(|error| self.of_types(error.into()))?;
        let nulls = vec!["NULL"; self.sent.len()].join(", ");
        let planned = read(session, &format!("{EXPLAIN}EXECUTE {PREPARED}({nulls})"), &[]);
        if planned.is_err() && !session.is_lost() {
            // Within a failed transaction nothing else is heard, and a prepared statement outlives it.
            session.batch(ROLLBACK)?;
        }
        if !session.is_lost() {
            session.batch(&format!("DEALLOCATE {PREPARED}"))?;
        }
        planned.map(|plan| Plan { generic: true, ..plan })
    }
}

fn read(session: &mut Session, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Plan, ExplainError> {
    let rows = session.query(sql, values)?;
    let row = rows.first().ok_or(PlanError::Missing("Plan"))?;
    let json: Json = row.try_get(0).map_err(|_other_type| PlanError::Json)?;
    Ok(Plan::parse(&json.0)?)
}

/// A value as text, whatever type the server wants.
#[derive(Debug)]
struct AsText<'a>(Option<&'a str>);

impl ToSql for AsText<'_> {
    fn to_sql(
        &self,
        _wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_type: &Type) -> bool {
        true
    }

    fn encode_format(&self, _type: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A column of type `json`, as text.
struct Json(String);

impl<'a> tokio_postgres::types::FromSql<'a> for Json {
    fn from_sql(_type: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(std::str::from_utf8(raw)?.to_owned()))
    }

    fn accepts(wanted: &Type) -> bool {
        matches!(*wanted, Type::JSON | Type::TEXT)
    }
}
