//! Statements as `pg_stat_statements` keeps them: `$1` where the grammar wants a literal.
//!
//! `date $1`, `interval $1 day` and `extract($1 from x)` are no statements any more, and
//! `GROUP BY f($2, x)` is not the `f($1, x)` of the select list. What can be told is
//! written so that it is a statement again.

use super::words::Word;

/// Types whose name before a string makes a literal.
const TYPES: [&str; 33] = [
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "numeric",
    "decimal",
    "json",
    "jsonb",
    "uuid",
    "text",
    "varchar",
    "bpchar",
    "inet",
    "cidr",
    "bytea",
    "point",
    "box",
    "bool",
    "boolean",
    "float",
    "float4",
    "float8",
    "real",
    "int",
    "int2",
    "int4",
    "int8",
    "integer",
    "bigint",
    "smallint",
    "money",
];
/// What may stand behind `interval '…'`.
const FIELDS: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "to"];

/// Writes the statement so that it is one again; leaves alone what is one.
pub(super) fn restore(words: Vec<Word>) -> Vec<Word> {
    if !words.iter().any(|word| matches!(word, Word::Parameter(_))) {
        return words;
    }
    grouped(lists(&extracts(literals(words))))
}

fn plain(word: &str) -> Word {
    Word::Plain(word.to_owned())
}

/// `date $1` becomes `cast($1 as date)`.
fn literals(words: Vec<Word>) -> Vec<Word> {
    let mut written: Vec<Word> = Vec::with_capacity(words.len());
    let mut rest = words.into_iter().peekable();
    while let Some(word) = rest.next() {
        let length = match word {
            Word::Parameter(_) => type_before(&written),
            _ => 0,
        };
        if length == 0 {
            written.push(word);
            continue;
        }
        let mut type_name = written.split_off(written.len() - length);
        if type_name[0].is("interval") {
            while let Some(field) = rest.next_if(|next| next.is_any(&FIELDS)) {
                type_name.push(field);
            }
        }
        written.extend([plain("cast"), Word::Mark("("), word, plain("as")]);
        written.append(&mut type_name);
        written.push(Word::Mark(")"));
    }
    written
}

/// How many of the last words name a type that a literal may begin with.
fn type_before(words: &[Word]) -> usize {
    let ends = |phrase: &[&str]| {
        words.len() >= phrase.len()
            && words[words.len() - phrase.len()..].iter().zip(phrase).all(|(word, part)| word.is(part))
    };
    let length = if ends(&["timestamp", "with", "time", "zone"])
        || ends(&["timestamp", "without", "time", "zone"])
        || ends(&["time", "with", "time", "zone"])
        || ends(&["time", "without", "time", "zone"])
    {
        4
    } else if ends(&["double", "precision"]) || ends(&["character", "varying"]) {
        2
    } else if words.last().is_some_and(|word| word.is_any(&TYPES)) {
        1
    } else {
        return 0;
    };
    // `a.date $1` and `cast(x as date $1` are none.
    let before = words.len().checked_sub(length + 1).map(|at| &words[at]);
    let is_name = before.is_some_and(|word| word.is_mark(".") || word.is_mark("::") || word.is("as"));
    if is_name { 0 } else { length }
}

/// `extract($1 from x)` becomes `date_part($1, x)`.
fn extracts(mut words: Vec<Word>) -> Vec<Word> {
    for at in 0..words.len().saturating_sub(3) {
        let is_extract = words[at].is("extract")
            && words[at + 1].is_mark("(")
            && matches!(words[at + 2], Word::Parameter(_))
            && words[at + 3].is("from");
        if is_extract {
            words[at] = plain("date_part");
            words[at + 3] = Word::Mark(",");
        }
    }
    words
}

/// `a = any (array[$1, $2])` becomes `a in ($1, $2)`, where the types follow from `a`.
fn lists(words: &[Word]) -> Vec<Word> {
    let mut written: Vec<Word> = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if let Some(length) = list_end(&words[at..]) {
            written.extend([plain("in"), Word::Mark("(")]);
            written.extend_from_slice(&words[at + 5..at + length - 2]);
            written.push(Word::Mark(")"));
            at += length;
        } else {
            written.push(word.clone());
            at += 1;
        }
    }
    written
}

/// How many words `= any (array[…])` takes, when it holds nothing but parameters.
fn list_end(words: &[Word]) -> Option<usize> {
    let begins = words.len() > 7
        && words[0] == Word::Operator("=".to_owned())
        && words[1].is("any")
        && words[2].is_mark("(")
        && words[3].is("array")
        && words[4].is_mark("[");
    let elements = words.get(5..).filter(|_| begins)?;
    let end = elements.iter().position(|word| !matches!(word, Word::Parameter(_) | Word::Mark(",")))?;
    let closes = end > 0 && elements[end].is_mark("]") && elements.get(end + 1)?.is_mark(")");
    closes.then_some(5 + end + 2)
}

