//! The data directory: one directory, one owning engine.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// The directory does not exist and could not be created.
    #[error("failed to create the data directory {path:?}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file where the directory should be.
    #[error("{path:?} is not a directory")]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// Another engine owns the directory.
    #[error("the data directory {path:?} is in use by {}", holder(*.by))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that owns it, when it could write that down.
        by: Option<u32>,
    },
    /// Nothing can be written in the directory.
    #[error("the data directory {path:?} cannot be written")]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk of the directory is full.
    #[error("the disk of the data directory {path:?} is full")]
    Full {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory was laid out by another release in a way unknown to this one.
    #[error("the data directory {path:?} has the format {found:?}, this release knows {supported:?}")]
    UnknownFormat {
        /// The directory, left as it is.
        path: PathBuf,
        /// What its format file says (its first 64 bytes).
        found: String,
        /// What this release writes there.
        supported: &'static str,
    },
    /// A file of the directory could not be read or written.
    #[error("failed to {step} {path:?}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDirError {
    /// Returns what an operator can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create it, or choose another one with --data-dir",
            Self::NotADirectory { .. } => "choose a directory with --data-dir",
            Self::Locked { .. } => "stop the other process, or choose another directory with --data-dir",
            Self::NotWritable { .. } => {
                "give the directory to this user, or choose another one with --data-dir"
            }
            Self::Full { .. } => "free space on that disk, or choose another directory with --data-dir",
            Self::UnknownFormat { .. } => {
                "use the release that wrote it, or choose another directory with --data-dir"
            }
            Self::Io { .. } => "check the permissions of the file and the state of the disk",
        }
    }

    fn of_write(directory: &Path, step: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path: directory.to_owned(), source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path: directory.to_owned(), source }
            }
            _ => Self::Io { step, path: path.to_owned(), source },
        }
    }
}

fn holder(by: Option<u32>) -> String {
    by.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// A data directory that this process owns until the value is dropped.
///
/// ```
/// # let parent = tempfile::tempdir()?;
/// use veritas_store::{DataDir, DataDirError};
///
/// let path = parent.path().join("data");
/// let directory = DataDir::open(&path)?;
/// assert!(directory.control_path().starts_with(&path));
/// let second = DataDir::open(&path).unwrap_err();
/// assert!(matches!(second, DataDirError::Locked { by: Some(pid), .. } if pid == std::process::id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Held, not read: the lock ends with the file, also when the process is killed.
    _lock: File,
}

impl DataDir {
    /// The content of the format file.
    const FORMAT: &'static str = "veritas-data 1\n";

    /// Takes ownership of a directory, creating it (mode 0700, parents too)
    /// when it does not exist. An existing directory keeps its mode.
    ///
    /// # Errors
    ///
    /// See [`DataDirError`]; each has a [`DataDirError::hint`]. Nothing is
    /// written in a directory of an unknown format.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        if !path.is_dir() {
            if path.exists() {
                return Err(DataDirError::NotADirectory { path });
            }
            Self::create(&path).map_err(|source| DataDirError::Create { path: path.clone(), source })?;
        }
        let is_known = Self::check_format(&path)?;
        let lock = Self::lock(&path)?;
        if !is_known {
            Self::write_format(&path)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file of the control plane.
    pub fn control_path(&self) -> PathBuf {
        self.path.join("control.sqlite")
    }

    /// Returns the directory of the history.
    pub fn history_path(&self) -> PathBuf {
        self.path.join("history")
    }

    /// Returns the directory of the keys.
    pub fn keys_path(&self) -> PathBuf {
        Self::keys_path_in(&self.path)
    }

    /// Returns the file that holds the address of the running server.
    pub fn address_path(&self) -> PathBuf {
        Self::address_path_in(&self.path)
    }

    /// Returns the file that holds the address of the server that owns a data
    /// directory; reading it needs no lock.
    pub fn address_path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("address")
    }

    /// Returns the directory of the keys in a data directory that is not owned
    /// by this process: reading a key needs no lock.
    pub fn keys_path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("keys")
    }

    /// Creates the directory and what is missing above it, and makes the new
    /// entries durable: a power cut must not take acknowledged records with
    /// the directory that they are in.
    fn create(path: &Path) -> io::Result<()> {
        let missing = path.ancestors().take_while(|ancestor| !ancestor.exists()).count();
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        for parent in path.ancestors().skip(1).take(missing) {
            // The parent of a relative path of one name is the working directory.
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    /// Returns whether the directory says its format, and that it is ours.
    fn check_format(directory: &Path) -> Result<bool, DataDirError> {
        let path = directory.join("format");
        let mut found = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(64).read_to_end(&mut found));
        match read {
            Ok(_) if found == Self::FORMAT.as_bytes() => Ok(true),
            Ok(_) => Err(DataDirError::UnknownFormat {
                path: directory.to_owned(),
                found: String::from_utf8_lossy(&found).trim_end().to_owned(),
                supported: Self::FORMAT.trim_ascii_end(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(DataDirError::Io { step: "read", path, source }),
        }
    }

    /// Writes the format file beside its place and moves it there: it is never half written.
    fn write_format(directory: &Path) -> Result<(), DataDirError> {
        let path = directory.join("format");
        let beside = directory.join("format.tmp");
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(Self::FORMAT.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|error| DataDirError::of_write(directory, "write", &path, error))
    }

    fn lock(directory: &Path) -> Result<File, DataDirError> {
        let path = directory.join("lock");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options
            .open(&path)
            .map_err(|error| DataDirError::of_write(directory, "open the lock file", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let by = match file.take(32).read_to_string(&mut holder) {
                    Ok(_) => holder.trim().parse().ok(),
                    Err(_) => None,
                };
                return Err(DataDirError::Locked { path: directory.to_owned(), by });
            }
            Err(TryLockError::Error(source)) => {
                return Err(DataDirError::Io { step: "lock", path, source });
            }
        }
        let pid = format!("{}\n", std::process::id());
        let written = file.set_len(0).and_then(|()| file.write_all(pid.as_bytes()));
        if let Err(error) = written {
            // The lock holds without it; only the message to a second engine suffers.
            tracing::warn!(path = %path.display(), %error, "failed to note the owner of the data directory");
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_directory_is_private_and_opens_again() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        drop(DataDir::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(path.join("format")).unwrap(), DataDir::FORMAT);
        drop(DataDir::open(&path).unwrap());
    }

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path()).unwrap();
        let error = DataDir::open(directory.path()).unwrap_err();
        let pid = std::process::id();
        assert_eq!(
            error.to_string(),
            format!("the data directory {:?} is in use by process {pid}", directory.path())
        );
        assert!(error.hint().contains("--data-dir"));
        drop(first);
        drop(DataDir::open(directory.path()).unwrap());
    }

    #[test]
    fn a_directory_of_another_release_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("format"), "veritas-data 7\n").unwrap();
        let error = DataDir::open(directory.path()).unwrap_err();
        assert!(matches!(&error, DataDirError::UnknownFormat { found, .. } if found == "veritas-data 7"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(DataDir::open(file.path()), Err(DataDirError::NotADirectory { .. })));
        let below = file.path().join("below");
        assert!(matches!(DataDir::open(below), Err(DataDirError::Create { .. })));
    }
}
