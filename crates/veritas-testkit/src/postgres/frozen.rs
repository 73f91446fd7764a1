//! A server that hangs: its processes are stopped, its sockets stay open.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{orphan, wait_for};

/// How long stopping may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that hangs until this is dropped: connections are accepted by the kernel,
/// and nobody answers, on them nor on those that there are.
#[derive(Debug)]
pub struct Frozen {
    /// Lets the server go on when the pipe to it is closed, by us or by our death.
    keeper: Child,
}

impl Frozen {
    /// Stops the postmaster and all of its children.
    pub(super) fn of(postmaster: u32) -> Self {
        stop(&[postmaster]);
        // Nobody forks and nobody is reaped now, so these numbers stay theirs.
        let children = children(postmaster);
        stop(&children);
        let mut everyone: Vec<String> = children.iter().map(u32::to_string).collect();
        everyone.push(postmaster.to_string());
        let mut command = Command::new("sh");
        command
            .args(["-c", "cat > /dev/null; kill -CONT \"$@\"", "keeper"])
            .args(everyone)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let keeper = command.spawn();
        Self { keeper: keeper.unwrap_or_else(|error| panic!("failed to run sh: {error}")) }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

fn stop(processes: &[u32]) {
    for process in processes {
        orphan::stop(*process);
    }
    for process in processes {
        // Gone is as good as stopped.
        wait_for(PATIENCE, || state(*process).is_none_or(|state| "TtZX".contains(state)));
    }
}

/// Returns the state of a process: the first letter after its name in `/proc/PID/stat`.
fn state(process: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn children(parent: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
