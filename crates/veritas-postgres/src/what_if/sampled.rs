//! Real indexes on a sampled copy: what is asked where `hypopg` is not.

use std::{collections::BTreeMap, sync::Arc};

use veritas_index_advisor::{IndexSpec, Planned, Question, WhatIf, WhatIfError};
use veritas_model::{Bytes, Clock};

use super::{Asked, failed};
use crate::{
    actuator::IndexDefinition,
    plan::Relation,
    scratch::{Scratch, ScratchLimits, ScratchPlace},
    session::{ConnectOptions, SessionError, qualified},
};

/// How much is copied: the large tables in the same share, small ones whole.
const COPY: Bytes = Bytes::new(48 << 20);

/// Everything that the planner compares with the size of data, times the share of the data
/// that the copy has: memory, and from where on work is shared by processes, and what that
/// costs to set up.
const SCALE: &str = "
SELECT pg_catalog.set_config(name, scaled::text, false)
FROM (SELECT name, greatest(min_val::float8, CASE vartype WHEN 'integer' THEN round(setting::float8 * $1)
                                             ELSE setting::float8 * $1 END) AS scaled
      FROM pg_catalog.pg_settings
      WHERE name IN ('work_mem', 'effective_cache_size', 'min_parallel_table_scan_size',
                     'min_parallel_index_scan_size', 'parallel_setup_cost')) AS settings";

/// Asks a planner about a copy that has a sample of the rows, with real indexes on it.
///
/// The copy's large tables have all the same share of their pages, so that every cost is
/// about that share of the true one: costs are divided by it, and what the planner
/// compares sizes with is scaled alike. Indexes are built when they are first asked for;
/// those that a question leaves out are dropped in a transaction that is rolled back. What
/// it answers is less sure than `hypopg`: values that the sample misses are missing.
#[derive(Debug)]
pub struct Sampled<'a> {
    scratch: Scratch,
    statements: &'a [Asked],
    share: f64,
    /// What was built, with the name.
    built: BTreeMap<IndexSpec, String>,
}

impl<'a> Sampled<'a> {
    /// Copies a sample of `relations` to `place`. Blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// Why there is no copy, in words without literals.
    pub fn create(
        source: &ConnectOptions,
        place: &ScratchPlace,
        relations: &[Relation],
        statements: &'a [Asked],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let limits = ScratchLimits { bytes: COPY, ..ScratchLimits::default() };
        let mut scratch =
            Scratch::create(source, place, relations, &limits, clock).map_err(|error| error.words())?;
        let share = scratch.tables().iter().map(|table| table.share).fold(1.0, f64::min);
        let scaled = scratch.session().query(SCALE, &[&share]);
        let _settings = scaled.map_err(|error| error.to_string())?;
        Ok(Self { scratch, statements, share, built: BTreeMap::new() })
    }

    /// Returns the share of the large tables that the copy has.
    pub const fn share(&self) -> f64 {
        self.share
    }

    /// Says what the copy is, for people.
    pub fn words(&self) -> String {
        self.scratch.words()
    }

    fn build(&mut self, spec: &IndexSpec) -> Result<(), String> {
        if self.built.contains_key(spec) {
            return Ok(());
        }
        let definition = IndexDefinition::new(spec.clone())?;
        let created = self.scratch.session().batch(&definition.create_alone());
        created.map_err(|error| error.to_string())?;
        let _new = self.built.insert(spec.clone(), definition.name());
        Ok(())
    }

    /// Hides what the question leaves out: until the transaction is rolled back, which
    /// asking for a plan ends with. (`BEGIN` inside of a transaction changes nothing but
    /// what it says of it: it only reads from there on.)
    fn hide(&mut self, question: &Question<'_>, asked: &Asked) -> Result<(), SessionError> {
        let concerns = |spec: &IndexSpec| {
            asked
                .statement
                .relations()
                .iter()
                .any(|relation| relation.name == spec.table.name && relation.schema == spec.table.schema)
        };
        let hidden: Vec<String> = self
            .built
            .iter()
            .filter(|(spec, _)| concerns(spec) && !question.indexes.contains(spec))
            .map(|(spec, name)| qualified(&spec.table.schema, name))
            .collect();
        if hidden.is_empty() {
            return Ok(());
        }
        self.scratch.session().batch(&format!("BEGIN; DROP INDEX {}", hidden.join(", ")))
    }
}

impl WhatIf for Sampled<'_> {
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
        let statement = question.statement;
        let refused = |reason: String| WhatIfError::Statement { statement, reason };
        for spec in question.indexes {
            self.build(spec).map_err(refused)?;
        }
        let asked =
            self.statements.get(statement).ok_or_else(|| refused("there is no such statement".to_owned()))?;
        if let Err(error) = self.hide(question, asked) {
            // Whatever is open, nothing stays.
            drop(self.scratch.session().batch("ROLLBACK"));
            let reason = error.to_string();
            let is_lost = self.scratch.session().is_lost();
            return Err(if is_lost { WhatIfError::Lost { reason } } else { refused(reason) });
        }
        let plan = match asked.explain(self.scratch.session()) {
            Ok(plan) => plan,
            Err(error) => {
                drop(self.scratch.session().batch("ROLLBACK"));
                return Err(failed(statement, &error, self.scratch.session()));
            }
        };
        let names: Vec<&str> = plan.nodes().filter_map(|node| node.index.as_deref()).collect();
        let used =
            question.indexes.iter().enumerate().filter(|(_, spec)| {
                self.built.get(**spec).is_some_and(|name| names.contains(&name.as_str()))
            });
        let used = used.map(|(position, _)| position).collect();
        Ok(Planned { cost: plan.cost() / self.share, used: Some(used) })
    }
}
