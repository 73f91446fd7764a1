//! Text to syntax tree and back, within bounds.
//!
//! Rules build what they add as text and parse it: precedence and parentheses are the
//! parser's, and nothing is offered that does not read back as what was meant.

use std::{collections::BTreeMap, fmt::Write as _, ops::ControlFlow};

use sqlparser::{
    ast::{
        Expr, Query, SelectItem, SetExpr, Statement, Value, ValueWithSpan, Visit, VisitMut, Visitor,
        VisitorMut,
    },
    dialect::{Dialect as ParserDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use crate::{Dialect, ParameterMap, ParameterSource, RewriteError};

/// Longest statement that is looked at, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Most operators and keywords of a statement that is looked at: they may all be one
/// chain, as deep as it is long, and every walk over the tree recurses.
pub const MAX_OPERATORS: usize = 1_000;

/// Stack of the thread in which trees are walked. Only what is used of it is ever memory:
/// a chain of [`MAX_OPERATORS`] takes a tenth of it in an unoptimized build.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs `work` with a stack that suffices for the deepest tree within our bounds.
pub(crate) fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, RewriteError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("veritas-rewrite".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|_| RewriteError::Thread)?;
        // A panic in there is a bug of ours and stays one.
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Dialect {
    fn parser(self) -> &'static dyn ParserDialect {
        match self {
            Self::PostgreSql => &PostgreSqlDialect {},
            Self::Sqlite => &SQLiteDialect {},
            Self::MySql => &MySqlDialect {},
        }
    }

    /// Returns the sign that begins a numbered parameter.
    pub(crate) const fn parameter_sign(self) -> char {
        match self {
            Self::PostgreSql => '$',
            Self::Sqlite | Self::MySql => '?',
        }
    }
}

/// A statement that was read.
pub(crate) struct Parsed {
    /// Its tree. Parameters are numbered, whatever they were written as.
    pub(crate) query: Query,
    /// The highest number of a parameter.
    pub(crate) parameters: usize,
}

/// Reads a statement within the bounds.
pub(crate) fn parse(sql: &str, dialect: Dialect) -> Result<Parsed, RewriteError> {
    if sql.len() > MAX_BYTES {
        return Err(RewriteError::TooLong { bytes: sql.len() });
    }
    let tokens = Tokenizer::new(dialect.parser(), sql)
        .tokenize_with_location()
        .map_err(|_| RewriteError::NotParsed)?;
    if tokens.iter().filter(|token| may_deepen(&token.token)).count() > MAX_OPERATORS {
        return Err(RewriteError::TooComplex);
    }
    let statements = Parser::new(dialect.parser())
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|_| RewriteError::NotParsed)?;
    let Ok([Statement::Query(query)]) = <[Statement; 1]>::try_from(statements) else {
        return Err(RewriteError::NotAQuery);
    };
    let mut query = *query;
    number(&mut query, dialect);
    if parse_query(&query.to_string(), dialect).as_ref() != Some(&query) {
        return Err(RewriteError::NotPrintable);
    }
    let parameters = numbers(&query, dialect).last().copied().unwrap_or_default();
    Ok(Parsed { query, parameters })
}

/// Returns whether a token can make the tree one deeper. Values, names and what
/// separates them cannot.
fn may_deepen(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    }
}

/// Reads a query that a rule wrote.
pub(crate) fn parse_query(text: &str, dialect: Dialect) -> Option<Query> {
    match <[Statement; 1]>::try_from(Parser::parse_sql(dialect.parser(), text).ok()?).ok()? {
        [Statement::Query(query)] => Some(*query),
        _ => None,
    }
}

/// Reads an expression that a rule wrote.
pub(crate) fn parse_expr(text: &str, dialect: Dialect) -> Option<Expr> {
    match parse_item(text, dialect)? {
        SelectItem::UnnamedExpr(expr) => Some(expr),
        _ => None,
    }
}

/// Reads an item of a select list that a rule wrote.
pub(crate) fn parse_item(text: &str, dialect: Dialect) -> Option<SelectItem> {
    let query = parse_query(&format!("SELECT {text}"), dialect)?;
    match *query.body {
        SetExpr::Select(mut select) if select.projection.len() == 1 && select.from.is_empty() => {
            select.projection.pop()
        }
        _ => None,
    }
}

