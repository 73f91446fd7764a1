//! The guard: proves that a text is one query that only reads, of plain tables.
//!
//! The parser and the server must read the same text the same way, so everything that
//! they may read differently is refused before parsing: comments (the server runs what
//! stands in `/*! … */`), backslashes (whose meaning is a setting), and zero bytes. What
//! is left must be one `SELECT`, or several joined by `UNION` and its kin, that locks
//! nothing, writes no file and no variable, and calls known functions only. Its tables
//! must be tables: a view may call anything.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{Expr, ObjectName, Query, SetExpr, Statement, TableFactor, Visit, Visitor},
    dialect::MySqlDialect,
    parser::Parser,
};

use crate::session::Session;

/// Longer statements are not looked at.
const LONGEST: usize = 16 * 1024;
/// Deeper ones neither.
const DEEPEST: usize = 40;

/// Functions of the server that read their arguments and nothing else.
const FUNCTIONS: [&str; 62] = [
    "abs",
    "adddate",
    "avg",
    "bit_length",
    "ceil",
    "ceiling",
    "char_length",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "curdate",
    "current_date",
    "current_timestamp",
    "date",
    "date_add",
    "date_format",
    "date_sub",
    "datediff",
    "day",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "dense_rank",
    "field",
    "find_in_set",
    "floor",
    "from_unixtime",
    "greatest",
    "group_concat",
    "hour",
    "if",
    "ifnull",
    "instr",
    "json_extract",
    "json_unquote",
    "json_value",
    "lag",
    "lead",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "max",
    "min",
    "minute",
    "mod",
    "month",
    "now",
    "nullif",
    "rank",
    "replace",
    "right",
    "round",
    "row_number",
    "rtrim",
    "sum",
    "trim",
    "unix_timestamp",
    "upper",
    "year",
];

/// Why a statement is not explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is too long or nests too deeply.
    #[error("it is longer or deeper than what is looked at")]
    TooLarge,
    /// It holds what parser and server may read differently.
    #[error("it holds {0}, which the server may read otherwise than we do")]
    Ambiguous(&'static str),
    /// The parser does not understand it.
    #[error("it is not understood")]
    Malformed,
    /// It is more than one statement, or something else than a query.
    #[error("it is not exactly one SELECT")]
    NotOneQuery,
    /// It locks, or writes to a file or a variable.
    #[error("it does more than read: {0}")]
    Writes(&'static str),
    /// It calls what is not known to only read.
    #[error("it calls the function {0}, which is not known to only read")]
    Function(String),
    /// It reads something else than a plain table.
    #[error("it reads {0}, which is not a table of the database")]
    Relation(String),
    /// The server could not be asked for its tables.
    #[error("failed to ask for its tables")]
    Unknown,
}

/// A query that only reads plain tables of one database. Only [`check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    sql: String,
    tables: Vec<String>,
}

impl Readable {
    /// Returns the text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Returns the tables that it reads, each once, as the database spells them.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }
}

/// Proves that `sql` is one query that only reads tables of the session's database.
///
/// # Errors
///
/// Says what stands against it; holds no literal.
pub fn check(session: &mut Session, sql: &str) -> Result<Readable, Refusal> {
    let named = read(sql)?;
    let known = session.query(TABLES).map_err(|_| Refusal::Unknown)?;
    let known: Vec<String> = known.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
    let mut tables = Vec::new();
    for name in named {
        let found = known.iter().find(|table| **table == name);
        let found = found.ok_or_else(|| Refusal::Relation(name.clone()))?;
        if !tables.contains(found) {
            tables.push(found.clone());
        }
    }
    Ok(Readable { sql: sql.to_owned(), tables })
}

/// The plain tables of the session's database.
const TABLES: &str = "SELECT TABLE_NAME FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' LIMIT 5000";

/// Proves what the text alone can prove, and returns the tables that it names.
fn read(sql: &str) -> Result<Vec<String>, Refusal> {
    if sql.len() > LONGEST {
        return Err(Refusal::TooLarge);
    }
    for (mark, name) in [
        ("/*", "a comment"),
        ("--", "a comment"),
        ("#", "a comment"),
        ("\\", "a backslash"),
        ("\0", "a zero byte"),
        ("@", "a variable"),
    ] {
        if sql.contains(mark) {
            return Err(Refusal::Ambiguous(name));
        }
    }
    let parsed = Parser::new(&MySqlDialect {}).with_recursion_limit(DEEPEST).try_with_sql(sql);
    let mut statements =
        parsed.and_then(|mut parser| parser.parse_statements()).map_err(|_| Refusal::Malformed)?;
    let (Some(Statement::Query(query)), true) = (statements.pop(), statements.is_empty()) else {
        return Err(Refusal::NotOneQuery);
    };
    let mut reader = Reader { tables: Vec::new(), named: Vec::new() };
    match query.visit(&mut reader) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => {
            // What a WITH names is no table; a table of the same name is read as the WITH's.
            let named = reader.named;
            let mut tables = reader.tables;
            tables.retain(|table| !named.iter().any(|name| name.eq_ignore_ascii_case(table)));
            Ok(tables)
        }
    }
}

