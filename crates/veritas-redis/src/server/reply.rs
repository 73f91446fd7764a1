//! Replies of a server, read without trust: what is not understood is a part that is missing.

use std::borrow::Cow;

use redis::{ServerError, Value};
use veritas_cache::server::{NotRead, Section};

/// Returns the reply, or why there is none, for `command`.
pub(super) fn accepted<'a>(command: &'static str, reply: Option<&'a Value>) -> Section<&'a Value> {
    match reply {
        Some(Value::ServerError(error)) => Err(refusal(command, error)),
        Some(reply) => Ok(reply),
        None => Err(NotRead::TimedOut),
    }
}

/// Tells why a server refused `command`.
pub(super) fn refusal(command: &'static str, error: &ServerError) -> NotRead {
    let details = error.details().unwrap_or_default().to_ascii_lowercase();
    match error.code() {
        "NOPERM" => NotRead::Forbidden { command },
        "ERR" if details.starts_with("unknown") => NotRead::Unknown { command },
        code => NotRead::Refused { command, code: code.to_owned() },
    }
}

/// Returns the text of a reply; `None` when it is none.
pub(super) fn text(reply: &Value) -> Option<Cow<'_, str>> {
    match reply {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(Cow::Borrowed(text)),
        Value::Okay => Some(Cow::Borrowed("OK")),
        _ => None,
    }
}

/// Returns the bytes of a reply; `None` when it is no string.
pub(super) fn bytes(reply: &Value) -> Option<&[u8]> {
    match reply {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// Returns the whole number in a reply, which may be text; `None` when there is none.
pub(super) fn integer(reply: &Value) -> Option<i64> {
    match reply {
        Value::Int(number) => Some(*number),
        other => text(other)?.parse().ok(),
    }
}

/// Returns a count; `None` when it is none or negative.
pub(super) fn count(reply: &Value) -> Option<u64> {
    u64::try_from(integer(reply)?).ok()
}

/// Returns the parts of a reply that has some.
pub(super) fn items(reply: &Value) -> Option<&[Value]> {
    match reply {
        Value::Array(items) | Value::Set(items) => Some(items),
        _ => None,
    }
}
