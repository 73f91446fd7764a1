//! Steps: named, timed, summed up at the end.

use std::{
    ffi::OsStr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// Steps that ran, with their times.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, bool)>,
}

impl Steps {
    /// Runs one step. A failure is remembered, and the next step runs all the same:
    /// one run tells everything that is wrong.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> anyhow::Result<()>) -> bool {
        println!("\n── {name}");
        let started_at = now();
        let outcome = step();
        let elapsed = started_at.elapsed();
        if let Err(error) = &outcome {
            eprintln!("error: {error:#}");
        }
        println!("── {name}: {} in {:.1} s", verdict(outcome.is_ok()), elapsed.as_secs_f64());
        self.done.push((name.to_owned(), elapsed, outcome.is_ok()));
        outcome.is_ok()
    }

    /// Prints every step with its time and result.
    ///
    /// # Errors
    ///
    /// When a step failed.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        println!();
        for (name, elapsed, passed) in &self.done {
            println!("  {:6} {:>7.1} s  {name}", verdict(*passed), elapsed.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, elapsed, _)| *elapsed).sum();
        println!("         {:>7.1} s  in all\n", total.as_secs_f64());
        let failed: Vec<&str> =
            self.done.iter().filter(|(_, _, passed)| !passed).map(|(name, _, _)| name.as_str()).collect();
        if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
    }
}

const fn verdict(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

#[expect(clippy::disallowed_methods, reason = "chores take as long as they take")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs a command to its end, its output passed on.
///
/// # Errors
///
/// When it cannot be started or fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("failed to run {shown}"))?;
    if status.success() { Ok(()) } else { bail!("{shown}: {status}") }
}

/// Runs a command to its end and returns what it printed on stdout.
///
/// # Errors
///
/// When it cannot be started or fails; the error shows its stderr.
pub(crate) fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("failed to run {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} printed something that is not UTF-8"))
}

/// Starts a `cargo` command in the workspace.
pub(crate) fn cargo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(crate::workspace::root());
    command
}

/// Returns a command as one would type it.
fn shown(command: &Command) -> String {
    // The name of a program is enough: where it was found differs from machine to machine.
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_does_not_stop_the_next_and_fails_the_whole() {
        let mut steps = Steps::default();
        assert!(!steps.run("first", || bail!("broken")));
        assert!(steps.run("second", || Ok(())));
        assert_eq!(steps.finish().unwrap_err().to_string(), "failed: first");
    }

    #[test]
    fn a_failing_command_shows_what_it_said() {
        let error = output_of(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("exit status: 3\nbroken"), "{error}");
    }
}
