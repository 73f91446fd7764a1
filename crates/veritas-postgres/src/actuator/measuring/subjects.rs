//! The statements in a change's scope that can be run on a copy, and the tables that they need.

use std::collections::BTreeMap;

use veritas_database::{StatementKind, Value};
use veritas_model::{ActuatorError, Finding, FindingKind, Fingerprint, Proposal, Subject as Of};

use super::{Accepted, PostgresActuator, relation_of};
use crate::{
    actuator::{
        live::{busy, look, refused, said},
        work::is_among,
    },
    guard::{Explainable, Guard},
    plan::Relation,
    session::Session,
    target::PostgresTarget,
};

/// Statements that are looked at, those of the finding first and then the dearest.
const MOST: usize = 32;
/// Tables of a copy.
const MOST_TABLES: usize = 16;

/// Which of these relations are tables with rows of their own.
const TABLES: &str = "
SELECT n.nspname, c.relname FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// A statement that can be run.
pub(super) struct Subject {
    pub(super) statement: Explainable,
    /// Its text with the parameters that it came with.
    pub(super) text: String,
    pub(super) kept: Vec<Vec<Value>>,
    pub(super) calls: f64,
    pub(super) rows_per_call: u64,
    /// Whether the proposal is about it.
    pub(super) is_wanted: bool,
}

/// What a proof is made with.
pub(super) struct Prepared {
    pub(super) subjects: Vec<Subject>,
    pub(super) relations: Vec<Relation>,
}

/// A statement as somebody counted it.
struct Counted {
    name: String,
    fingerprint: Fingerprint,
    text: String,
    kept: Vec<Vec<Value>>,
    calls: u64,
    seconds: f64,
    rows: u64,
}

/// Gathers the statements in scope, has the guard check them, and finds the tables that
/// they need.
pub(super) fn prepare(
    actuator: &PostgresActuator,
    target: &PostgresTarget,
    accepted: &Accepted,
    proposal: &Proposal,
) -> Result<Prepared, ActuatorError> {
    let mut session = target.connect().map_err(|error| said(target, "connect", &error))?;
    let table = match accepted {
        Accepted::Create(definition) => {
            let table = &definition.spec().table;
            relation_of(&table.schema, &table.name)
        }
        Accepted::Drop(removal) => {
            let found = look(&mut session, removal.schema(), removal.name())
                .map_err(|error| said(target, "look for the index", &error))?;
            let found = found.and_then(|found| found.schema.zip(found.table));
            let (schema, name) =
                found.ok_or_else(|| refused(format!("there is no index {}", removal.name())))?;
            relation_of(&schema, &name)
        }
    };
    let scope = [format!("{}.{}", table.schema, table.name).to_lowercase()];
    let mut counted = gather(actuator, target, &scope);
    let is_wanted = |counted: &Counted| {
        matches!(accepted, Accepted::Create(_))
            && proposal.finding.as_ref().is_none_or(|finding| {
                // A statement is known by its fingerprint, whatever it is called.
                let subject = Of::Statement {
                    name: String::new(),
                    fingerprint: counted.fingerprint,
                    normalized: String::new(),
                };
                *finding == Finding::identity(FindingKind::MissingIndex, &subject)
            })
    };
    counted.sort_by(|one, other| {
        is_wanted(other).cmp(&is_wanted(one)).then_with(|| other.seconds.total_cmp(&one.seconds))
    });
    let mut prepared = Prepared { subjects: Vec::new(), relations: vec![table.clone()] };
    let mut why = None;
    for counted in counted.into_iter().take(MOST) {
        let checked = Guard::new(&mut session).check(&counted.text);
        let statement = match checked {
            Ok(statement) => statement,
            Err(refusal) => {
                why.get_or_insert_with(|| refusal.to_string());
                continue;
            }
        };
        let tables = match tables(&mut session, &statement) {
            Ok(Some(tables)) if tables.contains(&table) => tables,
            Ok(_) => {
                why.get_or_insert_with(|| "it reads something else than tables".to_owned());
                continue;
            }
            Err(error) => return Err(said(target, "look for tables", &error)),
        };
        let new: Vec<Relation> =
            tables.into_iter().filter(|relation| !prepared.relations.contains(relation)).collect();
        if prepared.relations.len() + new.len() > MOST_TABLES {
            continue;
        }
        prepared.relations.extend(new);
        #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
        prepared.subjects.push(Subject {
            is_wanted: is_wanted(&counted),
            statement,
            kept: counted.kept,
            calls: counted.calls as f64,
            rows_per_call: (counted.rows / counted.calls.max(1)).max(1),
            text: counted.text,
        });
    }
    if prepared.subjects.is_empty() {
        let why = why.unwrap_or_else(|| "none was seen".to_owned());
        return Err(busy(target, format!("no statement in scope can be run on a copy: {why}")));
    }
    Ok(prepared)
}

/// Returns the statements on a table: the recorder's, with their values, and the server's.
fn gather(actuator: &PostgresActuator, target: &PostgresTarget, scope: &[String]) -> Vec<Counted> {
    let mut counted: BTreeMap<Fingerprint, Counted> = BTreeMap::new();
    for statement in actuator.recorder.snapshot().statements {
        let is_there = statement.tables.iter().any(|table| is_among(table, scope));
        let Some(text) = statement.sample_sql.as_ref().filter(|_| is_there) else { continue };
        if statement.kind == StatementKind::Other {
            continue;
        }
        let new = Counted {
            name: statement.name.clone(),
            fingerprint: statement.fingerprint,
            text: text.to_string(),
            kept: statement.sample_parameters.clone(),
            calls: statement.calls,
            seconds: statement.total_seconds,
            rows: statement.rows_returned,
        };
        let known = counted.entry(statement.fingerprint).or_insert(new);
        // The same statement under another label.
        if known.name != statement.name {
            known.calls += statement.calls;
            known.seconds += statement.total_seconds;
        }
    }
    let readings = target.latest.get(&target.name);
    let of_server = readings.as_ref().and_then(|readings| readings.reading.statements.as_ref().ok());
    for statement in of_server.into_iter().flatten() {
        if !statement.tables.iter().any(|table| is_among(table, scope)) {
            continue;
        }
        let known = counted.entry(statement.fingerprint).or_insert_with(|| Counted {
            name: statement.fingerprint.to_string(),
            fingerprint: statement.fingerprint,
            text: statement.text.clone(),
            kept: Vec::new(),
            calls: 0,
            seconds: 0.0,
            rows: 0,
        });
        // The server counts the calls of every application, ours included.
        known.calls = known.calls.max(statement.seconds.count);
        known.seconds = known.seconds.max(statement.seconds.sum);
        known.rows = known.rows.max(statement.rows);
    }
    counted.into_values().collect()
}

/// Returns the tables of a statement; `None` when some of them are something else.
fn tables(
    session: &mut Session,
    statement: &Explainable,
) -> Result<Option<Vec<Relation>>, crate::session::SessionError> {
    let all = statement.relations();
    let schemas: Vec<&str> = all.iter().map(|relation| relation.schema.as_str()).collect();
    let names: Vec<&str> = all.iter().map(|relation| relation.name.as_str()).collect();
    let rows = session.query(TABLES, &[&schemas, &names])?;
    let tables: Vec<Relation> = rows.iter().map(|row| relation_of(row.get(0), row.get(1))).collect();
    Ok((tables.len() == all.len()).then_some(tables))
}
