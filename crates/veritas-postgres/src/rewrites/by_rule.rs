//! What the rules offer for a statement before anything is run.

use veritas_rewrite::{Dialect, Rewrite, Schema, Usage, rewrites_for};

use super::{schema, shown};
use crate::{
    guard::{Explainable, Guard},
    plan::Relation,
    session::{Session, SessionError},
};

/// Another text that a rule says returns the same rows. Nobody has compared or measured it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByRule {
    /// What is done (`function_to_range`).
    pub rule: &'static str,
    /// The other text, without literals.
    pub sql: String,
    /// What changes for the caller, or must hold; `None` where nothing does.
    pub condition: Option<String>,
    /// Why it may help, in a sentence.
    pub note: &'static str,
}

/// Returns what the rules offer for `sql`: nothing is run, the catalogue is asked.
///
/// # Errors
///
/// Why it is not looked at, without literals.
pub fn by_rule(session: &mut Session, sql: &str) -> Result<Vec<ByRule>, String> {
    let offered = offered(session, sql, &Usage::default())?;
    let said = |rewrite: Rewrite| ByRule {
        rule: rewrite.rule.as_str(),
        sql: shown(&rewrite.sql),
        condition: rewrite.condition,
        note: rewrite.note,
    };
    Ok(offered.map(|(_, _, rewrites)| rewrites.into_iter().map(said).collect()).unwrap_or_default())
}

/// Returns a statement, the schema of its tables, and what the rules offer, where they offer
/// something. Nothing is run.
///
/// # Errors
///
/// Why it is not looked at, without literals.
pub(super) fn offered(
    session: &mut Session,
    sql: &str,
    usage: &Usage,
) -> Result<Option<(Explainable, Schema, Vec<Rewrite>)>, String> {
    let statement = Guard::new(session).check(sql).map_err(|refusal| refusal.to_string())?;
    if !statement.is_query() || !statement.is_repeatable() || statement.relations().is_empty() {
        return Ok(None);
    }
    let is_ours =
        |relation: &Relation| !["pg_catalog", "information_schema"].contains(&relation.schema.as_str());
    if !statement.relations().iter().all(is_ours) {
        return Ok(None);
    }
    let schema =
        schema::read(session, statement.relations()).map_err(|error: SessionError| error.to_string())?;
    let rewrites =
        rewrites_for(sql, Dialect::PostgreSql, &schema, usage).map_err(|error| error.to_string())?;
    Ok((!rewrites.is_empty()).then_some((statement, schema, rewrites)))
}
