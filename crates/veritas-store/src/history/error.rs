//! Errors of the history: which step failed, on which file, and why.

use std::{io, path::PathBuf};

/// Why the history could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The directory could not be created or listed.
    #[error("failed to open the history {path:?}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A segment was written by another release in a format unknown to this one.
    #[error("the history segment {path:?} has format {found}, this release knows format {supported}")]
    UnknownFormat {
        /// The file, left as it is.
        path: PathBuf,
        /// The format it says it has.
        found: u32,
        /// The format of this release.
        supported: u32,
    },
    /// A segment could not be read.
    #[error("failed to read the history segment {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is full: the point is in memory, not on the disk.
    #[error("failed to record a point in {path:?}: the disk is full")]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory cannot be written: the point is in memory, not on the disk.
    #[error("failed to record a point in {path:?}: the directory cannot be written")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed: the point is in memory, not on the disk.
    #[error("failed to record a point in {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HistoryError {
    /// Names what the system says about writing to `path`.
    pub(super) fn of_write(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source }
            }
            _ => Self::Write { path, source },
        }
    }

    /// Returns what is wrong in a few words, for the state of the engine's parts.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::Full { .. } => "the disk is full".to_owned(),
            Self::ReadOnly { .. } => "the directory cannot be written".to_owned(),
            Self::Write { source, .. } => format!("writing failed ({})", source.kind()),
            Self::Open { .. } | Self::UnknownFormat { .. } | Self::Read { .. } => self.to_string(),
        }
    }

    /// Returns what an operator can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Open { .. } => "check that the data directory exists and belongs to this user",
            Self::UnknownFormat { .. } => "use the release that wrote it, or choose another data directory",
            Self::Full { .. } => "free space on the disk of the data directory; nothing needs a restart",
            Self::ReadOnly { .. } => "make the data directory and its files writable for this user",
            Self::Read { .. } | Self::Write { .. } => "look at the log of the system for the disk",
        }
    }
}
