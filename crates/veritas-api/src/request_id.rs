//! Request ids: the caller's if it is harmless, else one of ours.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries the id both ways.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 64;

/// An id made of letters, digits, `-`, `_` and `.`: nothing that could forge a log line.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Returns the id as a header's value.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Makes ids: a random start and a count, so that they are unique and cost no system call.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Starts at random; without randomness ids still are unique within the process.
    pub(crate) fn new() -> Self {
        let mut bytes = [0; 8];
        let start = getrandom::fill(&mut bytes).map_or(0, |()| u64::from_ne_bytes(bytes));
        Self { start, next: AtomicU64::new(0) }
    }

    /// Returns the caller's id if it is acceptable, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        headers.get(&HEADER).filter(|value| acceptable(value.as_bytes())).map_or_else(
            || {
                let count = self.next.fetch_add(1, Ordering::Relaxed);
                let text = format!("{:016x}-{count:08x}", self.start);
                RequestId(HeaderValue::try_from(text).expect("hexadecimal digits are a header value"))
            },
            |value| RequestId(value.clone()),
        )
    }
}

fn acceptable(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(given.as_bytes()).unwrap());
        assert_eq!(RequestIds::new().of(&headers).as_str() == given, kept, "{given}");
    }

    #[test]
    fn only_a_harmless_id_is_kept() {
        check("a1-B_2.c", true);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
        check("a b", false);
        check("<script>", false);
        check("a\"b", false);
        check("caf\u{e9}", false);
    }

    #[test]
    fn ids_differ() {
        let ids = RequestIds::new();
        let none = HeaderMap::new();
        assert_ne!(ids.of(&none).as_str(), ids.of(&none).as_str());
    }
}
