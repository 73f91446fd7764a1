//! Why a session could not be had, or a statement was not run. No error holds a literal or a password.

use std::{error::Error as _, path::PathBuf};

use tokio_postgres::error::DbError;

/// How many characters of a server's message are kept.
const MESSAGE: usize = 300;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The options are wrong; nothing was sent.
    #[error("failed to understand how to connect: {reason}")]
    Options {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The password could not be read; nothing was sent.
    #[error("failed to read the password from {path:?}: {reason}")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// This machine gave no runtime.
    #[error("failed to start a runtime")]
    Runtime(#[source] std::io::Error),
    /// The server was not reached, or takes no connections yet.
    #[error("failed to reach the server: {reason}")]
    Unreachable {
        /// What the network said.
        reason: String,
    },
    /// What answers is not `PostgreSQL`.
    #[error("failed to connect: what answers does not tell a version of PostgreSQL")]
    NotPostgres,
    /// The log-in was refused, or the role lacks a right.
    #[error("failed for want of a right ({code}): {message}")]
    Denied {
        /// The code of the server's error: `42501`, or one of class 28.
        code: String,
        /// What the server said.
        message: String,
    },
    /// There was no answer in time: ours, after which the session is lost, or the server's.
    #[error("failed to get an answer in time")]
    TimedOut,
    /// A lock was not free in time.
    #[error("failed to get a lock in time")]
    LockNotAvailable,
    /// The server refused for another reason.
    #[error("the server refused ({code}): {message}")]
    Refused {
        /// The code of the server's error.
        code: String,
        /// What the server said, without literals.
        message: String,
    },
    /// The connection is gone.
    #[error("the connection was lost")]
    Lost,
    /// The answer has another form than was asked for.
    #[error("failed to read the answer: {reason}")]
    Answer {
        /// What is unexpected.
        reason: String,
    },
}

impl PartialEq for SessionError {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused { code, .. }, Self::Refused { code: others, .. })
            | (Self::Denied { code, .. }, Self::Denied { code: others, .. }) => code == others,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl SessionError {
    /// Returns the code of the server's error (five characters; manual, appendix A),
    /// where the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Denied { code, .. } | Self::Refused { code, .. } => Some(code),
            Self::LockNotAvailable => Some("55P03"),
            _ => None,
        }
    }

    /// Says what went wrong with a statement.
    pub(crate) fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            return Self::of_refusal(refusal);
        }
        let is_network = error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        if error.is_closed() || is_network {
            return Self::Lost;
        }
        // The driver's own words: which column or parameter has the wrong type.
        Self::Answer { reason: bounded(&error.to_string()) }
    }

    /// Says what went wrong while connecting.
    pub(super) fn of_connecting(error: &tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            return match Self::of_refusal(refusal) {
                Self::Lost => Self::Unreachable { reason: message_of(refusal) },
                other => other,
            };
        }
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            // The driver prints some causes itself.
            let text = source.to_string();
            if !reason.contains(&text) {
                reason.push_str(": ");
                reason.push_str(&text);
            }
            cause = source.source();
        }
        if reason.contains("password missing") {
            let message = "the server wants a password, and there is none".to_owned();
            return Self::Denied { code: "28P01".to_owned(), message };
        }
        Self::Unreachable { reason: bounded(&reason) }
    }

    fn of_refusal(refusal: &DbError) -> Self {
        let code = refusal.code().code();
        match code {
            "55P03" => Self::LockNotAvailable,
            "57014" => Self::TimedOut,
            // Shut down, crashed, not up yet, dropped database; time in a transaction or idle was up.
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" => Self::Lost,
            "42501" => Self::Denied { code: code.to_owned(), message: message_of(refusal) },
            _ if code.starts_with("28") => {
                Self::Denied { code: code.to_owned(), message: message_of(refusal) }
            }
            _ => Self::Refused { code: code.to_owned(), message: message_of(refusal) },
        }
    }
}

fn message_of(refusal: &DbError) -> String {
    without_literals(refusal.code().code(), refusal.message())
}

/// Returns a message without the literals that it may quote.
///
/// What the server quotes is a name where an object is missing or a right, and a value
/// where the value is wrong (class 22) or the statement does not parse; messages of
/// functions may hold anything. Details and hints, which show rows, are never kept.
fn without_literals(code: &str, message: &str) -> String {
    const NAMES_ONLY: [&str; 14] =
        ["08", "0A", "23", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57"];
    let class = code.get(..2).unwrap_or_default();
    if NAMES_ONLY.contains(&class) && code != "42601" {
        return bounded(message);
    }
    if ["P0", "HV", "38", "39"].contains(&class) {
        return "raised by a function".to_owned();
    }
    let mut kept = String::new();
    let mut quote = None;
    for letter in message.chars() {
        match (quote, letter) {
            (None, '"' | '\'' | '`') => {
                quote = Some(letter);
                kept.push('…');
            }
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '0'..='9') if kept.ends_with('…') => {}
            (None, '0'..='9') => kept.push('…'),
            (None, _) => kept.push(letter),
        }
    }
    bounded(&kept)
}

fn bounded(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, message: &str, kept: &str) {
        assert_eq!(without_literals(code, message), kept);
    }

    #[test]
    fn names_stay_and_values_go() {
        check("42P01", "relation \"orders\" does not exist", "relation \"orders\" does not exist");
        check("42501", "permission denied for table orders", "permission denied for table orders");
        check(
            "22P02",
            "invalid input syntax for type integer: \"4111 1111\"",
            "invalid input syntax for type integer: …",
        );
        check("22003", "value 99999999999 is out of range", "value … is out of range");
        check("42601", "syntax error at or near \"'secret'\"", "syntax error at or near …");
        check("P0001", "no such customer: Ada", "raised by a function");
        check("XX000", "could not open file \"base/1/2\": x", "could not open file …: x");
    }

    #[test]
    fn a_quote_that_is_never_closed_hides_the_rest() {
        check("22P02", "bad token \"secret and more", "bad token …");
        check("22023", "it's secret", "it…");
    }

    #[test]
    fn a_message_is_bounded_and_of_one_line() {
        let kept = without_literals("42883", &"a\n".repeat(1_000));
        assert_eq!(kept, "a".repeat(MESSAGE));
    }
}
