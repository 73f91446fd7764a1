//! Hypothetical indexes: `hypopg` tells the planner of them, and nothing is built.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;
use veritas_index_advisor::{IndexSpec, Planned, Question, WhatIf, WhatIfError};

use super::{Asked, failed};
use crate::{
    actuator::IndexDefinition,
    plan::Plan,
    session::{Session, SessionError},
};

/// The schema of the extension, where it is installed and we may use its functions.
const USABLE: &str = "
SELECT n.nspname::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE')
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'hypopg'";

/// Asks the live planner about hypothetical indexes. Nothing is built, locked or written:
/// they live in the memory of our server process, nobody else sees them, and when the
/// session is lost they are gone with it. What this process had is reset when it is
/// opened and when it is dropped.
///
/// Only B-trees on plain columns are ever made: `EXPLAIN` through a view with a partial
/// one has brought servers down (`hypopg` issue 116). Their sizes are not asked for:
/// `hypopg` knows nothing of deduplication, and is up to four times too high.
///
/// One question costs one planning and, where the set of indexes on the statement's tables
/// is another than before, one or two round trips.
#[derive(Debug)]
pub struct HypoPg<'a> {
    session: &'a mut Session,
    statements: &'a [Asked],
    functions: Functions,
    /// The server process that the indexes are in.
    process: i32,
    /// What the planner is told of now: the number and the name of each.
    present: BTreeMap<IndexSpec, (u32, String)>,
    /// What statements cost as it is now, by position, where that is known already.
    known: Vec<f64>,
}

/// Statements of ours, with the extension's schema in them.
#[derive(Debug)]
struct Functions {
    reset: String,
    create: String,
    drop: String,
}

/// Returns why `hypopg` cannot be used, where that is so.
pub(super) fn usable(session: &mut Session) -> Result<Result<(), String>, SessionError> {
    let rows = session.query(USABLE, &[])?;
    Ok(match rows.first() {
        None => Err("hypopg is not installed in this database: CREATE EXTENSION hypopg".to_owned()),
        Some(row) if !row.get::<_, bool>(1) => {
            Err("the role may not use the schema of hypopg: GRANT USAGE ON SCHEMA".to_owned())
        }
        Some(_) => Ok(()),
    })
}

impl<'a> HypoPg<'a> {
    /// Opens it on a session that nobody else uses meanwhile.
    ///
    /// # Errors
    ///
    /// [`SessionError`], also when the extension is not there.
    pub fn open(session: &'a mut Session, statements: &'a [Asked]) -> Result<Self, SessionError> {
        let rows = session.query(USABLE, &[])?;
        let schema: String = rows.first().map_or_else(|| "public".to_owned(), |row| row.get(0));
        let schema = crate::session::ident(&schema);
        // A pooler that hands out another process for each transaction would show our
        // indexes to strangers: every statement tells which process it ran in.
        let functions = Functions {
            reset: format!("SELECT pg_catalog.pg_backend_pid() FROM {schema}.hypopg_reset()"),
            create: format!(
                "SELECT made.indexrelid, made.indexname::text, pg_catalog.pg_backend_pid() \
                 FROM unnest($1::text[]) WITH ORDINALITY AS wanted(sql, position), \
                 LATERAL {schema}.hypopg_create_index(wanted.sql) AS made ORDER BY wanted.position"
            ),
            drop: format!(
                "SELECT {schema}.hypopg_drop_index(number), pg_catalog.pg_backend_pid() \
                 FROM unnest($1::oid[]) AS gone(number)"
            ),
        };
        let rows = session.query_typed(&functions.reset, &[])?;
        let process = rows.first().map_or(0, |row| row.get(0));
        Ok(Self { session, statements, functions, process, present: BTreeMap::new(), known: Vec::new() })
    }

    /// Takes the statements' plans as it is now, which are not asked for again.
    pub fn know(&mut self, plans: &[Plan]) {
        self.known = plans.iter().map(Plan::cost).collect();
    }

