//! Data directories that are made once per machine and copied for each server.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    account::Account,
    server::{base_directory, output_of},
};

/// Returns the data directory `name`, which belongs to `account`. `make` makes it at the path that it
/// is given, when there is none yet; the name must tell everything that the content depends on.
pub(crate) fn directory(name: &str, account: Account, make: impl FnOnce(&Path)) -> PathBuf {
    let base = must("create the folder of all runs", base_directory());
    let folder = base.join(format!("{name}-{}", account.uid));
    let finished = folder.join("data");

    // Other test processes may want it at the same time: one makes it, the others wait.
    let lock = must("open the lock", fs::File::create(base.join("cluster.lock")));
    must("lock the template", lock.lock());
    if finished.exists() {
        return finished;
    }
    fs::remove_dir_all(&folder).ok();
    must("create the template's folder", fs::DirBuilder::new().mode(0o755).create(&folder));
    must("give it away", std::os::unix::fs::chown(&folder, Some(account.uid), Some(account.gid)));
    let unfinished = folder.join("unfinished");
    make(&unfinished);
    must("finish the template", fs::rename(&unfinished, &finished));
    finished
}

/// Copies a data directory, sharing its blocks where the file system can.
pub(crate) fn copy(template: &Path, to: &Path, account: Account) {
    output_of(account.run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(to)));
}

#[track_caller]
pub(crate) fn must<T>(step: &str, result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("failed to {step}: {error}"))
}
