//! Storage: the data directory and the control plane, or memory in their place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use veritas_model::{Clock, Condition, Health};
use veritas_store::{ControlPlane, DataDir, MemoryControlPlane};

use crate::StartError;

/// Whether an engine may run without its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// It does not start without it.
    Required,
    /// It runs in memory only when somebody else owns the directory.
    Optional,
}

/// What lasts.
pub(crate) struct Storage {
    directory: Option<DataDir>,
    control: Arc<dyn ControlPlane>,
    ownership: Ownership,
    in_memory_because: Option<String>,
    #[cfg(feature = "sqlite")]
    scratch: std::sync::OnceLock<Scratch>,
}

/// A directory for copies of an engine that owns none: under a name that nobody can
/// foresee, for this user alone, removed with the engine.
#[cfg(feature = "sqlite")]
struct Scratch(PathBuf);

#[cfg(feature = "sqlite")]
impl Scratch {
    fn create() -> std::io::Result<Self> {
        use std::{hash::BuildHasher as _, os::unix::fs::DirBuilderExt as _};
        let pid = std::process::id();
        let unforeseen = std::hash::RandomState::new().hash_one(pid);
        let path = std::env::temp_dir().join(format!("veritas-{pid}-{unforeseen:016x}"));
        // Not recursive: a directory that is there already is not ours.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

#[cfg(feature = "sqlite")]
impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "failed to remove the directory for copies");
        }
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Storage {
    pub(crate) fn open(
        wanted: Option<(PathBuf, Ownership)>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let Some((path, ownership)) = wanted else { return Ok(Self::in_memory(clock, None)) };
        match Self::open_directory(&path, clock) {
            Ok(storage) => Ok(Self { ownership, ..storage }),
            Err(error) if ownership == Ownership::Required => Err(error),
            Err(error) => {
                let reason = format!("runs in memory only: {}", chain(&error));
                tracing::warn!(%reason, path = %path.display(), "the data directory is not used");
                Ok(Self::in_memory(clock, Some(reason)))
            }
        }
    }

    #[cfg(feature = "persist")]
    fn open_directory(path: &Path, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let directory = DataDir::open(path).map_err(|source| StartError::DataDirectory { source })?;
        let control = veritas_store::SqliteControlPlane::open(&directory.control_path(), Arc::clone(clock))
            .map_err(|source| StartError::ControlPlane { source })?;
        let ownership = Ownership::Required;
        Ok(Self {
            directory: Some(directory),
            control: Arc::new(control),
            ownership,
            in_memory_because: None,
            #[cfg(feature = "sqlite")]
            scratch: std::sync::OnceLock::new(),
        })
    }

    #[cfg(not(feature = "persist"))]
    fn open_directory(path: &Path, _clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        Err(StartError::NoPersistence { path: path.to_owned() })
    }

    fn in_memory(clock: &Arc<dyn Clock>, because: Option<String>) -> Self {
        let control = Arc::new(MemoryControlPlane::new(Arc::clone(clock)));
        Self {
            directory: None,
            control,
            ownership: Ownership::Optional,
            in_memory_because: because,
            #[cfg(feature = "sqlite")]
            scratch: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn control(&self) -> &Arc<dyn ControlPlane> {
        &self.control
    }

    pub(crate) fn directory(&self) -> Option<&DataDir> {
        self.directory.as_ref()
    }

    /// Returns where copies for proofs are made: in the data directory, else in a
    /// directory of this engine among the temporary files.
    #[cfg(feature = "sqlite")]
    pub(crate) fn scratch(&self) -> std::io::Result<&Path> {
        if let Some(directory) = &self.directory {
            return Ok(directory.path());
        }
        let scratch = if let Some(scratch) = self.scratch.get() {
            scratch
        } else {
            let created = Scratch::create()?;
            self.scratch.get_or_init(|| created)
        };
        Ok(&scratch.0)
    }

    /// Returns whether the engine may not run without what lasts.
    pub(crate) fn is_required(&self) -> bool {
        self.ownership == Ownership::Required
    }

    pub(crate) fn history_path(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(DataDir::history_path)
    }

    /// Says in `health` whether anything lasts that was to last.
    pub(crate) fn report(&self, health: &Health) {
        let condition = self.in_memory_because.clone().map_or(Condition::Ready, Condition::Degraded);
        health.set("storage", condition);
    }
}

/// Writes an error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
