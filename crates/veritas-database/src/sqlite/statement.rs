//! Statements: what the parser proves to be one SELECT, INSERT, UPDATE or DELETE.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{self, Query, SetExpr, Visit, Visitor},
    dialect::SQLiteDialect,
    parser::ParserError,
};

use crate::parser;

/// Longer statements are not looked at: parsing one must stay far below a millisecond.
const LONGEST: usize = 16 * 1024;
/// Operators beyond which a statement is not looked at: `a OR b OR c …` nests one level
/// deeper with each, and a level takes up to 1 KiB of stack in an unoptimized build.
const MOST_LINKS: usize = 1_024;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Select,
    Insert,
    Update,
    Delete,
}

/// A statement that is known to be one of the four.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) verb: Verb,
    pub(crate) tree: ast::Statement,
}

/// Why a statement is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsuitable {
    /// It is longer than what is looked at.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// The parser does not understand it.
    #[error("it is not understood")]
    Malformed,
    /// It nests too deeply for the parser.
    #[error("it nests too deeply")]
    TooDeep,
    /// It is empty or more than one statement.
    #[error("it is not exactly one statement")]
    NotOne,
    /// It is something else than SELECT, INSERT, UPDATE or DELETE.
    #[error("it is not a SELECT, INSERT, UPDATE or DELETE")]
    OtherKind,
}

/// Parses `sql` and proves that it is one SELECT, INSERT, UPDATE or DELETE, all
/// the way down: no part of it is a statement of another kind.
pub(crate) fn parse(sql: &str) -> Result<Statement, Unsuitable> {
    if sql.len() > LONGEST {
        return Err(Unsuitable::TooLong);
    }
    if sql.contains('\0') {
        return Err(Unsuitable::Malformed);
    }
    if links(sql) > MOST_LINKS {
        return Err(Unsuitable::TooDeep);
    }
    let mut statements = parser::parse(&SQLiteDialect {}, sql).map_err(|error| match error {
        ParserError::RecursionLimitExceeded => Unsuitable::TooDeep,
        ParserError::TokenizerError(_) | ParserError::ParserError(_) => Unsuitable::Malformed,
    })?;
    let (Some(tree), true) = (statements.pop(), statements.is_empty()) else {
        return Err(Unsuitable::NotOne);
    };
    let verb = match &tree {
        ast::Statement::Query(_) => Verb::Select,
        ast::Statement::Insert(_) => Verb::Insert,
        ast::Statement::Update(_) => Verb::Update,
        ast::Statement::Delete(_) => Verb::Delete,
        _ => return Err(Unsuitable::OtherKind),
    };
    if tree.visit(&mut OnlyQueries).is_break() {
        return Err(Unsuitable::OtherKind);
    }
    Ok(Statement { verb, tree })
}

/// Counts what may be an operator between two operands or after one. What stands in
/// strings counts too, which errs on the side of not parsing.
fn links(sql: &str) -> usize {
    const WORDS: [&str; 20] = [
        "and",
        "or",
        "xor",
        "is",
        "isnull",
        "notnull",
        "not",
        "in",
        "between",
        "like",
        "ilike",
        "glob",
        "regexp",
        "rlike",
        "match",
        "collate",
        "div",
        "union",
        "except",
        "intersect",
    ];
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let is_operator = |letter: &char| {
        !is_word(*letter)
            && !letter.is_whitespace()
            && !matches!(letter, ',' | '.' | '(' | ')' | '\'' | '"' | '`' | '?')
    };
    let words = sql.split(|letter| !is_word(letter));
    sql.chars().filter(is_operator).count()
        + words.filter(|word| WORDS.iter().any(|operator| operator.eq_ignore_ascii_case(word))).count()
}

/// Stops at a query whose body changes data (`WITH x AS (…) DELETE …`).
struct OnlyQueries;

impl Visitor for OnlyQueries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if reads_only(&query.body) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

fn reads_only(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(_) | SetExpr::Values(_) => true,
        SetExpr::SetOperation { left, right, .. } => reads_only(left) && reads_only(right),
        SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &Result<Verb, Unsuitable>) {
        assert_eq!(&parse(sql).map(|statement| statement.verb), expected, "{sql}");
    }

    #[test]
    fn only_one_of_four_kinds_passes() {
        check("SELECT 1", &Ok(Verb::Select));
        check("select * from t where a = ?1;", &Ok(Verb::Select));
        check("WITH x AS (SELECT 1) SELECT * FROM x UNION VALUES (2)", &Ok(Verb::Select));
        check("INSERT INTO t(a) VALUES (?)", &Ok(Verb::Insert));
        check("INSERT OR REPLACE INTO t(a) SELECT a FROM u", &Ok(Verb::Insert));
        check("UPDATE t SET a = :x WHERE b = @y", &Ok(Verb::Update));
        check("DELETE FROM t WHERE a = $z", &Ok(Verb::Delete));
        check("", &Err(Unsuitable::NotOne));
        check("-- nothing", &Err(Unsuitable::NotOne));
        check("SELECT 1; SELECT 2", &Err(Unsuitable::NotOne));
        check("SELECT 1; DROP TABLE t", &Err(Unsuitable::NotOne));
        check("DROP TABLE t", &Err(Unsuitable::OtherKind));
        check("PRAGMA user_version = 3", &Err(Unsuitable::OtherKind));
        check("ATTACH DATABASE 'x' AS y", &Err(Unsuitable::OtherKind));
        check("BEGIN", &Err(Unsuitable::OtherKind));
        check("EXPLAIN SELECT 1", &Err(Unsuitable::OtherKind));
        check("CREATE TABLE x AS SELECT 1", &Err(Unsuitable::OtherKind));
        check("WITH x AS (SELECT 1) DELETE FROM t", &Err(Unsuitable::OtherKind));
        check("SELECT FROM WHERE", &Err(Unsuitable::Malformed));
        check("SELECT 'a\0b'", &Err(Unsuitable::Malformed));
        check(&format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500)), &Err(Unsuitable::TooDeep));
        check(&format!("SELECT '{}'", "x".repeat(LONGEST)), &Err(Unsuitable::TooLong));
    }

    #[test]
    fn long_chains_are_read_on_a_small_stack() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(a INT, b INT)").unwrap();
        let schema = crate::sqlite::schema::Schema::read(&connection).unwrap();
        for (before, link) in [
            ("SELECT 1 FROM t WHERE a=1", " OR a=1"),
            ("SELECT 1 FROM t WHERE a=1", " AND b=?"),
            ("SELECT 1 FROM t WHERE a=1", "+1"),
            ("SELECT 1 FROM t WHERE a=1", " IS NULL"),
            ("SELECT 1 FROM t WHERE a=1", "->1"),
            ("SELECT a FROM t", " UNION SELECT a FROM t"),
            ("SELECT 1 FROM t", " JOIN t"),
        ] {
            let most = (LONGEST - before.len()) / link.len();
            for links in [100, MOST_LINKS.min(most), most] {
                let sql = format!("{before}{}", link.repeat(links));
                match parse(&sql) {
                    Ok(statement) => drop(crate::sqlite::access::accesses(&statement.tree, &schema)),
                    Err(why) => assert!(why == Unsuitable::TooDeep && links > 100, "{link} {links}: {why}"),
                }
            }
        }
    }
}