/// Walks over a query.
struct Reader {
    tables: Vec<String>,
    named: Vec<String>,
}

impl Visitor for Reader {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        if !query.locks.is_empty() || query.for_clause.is_some() {
            return ControlFlow::Break(Refusal::Writes("it locks what it reads"));
        }
        if let Some(with) = &query.with {
            self.named.extend(with.cte_tables.iter().map(|table| table.alias.name.value.clone()));
        }
        body(&query.body)
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Refusal> {
        match &relation.0[..] {
            [only] if only.as_ident().is_some() => {
                self.tables.extend(only.as_ident().map(|name| name.value.clone()));
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(Refusal::Relation(relation.to_string())),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refusal> {
        match factor {
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            _ => ControlFlow::Break(Refusal::Relation("a table function".to_owned())),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refusal> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().to_lowercase();
        if FUNCTIONS.contains(&name.as_str()) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(Refusal::Function(name.chars().take(64).collect()))
        }
    }
}

fn body(body: &SetExpr) -> ControlFlow<Refusal> {
    match body {
        SetExpr::Select(select) if select.into.is_some() => {
            ControlFlow::Break(Refusal::Writes("it writes what it reads"))
        }
        SetExpr::Select(_) | SetExpr::Query(_) => ControlFlow::Continue(()),
        SetExpr::SetOperation { left, right, .. } => {
            self::body(left)?;
            self::body(right)
        }
        _ => ControlFlow::Break(Refusal::NotOneQuery),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_only_read_pass() {
        for sql in [
            "SELECT * FROM t WHERE a = 1",
            "SELECT count(*), MAX(b) FROM t AS x JOIN u ON x.a = u.a WHERE lower(u.c) = 'x' GROUP BY u.c",
            "(SELECT a FROM t) UNION ALL (SELECT b FROM u) ORDER BY 1 LIMIT 5",
            "WITH w AS (SELECT a FROM t) SELECT * FROM w WHERE EXISTS (SELECT 1 FROM u WHERE u.a = w.a)",
            "SELECT a FROM t WHERE b IN (SELECT b FROM u) AND c BETWEEN ? AND ?",
        ] {
            assert!(read(sql).is_ok(), "{sql}: {:?}", read(sql));
        }
        assert_eq!(read("SELECT * FROM `Odd` x, u").unwrap(), ["Odd", "u"]);
        assert_eq!(read("WITH w AS (SELECT a FROM t) SELECT * FROM w").unwrap(), ["t"]);
    }

    #[test]
    fn whatever_does_more_is_refused() {
        for sql in [
            "",
            "DELETE FROM t",
            "UPDATE t SET a = 1",
            "INSERT INTO t VALUES (1)",
            "REPLACE INTO t VALUES (1)",
            "SELECT 1; DROP TABLE t",
            "SELECT 1;; DELETE FROM t",
            "DROP TABLE t",
            "CALL p()",
            "DO sleep(1)",
            "SET GLOBAL max_connections = 1",
            "LOAD DATA INFILE 'x' INTO TABLE t",
            "HANDLER t OPEN",
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM t LOCK IN SHARE MODE",
            "SELECT * FROM t FOR SHARE",
            "SELECT a FROM t INTO OUTFILE '/tmp/x'",
            "SELECT a INTO OUTFILE '/tmp/x' FROM t",
            "SELECT a FROM t INTO DUMPFILE '/tmp/x'",
            "SELECT a INTO @x FROM t",
            "SELECT @x := a FROM t",
            "SELECT /*! SQL_NO_CACHE */ a FROM t",
            "SELECT a FROM t /*!50000 FOR UPDATE */",
            "SELECT a FROM t /*M! FOR UPDATE */",
            "SELECT a FROM t -- x",
            "SELECT a FROM t # x",
            "SELECT 'a\\' , sleep(5), ' ' FROM t",
            "SELECT sleep(10)",
            "SELECT benchmark(1000000, 1)",
            "SELECT get_lock('x', 10)",
            "SELECT release_all_locks()",
            "SELECT load_file('/etc/passwd')",
            "SELECT nextval(s)",
            "SELECT master_pos_wait('x', 4)",
            "SELECT my_function(a) FROM t",
            "SELECT shop.my_function(a) FROM t",
            "SELECT `sleep`(10)",
            "SELECT a FROM mysql.user",
            "SELECT a FROM other.t",
            "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a INT PATH '$')) j",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "VALUES ROW(1)",
            "TABLE t",
            "EXPLAIN SELECT 1",
            "ANALYZE SELECT 1",
            "SHOW TABLES",
            "SELECT NEXT VALUE FOR s",
            "SELECT a FROM t PROCEDURE ANALYSE()",
        ] {
            assert!(read(sql).is_err(), "{sql}: {:?}", read(sql));
        }
        assert_eq!(read(&format!("SELECT '{}'", "x".repeat(LONGEST))), Err(Refusal::TooLarge));
        assert!(read(&format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500))).is_err());
    }

    #[test]
    fn the_list_of_functions_is_sorted_and_holds_none_twice() {
        assert!(FUNCTIONS.is_sorted_by(|left, right| left < right));
    }
}
