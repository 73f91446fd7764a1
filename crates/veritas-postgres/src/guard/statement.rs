//! What the words of a statement say: one SELECT, INSERT, UPDATE or DELETE, all the way down.
//!
//! Decided twice: by the words themselves, whose first ones settle by the server's grammar
//! what a statement is, and by a parser, to which the words are given as they will be sent.

use sqlparser::{
    ast::{self, SetExpr, Statement, Visit, Visitor},
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use std::ops::ControlFlow;

use super::{Refusal, Verb, words::Word};

/// The parser recurses; what it and its tree need for all that [`super::words`] lets
/// through fits into this stack, of which only what is used is ever taken.
const STACK: usize = 128 * 1024 * 1024;
/// Levels of recursion that the parser may use.
const RECURSION: usize = 120;

/// Decides what a statement does, or why it is none that may be explained.
pub(super) fn verb(words: &[Word]) -> Result<Verb, Refusal> {
    let first = words.iter().find(|word| !word.is_mark("(")).ok_or(Refusal::NotOne)?;
    let verb = if first.is("with") { main_verb(words)? } else { as_verb(first)? };
    if verb != Verb::Select && words.first().is_some_and(|word| word.is_mark("(")) {
        return Err(Refusal::Malformed);
    }
    let before = |at: usize| at.checked_sub(1).and_then(|at| words.get(at));
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1);
        let opens = before(at).is_some_and(|word| word.is_mark("("));
        // A name after a dot, or an alias, is no keyword.
        let is_name = before(at).is_some_and(|word| word.is_mark(".") || word.is("as"));
        if is_name && !word.is("select") {
            continue;
        }
        if word.is("into") && !before(at).is_some_and(|word| word.is("insert")) {
            return Err(Refusal::MakesTable);
        }
        if word.is("for") && next.is_some_and(|next| next.is_any(&["update", "share", "no", "key"])) {
            return Err(Refusal::Locks);
        }
        if opens
            && word.is_any(&["insert", "update", "delete", "merge"])
            && !next.is_some_and(|next| next.is_mark("(") || next.is_mark(",") || next.is_mark(")"))
        {
            return Err(Refusal::WritesInWith);
        }
        if word.is("merge") && next.is_some_and(|next| next.is("into")) {
            return Err(Refusal::OtherKind);
        }
    }
    Ok(verb)
}

fn as_verb(word: &Word) -> Result<Verb, Refusal> {
    match word {
        Word::Plain(keyword) => match keyword.as_str() {
            "select" | "values" => Ok(Verb::Select),
            "insert" => Ok(Verb::Insert),
            "update" => Ok(Verb::Update),
            "delete" => Ok(Verb::Delete),
            _ => Err(Refusal::OtherKind),
        },
        _ => Err(Refusal::Malformed),
    }
}

/// The verb behind `WITH a AS (…), b AS (…)`: the first outside of all brackets, or the
/// first of all, when the statement as a whole stands in brackets.
fn main_verb(words: &[Word]) -> Result<Verb, Refusal> {
    let mut depth = 0_usize;
    let with_depth = words.iter().position(|word| !word.is_mark("(")).unwrap_or(0);
    for word in &words[with_depth..] {
        match word {
            Word::Mark("(" | "[") => depth += 1,
            Word::Mark(")" | "]") => depth = depth.checked_sub(1).ok_or(Refusal::Malformed)?,
            word if depth == 0
                && word.is_any(&["select", "values", "insert", "update", "delete", "merge", "table"]) =>
            {
                return as_verb(word);
            }
            _ => {}
        }
    }
    // `WITH a AS (…) (SELECT …)`.
    Err(Refusal::Malformed)
}

/// Lets the parser prove that `sql` is one statement of the kind.
///
/// # Errors
///
/// When it is not, or is not understood.
pub(super) fn prove(sql: &str, verb: Verb) -> Result<(), Refusal> {
    std::thread::scope(|scope| {
        let proving = std::thread::Builder::new()
            .name("veritas-guard".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || parse(sql, verb))
            .map_err(|_no_thread| Refusal::NotAsked("no thread to read it".to_owned()))?;
        // The parser is not ours: if it panics, the statement is not understood.
        proving.join().unwrap_or(Err(Refusal::Malformed))
    })
}

