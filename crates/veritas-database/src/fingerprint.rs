//! Fingerprints: statements without their literals, the same text for the same
//! statement, hashed to 64 bits.
//!
//! What is taken out: literals of every spelling (`'…'`, `E'…'`, `x'…'`,
//! `$tag$…$tag$`, numbers with their sign), parameters (`$1`, `?`, `:name`,
//! `@p`, `%s`, `%(name)s`), comments, and all but one of equal elements in
//! `IN` lists, `ARRAY[…]` and `VALUES`. Unquoted words are folded to lower
//! case, quoted identifiers keep their case.
//!
//! What PostgreSQL's grammar takes for a literal is one here as well, so that
//! the text that `pg_stat_statements` shows is the same statement: the field of
//! `extract(year from …)`, `LIMIT ALL`, the form of `normalize(…, nfc)`; of
//! `-1::int` the sign stays, of `+1` it goes.
//!
//! Two readings are ambiguous without the server's settings, and both are
//! decided so that nothing leaks: a backslash before a quote (MySQL escapes,
//! standard SQL does not) is decided by which reading leaves the quotes
//! balanced, and cuts the statement when neither or both do; a double-quoted
//! word right after a comparison is taken for a string (MySQL, SQLite) unless
//! it is qualified (`"a"."b"`). A double-quoted string elsewhere (`SELECT "x"`)
//! is taken for an identifier, and words in a MySQL `#` comment survive.

mod cache;
mod lexer;
mod normalizer;

use std::sync::Arc;

use veritas_model::Fingerprint;

pub use normalizer::{CUT_MARK, INPUT_LIMIT, OUTPUT_LIMIT, normalize};

use crate::StatementKind;

pub(crate) use cache::{hash_key, of_text};

/// A statement without its literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedStatement {
    /// The normalized text, at most [`OUTPUT_LIMIT`] bytes.
    pub text: Arc<str>,
    /// Its hash.
    pub fingerprint: Fingerprint,
    /// What kind of statement it is.
    pub kind: StatementKind,
    /// Whether the text before normalization has parameters in it; without
    /// them, two different texts of one fingerprint have different literals.
    pub has_parameters: bool,
}

impl NormalizedStatement {
    /// Normalizes a statement. Cost: linear, see [`normalize`].
    pub fn of(sql: &str) -> Self {
        let (text, has_parameters) = normalizer::normalize_and_look(sql);
        Self {
            fingerprint: Fingerprint::of_normalized(&text),
            kind: StatementKind::of_normalized(&text),
            text: text.into(),
            has_parameters,
        }
    }
}

/// Returns the fingerprint of a statement.
///
/// Cost: a hash of the text when this thread has seen the text lately, else
/// one pass over it and two allocations.
///
/// ```
/// use veritas_database::fingerprint::fingerprint;
///
/// assert_eq!(
///     fingerprint("SELECT * FROM users WHERE id = 7"),
///     fingerprint("select *  from users where id = $1 -- by key"),
/// );
/// ```
pub fn fingerprint(sql: &str) -> Fingerprint {
    statement(sql).fingerprint
}

/// Returns the statement without its literals; cached like [`fingerprint`].
pub fn statement(sql: &str) -> Arc<NormalizedStatement> {
    of_text(sql).0
}
