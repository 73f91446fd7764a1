//! Key patterns: what keys look like, without what may be a literal of somebody's.

/// How many characters of a key are shown.
const SHOWN: usize = 200;

/// The longest word that is taken for a word.
const LONGEST_WORD: usize = 32;

const SEPARATORS: [char; 5] = [':', '/', '.', '|', '#'];

/// Returns what `key` looks like: its first word, then `*` for everything else.
///
/// Only the first part of several is kept, and only if it is a word: in `user:alice`
/// nobody can tell that `alice` is none. Of keys of ours, which begin with `prefix`,
/// the namespace is kept too, because programs name it and users do not.
pub(super) fn pattern(key: &[u8], prefix: &str) -> String {
    let text = String::from_utf8_lossy(key);
    let own =
        text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(':')).filter(|_| !prefix.is_empty());
    if let Some(own) = own {
        return format!("{prefix}:{}", first_word(own));
    }
    first_word(&text)
}

fn first_word(text: &str) -> String {
    match text.split_once(SEPARATORS) {
        Some((word, rest)) if is_word(word) => {
            let separator = &text[word.len()..text.len() - rest.len()];
            format!("{word}{separator}*")
        }
        _ => "*".to_owned(),
    }
}

/// Tells whether `word` looks like one that a program chose: letters, joined by `_`
/// and `-`, with one digit at most (`oauth2`), in braces if it is a hash tag.
fn is_word(word: &str) -> bool {
    let word = word.strip_prefix('{').and_then(|word| word.strip_suffix('}')).unwrap_or(word);
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    word.len() <= LONGEST_WORD
        && digits <= 1
        && word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Returns a key in a form that can be shown: what cannot be printed is escaped, and
/// it is cut off after 200 characters.
pub(super) fn shown(key: &[u8]) -> String {
    let whole = match std::str::from_utf8(key) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => key.iter().take(SHOWN + 1).copied().collect::<Vec<u8>>().escape_ascii().to_string(),
    };
    match whole.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(key: &str, expected: &str) {
        assert_eq!(pattern(key.as_bytes(), "veritas"), expected, "{key}");
    }

    #[test]
    fn only_the_first_word_is_kept() {
        check("user:alice:profile", "user:*");
        check("oauth2/token/abc", "oauth2/*");
        check("{user}:1", "{user}:*");
        check("settings", "*");
        check("alice@example.com:cart", "*");
        check("1234:user", "*");
        check("deadbeef00:x", "*");
        check("", "*");
        check(":", "*");
    }

    #[test]
    fn keys_of_ours_keep_their_namespace() {
        check("veritas:users:v1:0badcafe", "veritas:users:*");
        check("veritas:{users}:v1:0badcafe", "veritas:{users}:*");
        check("veritas:4711", "veritas:*");
        check("veritasx:users:1", "veritasx:*");
    }

    #[test]
    fn what_is_shown_can_be_printed_and_is_short() {
        assert_eq!(shown(b"user:1"), "user:1");
        assert_eq!(shown("gr\u{fc}\u{df}e".as_bytes()), "gr\u{fc}\u{df}e");
        assert_eq!(shown(b"a\0\xff\n"), "a\\x00\\xff\\n");
        assert_eq!(shown("\u{fc}".repeat(500).as_bytes()).chars().count(), 201);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_pattern_and_can_be_shown(key in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(pattern(&key, "veritas").len() <= LONGEST_WORD + 12);
            prop_assert!(shown(&key).chars().all(|shown| !shown.is_control()));
        }
    }
}
