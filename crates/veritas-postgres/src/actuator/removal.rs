//! The plan that drops an index of the application, with the exact statement that makes it again.

use sqlparser::{ast::Statement, dialect::PostgreSqlDialect, parser::Parser};
use veritas_index_advisor::TableId;
use veritas_model::Plan;

use super::definition::{drop_statement, dropped, scope_of};

/// What begins the definition of an index as the server prints it.
const PRINTED: &str = "CREATE INDEX ";
/// What takes its place, so that the running load goes on.
const BESIDE_THE_LOAD: &str = "CREATE INDEX CONCURRENTLY IF NOT EXISTS ";
/// Letters of the longest definition that is looked at.
const LONGEST: usize = 16_384;

/// An index that is dropped, and how it is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRemoval {
    schema: String,
    name: String,
    /// As `pg_get_indexdef` prints it.
    definition: String,
}

impl IndexRemoval {
    /// Takes an index by name, with its definition as `pg_get_indexdef` prints it.
    ///
    /// # Errors
    ///
    /// When that is not the definition of an index that is not unique.
    pub fn new(
        schema: impl Into<String>,
        name: impl Into<String>,
        definition: impl Into<String>,
    ) -> Result<Self, String> {
        let removal = Self { schema: schema.into(), name: name.into(), definition: definition.into() };
        if removal.definition.len() > LONGEST || !removal.definition.starts_with(PRINTED) {
            return Err("its definition is not one of an index that is not unique".to_owned());
        }
        let parsed = Parser::new(&PostgreSqlDialect {})
            .with_recursion_limit(50)
            .try_with_sql(&removal.definition)
            .and_then(|mut parser| parser.parse_statements());
        let Ok([Statement::CreateIndex(index)]) = parsed.as_deref() else {
            return Err("its definition cannot be read".to_owned());
        };
        let named = index.name.as_ref().and_then(|name| name.0.last()).and_then(|part| part.as_ident());
        if index.unique || named.is_none_or(|ident| ident.value != removal.name) {
            return Err("its definition is not the one of the index that is dropped".to_owned());
        }
        Ok(removal)
    }

    /// Returns the schema of the index.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Returns the name of the index.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its definition, as the server printed it.
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// Returns the statement that drops it beside the running load.
    pub fn drop(&self) -> String {
        drop_statement(&self.schema, &self.name)
    }

    /// Returns the statement that makes it again beside the running load.
    pub fn create(&self) -> String {
        self.definition.replacen(PRINTED, BESIDE_THE_LOAD, 1)
    }

    /// Returns the plan that drops it on `target`; the work on `table` is watched.
    pub fn plan(&self, target: &str, table: &TableId) -> Plan {
        Plan {
            target: target.to_owned(),
            forward: self.drop(),
            inverse: self.create(),
            object: format!("{}.{}", self.schema, self.name),
            scope: vec![scope_of(table)],
        }
    }

    /// Reads a plan back.
    ///
    /// # Errors
    ///
    /// Says which part is not as [`Self::plan`] writes it.
    pub fn of_plan(plan: &Plan) -> Result<Self, String> {
        let (schema, name) =
            dropped(&plan.forward).ok_or_else(|| "its change is not one DROP INDEX of ours".to_owned())?;
        let definition = plan
            .inverse
            .strip_prefix(BESIDE_THE_LOAD)
            .map(|rest| format!("{PRINTED}{rest}"))
            .ok_or_else(|| "its inverse does not make an index".to_owned())?;
        let removal = Self::new(schema, name, definition)?;
        if removal.drop() != plan.forward || removal.create() != plan.inverse {
            return Err("its statements are not as we write them".to_owned());
        }
        if plan.object != format!("{}.{}", removal.schema, removal.name) {
            return Err("its object is not the index that it drops".to_owned());
        }
        Ok(removal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Plan {
        let definition = "CREATE INDEX orders_a ON public.orders USING btree (a) WHERE (b > 3)";
        let removal = IndexRemoval::new("public", "orders_a", definition).unwrap();
        removal.plan("main", &TableId::new("public", "orders"))
    }

    #[test]
    fn a_plan_keeps_the_exact_definition_as_its_inverse() {
        let plan = good();
        assert_eq!(plan.forward, "DROP INDEX CONCURRENTLY IF EXISTS \"public\".\"orders_a\"");
        assert_eq!(
            plan.inverse,
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_a ON public.orders USING btree (a) WHERE (b > 3)"
        );
        assert_eq!(IndexRemoval::of_plan(&plan).unwrap().name(), "orders_a");
    }

    #[test]
    fn other_plans_are_refused() {
        let spoil: [fn(&mut Plan); 7] = [
            |plan| plan.forward = plan.forward.replace("orders_a", "orders_b"),
            |plan| plan.forward.push_str(" CASCADE"),
            |plan| plan.inverse.push_str("; DROP TABLE orders"),
            |plan| plan.inverse = plan.inverse.replace("INDEX", "UNIQUE INDEX"),
            |plan| plan.inverse = "DROP TABLE orders".to_owned(),
            |plan| plan.inverse = plan.inverse.replace("orders_a", "other"),
            |plan| plan.object = "orders_a".to_owned(),
        ];
        for (case, spoil) in spoil.iter().enumerate() {
            let mut plan = good();
            spoil(&mut plan);
            assert!(IndexRemoval::of_plan(&plan).is_err(), "case {case}: {plan:?}");
        }
        assert!(IndexRemoval::new("s", "u", "CREATE UNIQUE INDEX u ON s.t USING btree (a)").is_err());
    }
}
