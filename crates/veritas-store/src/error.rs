//! Errors of the control plane: which step failed, on what, and why.

use std::{error::Error, path::PathBuf};

/// The cause below a [`StoreError`]: an error of the system or of the database library.
pub type CauseOfError = Box<dyn Error + Send + Sync>;

/// Why the control plane could not do what it was asked.
///
/// After any of these, nothing of the failed operation is stored, and later
/// calls work again as soon as the cause is gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file could not be opened or created.
    #[error("failed to open the control plane {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CauseOfError,
    },
    /// The file is of another program.
    #[error("{path:?} is not a control plane of veritas")]
    NotOurs {
        /// The file, left as it is.
        path: PathBuf,
    },
    /// The file was written by another release in a format unknown to this one.
    #[error("the control plane {path:?} has format {found}, this release knows format {supported}")]
    UnknownFormat {
        /// The file, left as it is.
        path: PathBuf,
        /// The format it says it has.
        found: i32,
        /// The format of this release.
        supported: i32,
    },
    /// What is stored cannot be read back.
    #[error("the control plane is damaged: failed to {step}: {detail}")]
    Corrupt {
        /// What was being done.
        step: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Another change stands in the way.
    #[error("the change conflicts: {reason}")]
    Conflict {
        /// With what.
        reason: String,
    },
    /// What the operation refers to is not stored.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its identity.
        id: String,
    },
    /// A table that may not be pruned is at its limit.
    #[error("there are {limit} {what} already, the most that are kept")]
    LimitReached {
        /// What kind of thing.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The disk is full.
    #[error("failed to {step}: the disk is full")]
    Full {
        /// What was being done.
        step: &'static str,
        /// What the database library said.
        source: CauseOfError,
    },
    /// The file or its directory cannot be written.
    #[error("failed to {step}: the control plane cannot be written")]
    ReadOnly {
        /// What was being done.
        step: &'static str,
        /// What the database library said.
        source: CauseOfError,
    },
    /// Someone else holds the file.
    #[error("failed to {step}: the control plane is busy")]
    Busy {
        /// What was being done.
        step: &'static str,
        /// What the database library said.
        source: CauseOfError,
    },
    /// The system failed to read or write.
    #[error("failed to {step}: input or output failed")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What the database library said.
        source: CauseOfError,
    },
    /// The database library failed in a way that has no name here.
    #[error("failed to {step}")]
    Database {
        /// What was being done.
        step: &'static str,
        /// What the database library said.
        source: CauseOfError,
    },
}

impl StoreError {
    /// Returns what an operator can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Open { .. } => "check that the data directory exists and belongs to this user",
            Self::NotOurs { .. } => "choose another data directory, or move the file away",
            Self::UnknownFormat { .. } => "use the release that wrote it, or choose another data directory",
            Self::Corrupt { .. } => {
                "move control.sqlite, control.sqlite-wal and control.sqlite-shm away together and restore a backup"
            }
            Self::Conflict { .. } => "look at the changes of this proposal first",
            Self::NotFound { .. } => "list what there is; it may have been pruned",
            Self::LimitReached { .. } => "remove what is not needed any more",
            Self::Full { .. } => "free space on the disk of the data directory; nothing needs a restart",
            Self::ReadOnly { .. } => "make the data directory and its files writable for this user",
            Self::Busy { .. } => "try again in a moment",
            Self::Io { .. } | Self::Database { .. } => "look at the log of the system for the disk",
        }
    }
}
