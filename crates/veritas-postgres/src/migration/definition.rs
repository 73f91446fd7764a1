//! An index, read back from the statement that creates it.

use sqlparser::{
    ast::{Expr, Ident, IndexColumn, IndexType, ObjectName, OrderBySort, Statement},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::MigrationError;

/// What a statement that creates an index says of it; names without quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// The index.
    pub(super) name: String,
    /// The schema of its table, where the statement names one.
    pub(super) schema: Option<String>,
    /// The table.
    pub(super) table: String,
    /// Whether it refuses duplicates.
    pub(super) unique: bool,
    /// Its parts, when plain columns of a B-tree are all that it has.
    pub(super) plain: Option<Plain>,
}

/// Columns of a plain B-tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain {
    /// Keys: the column, and whether it descends.
    pub(super) keys: Vec<(String, bool)>,
    /// Columns that are carried.
    pub(super) include: Vec<String>,
}

/// Returns whether a statement begins as one that creates an index.
pub(super) fn creates_index(sql: &str) -> bool {
    let mut words = sql.split_whitespace().map(str::to_ascii_uppercase);
    let is = |word: Option<String>, expected: &str| word.is_some_and(|word| word == expected);
    if !is(words.next(), "CREATE") {
        return false;
    }
    let next = words.next();
    is(next.clone(), "INDEX") || (is(next, "UNIQUE") && is(words.next(), "INDEX"))
}

impl Definition {
    pub(super) fn parse(sql: &str) -> Result<Self, MigrationError> {
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|_| MigrationError::Unparsed)?;
        let [Statement::CreateIndex(index)] = parsed.as_slice() else { return Err(MigrationError::Unparsed) };
        let name = index.name.as_ref().and_then(names).ok_or(MigrationError::Unparsed)?;
        let mut table = names(&index.table_name).ok_or(MigrationError::Unparsed)?;
        let [.., index_name] = name.as_slice() else { return Err(MigrationError::Unparsed) };
        let table_name = table.pop().ok_or(MigrationError::Unparsed)?;
        let is_plain = matches!(index.using, None | Some(IndexType::BTree))
            && index.predicate.is_none()
            && index.with.is_empty()
            && index.index_options.is_empty()
            && index.nulls_distinct.is_none();
        let keys: Option<Vec<_>> = index.columns.iter().map(key).collect();
        let include = index.include.iter().map(unquoted).collect();
        let plain = keys.filter(|_| is_plain).map(|keys| Plain { keys, include });
        Ok(Self {
            name: index_name.clone(),
            schema: table.pop(),
            table: table_name,
            unique: index.unique,
            plain,
        })
    }
}

/// Returns the parts of a name; `None` when a part is no identifier.
fn names(name: &ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(unquoted)).collect()
}

fn unquoted(name: &Ident) -> String {
    // Without quotes the server folds a name to lower case.
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Returns a plain column and whether it descends; `None` for what is more than that.
fn key(column: &IndexColumn) -> Option<(String, bool)> {
    let Expr::Identifier(name) = &column.column.expr else { return None };
    let descending = column.column.options.sort == Some(OrderBySort::Desc);
    let nulls_first = column.column.options.nulls_first.unwrap_or(descending);
    (column.operator_class.is_none() && nulls_first == descending).then(|| (unquoted(name), descending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, keys: Option<&[(&str, bool)]>) {
        let found = Definition::parse(sql).expect("it parses");
        let expected = keys.map(|keys| keys.iter().map(|&(name, down)| (name.to_owned(), down)).collect());
        assert_eq!(found.plain.map(|plain| plain.keys), expected, "{sql}");
    }

    #[test]
    fn plain_columns_are_told_from_what_is_more() {
        check("CREATE INDEX CONCURRENTLY i ON t (A, \"B\" DESC)", Some(&[("a", false), ("B", true)]));
        check("CREATE INDEX i ON public.t USING btree (a) INCLUDE (b)", Some(&[("a", false)]));
        check("CREATE INDEX i ON t USING btree (a DESC NULLS LAST)", None);
        check("CREATE INDEX i ON t (lower(a))", None);
        check("CREATE INDEX i ON t (a text_pattern_ops)", None);
        check("CREATE INDEX i ON t (a) WHERE b IS NULL", None);
        check("CREATE INDEX i ON t USING brin (a)", None);
        check("CREATE INDEX i ON t (a) WITH (fillfactor = 70)", None);
    }

    #[test]
    fn only_one_statement_that_creates_an_index_is_one() {
        assert!(Definition::parse("CREATE TABLE t (a int)").is_err());
        assert!(Definition::parse("CREATE INDEX i ON t (a); DROP TABLE t").is_err());
        assert!(creates_index(" create  unique index i on t (a)"));
        assert!(!creates_index("DROP INDEX CONCURRENTLY i"));
    }
}
