//! Definitions of our own indexes: rendered to SQL in exactly one way, and read back from exactly that.
//!
//! What does not come out letter for letter as we would write it is not ours and is
//! refused. The name holds a hash of the definition, so that a name alone tells whether
//! the index behind it is the one that is meant.

use veritas_index_advisor::{IndexSpec, Key, KeyPart, Method, TableId};
use veritas_model::{Plan, stable_hash};

use super::expression::{PURE, harmless};
use crate::session::{ident, qualified};

/// What the name of every index of ours begins with.
pub const PREFIX: &str = "veritas_";

/// Letters of the table and the columns that the name shows: with prefix and hash, 57 of
/// the 63 bytes that `PostgreSQL` keeps of a name.
const READABLE_LETTERS: usize = 40;
/// Most key columns (`INDEX_MAX_KEYS` is 32, carried columns included).
const MOST_COLUMNS: usize = 32;

/// An index that we may create: not unique, with the settings that `PostgreSQL` gives by
/// itself.
///
/// ```
/// use veritas_index_advisor::{IndexSpec, TableId};
/// use veritas_postgres::actuator::IndexDefinition;
///
/// let spec = IndexSpec::on(TableId::new("public", "orders"), ["customer_id", "created_at"]);
/// let definition = IndexDefinition::new(spec)?;
/// assert_eq!(
///     definition.create(),
///     format!(
///         "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"{}\" ON \"public\".\"orders\" USING btree (\"customer_id\", \"created_at\")",
///         definition.name()
///     )
/// );
/// assert!(definition.name().starts_with("veritas_orders_customer_id_created_at_"));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexDefinition {
    spec: IndexSpec,
}

impl IndexDefinition {
    /// Takes a specification.
    ///
    /// # Errors
    ///
    /// Says why it is not one that we create: unique, without keys, of another access
    /// method than `btree`, `brin` or `hash`, with other settings than `PostgreSQL`'s own,
    /// or with an expression that may do more than compute.
    pub fn new(spec: IndexSpec) -> Result<Self, String> {
        if spec.unique {
            return Err("a unique index changes what may be written".to_owned());
        }
        if spec.keys.is_empty() || spec.keys.len() + spec.include.len() > MOST_COLUMNS {
            return Err(format!("an index has between 1 and {MOST_COLUMNS} columns"));
        }
        if !matches!(spec.method, Method::BTree | Method::Brin | Method::Hash) {
            return Err(format!("indexes by {} are not created", spec.method.as_str()));
        }
        if spec.fillfactor != 90 || !spec.deduplicate {
            return Err("it has other settings than the usual ones".to_owned());
        }
        if spec.table.schema.starts_with("pg_") || spec.table.schema == "information_schema" {
            return Err("the table belongs to the server itself".to_owned());
        }
        let expressions = spec.keys.iter().filter_map(|key| match &key.part {
            KeyPart::Expression(sql) => Some(sql),
            KeyPart::Column(_) => None,
        });
        for sql in expressions.chain(&spec.predicate) {
            if harmless(sql, &[PURE]).is_none() {
                return Err("an expression may do more than compute".to_owned());
            }
        }
        let definition = Self { spec };
        // What cannot be read back could not be taken back by another process.
        match Self::parse(&definition.create()) {
            Some(spec) if spec == definition.spec => Ok(definition),
            _ => Err("it cannot be written down unambiguously".to_owned()),
        }
    }

    /// Returns what the index is.
    pub const fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// Returns the name, the same for the same definition: 63 bytes at most.
    pub fn name(&self) -> String {
        let words = std::iter::once(plain(&self.spec.table.name)).chain(self.spec.keys.iter().map(|key| {
            match &key.part {
                KeyPart::Column(name) => plain(name),
                KeyPart::Expression(_) => "expr".to_owned(),
            }
        }));
        let mut readable = words.collect::<Vec<_>>().join("_");
        readable.truncate(READABLE_LETTERS); // ASCII only, so any place is a boundary
        let hash = stable_hash(self.body().as_bytes()) >> 32;
        format!("{PREFIX}{readable}_{hash:08x}")
    }

