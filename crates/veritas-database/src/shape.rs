//! The shape of a statement: its kind, its tables, and what its text says about
//! the rows that it can return. Read from the normalized text.

mod purity;

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use sqlparser::{
    ast::{ObjectName, Query, visit_relations},
    dialect::{Dialect, GenericDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
};

use crate::{fingerprint::CUT_MARK, parser};

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatementKind {
    /// Reads rows.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
    /// Anything else: schema, transactions, settings, what cannot be read.
    Other,
}

impl StatementKind {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Other => "other",
        }
    }

    /// Reads the kind off a normalized text.
    pub(crate) fn of_normalized(text: &str) -> Self {
        let mut depth = 0_u32;
        let mut is_with = false;
        for token in Tokens(text) {
            match token {
                "(" if is_with => depth += 1,
                ")" if is_with => depth = depth.saturating_sub(1),
                "(" => {}
                "select" | "values" | "table" if depth == 0 => return Self::Select,
                "insert" | "replace" if depth == 0 => return Self::Insert,
                "update" if depth == 0 => return Self::Update,
                "delete" if depth == 0 => return Self::Delete,
                "with" => is_with = true,
                _ if is_with => {}
                _ => return Self::Other,
            }
        }
        Self::Other
    }
}

/// What the text of a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent properties of one text")]
pub(crate) struct Shape {
    /// The tables, lower case, qualified as in the text, sorted.
    pub(crate) tables: Arc<[String]>,
    /// Whether the number of rows returned is limited by the text.
    pub(crate) has_limit: bool,
    /// Whether it aggregates or groups.
    pub(crate) is_aggregate: bool,
    /// Whether it selects by the equality of a column with one value, and by no
    /// list of values.
    pub(crate) is_single_key_lookup: bool,
    /// Whether it reads one page of a longer list: by `OFFSET`, or on from a key.
    pub(crate) is_page: bool,
    /// Whether it only reads tables: asked again in the same state it answers the same.
    pub(crate) is_pure: bool,
}

impl Shape {
    /// Reads the shape off a normalized text. Parses it: tens of microseconds;
    /// meant for the thread that analyses, not for the one that records.
    pub(crate) fn of_normalized(text: &str) -> Self {
        let tokens: Vec<&str> = Tokens(text).collect();
        Self {
            tables: parsed_tables(text).unwrap_or_else(|| scanned_tables(&tokens)).into_iter().collect(),
            has_limit: has_limit(&tokens),
            is_aggregate: is_aggregate(&tokens),
            is_single_key_lookup: is_single_key_lookup(&tokens),
            is_page: is_page(&tokens),
            is_pure: purity::is_pure(&tokens),
        }
    }
}

/// The tokens of a normalized text: words (with their qualification), quoted
/// identifiers, placeholders and symbols.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches(' ');
        let first = text.chars().next()?;
        let is_name = |character: char| {
            character.is_alphanumeric() || matches!(character, '_' | '$' | '.') || !character.is_ascii()
        };
        let mut length = first.len_utf8();
        if is_name(first) || matches!(first, '"' | '`') {
            length = 0;
            let mut quote = None;
            for (at, character) in text.char_indices() {
                match quote {
                    Some(open) if character == open => quote = None,
                    Some(_) => {}
                    None if matches!(character, '"' | '`') => quote = Some(character),
                    None if is_name(character) => {}
                    None => break,
                }
                length = at + character.len_utf8();
            }
        } else if !matches!(first, '(' | ')' | ',' | '?' | ';' | '[' | ']') {
            length = text.find([' ', '(', ')', ',', '?', ';', '[', ']']).unwrap_or(text.len()).max(length);
        }
        let (token, rest) = text.split_at(length);
        self.0 = rest;
        Some(token)
    }
}

/// Calls `visit` with the depth of each token.
fn with_depth<'a>(tokens: &'a [&'a str]) -> impl Iterator<Item = (usize, u32, &'a str)> {
    let mut depth = 0_u32;
    tokens.iter().enumerate().map(move |(index, token)| {
        match *token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        (index, depth, *token)
    })
}

fn has_limit(tokens: &[&str]) -> bool {
    with_depth(tokens).any(|(index, depth, token)| {
        let next = tokens.get(index + 1).copied();
        depth == 0
            && match token {
                // The server shows `limit all` as `limit $1`, so it is one here as well.
                "limit" => true,
                "fetch" => matches!(next, Some("first" | "next")),
                "top" => matches!(next, Some("?" | "(")),
                _ => false,
            }
    })
}

