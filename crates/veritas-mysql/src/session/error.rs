//! Why a session could not be had, or a statement was not run. No error holds a literal or a password.

use std::{io, path::PathBuf};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The URL is wrong; nothing was sent.
    #[error("failed to understand the URL (mysql://user@host:3306/database)")]
    Options,
    /// The password could not be read; nothing was sent.
    #[error("failed to read the password from {path:?}: {reason}")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The server was not reached.
    #[error("failed to reach the server: {reason}")]
    Unreachable {
        /// What the network said.
        reason: String,
    },
    /// The log-in was refused, or the user lacks a right.
    #[error("failed for want of a right ({code}): {message}")]
    Denied {
        /// The number of the server's error.
        code: u16,
        /// What the server said: it names users, tables and rights.
        message: String,
    },
    /// There was no answer in time.
    #[error("failed to get an answer in time")]
    TimedOut,
    /// A lock was not free in time.
    #[error("failed to get a lock in time")]
    LockNotAvailable,
    /// The server refused for another reason; what it says may quote literals, so its number stands for it.
    #[error("the server refused ({code})")]
    Refused {
        /// The number of the server's error.
        code: u16,
    },
    /// The connection is gone.
    #[error("the connection was lost")]
    Lost,
}

/// Errors that name users, tables and rights only (reference manual, server errors).
const DENIED: [u16; 9] = [1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698, 3118];
/// The statement was ended: by its limit, or by somebody.
const ENDED: [u16; 4] = [1317, 1969, 3024, 1028];
/// A lock was not free, or the transaction was chosen as the victim of a deadlock.
const LOCKED: [u16; 2] = [1205, 1213];

impl SessionError {
    /// Says what went wrong.
    pub(crate) fn of(error: &mysql::Error) -> Self {
        match error {
            mysql::Error::MySqlError(refusal) if DENIED.contains(&refusal.code) => {
                Self::Denied { code: refusal.code, message: refusal.message.chars().take(300).collect() }
            }
            mysql::Error::MySqlError(refusal) if ENDED.contains(&refusal.code) => Self::TimedOut,
            mysql::Error::MySqlError(refusal) if LOCKED.contains(&refusal.code) => Self::LockNotAvailable,
            mysql::Error::MySqlError(refusal) => Self::Refused { code: refusal.code },
            mysql::Error::IoError(error) if is_timeout(error) => Self::TimedOut,
            mysql::Error::DriverError(mysql::DriverError::ConnectTimeout) => Self::TimedOut,
            mysql::Error::DriverError(error @ mysql::DriverError::CouldNotConnect(_)) => {
                Self::Unreachable { reason: error.to_string() }
            }
            mysql::Error::DriverError(error) => Self::Unreachable { reason: error.to_string() },
            _ => Self::Lost,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