/// What is grouped, or sorted, by a parameter takes the number that the same expression
/// has in the select list.
fn grouped(mut words: Vec<Word>) -> Vec<Word> {
    let depths = depths(&words);
    for by in 1..words.len() {
        let is_list = words[by].is("by") && words[by - 1].is_any(&["group", "order"]);
        if !is_list {
            continue;
        }
        let depth = depths[by];
        let Some(select) = (0..by).rev().find(|at| depths[*at] == depth && words[*at].is("select")) else {
            continue;
        };
        if (select..by).any(|at| depths[at] < depth) {
            continue;
        }
        // Not the one of `a is distinct from b`.
        let begins = |at: usize| words[at].is("from") && !words[at - 1].is("distinct");
        let Some(from) = (select..by).find(|at| depths[*at] == depth && begins(*at)) else {
            continue;
        };
        let columns: Vec<(usize, usize)> = elements(&words, &depths, select + 1, from);
        let end = (by + 1..words.len())
            .find(|at| depths[*at] < depth || depths[*at] == depth && words[*at].is_any(&ENDS))
            .unwrap_or(words.len());
        for (start, mut end) in elements(&words, &depths, by + 1, end) {
            while end > start && words[end - 1].is_any(&["asc", "desc", "nulls", "first", "last"]) {
                end -= 1;
            }
            renumber(&mut words, &columns, start, end);
        }
    }
    words
}

/// What ends a list of `GROUP BY` or `ORDER BY`.
const ENDS: [&str; 11] =
    ["having", "window", "order", "limit", "offset", "fetch", "for", "union", "intersect", "except", "group"];

fn renumber(words: &mut [Word], columns: &[(usize, usize)], start: usize, end: usize) {
    let length = end - start;
    let same = |words: &[Word], column: &(usize, usize)| {
        let ends = column.0 + length;
        ends <= column.1
            && (ends == column.1 || words[ends].is("as") || ends + 1 == column.1)
            && (0..length).all(|offset| match (&words[column.0 + offset], &words[start + offset]) {
                (Word::Parameter(_), Word::Parameter(_)) => true,
                (one, other) => one == other,
            })
    };
    let has_parameter = words[start..end].iter().any(|word| matches!(word, Word::Parameter(_)));
    let Some(column) = columns.iter().find(|column| has_parameter && length > 1 && same(words, column))
    else {
        return;
    };
    for offset in 0..length {
        words[start + offset] = words[column.0 + offset].clone();
    }
}

/// Cuts a list at its commas.
fn elements(words: &[Word], depths: &[usize], start: usize, end: usize) -> Vec<(usize, usize)> {
    let Some(depth) = depths.get(start).map(|_| depths[start - 1]) else { return Vec::new() };
    let mut elements = Vec::new();
    let mut from = start;
    for at in start..end {
        if depths[at] == depth && words[at].is_mark(",") {
            elements.push((from, at));
            from = at + 1;
        }
    }
    elements.push((from, end));
    elements
}

/// How many brackets are open at each word; a bracket itself counts as outside.
fn depths(words: &[Word]) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut depths = Vec::with_capacity(words.len());
    for word in words {
        if matches!(word, Word::Mark(")" | "]")) {
            depth = depth.saturating_sub(1);
        }
        depths.push(depth);
        if matches!(word, Word::Mark("(" | "[")) {
            depth += 1;
        }
    }
    depths
}

/// Gives parameters new numbers without gaps; returns, for each, the number it had.
pub(super) fn close_gaps(words: &mut [Word]) -> Vec<usize> {
    let mut had: Vec<usize> = words
        .iter()
        .filter_map(|word| match word {
            Word::Parameter(number) => Some(*number),
            _ => None,
        })
        .collect();
    had.sort_unstable();
    had.dedup();
    for word in words {
        if let Word::Parameter(number) = word {
            *number = had.binary_search(number).map_or(*number, |at| at + 1);
        }
    }
    had
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::words::{cut, write};

    #[track_caller]
    fn check(kept: &str, restored: &str) {
        assert_eq!(write(&restore(cut(kept).unwrap())), restored);
    }

    #[test]
    fn parameters_in_place_of_literals_are_cast() {
        check("select a from t where b < date $1", "select a from t where b < cast ( $1 as date )");
        check("select now() - interval $1 day", "select now ( ) - cast ( $1 as interval day )");
        check("select timestamp with time zone $1", "select cast ( $1 as timestamp with time zone )");
        check("select extract($1 from a) from t", "select date_part ( $1 , a ) from t");
        check("select a from t where b = $1 limit $2", "select a from t where b = $1 limit $2");
        check(
            "select a from t where b = any (array[$1, $2]) and c",
            "select a from t where b in ( $1 , $2 ) and c",
        );
    }

    #[test]
    fn the_same_expression_keeps_the_same_parameter() {
        check(
            "select date_trunc($1, a) as m, count(*) from t where b > $2 group by date_trunc($3, a) order by date_trunc($4, a) desc",
            "select date_trunc ( $1 , a ) as m , count ( * ) from t where b > $2 group by date_trunc ( $1 , a ) order by date_trunc ( $1 , a ) desc",
        );
        check(
            "select x from (select f(a, $1) x from t group by f(a, $2)) s where x = $3",
            "select x from ( select f ( a , $1 ) x from t group by f ( a , $1 ) ) s where x = $3",
        );
        check(
            "select a is distinct from b, f(c, $1) from t group by 1, f(c, $2)",
            "select a is distinct from b , f ( c , $1 ) from t group by 1 , f ( c , $1 )",
        );
    }

    #[test]
    fn numbers_of_parameters_have_no_gaps() {
        let mut words = cut("select $2, $7, $2").unwrap();
        assert_eq!(close_gaps(&mut words), [2, 7]);
        assert_eq!(write(&words), "select $1 , $2 , $1");
    }
}