fn is_aggregate(tokens: &[&str]) -> bool {
    const FUNCTIONS: [&str; 15] = [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "total",
        "group_concat",
        "string_agg",
        "array_agg",
        "json_agg",
        "jsonb_agg",
        "bool_or",
        "bool_and",
        "stddev",
        "variance",
    ];
    with_depth(tokens).any(|(index, depth, token)| {
        let is_call = tokens.get(index + 1) == Some(&"(");
        depth == 0
            && (token == "group" || is_call && FUNCTIONS.contains(&token) && !is_windowed(tokens, index + 1))
    })
}

/// Returns whether `over` follows the brackets that open at `open`.
fn is_windowed(tokens: &[&str], open: usize) -> bool {
    let mut depth = 0_u32;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "(" => depth += 1,
            ")" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return tokens.get(index + 1) == Some(&"over");
                }
            }
            _ => {}
        }
    }
    false
}

/// Returns the tokens of the outermost condition; `None` without one.
fn condition<'a>(tokens: &'a [&'a str]) -> Option<Vec<&'a str>> {
    let (start, ..) = with_depth(tokens).find(|(_, depth, token)| *depth == 0 && *token == "where")?;
    let condition = with_depth(tokens)
        .skip(start + 1)
        .take_while(|(_, depth, token)| {
            *depth > 0
                || !matches!(*token, "group" | "order" | "limit" | "having" | "union" | "for" | "fetch")
        })
        .map(|(.., token)| token)
        .collect();
    Some(condition)
}

fn is_page(tokens: &[&str]) -> bool {
    let has_offset = with_depth(tokens).any(|(_, depth, token)| depth == 0 && token == "offset");
    let continues_after_a_key = || {
        condition(tokens).is_some_and(|condition| {
            condition
                .windows(2)
                .any(|two| matches!(two[0], "<" | ">" | "<=" | ">=") && matches!(two[1], "?" | "("))
        })
    };
    has_offset || has_limit(tokens) && continues_after_a_key()
}

fn is_single_key_lookup(tokens: &[&str]) -> bool {
    let Some(condition) = condition(tokens) else { return false };
    let is_list = condition.iter().any(|token| matches!(*token, "in" | "any" | "or" | "exists" | "values"));
    let is_column = |token: &str| {
        token.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '"' | '`'))
    };
    let has_key = condition.windows(3).any(|three| {
        three[1] == "=" && (three[2] == "?" && is_column(three[0]) || three[0] == "?" && is_column(three[2]))
    });
    has_key && !is_list
}

fn parsed_tables(text: &str) -> Option<BTreeSet<String>> {
    if text.ends_with(CUT_MARK) {
        return None;
    }
    // The field is taken out, and no parser takes a parameter in its place.
    let text = &text.replace("extract(? from", "extract(year from");
    let dialects: [&dyn Dialect; 4] =
        [&GenericDialect {}, &SQLiteDialect {}, &PostgreSqlDialect {}, &MySqlDialect {}];
    let statements = dialects.iter().find_map(|dialect| parser::parse(*dialect, text).ok())?;
    let mut tables = BTreeSet::new();
    let _ = visit_relations(&statements, |relation: &ObjectName| {
        tables.insert(plain_name(&relation.to_string()));
        ControlFlow::<()>::Continue(())
    });
    let mut local_names = BTreeSet::new();
    let _ = sqlparser::ast::Visit::visit(&statements, &mut LocalNames(&mut local_names));
    Some(tables.difference(&local_names).cloned().collect())
}

/// Collects the names that `WITH` brings into being.
struct LocalNames<'a>(&'a mut BTreeSet<String>);

impl sqlparser::ast::Visitor for LocalNames<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.0.insert(plain_name(&table.alias.name.to_string()));
        }
        ControlFlow::Continue(())
    }
}

fn plain_name(name: &str) -> String {
    name.chars().filter(|character| !matches!(character, '"' | '`')).collect::<String>().to_lowercase()
}

/// Returns where a `from` is followed by tables: not in `extract(… from a)` and its like, whose
/// brackets hold no statement, nor in `is distinct from`.
fn from_clauses<'a>(tokens: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
    // For each bracket that is open, whether a statement began in it.
    let mut has_statement = Vec::new();
    tokens.iter().enumerate().filter_map(move |(index, token)| {
        match *token {
            "(" => has_statement.push(false),
            ")" => drop(has_statement.pop()),
            "select" | "delete" => {
                if let Some(innermost) = has_statement.last_mut() {
                    *innermost = true;
                }
            }
            "from" => {
                let is_comparison = index >= 2
                    && tokens[index - 1] == "distinct"
                    && matches!(tokens[index - 2], "is" | "not");
                return (has_statement.last() != Some(&false) && !is_comparison).then_some(index);
            }
            _ => {}
        }
        None
    })
}

