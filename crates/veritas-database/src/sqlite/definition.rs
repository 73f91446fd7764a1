//! Index definitions: the only statements that we ever run on a live file.
//!
//! A definition is rendered to SQL in exactly one way and read back from exactly
//! that: what does not come out letter for letter as we would write it is not
//! ours and is refused. The name holds a hash of the definition, so that a name
//! alone tells whether the index behind it is the one we mean.

use veritas_model::{Plan, stable_hash};

/// What the name of every index of ours begins with; no other index is ever dropped.
pub const PREFIX: &str = "veritas_";

/// Letters of the table and the columns that the name shows.
const READABLE_LETTERS: usize = 40;

/// One key column of an index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyColumn {
    /// The column, as the schema spells it.
    pub(crate) name: String,
    /// Whether it is kept in descending order.
    pub(crate) descending: bool,
}

/// An index on plain columns of a table of the `main` schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IndexDefinition {
    /// The table, as the schema spells it.
    pub(crate) table: String,
    /// The key columns, at least one.
    pub(crate) columns: Vec<KeyColumn>,
}

impl IndexDefinition {
    /// Returns the name, the same for the same definition.
    pub(crate) fn name(&self) -> String {
        let words = std::iter::once(&self.table).chain(self.columns.iter().map(|column| &column.name));
        let mut readable = words.map(|word| plain(word)).collect::<Vec<_>>().join("_");
        readable.truncate(READABLE_LETTERS); // ASCII only, so any place is a boundary
        let hash = stable_hash(self.body().as_bytes()) >> 32;
        format!("{PREFIX}{readable}_{hash:08x}")
    }

    /// Returns the statement that creates it and does nothing when it is there.
    pub(crate) fn create(&self) -> String {
        format!("CREATE INDEX IF NOT EXISTS {} ON {}", quote(&self.name()), self.body())
    }

    /// Returns the statement that drops it and does nothing when it is not there.
    pub(crate) fn drop(&self) -> String {
        format!("DROP INDEX IF EXISTS {}", quote(&self.name()))
    }

    /// Returns the text that SQLite keeps in its schema after [`Self::create`].
    pub(crate) fn in_schema(&self) -> String {
        format!("CREATE INDEX {} ON {}", quote(&self.name()), self.body())
    }

    /// Returns the plan that creates it on `target`.
    pub(crate) fn plan(&self, target: &str) -> Plan {
        Plan {
            target: target.to_owned(),
            forward: self.create(),
            inverse: self.drop(),
            object: self.name(),
            scope: vec![self.table.clone()],
        }
    }

    /// Reads a plan back.
    ///
    /// # Errors
    ///
    /// Says which part is not as [`Self::plan`] writes it.
    pub(crate) fn of_plan(plan: &Plan) -> Result<Self, String> {
        let definition = Self::parse(&plan.forward).ok_or("its change is not one CREATE INDEX of ours")?;
        if definition.columns.is_empty() || definition.create() != plan.forward {
            return Err("its change is not one CREATE INDEX of ours".to_owned());
        }
        if definition.drop() != plan.inverse {
            return Err("its inverse does not drop exactly the index that it creates".to_owned());
        }
        if definition.name() != plan.object {
            return Err("its object is not the index that it creates".to_owned());
        }
        Ok(definition)
    }

    fn parse(sql: &str) -> Option<Self> {
        let rest = sql.strip_prefix("CREATE INDEX IF NOT EXISTS ")?;
        let (_, rest) = unquote(rest)?;
        let (table, rest) = unquote(rest.strip_prefix(" ON ")?)?;
        let mut rest = rest.strip_prefix(" (")?;
        let mut columns = Vec::new();
        loop {
            let (name, after) = unquote(rest)?;
            let (descending, after) =
                after.strip_prefix(" DESC").map_or((false, after), |after| (true, after));
            columns.push(KeyColumn { name, descending });
            match after.strip_prefix(", ") {
                Some(more) => rest = more,
                None if after == ")" => return Some(Self { table, columns }),
                None => return None,
            }
        }
    }

    fn body(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{}{}", quote(&column.name), if column.descending { " DESC" } else { "" }))
            .collect();
        format!("{} ({})", quote(&self.table), columns.join(", "))
    }
}

/// Quotes an identifier as standard SQL does; a NUL, which no identifier can
/// hold, is left for SQLite to refuse.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Reads a quoted identifier off the start of `text`.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut identifier = String::new();
    loop {
        let end = rest.find('"')?;
        identifier.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                identifier.push('"');
                rest = more;
            }
            None => return (!identifier.is_empty()).then_some((identifier, rest)),
        }
    }
}

/// Keeps the ASCII letters and digits of a name, lower case, the rest as `_`.
fn plain(word: &str) -> String {
    word.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn definition(table: &str, columns: &[(&str, bool)]) -> IndexDefinition {
        let columns = columns
            .iter()
            .map(|&(name, descending)| KeyColumn { name: name.to_owned(), descending })
            .collect();
        IndexDefinition { table: table.to_owned(), columns }
    }

    #[test]
    fn a_plan_reads_like_sql_and_names_its_index() {
        let plan = definition("orders", &[("user_id", false), ("created", true)]).plan("main");
        assert_eq!(
            plan.forward,
            format!(
                "CREATE INDEX IF NOT EXISTS \"{}\" ON \"orders\" (\"user_id\", \"created\" DESC)",
                plan.object
            )
        );
        assert_eq!(plan.inverse, format!("DROP INDEX IF EXISTS \"{}\"", plan.object));
        assert!(plan.object.starts_with("veritas_orders_user_id_created_"), "{}", plan.object);
        assert_eq!(plan.scope, ["orders"]);
    }

    #[test]
    fn a_plan_that_is_not_letter_for_letter_ours_is_refused() {
        let good = definition("t", &[("a", false)]).plan("main");
        assert!(IndexDefinition::of_plan(&good).is_ok());
        let spoil: [fn(&mut Plan); 8] = [
            |plan| plan.forward = plan.forward.replace("INDEX", "UNIQUE INDEX"),
            |plan| plan.forward.push_str("; DROP TABLE t"),
            |plan| plan.forward = plan.forward.replace("(\"a\")", "(\"a\") WHERE a > 1"),
            |plan| plan.forward = plan.forward.replace("\"a\"", "\"b\""),
            |plan| plan.forward = "CREATE INDEX IF NOT EXISTS \"other\" ON \"t\" (\"a\")".to_owned(),
            |plan| plan.inverse = "DROP INDEX IF EXISTS \"users_by_name\"".to_owned(),
            |plan| plan.inverse.push(';'),
            |plan| plan.object = "veritas_t_b_00000000".to_owned(),
        ];
        for (case, spoil) in spoil.iter().enumerate() {
            let mut plan = good.clone();
            spoil(&mut plan);
            assert!(IndexDefinition::of_plan(&plan).is_err(), "case {case}: {plan:?}");
        }
    }

    proptest! {
        #[test]
        fn any_names_survive_the_way_into_sql_and_back(
            table in "\\PC{1,12}",
            columns in prop::collection::vec(("[\\PC\"]{1,8}", any::<bool>()), 1..4),
        ) {
            let columns = columns.into_iter().map(|(name, descending)| KeyColumn { name, descending }).collect();
            let definition = IndexDefinition { table, columns };
            prop_assert_eq!(IndexDefinition::of_plan(&definition.plan("main")), Ok(definition));
        }
    }
}
