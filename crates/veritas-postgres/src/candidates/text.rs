//! Columns in the expressions that plans print.

use sqlparser::{
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    tokenizer::{Token, Tokenizer, Word},
};

/// Longer expressions are not taken apart: lists of thousands of values.
pub(super) const LONGEST: usize = 64 * 1024;

fn tokens(text: &str) -> Vec<Token> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().unwrap_or_default();
    tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect()
}

/// Returns every `alias.column` of an expression; no column for `alias.*`.
pub(super) fn columns(text: &str) -> Vec<(String, Option<String>)> {
    if text.len() > LONGEST {
        return Vec::new();
    }
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (at, window) in tokens.windows(3).enumerate() {
        let [Token::Word(alias), Token::Period, second] = window else { continue };
        // A function with its schema is no column, and neither is the end of a longer name.
        let is_call = matches!(tokens.get(at + 3), Some(Token::LParen | Token::Period));
        let is_inside = at > 0 && tokens[at - 1] == Token::Period;
        match second {
            Token::Word(column) if !is_call && !is_inside => {
                found.push((unquoted(alias), Some(unquoted(column))));
            }
            Token::Mul => found.push((unquoted(alias), None)),
            _ => {}
        }
    }
    found
}

/// Returns every bare word of an expression that may be a column: outputs of a statement on
/// one table are printed without its alias.
pub(super) fn bare_words(text: &str) -> Vec<String> {
    if text.len() > LONGEST {
        return Vec::new();
    }
    let tokens = tokens(text);
    let is_bare = |at: usize| {
        let before = at > 0 && matches!(tokens[at - 1], Token::Period | Token::DoubleColon);
        !before && !matches!(tokens.get(at + 1), Some(Token::LParen | Token::Period))
    };
    let words = tokens.iter().enumerate().filter_map(|(at, token)| match token {
        Token::Word(word) if is_bare(at) => Some(unquoted(word)),
        _ => None,
    });
    words.collect()
}

/// Reads `alias.column DESC NULLS LAST` (a key of a sort, or of groups): the column,
/// whether it descends, whether NULLs come first. `None` for anything else.
pub(super) fn sort_key(text: &str, of: &str) -> Option<(String, bool, bool)> {
    let tokens = tokens(text);
    let mut rest = tokens.as_slice();
    // A single table's columns may come without its alias, and expressions in brackets.
    while let ([Token::LParen, inner @ .., Token::RParen], true) = (rest, !text.contains(" COLLATE ")) {
        rest = inner;
    }
    let [Token::Word(alias), Token::Period, Token::Word(column), options @ ..] = rest else { return None };
    if unquoted(alias) != of {
        return None;
    }
    let words: Option<Vec<Keyword>> = options
        .iter()
        .map(|token| match token {
            Token::Word(word) => Some(word.keyword),
            _ => None,
        })
        .collect();
    let words = words?;
    let descending = words.contains(&Keyword::DESC);
    let known = [Keyword::DESC, Keyword::ASC, Keyword::NULLS, Keyword::FIRST, Keyword::LAST];
    if words.iter().any(|word| !known.contains(word)) {
        return None;
    }
    let nulls_first =
        if words.contains(&Keyword::NULLS) { words.contains(&Keyword::FIRST) } else { descending };
    Some((unquoted(column), descending, nulls_first))
}

/// Names in plans are quoted where they would fold otherwise.
fn unquoted(word: &Word) -> String {
    word.value.clone()
}

/// Replaces what plans print and SQL does not have (`SubPlan 1`) by a parameter.
pub(super) fn parseable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(letter) = rest.chars().next() {
        if letter == '\'' {
            in_string = !in_string;
        }
        if !in_string && let Some(after) = subplan(rest) {
            out.push_str("$1");
            rest = after;
            continue;
        }
        out.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    out
}

/// Skips `hashed SubPlan 1`, `SubPlan 1` or `InitPlan 1 (returns $0)` at the start of a text.
fn subplan(text: &str) -> Option<&str> {
    let body = text.strip_prefix("hashed ").unwrap_or(text);
    let rest = body.strip_prefix("SubPlan ").or_else(|| body.strip_prefix("InitPlan "))?;
    let rest = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    match rest.strip_prefix(" (returns ") {
        Some(returns) => returns.split_once(')').map(|(_, after)| after),
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_from_functions_and_strings() {
        let found =
            columns("((sum((l.l_price * \"L\".\"odd\"\"n\"))) > 'a.b'::text) AND pg_catalog.f(o.x) AND o.*");
        let found: Vec<String> = found
            .into_iter()
            .map(|(alias, column)| format!("{alias}.{}", column.unwrap_or_else(|| "*".to_owned())))
            .collect();
        assert_eq!(found, ["l.l_price", "L.odd\"n", "o.x", "o.*"]);
    }

    #[test]
    fn bare_columns_are_told_from_functions_and_types() {
        let found = bare_words("PARTIAL sum((price * ('1'::numeric - \"Discount\")))");
        assert_eq!(found, ["PARTIAL", "price", "Discount"]);
    }

    #[test]
    fn keys_of_sorts_are_read_with_their_direction() {
        #[track_caller]
        fn check(text: &str, expected: Option<(&str, bool, bool)>) {
            let expected = expected.map(|(column, down, first)| (column.to_owned(), down, first));
            assert_eq!(sort_key(text, "o"), expected, "{text}");
        }
        check("o.at", Some(("at", false, false)));
        check("o.at DESC", Some(("at", true, true)));
        check("o.at DESC NULLS LAST", Some(("at", true, false)));
        check("o.at NULLS FIRST", Some(("at", false, true)));
        check("p.at", None);
        check("(sum(o.at))", None);
        check("o.name COLLATE \"de_DE\"", None);
        check("lower(o.name)", None);
    }

    #[test]
    fn subplans_become_parameters() {
        assert_eq!(
            parseable("(NOT (hashed SubPlan 12)) AND a = 'SubPlan 1'"),
            "(NOT ($1)) AND a = 'SubPlan 1'"
        );
        assert_eq!(parseable("(x > (InitPlan 1 (returns $0)))"), "(x > ($1))");
    }
}