fn scanned_tables(tokens: &[&str]) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    let mut local_names = BTreeSet::new();
    let is_name = |token: &str| {
        token.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '"' | '`'))
    };
    let from: BTreeSet<usize> = from_clauses(tokens).collect();
    for (index, window) in tokens.windows(2).enumerate() {
        let (keyword, name) = (window[0], window[1]);
        let names_a_table = matches!(keyword, "join" | "into" | "update" | "table") || from.contains(&index);
        if names_a_table && is_name(name) && !matches!(name, "only" | "select" | "lateral" | "set" | "if") {
            tables.insert(plain_name(name));
        }
        if name == "as" && tokens.get(index + 2) == Some(&"(") && is_name(keyword) {
            local_names.insert(plain_name(keyword));
        }
    }
    tables.difference(&local_names).cloned().collect()
}

/// Returns whether `table` (as in a text) is one of `wanted`: equal without
/// regard to case, the schema being ignored when either has none.
pub(crate) fn is_among(table: &str, wanted: &[String]) -> bool {
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    wanted.iter().any(|name| {
        let both_qualified = name.contains('.') && table.contains('.');
        if both_qualified { name.to_lowercase() == table.to_lowercase() } else { bare(name) == bare(table) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::normalize;
    use crate::parser::DEEPEST;

    fn shape(sql: &str) -> Shape {
        Shape::of_normalized(&normalize(sql))
    }

    #[track_caller]
    fn check_tables(sql: &str, expected: &[&str]) {
        assert_eq!(shape(sql).tables.to_vec(), expected);
        let normalized = normalize(sql);
        let tokens: Vec<&str> = Tokens(&normalized).collect();
        let scanned: Vec<_> = scanned_tables(&tokens).into_iter().collect();
        assert_eq!(scanned, expected, "by the scan");
    }

    #[test]
    fn tables_are_found_by_the_parser_and_by_the_scan() {
        check_tables("SELECT * FROM users WHERE id = $1", &["users"]);
        check_tables(
            "select 1 from Public.\"Users\" u join orders o on o.user_id = u.id",
            &["orders", "public.users"],
        );
        check_tables("INSERT INTO logs (a, b) VALUES (1, 2), (3, 4)", &["logs"]);
        check_tables("update accounts set a = 1 where id = 2", &["accounts"]);
        check_tables("delete from `sessions` where id in (select id from old)", &["old", "sessions"]);
        check_tables("with recent as (select * from posts) select * from recent", &["posts"]);
        check_tables("select 1", &[]);
    }

    #[test]
    fn a_from_inside_a_call_or_a_comparison_names_no_table() {
        check_tables("select extract(year from created_at) from orders", &["orders"]);
        check_tables("select extract($1 from o.created_at) from orders o where o.id = 1", &["orders"]);
        check_tables("select extract(epoch from now())", &[]);
        check_tables("select substring(name from start for 3) from users", &["users"]);
        check_tables("select trim(both from name), trim(leading 'x' from mail) from users", &["users"]);
        check_tables("select overlay(name placing 'x' from start for 1) from users", &["users"]);
        check_tables("select id from users where name is distinct from mail", &["users"]);
        check_tables("select id from users where name is not distinct from mail", &["users"]);
        check_tables("delete from users where extract(day from since) = 3", &["users"]);
        // A statement inside such brackets names its tables.
        check_tables(
            "select extract(year from (select max(at) from visits)) from users",
            &["users", "visits"],
        );
        check_tables("select distinct name from users", &["users"]);
        check_tables("with gone as (delete from users returning id) select id from gone", &["users"]);
    }

    #[track_caller]
    fn check_kind(sql: &str, expected: StatementKind) {
        assert_eq!(StatementKind::of_normalized(&normalize(sql)), expected);
    }

    #[test]
    fn a_kind_is_the_verb_outside_of_with() {
        check_kind("SELECT 1", StatementKind::Select);
        check_kind("(select 1) union (select 2)", StatementKind::Select);
        check_kind(
            "with a as (delete from b returning id) insert into c select * from a",
            StatementKind::Insert,
        );
        check_kind("WITH a AS (SELECT 1) SELECT * FROM a", StatementKind::Select);
        check_kind("/* x */ UPDATE a SET b = 1", StatementKind::Update);
        check_kind("BEGIN", StatementKind::Other);
        check_kind("explain select 1", StatementKind::Other);
        check_kind("", StatementKind::Other);
    }

    #[track_caller]
    fn check_single_key(sql: &str, expected: bool) {
        assert_eq!(shape(sql).is_single_key_lookup, expected);
    }

    #[test]
    fn a_look_up_by_one_key_is_told_from_a_batch() {
        check_single_key("select * from users where id = 7", true);
        check_single_key("select \"u\".\"id\" from \"u\" where (\"u\".\"id\" = $1) limit $2", true);
        check_single_key("select count(*) from comments where post_id = ? and not deleted", true);
        check_single_key("select * from users where 7 = id", true);
        check_single_key("select * from users where id in (1, 2, 3)", false);
        check_single_key("select * from users where id in (1)", false);
        check_single_key("select * from users where id = any($1)", false);
        check_single_key("select * from users where created_at > $1", false);
        check_single_key("select * from users", false);
        check_single_key("select * from a join b on a.id = b.id where a.x > 1", false);
    }

    #[test]
    fn a_page_is_told_from_a_look_up() {
        assert!(shape("select * from posts where author_id = 7 order by id limit 10 offset 20").is_page);
        assert!(shape("select * from posts where author_id = 7 and id > 90 order by id limit 10").is_page);
        assert!(shape("select * from posts where (at, id) < (1, 2) order by at limit 10").is_page);
        assert!(!shape("select * from posts where author_id = 7 limit 10").is_page);
        assert!(!shape("select * from posts where id = 7 and age > 3").is_page);
        assert!(!shape("select * from posts where id in (select id from a limit 1 offset 2)").is_page);
    }

    #[test]
    fn a_limit_inside_a_subquery_limits_nothing() {
        assert!(shape("select * from a limit 10").has_limit);
        assert!(shape("select * from a fetch first 10 rows only").has_limit);
        assert!(!shape("select * from a where id in (select id from b limit 1)").has_limit);
        // `limit all` limits nothing, and the server shows it as `limit $1`: it cannot be told.
        assert!(shape("select * from a limit all").has_limit);
    }

    #[test]
    fn an_aggregate_is_a_call_or_a_group_not_a_window() {
        assert!(shape("select count(*) from a").is_aggregate);
        assert!(shape("select b from a group by b").is_aggregate);
        assert!(!shape("select sum(a) over (partition by b) from a").is_aggregate);
        assert!(!shape("select count from a").is_aggregate);
    }

    #[test]
    fn deep_brackets_are_read_in_bounded_time() {
        let clock = veritas_model::SystemClock::new();
        for (before, inner, after) in [
            ("select ", "1", ""),
            ("select * from ", "t", ""),
            ("select * from ", "select 1 from t", " x"),
            ("select 1 from t where ", "a = 1 and b", ""),
            ("select ", "case when a then b end", " from t"),
            ("select 1 from t where a in ", "select b from ", " and"),
            ("insert into t values ", "1, f(2)", ", ("),
            (
                "select not not not not not not not not not not not not not not not not not not ",
                "a",
                " from t",
            ),
            ("select - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - ", "a", " from t"),
        ] {
            for depth in [DEEPEST, DEEPEST + 1, 500] {
                let depth = depth as usize;
                let text = format!("{before}{}{inner}{}{after}", "(".repeat(depth), ")".repeat(depth));
                let start = veritas_model::Clock::monotonic(&clock);
                drop(Shape::of_normalized(&text));
                let elapsed = veritas_model::Clock::monotonic(&clock).since(start);
                // What is not linear takes years.
                assert!(elapsed.as_secs() < 60, "{before}(×{depth}: {elapsed:?}");
            }
        }
    }

    #[test]
    fn long_chains_are_read_on_a_small_stack() {
        for (before, link) in [
            ("select 1 from t where a", "=?or a"),
            ("select a", "-a"),
            ("select 1 from t", " join t"),
            ("select 1", " union select 1"),
            ("select 1", ";select 1"),
        ] {
            let text = normalize(&format!(
                "{before}{}",
                link.repeat(crate::fingerprint::OUTPUT_LIMIT / 2 / link.len())
            ));
            drop(Shape::of_normalized(&text));
        }
    }

    #[test]
    fn a_schema_matters_only_when_both_have_one() {
        let wanted = ["Users".to_owned(), "a.t".to_owned()];
        assert!(is_among("public.users", &wanted));
        assert!(is_among("t", &wanted));
        assert!(!is_among("b.t", &wanted));
    }
}