fn parse(sql: &str, verb: Verb) -> Result<(), Refusal> {
    let dialect = PostgreSqlDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(RECURSION).try_with_sql(sql);
    let parsed = parser.and_then(|mut parser| parser.parse_statements()).map_err(|error| match error {
        sqlparser::parser::ParserError::RecursionLimitExceeded => Refusal::TooDeep,
        _ => Refusal::Malformed,
    })?;
    let [statement] = parsed.as_slice() else { return Err(Refusal::NotOne) };
    let proven = match statement {
        Statement::Query(_) => Verb::Select,
        Statement::Insert(_) => Verb::Insert,
        Statement::Update(_) => Verb::Update,
        Statement::Delete(_) => Verb::Delete,
        _ => return Err(Refusal::OtherKind),
    };
    // `WITH … INSERT` is a query to the parser.
    let written = match statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(_) => Verb::Insert,
            SetExpr::Update(_) => Verb::Update,
            SetExpr::Delete(_) => Verb::Delete,
            SetExpr::Merge(_) | SetExpr::Table(_) => return Err(Refusal::OtherKind),
            _ => proven,
        },
        _ => proven,
    };
    if written != verb {
        return Err(Refusal::Malformed);
    }
    let mut only = OnlyReads { top: true, refusal: None };
    let _stopped = statement.visit(&mut only);
    only.refusal.map_or(Ok(()), Err)
}

/// Looks for a query below the top that does more than read.
struct OnlyReads {
    top: bool,
    refusal: Option<Refusal>,
}

impl Visitor for OnlyReads {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let is_top = std::mem::take(&mut self.top);
        let writes = matches!(
            query.body.as_ref(),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
        );
        let refusal = if writes && !is_top {
            Some(Refusal::WritesInWith)
        } else if !query.locks.is_empty() {
            Some(Refusal::Locks)
        } else if matches!(query.body.as_ref(), SetExpr::Select(select) if select.into.is_some()) {
            Some(Refusal::MakesTable)
        } else {
            None
        };
        self.refusal = refusal;
        if self.refusal.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::words::{cut, write};

    #[track_caller]
    fn check(sql: &str, expected: &Result<Verb, Refusal>) {
        let words = cut(sql).unwrap();
        let decided = verb(&words).and_then(|verb| prove(&write(&words), verb).map(|()| verb));
        assert_eq!(&decided, expected, "{sql}");
    }

    #[test]
    fn a_statement_is_one_of_four_all_the_way_down() {
        check("select 1", &Ok(Verb::Select));
        check("(select 1) union (select 2)", &Ok(Verb::Select));
        check("values (1)", &Ok(Verb::Select));
        check("with a as (select 1) select * from a", &Ok(Verb::Select));
        check("with a as (select 1) insert into t select * from a", &Ok(Verb::Insert));
        check("with a as (select 1) delete from t using a", &Ok(Verb::Delete));
        check("insert into t values (1) on conflict do update set a = 1", &Ok(Verb::Insert));
        check("update t set a = 1", &Ok(Verb::Update));
        check("select substring(a from 1 for 2) from t", &Ok(Verb::Select));
        check("select a as update, t.delete from t", &Ok(Verb::Select));
        check("with a as (delete from t returning *) select * from a", &Err(Refusal::WritesInWith));
        check("select * into x from t", &Err(Refusal::MakesTable));
        check("select * from t for update", &Err(Refusal::Locks));
        check("explain select 1", &Err(Refusal::OtherKind));
        check("table t", &Err(Refusal::OtherKind));
        check("select 1 limit limit limit", &Err(Refusal::Malformed));
    }

    #[test]
    fn whatever_nests_and_chains_as_far_as_it_may_is_read() {
        let deep = |open: &str, inner: &str, close: &str| {
            format!("select {}{inner}{} from t", open.repeat(23), close.repeat(23))
        };
        let chain = |first: &str, link: &str, times: usize| format!("select {first}{}", link.repeat(times));
        for sql in [
            deep("(", "a", ")"),
            deep("(select ", "a", ")"),
            deep("f(", "a", ")"),
            deep("(a, ", "a", ")"),
            deep("(case when a then ", "a", " end)"),
            format!("select * from {}t{}", "(".repeat(23), ")".repeat(23)),
            format!("select * from {}select 1{} x", "(".repeat(23), ")".repeat(23)),
            format!("select 1 where {}a = 1 and b{}", "(".repeat(23), ")".repeat(23)),
            format!("select 1 where a in {}select 1{}", "(".repeat(23), ")".repeat(23)),
            format!("insert into t values {}1{}", "(".repeat(23), ")".repeat(23)),
            chain("1 where a", " = 1 or a", 990),
            chain("a", " - a", 1_990),
            chain("a", "::int", 1_990),
            chain("", "not ", 1_990) + "a",
            chain("", "- ", 1_990) + "a",
            chain("1", " union select 1", 990),
            chain("1 from t", " join t using (a)", 1_900),
            chain("a", ", a", 20_000),
            chain("case when a then b", " when a then b", 10_000) + " end",
        ] {
            let words = cut(&sql).unwrap();
            // Read or refused, but neither out of stack nor out of time.
            let _decided = prove(&write(&words), Verb::Select);
        }
    }
}