    /// Makes the planner know exactly the indexes of the question on its statement's tables.
    fn present(&mut self, question: &Question<'_>, asked: &Asked) -> Result<(), SessionError> {
        let concerns = |spec: &IndexSpec| {
            let is_table = |name: &str, schema: &str| spec.table.name == name && spec.table.schema == schema;
            asked.statement.relations().iter().any(|relation| is_table(&relation.name, &relation.schema))
        };
        // On other tables an index is not looked at, and may stay.
        let gone: Vec<IndexSpec> = self
            .present
            .keys()
            .filter(|spec| concerns(spec) && !question.indexes.contains(spec))
            .cloned()
            .collect();
        if !gone.is_empty() {
            let numbers: Vec<u32> =
                gone.iter().filter_map(|spec| self.present.remove(spec)).map(|(number, _)| number).collect();
            let rows = self.session.query_typed(&self.functions.drop, &[(&numbers, Type::OID_ARRAY)])?;
            self.check(rows.first().map(|row| row.get(1)))?;
        }
        let new: Vec<&IndexSpec> = question
            .indexes
            .iter()
            .copied()
            .filter(|spec| concerns(spec) && !self.present.contains_key(*spec))
            .collect();
        if !new.is_empty() {
            let statements: Vec<String> = new.iter().filter_map(|spec| definition(spec)).collect();
            if statements.len() != new.len() {
                return Err(SessionError::Answer { reason: "an index that is not made here".to_owned() });
            }
            let rows =
                self.session.query_typed(&self.functions.create, &[(&statements, Type::TEXT_ARRAY)])?;
            for (spec, row) in new.into_iter().zip(&rows) {
                let _before = self.present.insert(spec.clone(), (row.get(0), row.get(1)));
            }
            self.check(rows.first().map(|row| row.get(2)))?;
        }
        Ok(())
    }

    fn check(&self, process: Option<i32>) -> Result<(), SessionError> {
        if process.is_none_or(|process| process == self.process) {
            return Ok(());
        }
        Err(SessionError::Answer {
            reason: "the connection is pooled by transaction, and hypothetical indexes belong to a session"
                .to_owned(),
        })
    }
}

/// Writes an index as `hypopg` reads it: it takes no name, and no `CONCURRENTLY`.
fn definition(spec: &IndexSpec) -> Option<String> {
    if spec.is_elsewhere() || spec.unique {
        return None;
    }
    let sql = IndexDefinition::new(spec.clone()).ok()?.create();
    sql.find(" ON ").map(|at| format!("CREATE INDEX{}", &sql[at..]))
}

impl WhatIf for HypoPg<'_> {
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
        let statement = question.statement;
        let asked = self.statements.get(statement).ok_or_else(|| WhatIfError::Statement {
            statement,
            reason: "there is no such statement".to_owned(),
        })?;
        if question.indexes.is_empty()
            && let Some(cost) = self.known.get(statement)
        {
            return Ok(Planned { cost: *cost, used: Some(Vec::new()) });
        }
        if let Err(error) = self.present(question, asked) {
            // What is there now is not known any more.
            self.present.clear();
            let usable = self.session.query_typed(&self.functions.reset, &[]).is_ok();
            let reason = error.to_string();
            let is_pooled = matches!(error, SessionError::Answer { .. }) && reason.contains("pooled");
            return Err(if usable && !is_pooled {
                WhatIfError::Statement { statement, reason }
            } else {
                WhatIfError::Lost { reason }
            });
        }
        let plan = asked.explain(self.session).map_err(|error| failed(statement, &error, self.session))?;
        let names: Vec<&str> = plan.nodes().filter_map(|node| node.index.as_deref()).collect();
        let used = question.indexes.iter().enumerate().filter(|(_, spec)| {
            self.present.get(**spec).is_some_and(|(_, name)| names.contains(&name.as_str()))
        });
        Ok(Planned { cost: plan.cost(), used: Some(used.map(|(position, _)| position).collect()) })
    }
}

impl Drop for HypoPg<'_> {
    fn drop(&mut self) {
        // A lost session has taken them along.
        drop(self.session.query_typed(&self.functions.reset, &[]));
    }
}

#[cfg(test)]
mod tests {
    use veritas_index_advisor::{Key, TableId};

    use super::*;

    #[test]
    fn only_plain_b_trees_are_made_on_a_live_server() {
        let table = || TableId::new("public", "a ON b");
        let plain = IndexSpec::on(table(), ["x", "y"]).including(["z"]);
        let sql = definition(&plain).expect("it is plain");
        assert_eq!(sql, "CREATE INDEX ON \"public\".\"a ON b\" USING btree (\"x\", \"y\") INCLUDE (\"z\")");
        let partial = IndexSpec { predicate: Some("x > 1".to_owned()), ..IndexSpec::on(table(), ["x"]) };
        let expression = IndexSpec::btree(table(), vec![Key::expression("lower(x)")]);
        let unique = IndexSpec { unique: true, ..IndexSpec::on(table(), ["x"]) };
        for spec in [partial, expression, unique] {
            assert_eq!(definition(&spec), None);
        }
    }
}