    /// Returns the statement that creates it beside the running load, and does nothing
    /// when there is an index of its name.
    pub fn create(&self) -> String {
        format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {}", ident(&self.name()), self.body())
    }

    /// Returns the statement that creates it on a table that nobody else uses.
    pub fn create_alone(&self) -> String {
        format!("CREATE INDEX IF NOT EXISTS {} ON {}", ident(&self.name()), self.body())
    }

    /// Returns the statement that drops it beside the running load, and does nothing when
    /// it is not there.
    pub fn drop(&self) -> String {
        drop_statement(&self.spec.table.schema, &self.name())
    }

    /// Returns the plan that creates it on `target`.
    pub fn plan(&self, target: &str) -> Plan {
        Plan {
            target: target.to_owned(),
            forward: self.create(),
            inverse: self.drop(),
            object: self.name(),
            scope: vec![scope_of(&self.spec.table)],
        }
    }

    /// Reads a plan back.
    ///
    /// # Errors
    ///
    /// Says which part is not as [`Self::plan`] writes it.
    pub fn of_plan(plan: &Plan) -> Result<Self, String> {
        let not_ours = || "its change is not one CREATE INDEX of ours".to_owned();
        let definition = Self::new(Self::parse(&plan.forward).ok_or_else(not_ours)?)?;
        if definition.create() != plan.forward {
            return Err(not_ours());
        }
        if definition.drop() != plan.inverse {
            return Err("its inverse does not drop exactly the index that it creates".to_owned());
        }
        if definition.name() != plan.object {
            return Err("its object is not the index that it creates".to_owned());
        }
        Ok(definition)
    }

