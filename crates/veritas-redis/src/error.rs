//! Errors: why one operation on one key had no answer, and why a tier cannot be set up.

use std::fmt;

use redis::{ServerError, Value};
use thiserror::Error;

/// Why an operation on one key had no answer. Small and `Copy`, so that a refused
/// call costs no allocation.
///
/// To a cache each of them is a miss or a write that did not happen. None says that
/// a write surely did *not* happen: what timed out may still arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum TierError {
    /// There is no usable connection and nothing was sent: the breaker is open.
    #[error("redis is unavailable")]
    Unavailable,
    /// The connection was lost before the answer came.
    #[error("the connection to redis was lost")]
    Disconnected,
    /// No answer within the deadline.
    #[error("redis did not answer in time")]
    TimedOut,
    /// The queue to the connections is full; nothing was sent.
    #[error("the queue to redis is full")]
    Full,
    /// The key holds another type than a string (`WRONGTYPE`).
    #[error("the key holds another type")]
    WrongType,
    /// The server is a replica (`READONLY`).
    #[error("the server takes no writes")]
    ReadOnly,
    /// The server reads its data set (`LOADING`), or its primary is gone (`MASTERDOWN`).
    #[error("the server is not ready to serve")]
    Loading,
    /// The server is over its memory limit and may not evict (`OOM`).
    #[error("the server is out of memory")]
    OutOfMemory,
    /// The access control list of our user forbids it (`NOPERM`, `NOAUTH`).
    #[error("the user may not do this")]
    Forbidden,
    /// The server cannot persist and refuses writes (`MISCONF`).
    #[error("the server cannot persist and refuses writes")]
    Misconfigured,
    /// The cluster sent us on too often (`MOVED`, `ASK`, `TRYAGAIN`).
    #[error("the cluster redirected too often")]
    Redirected,
    /// The slot of the key is served by nobody (`CLUSTERDOWN`).
    #[error("nobody serves the slot of the key")]
    ClusterDown,
    /// The answer was not of the expected shape.
    #[error("redis answered something unexpected")]
    Unexpected,
    /// Any other error of the server, with its code.
    #[error("redis answered {code}")]
    Other {
        /// The first word of the server's answer.
        code: Code,
    },
}

impl TierError {
    /// Maps an error of the server by its code.
    pub(crate) fn of_server(error: &ServerError) -> Self {
        Self::of_code(error.code(), error.details())
    }

    fn of_code(code: &str, details: Option<&str>) -> Self {
        match code {
            "WRONGTYPE" => Self::WrongType,
            "READONLY" => Self::ReadOnly,
            "LOADING" | "MASTERDOWN" => Self::Loading,
            "OOM" => Self::OutOfMemory,
            "NOPERM" | "NOAUTH" | "WRONGPASS" => Self::Forbidden,
            "MISCONF" => Self::Misconfigured,
            "MOVED" | "ASK" | "TRYAGAIN" => Self::Redirected,
            "CLUSTERDOWN" => Self::ClusterDown,
            // What a script meets inside is wrapped, and the code is in the text.
            "ERR" if details.is_some_and(|text| text.contains("OOM command not allowed")) => {
                Self::OutOfMemory
            }
            _ => Self::Other { code: Code::new(code) },
        }
    }

    /// Maps what the client library returned instead of an answer.
    pub(crate) fn of_client(error: &redis::RedisError) -> Self {
        if let Some(code) = error.code() {
            return Self::of_code(code, error.detail());
        }
        if error.is_timeout() {
            return Self::TimedOut;
        }
        match error.kind() {
            redis::ErrorKind::Io | redis::ErrorKind::Parse => Self::Disconnected,
            redis::ErrorKind::AuthenticationFailed => Self::Forbidden,
            _ => Self::Unexpected,
        }
    }

    /// Returns whether the node as a whole is not usable, so that other keys would fare no better.
    pub(crate) const fn is_outage(self) -> bool {
        matches!(self, Self::Disconnected | Self::TimedOut | Self::Loading)
    }
}

/// Splits an answer from an error of the server.
pub(crate) fn answer(value: Value) -> Result<Value, TierError> {
    match value {
        Value::ServerError(error) => Err(TierError::of_server(&error)),
        value => Ok(value),
    }
}

/// The code of a server's error: its first word, at most 15 bytes of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    length: u8,
    bytes: [u8; 15],
}

impl Code {
    /// Keeps the first 15 bytes of `code`; what is not ASCII becomes `?`.
    pub fn new(code: &str) -> Self {
        let mut bytes = [0; 15];
        let mut length = 0;
        for (place, byte) in bytes.iter_mut().zip(code.bytes()) {
            *place = if byte.is_ascii_graphic() { byte } else { b'?' };
            length += 1;
        }
        Self { length, bytes }
    }

    /// Returns the code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("?")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}

/// Why a tier cannot be set up. A server that does not answer is no such error. No
/// message holds a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RedisError {
    /// The address is not understood.
    #[error("failed to read the redis address {address}: {reason}")]
    Address {
        /// The address without its credentials.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address asks for TLS and this build has none.
    #[error("failed to use {address}: this build has no TLS (feature \"tls\")")]
    NoTls {
        /// The address without its credentials.
        address: String,
    },
    /// An option is out of its range.
    #[error("the option {option} is {reason}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The thread of the connections did not start.
    #[error("failed to start the thread of the redis connections: {reason}")]
    Thread {
        /// What the operating system said.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_variants() {
        let check =
            |code: &str, expected: TierError| assert_eq!(TierError::of_code(code, None), expected, "{code}");
        check("WRONGTYPE", TierError::WrongType);
        check("READONLY", TierError::ReadOnly);
        check("LOADING", TierError::Loading);
        check("MASTERDOWN", TierError::Loading);
        check("OOM", TierError::OutOfMemory);
        check("NOPERM", TierError::Forbidden);
        check("MISCONF", TierError::Misconfigured);
        check("MOVED", TierError::Redirected);
        check("CLUSTERDOWN", TierError::ClusterDown);
        check("BUSY", TierError::Other { code: Code::new("BUSY") });
    }

    #[test]
    fn a_long_or_odd_code_is_cut_and_stays_text() {
        assert_eq!(Code::new("ABCDEFGHIJKLMNOPQRST").as_str(), "ABCDEFGHIJKLMNO");
        assert_eq!(Code::new("Ä\n").as_str(), "???");
        assert_eq!(Code::new("").as_str(), "");
    }

    #[test]
    fn an_error_is_two_words() {
        assert!(size_of::<TierError>() <= 24);
    }
}
