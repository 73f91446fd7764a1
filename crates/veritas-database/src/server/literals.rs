//! Whether a text that a server keeps may be shown as it is.
//!
//! Servers put parameters in place of literals, most of the time: utility statements keep
//! theirs (`CREATE USER … PASSWORD '…'`), and `pg_stat_statements` stores a text as it came
//! when the entry was evicted between the planning of a statement and its end.

/// Tells whether no literal of an application is left in a statement: no string, and no
/// number beside numbers that the server left where it did replace others (positions in
/// `ORDER BY`, lengths of types).
pub(super) fn is_free(text: &str) -> bool {
    let mut has_parameter = false;
    let mut has_number = false;
    let mut letters = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return false,
            // Skips a quoted name; a doubled quote opens the next one at once.
            '"' if !letters.any(|(_, letter)| letter == '"') => return false,
            '$' if !is_word(before) => {
                if !letters.peek().is_some_and(|(_, next)| next.is_ascii_digit()) {
                    // `$tag$…$tag$`.
                    return false;
                }
                has_parameter = true;
            }
            '?' => has_parameter = true,
            // A comment may hold anything, and is no part of a statement.
            '-' if text[at..].starts_with("--") => return false,
            '/' if text[at..].starts_with("/*") && !text[at..].starts_with("/*, ... */") => return false,
            '0'..='9' if !is_word(before) => has_number = true,
            _ => {}
        }
        before = letter;
    }
    has_parameter || !has_number
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_has_replaced_is_free() {
        for text in [
            "SELECT * FROM orders WHERE id = $1 ORDER BY 2",
            "SELECT a::numeric(10,2), t2.b FROM t1 t2 WHERE c = $1",
            "SELECT \"odd '1' name\" FROM t",
            "SELECT * FROM t WHERE id IN ($1 /*, ... */)",
            "SELECT `a` FROM `t` WHERE `b` = ?",
            "SELECT sha256(v1) FROM t_2024",
            "BEGIN",
        ] {
            assert!(is_free(text), "{text}");
        }
    }

    #[test]
    fn what_it_has_not_is_not() {
        for text in [
            "SELECT * FROM users WHERE email = 'ada@example.org'",
            "SELECT * FROM users WHERE id = 7",
            "SELECT * FROM users WHERE id = -7.5e3",
            "SELECT $tag$secret$tag$, $1",
            "SELECT $1 -- for ada",
            "SELECT $1 /* for ada */",
            "ALTER USER app PASSWORD 'secret'",
            "SELECT \"never closed WHERE a = $1",
        ] {
            assert!(!is_free(text), "{text}");
        }
    }
}
