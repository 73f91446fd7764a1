//! What SQLite says, as errors of the control plane.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

/// Names the step that failed.
pub(super) trait At<T> {
    /// Turns an error of SQLite into one that names `step`.
    fn at(self, step: &'static str) -> Result<T, StoreError>;
}

impl<T> At<T> for Result<T, Error> {
    fn at(self, step: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| of_step(step, error))
    }
}

/// Classifies an error of SQLite by what an operator can do about it.
pub(super) fn of_step(step: &'static str, error: Error) -> StoreError {
    let code = error.sqlite_error_code();
    match code {
        Some(ErrorCode::DiskFull) => StoreError::Full { step, source: error.into() },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::ReadOnly { step, source: error.into() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Busy { step, source: error.into() }
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            StoreError::Io { step, source: error.into() }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt { step, detail: error.to_string() }
        }
        _ => match error {
            // A column of another type than we wrote.
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..) => StoreError::Corrupt { step, detail: error.to_string() },
            _ => StoreError::Database { step, source: error.into() },
        },
    }
}