/// Numbers the parameters that are written `?`, in the order of the text.
fn number(query: &mut Query, dialect: Dialect) {
    struct Numbering(BTreeMap<(u64, u64), usize>);
    impl Visitor for Numbering {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
            if matches!(&value.value, Value::Placeholder(name) if name == "?") {
                self.0.insert((value.span.start.line, value.span.start.column), 0);
            }
            ControlFlow::Continue(())
        }
    }
    struct Writing(BTreeMap<(u64, u64), usize>);
    impl VisitorMut for Writing {
        type Break = ();
        fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
            let place = (value.span.start.line, value.span.start.column);
            if let (Value::Placeholder(name), Some(number)) = (&mut value.value, self.0.get(&place))
                && name == "?"
            {
                *name = format!("?{number}");
            }
            ControlFlow::Continue(())
        }
    }
    if dialect == Dialect::PostgreSql {
        return;
    }
    // A `?` gets the number after the highest so far, as SQLite counts.
    let highest = numbers(query, dialect).last().copied().unwrap_or_default();
    let mut found = Numbering(BTreeMap::new());
    let _: ControlFlow<()> = Visit::visit(&*query, &mut found);
    for (index, number) in found.0.values_mut().enumerate() {
        *number = highest + index + 1;
    }
    let _: ControlFlow<()> = VisitMut::visit(query, &mut Writing(found.0));
}

/// Returns the number of a parameter.
pub(crate) fn parameter_number(value: &Value, dialect: Dialect) -> Option<usize> {
    match value {
        Value::Placeholder(name) => name.strip_prefix(dialect.parameter_sign())?.parse().ok(),
        _ => None,
    }
}

/// Returns the numbers of the parameters in a tree, ascending, each once.
pub(crate) fn numbers<T: Visit>(tree: &T, dialect: Dialect) -> Vec<usize> {
    struct Numbers(Vec<usize>, Dialect);
    impl Visitor for Numbers {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
            self.0.extend(parameter_number(&value.value, self.1));
            ControlFlow::Continue(())
        }
    }
    let mut numbers = Numbers(Vec::new(), dialect);
    let _: ControlFlow<()> = tree.visit(&mut numbers);
    numbers.0.sort_unstable();
    numbers.0.dedup();
    numbers.0
}

/// Prints a query that a rule made, its parameters counted from 1 without gaps.
///
/// `known` is how many numbers mean parameters of the old statement; `sources` says what
/// the numbers after them mean. `None` when the text does not read back as the same tree.
pub(crate) fn print(
    mut query: Query,
    known: usize,
    sources: &[ParameterSource],
    dialect: Dialect,
) -> Option<(String, ParameterMap)> {
    struct Renumber(BTreeMap<usize, usize>, Dialect);
    impl VisitorMut for Renumber {
        type Break = ();
        fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
            if let Some(new) = parameter_number(&value.value, self.1).and_then(|old| self.0.get(&old)) {
                value.value = Value::Placeholder(format!("{}{new}", self.1.parameter_sign()));
            }
            ControlFlow::Continue(())
        }
    }
    let used = numbers(&query, dialect);
    let source_of = |number: usize| -> Option<ParameterSource> {
        if number <= known {
            Some(ParameterSource::Same(number))
        } else {
            sources.get(number - known - 1).cloned()
        }
    };
    let map = used.iter().map(|number| source_of(*number)).collect::<Option<Vec<_>>>()?;
    let renumbered = used.iter().enumerate().map(|(index, old)| (*old, index + 1)).collect();
    let _: ControlFlow<()> = VisitMut::visit(&mut query, &mut Renumber(renumbered, dialect));
    let text = query.to_string();
    if text.len() > MAX_BYTES || parse_query(&text, dialect)? != query {
        return None;
    }
    if dialect == Dialect::MySql {
        return by_position(&text, &map);
    }
    Some((text, ParameterMap(map)))
}

/// Writes each numbered parameter as `?`, and its source once for each time that it is there.
fn by_position(text: &str, sources: &[ParameterSource]) -> Option<(String, ParameterMap)> {
    let tokens = Tokenizer::new(Dialect::MySql.parser(), text).with_unescape(false).tokenize().ok()?;
    let (mut positional, mut map) = (String::with_capacity(text.len()), Vec::new());
    for token in &tokens {
        match token {
            Token::Placeholder(name) => {
                let number: usize = name.strip_prefix('?')?.parse().ok()?;
                map.push(sources.get(number.checked_sub(1)?)?.clone());
                positional.push('?');
            }
            token => write!(positional, "{token}").ok()?,
        }
    }
    Some((positional, ParameterMap(map)))
}

/// Writes `to` in the place of the number `from` that follows one of `words`. `None` unless
/// there is exactly one.
pub(crate) fn with_number(sql: &str, words: &[&str], from: u64, to: u64, dialect: Dialect) -> Option<String> {
    let tokens = Tokenizer::new(dialect.parser(), sql).with_unescape(false).tokenize().ok()?;
    let from = from.to_string();
    let (mut text, mut count, mut follows) = (String::with_capacity(sql.len()), 0, false);
    for token in &tokens {
        match token {
            Token::Number(digits, _) if follows && *digits == from => {
                count += 1;
                write!(text, "{to}").ok()?;
            }
            token => write!(text, "{token}").ok()?,
        }
        if !matches!(token, Token::Whitespace(_)) {
            follows = matches!(token, Token::Word(word)
                if words.iter().any(|known| word.value.eq_ignore_ascii_case(known)));
        }
    }
    (count == 1).then_some(text)
}

/// Quotes a text as a literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
