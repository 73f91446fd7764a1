//! A file of statements: one after the other, each ended by a semicolon.

use std::mem::take;

use veritas::postgres::advice::WorkloadStatement;

/// What stands before a statement to say how often it runs.
const CALLS: &str = "calls:";
/// What stands before a statement to say how long a call takes.
const SECONDS: &str = "mean_seconds:";

/// Splits a text into statements. Quotes, dollar quotes and comments are read as
/// `PostgreSQL` reads them; `-- calls: 500` and `-- mean_seconds: 0.02` before a statement
/// say how often it runs and how long a call takes.
pub(super) fn statements(text: &str) -> Result<Vec<WorkloadStatement>, String> {
    let mut found = Vec::new();
    let mut sql = String::new();
    let mut told = Told::default();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '-' if rest.starts_with("--") => {
                let line = rest.lines().next().unwrap_or(rest);
                told.hear(&line[2..])?;
                sql.push(' ');
                rest = &rest[line.len()..];
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = &rest[comment(rest)..];
                sql.push(' ');
                continue;
            }
            ';' => {
                end(&mut sql, &mut told, &mut found);
                rest = &rest[1..];
                continue;
            }
            '\'' | '"' => quoted(rest, next),
            '$' => dollar_quoted(rest),
            other => other.len_utf8(),
        };
        let (taken, after) = rest.split_at(length);
        sql.push_str(taken);
        rest = after;
    }
    end(&mut sql, &mut told, &mut found);
    Ok(found)
}

/// What comments said of the statement that follows.
#[derive(Default)]
struct Told {
    calls: Option<f64>,
    mean_seconds: Option<f64>,
}

impl Told {
    fn hear(&mut self, comment: &str) -> Result<(), String> {
        let comment = comment.trim();
        for (word, place) in [(CALLS, &mut self.calls), (SECONDS, &mut self.mean_seconds)] {
            if let Some(number) = comment.strip_prefix(word) {
                let number: f64 =
                    number.trim().parse().map_err(|_| format!("\"-- {comment}\" has no number"))?;
                if !(number > 0.0 && number.is_finite()) {
                    return Err(format!("\"-- {comment}\" is not a number above 0"));
                }
                *place = Some(number);
            }
        }
        Ok(())
    }
}

fn end(sql: &mut String, told: &mut Told, found: &mut Vec<WorkloadStatement>) {
    let text = take(sql);
    if text.trim().is_empty() {
        return;
    }
    let Told { calls, mean_seconds } = take(told);
    found.push(WorkloadStatement { sql: text.trim().to_owned(), calls: calls.unwrap_or(1.0), mean_seconds });
}

/// Returns the length of a comment, with those inside of it.
fn comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the length of what is quoted; a doubled quote does not end it.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                let _second = characters.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    text.len()
}

/// Returns the length of a dollar-quoted text, or 1 when the dollar begins none (`$1`).
fn dollar_quoted(text: &str) -> usize {
    let Some(end) = text[1..].find('$').map(|at| at + 2) else { return 1 };
    let tag = &text[..end];
    let name = &tag[1..tag.len() - 1];
    let is_name = name.chars().all(|character| character.is_alphanumeric() || character == '_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if !is_name {
        return 1;
    }
    text[end..].find(tag).map_or(text.len(), |at| end + at + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, f64)]) {
        let found = statements(text).unwrap();
        let found: Vec<_> = found.iter().map(|statement| (statement.sql.as_str(), statement.calls)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        check("SELECT 1; SELECT 2", &[("SELECT 1", 1.0), ("SELECT 2", 1.0)]);
        check(
            "SELECT ';', \"a;b\", 'it''s;' /* ; /* ; */ ; */ FROM t -- ;\n;;",
            &[("SELECT ';', \"a;b\", 'it''s;'   FROM t", 1.0)],
        );
        check(
            "SELECT $$;$$, $x$ ; $$ $x$, $1; SELECT $2",
            &[("SELECT $$;$$, $x$ ; $$ $x$, $1", 1.0), ("SELECT $2", 1.0)],
        );
        check("", &[]);
        check("SELECT 'never ended; SELECT 2", &[("SELECT 'never ended; SELECT 2", 1.0)]);
    }

    #[test]
    fn comments_say_how_often_a_statement_runs() {
        check("-- calls: 500\nSELECT a FROM t;\nSELECT b", &[("SELECT a FROM t", 500.0), ("SELECT b", 1.0)]);
        let timed = statements("-- calls: 5\n-- mean_seconds: 0.25\nSELECT a").unwrap();
        assert_eq!((timed[0].calls, timed[0].mean_seconds), (5.0, Some(0.25)));
        for wrong in ["-- calls: many\nSELECT 1", "-- calls: -1\nSELECT 1", "-- calls: NaN\nSELECT 1"] {
            assert!(statements(wrong).is_err(), "{wrong}");
        }
    }
}
