//! A server of one test run: its private directory, its start, and its certain end.
//!
//! A server ends when its guard is dropped; when the test process dies without
//! dropping anything, the kernel ends it. Directories that a killed test process
//! left behind are removed by the next run.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use veritas_model::{Clock as _, SystemClock};

use crate::{account::Account, orphan, wait_for};

/// How long a server may take to start or to stop on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What to say when a server is not installed.
pub(crate) const SETUP: &str = "run cargo xtask setup";

/// The signal that ends a kind of server at once and leaves nothing behind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// SIGKILL.
    Kill,
    /// SIGQUIT: PostgreSQL's immediate shutdown, which frees its shared memory.
    Quit,
    /// SIGINT: PostgreSQL's fast shutdown, which keeps what was committed.
    Interrupt,
}

/// A directory of one server: `BASE/run-PID-N`.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Creates an empty directory that belongs to `account` and nobody else may enter.
    pub(crate) fn create(account: Account) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = base_directory()?;
        sweep(&base);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("run-{}-{number}", std::process::id()));
        create_empty(&path)?;
        std::os::unix::fs::chown(&path, Some(account.uid), Some(account.gid))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        fs::remove_dir_all(&self.path).ok();
    }
}

/// A running server process. Dropping it ends the process, and removes the directory
/// unless it is kept for a restart.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stop: Stop,
    /// Kept for as long as the process may write to it.
    _directory: Arc<RunDirectory>,
}

impl Server {
    /// Starts `command` as `account`, with its output at the end of `server.log`, and waits until `ready`.
    ///
    /// # Panics
    ///
    /// When it does not start; the panic shows its log.
    pub(crate) fn start(
        mut command: Command,
        account: Account,
        directory: impl Into<Arc<RunDirectory>>,
        stop: Stop,
        ready: impl Fn() -> bool,
    ) -> Self {
        let directory = directory.into();
        let program = command.get_program().to_owned();
        let log = directory.path().join("server.log");
        let (out, err) = match File::options()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|file| Ok((file.try_clone()?, file)))
        {
            Ok(files) => files,
            Err(error) => panic!("failed to create {}: {error}", log.display()),
        };
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(out).stderr(err);
        account.run(&mut command);
        let child = match orphan::spawn_mortal(command, stop) {
            Ok(child) => child,
            Err(error) => panic!("failed to start {}: {error}; {SETUP}", program.display()),
        };
        let mut server = Self { child, stop, _directory: directory };
        let died = wait_for(PATIENCE, || {
            let died = server.child.try_wait().ok().flatten();
            (died.is_some() || ready()).then_some(died)
        });
        if let Some(status) = died {
            let log = fs::read_to_string(&log).unwrap_or_default();
            panic!("{} ended at once with {status}:\n{log}", program.display());
        }
        server
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process by another signal than when it is dropped.
    pub(crate) fn end(mut self, stop: Stop) {
        self.stop = stop;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        orphan::signal(&self.child, self.stop);
        let clock = SystemClock::new();
        let asked_at = clock.monotonic();
        while matches!(self.child.try_wait(), Ok(None)) {
            if clock.monotonic().since(asked_at) > PATIENCE {
                self.child.kill().ok();
                self.child.wait().ok();
                return;
            }
            crate::wait::pause();
        }
    }
}

/// Returns the folder of all runs of this user, creating it first. It is in `/tmp`
/// itself because a socket's path may not be longer than 107 bytes, and everyone
/// may enter it because servers may run as another user than we do.
pub(crate) fn base_directory() -> io::Result<PathBuf> {
    let own = Account::own();
    let path = PathBuf::from(format!("/tmp/veritas-testkit-{}", own.uid));
    match DirBuilder::new().mode(0o755).create(&path) {
        Ok(()) => fs::set_permissions(&path, Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let owner = fs::symlink_metadata(&path)?;
    if !owner.is_dir() || owner.uid() != own.uid {
        return Err(io::Error::other(format!("{} belongs to somebody else", path.display())));
    }
    Ok(path)
}

/// Creates a directory that only its owner may enter. The kernel gives numbers of processes
/// again: what is there was left by one that had ours.
fn create_empty(path: &Path) -> io::Result<()> {
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    DirBuilder::new().mode(0o700).create(path)
}

/// Removes the directories of test processes that are gone.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if process_of(&entry.file_name().to_string_lossy()).is_some_and(is_gone) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Returns the test process that a directory's name tells.
fn process_of(name: &str) -> Option<u32> {
    name.strip_prefix("run-")?.split('-').next()?.parse().ok()
}

fn is_gone(process: u32) -> bool {
    !Path::new("/proc").join(process.to_string()).exists()
}

/// Finds `program` in `more` folders, then in PATH.
pub(crate) fn find_program(program: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).collect::<Vec<_>>();
    more.iter().chain(&in_path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// Runs `command` to its end and returns what it printed.
///
/// # Panics
///
/// When it fails; the panic shows what it said.
#[track_caller]
pub(crate) fn output_of(command: &mut Command) -> String {
    let program = command.get_program().to_owned();
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("{} failed with {}: {said}", program.display(), output.status)
        }
        Err(error) => panic!("failed to run {}: {error}; {SETUP}", program.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_its_process() {
        assert_eq!(process_of("run-123-4"), Some(123));
        assert_eq!(process_of("template-15"), None);
        assert_eq!(process_of("run-x"), None);
    }

    #[test]
    fn directories_of_dead_processes_are_swept_and_others_stay() {
        let base = crate::data_dir();
        let ours = base.path().join(format!("run-{}-0", std::process::id()));
        let dead = base.path().join("run-4294967295-0");
        let other = base.path().join("template");
        for path in [&ours, &dead, &other] {
            fs::create_dir(path).unwrap();
        }
        sweep(base.path());
        assert!(ours.exists() && other.exists() && !dead.exists());
    }

    #[test]
    fn a_directory_goes_with_its_guard() {
        let directory = RunDirectory::create(Account::own()).unwrap();
        let path = directory.path().to_path_buf();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_process_with_our_number_left_is_not_in_the_way() {
        let base = crate::data_dir();
        let path = base.path().join("run-1-0");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("redis.sock"), "").unwrap();
        create_empty(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    #[should_panic(expected = "run cargo xtask setup")]
    fn a_missing_server_names_the_setup_command() {
        let directory = RunDirectory::create(Account::own()).unwrap();
        let command = Command::new("/nowhere/postgres");
        Server::start(command, Account::own(), directory, Stop::Kill, || false);
    }

    #[test]
    #[should_panic(expected = "could not bind")]
    fn a_server_that_ends_at_once_shows_its_log() {
        let directory = RunDirectory::create(Account::own()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo could not bind >&2; exit 3"]);
        Server::start(command, Account::own(), directory, Stop::Kill, || false);
    }
}
