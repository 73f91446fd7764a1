//! Listing: the keys of a namespace, a page at a time.

use std::{fmt, time::Duration};

/// The most keys of one page.
pub const MAX_PAGE: usize = 1_000;

/// The most characters of a preview.
pub const MAX_PREVIEW: usize = 256;

/// One page of the keys of a namespace.
///
/// A walk that follows [`Self::next`] until it is `None` sees every entry that is
/// present from its first page to its last, exactly once; what comes or goes
/// meanwhile may be seen or not. The cursor holds the whole state of the walk:
/// nothing is kept between pages, and it outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPage {
    /// The keys, in an order that never changes (of their hashes).
    pub keys: Vec<KeyReading>,
    /// The cursor of the next page; `None` after the last one.
    pub next: Option<String>,
}

/// One entry of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReading {
    /// The key, readable: `("user", 123)`.
    pub key: String,
    /// The bytes of key and value.
    pub bytes: u64,
    /// How long ago it was stored; `None` where that is not known.
    pub age: Option<Duration>,
    /// How long it will live yet; `None` for ever.
    pub expires_in: Option<Duration>,
    /// The value's first characters, where a formatter of previews is registered.
    pub preview: Option<String>,
}

/// Why keys were not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError {
    /// There is no namespace of that name.
    UnknownNamespace,
    /// The cursor is none of ours.
    BadCursor,
    /// The tier that holds the keys does not answer; the reason is for operators.
    Unavailable(String),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNamespace => f.write_str("there is no cache namespace of that name"),
            Self::BadCursor => f.write_str("the cursor is none that a page gave"),
            Self::Unavailable(reason) => write!(f, "the keys cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for ListError {}