    fn parse(sql: &str) -> Option<IndexSpec> {
        let rest = sql.strip_prefix("CREATE INDEX CONCURRENTLY IF NOT EXISTS ")?;
        let (_, rest) = unquote(rest)?;
        let (schema, rest) = unquote(rest.strip_prefix(" ON ")?)?;
        let (name, rest) = unquote(rest.strip_prefix('.')?)?;
        let (method, rest) = rest.strip_prefix(" USING ")?.split_once(" (")?;
        let method = match method {
            "btree" => Method::BTree,
            "brin" => Method::Brin,
            "hash" => Method::Hash,
            _ => return None,
        };
        let mut spec = IndexSpec { method, ..IndexSpec::btree(TableId { schema, name }, Vec::new()) };
        let mut rest = rest;
        loop {
            let (key, after) = key(rest)?;
            spec.keys.push(key);
            rest = after;
            match rest.strip_prefix(", ") {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix(')')?;
        if let Some(mut included) = rest.strip_prefix(" INCLUDE (") {
            loop {
                let (name, after) = unquote(included)?;
                spec.include.push(name);
                match after.strip_prefix(", ") {
                    Some(more) => included = more,
                    None => break rest = after.strip_prefix(')')?,
                }
            }
        }
        if let Some(predicate) = rest.strip_prefix(" WHERE ") {
            let (predicate, after) = nested(predicate)?;
            spec.predicate = Some(predicate);
            rest = after;
        }
        rest.is_empty().then_some(spec)
    }

    fn body(&self) -> String {
        let keys: Vec<String> = self.spec.keys.iter().map(key_sql).collect();
        let mut body = format!(
            "{} USING {} ({})",
            qualified(&self.spec.table.schema, &self.spec.table.name),
            self.spec.method.as_str(),
            keys.join(", ")
        );
        if !self.spec.include.is_empty() {
            let names: Vec<String> = self.spec.include.iter().map(|name| ident(name)).collect();
            body.extend([format!(" INCLUDE ({})", names.join(", "))]);
        }
        if let Some(predicate) = &self.spec.predicate {
            body.extend([format!(" WHERE ({predicate})")]);
        }
        body
    }
}

/// Returns the statement that drops an index beside the running load.
pub(crate) fn drop_statement(schema: &str, name: &str) -> String {
    format!("DROP INDEX CONCURRENTLY IF EXISTS {}", qualified(schema, name))
}

/// Reads the statement that [`drop_statement`] writes.
pub(crate) fn dropped(sql: &str) -> Option<(String, String)> {
    let rest = sql.strip_prefix("DROP INDEX CONCURRENTLY IF EXISTS ")?;
    let (schema, rest) = unquote(rest)?;
    let (name, rest) = unquote(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((schema, name))
}

/// Returns the name under which the work on a table is watched: as recorders keep names.
pub(crate) fn scope_of(table: &TableId) -> String {
    format!("{}.{}", table.schema, table.name).replace(['"', '`'], "").to_lowercase()
}

fn key_sql(key: &Key) -> String {
    let mut sql = match &key.part {
        KeyPart::Column(name) => ident(name),
        KeyPart::Expression(sql) => format!("({sql})"),
    };
    if let Some(collation) = &key.collation {
        sql.extend([format!(" COLLATE {}", ident(collation))]);
    }
    if let Some(opclass) = &key.opclass {
        sql.extend([format!(" {}", ident(opclass))]);
    }
    if key.descending {
        sql.push_str(" DESC");
    }
    match (key.descending, key.nulls_first) {
        (true, false) => sql.push_str(" NULLS LAST"),
        (false, true) => sql.push_str(" NULLS FIRST"),
        _ => {}
    }
    sql
}

/// Reads what [`key_sql`] writes off the start of `text`.
fn key(text: &str) -> Option<(Key, &str)> {
    let (mut key, mut rest) = if text.starts_with('"') {
        let (name, rest) = unquote(text)?;
        (Key::column(name), rest)
    } else {
        let (sql, rest) = nested(text)?;
        (Key::expression(sql), rest)
    };
    if let Some(after) = rest.strip_prefix(" COLLATE ") {
        let (collation, after) = unquote(after)?;
        key.collation = Some(collation);
        rest = after;
    }
    if rest.starts_with(" \"") {
        let (opclass, after) = unquote(&rest[1..])?;
        key.opclass = Some(opclass);
        rest = after;
    }
    if let Some(after) = rest.strip_prefix(" DESC") {
        key.descending = true;
        key.nulls_first = true;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix(" NULLS LAST") {
        key.nulls_first = false;
        rest = after;
    } else if let Some(after) = rest.strip_prefix(" NULLS FIRST") {
        key.nulls_first = true;
        rest = after;
    }
    Some((key, rest))
}

/// Reads a quoted name off the start of `text`.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, rest)),
        }
    }
}

/// Reads an expression in parentheses off the start of `text`.
fn nested(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('(')?;
    let (mut depth, mut quote) = (1_u32, None);
    for (at, letter) in inner.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((inner[..at].to_owned(), &inner[at + 1..]));
        }
    }
    None
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

    fn good() -> IndexSpec {
        IndexSpec::on(TableId::new("public", "t"), ["a"])
    }

    #[test]
    fn a_plan_reads_like_sql_and_names_its_index() {
        let mut spec = IndexSpec::btree(
            TableId::new("shop", "Orders"),
            vec![Key::column("user"), Key::column("at").descending(), Key::expression("lower(name)")],
        )
        .including(["total"]);
        spec.predicate = Some("status = 'open)'".to_owned());
        let plan = IndexDefinition::new(spec.clone()).unwrap().plan("main");
        assert_eq!(
            plan.forward,
            format!(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"{}\" ON \"shop\".\"Orders\" USING btree \
                 (\"user\", \"at\" DESC, (lower(name))) INCLUDE (\"total\") WHERE (status = 'open)')",
                plan.object
            )
        );
        assert_eq!(plan.inverse, format!("DROP INDEX CONCURRENTLY IF EXISTS \"shop\".\"{}\"", plan.object));
        assert!(plan.object.starts_with("veritas_orders_user_at_expr_"), "{}", plan.object);
        assert_eq!(plan.scope, ["shop.orders"]);
        assert_eq!(IndexDefinition::of_plan(&plan).unwrap().spec(), &spec);
    }

    #[test]
    fn a_plan_that_is_not_letter_for_letter_ours_is_refused() {
        let plan = IndexDefinition::new(good()).unwrap().plan("main");
        assert!(IndexDefinition::of_plan(&plan).is_ok());
        let spoil: [fn(&mut Plan); 11] = [
            |plan| plan.forward = plan.forward.replace("INDEX", "UNIQUE INDEX"),
            |plan| plan.forward = plan.forward.replace(" CONCURRENTLY", ""),
            |plan| plan.forward.push_str("; DROP TABLE t"),
            |plan| plan.forward.push_str(" WHERE (pg_sleep(9) IS NULL)"),
            |plan| plan.forward.push_str(" TABLESPACE x"),
            |plan| plan.forward = plan.forward.replace("\"a\"", "\"b\""),
            |plan| plan.forward = plan.forward.replace("\"public\"", "\"pg_catalog\""),
            |plan| plan.inverse = "DROP INDEX CONCURRENTLY IF EXISTS \"public\".\"users_by_name\"".to_owned(),
            |plan| plan.inverse = plan.inverse.replace("\"public\"", "\"other\""),
            |plan| plan.inverse.push(';'),
            |plan| plan.object = "veritas_t_b_00000000".to_owned(),
        ];
        for (case, spoil) in spoil.iter().enumerate() {
            let mut plan = plan.clone();
            spoil(&mut plan);
            assert!(IndexDefinition::of_plan(&plan).is_err(), "case {case}: {plan:?}");
        }
    }

    #[test]
    fn what_is_not_ours_to_create_is_refused() {
        assert!(IndexDefinition::new(IndexSpec { unique: true, ..good() }).is_err());
        assert!(IndexDefinition::new(IndexSpec { keys: Vec::new(), ..good() }).is_err());
        assert!(IndexDefinition::new(IndexSpec { method: Method::Gin, ..good() }).is_err());
        assert!(IndexDefinition::new(IndexSpec { fillfactor: 50, ..good() }).is_err());
        let predicate = Some("a = 1) WITH (x".to_owned());
        assert!(IndexDefinition::new(IndexSpec { predicate, ..good() }).is_err());
    }

    #[test]
    fn the_statement_that_drops_is_read_back() {
        let sql = drop_statement("a\"b", "c.d");
        assert_eq!(dropped(&sql), Some(("a\"b".to_owned(), "c.d".to_owned())));
        assert_eq!(dropped(&format!("{sql}, \"public\".\"x\"")), None);
        assert_eq!(dropped(&format!("{sql} CASCADE")), None);
    }

    proptest! {
        #[test]
        fn any_names_survive_the_way_into_sql_and_back(
            table in "[^\0]{1,12}",
            columns in prop::collection::vec(("[^\0]{1,8}", any::<bool>(), any::<bool>()), 1..4),
            include in prop::collection::vec("[^\0]{1,8}", 0..3),
        ) {
            let keys = columns
                .into_iter()
                .map(|(name, descending, nulls_first)| Key { descending, nulls_first, ..Key::column(name) })
                .collect();
            let spec = IndexSpec { include, ..IndexSpec::btree(TableId::new("s", table), keys) };
            let plan = IndexDefinition::new(spec.clone()).unwrap().plan("main");
            prop_assert!(plan.object.len() <= 63);
            let read = IndexDefinition::of_plan(&plan).unwrap();
            prop_assert_eq!(read.spec(), &spec);
        }
    }
}
