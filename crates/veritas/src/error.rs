//! Why an engine did not start.

use std::path::PathBuf;

use veritas_alert::LoadError;
use veritas_store::{DataDirError, HistoryError, StoreError};

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory is owned by another engine, unreadable, or of another format.
    #[error("failed to open the data directory")]
    DataDirectory {
        /// What is wrong with it.
        source: DataDirError,
    },
    /// The control plane in the data directory cannot be opened.
    #[error("failed to open the control plane")]
    ControlPlane {
        /// What is wrong with it.
        source: StoreError,
    },
    /// A data directory was given to an engine built without the feature `persist`.
    #[error("a data directory ({path:?}) needs the feature \"persist\"")]
    NoPersistence {
        /// The directory.
        path: PathBuf,
    },
    /// The history cannot be opened.
    #[error("failed to open the history")]
    History {
        /// What is wrong with it.
        source: HistoryError,
    },
    /// The alert rules or states cannot be read.
    #[error("failed to restore the alerts")]
    Alerts {
        /// What is wrong with them.
        source: LoadError,
    },
    /// What a crash left in the ledger cannot be read.
    #[error("failed to recover the ledger")]
    Recover {
        /// What is wrong with it.
        source: veritas_optimize::OptimizeError,
    },
    /// The system refuses a thread.
    #[error("failed to start the thread {name:?}")]
    Thread {
        /// The thread.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StartError {
    /// Returns what can be done about it, for people.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::DataDirectory { source } => source.hint(),
            Self::ControlPlane { source } => source.hint(),
            Self::NoPersistence { .. } => "build with the feature \"persist\", or leave the directory out",
            Self::History { source } => source.hint(),
            Self::Alerts { .. } | Self::Recover { .. } => {
                "the data directory may be damaged: keep a copy, then start with an empty one"
            }
            Self::Thread { .. } => "raise the limit on threads of this user or container",
        }
    }
}
