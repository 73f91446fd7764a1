//! The commands of the guides, run as they stand.
//!
//! The blocks of a page of `docs/guides` that are marked `sh` are one script: they
//! run in order, in an empty folder, with the built `veritas` first on PATH.
//! A block marked `sh no-run` is for reading only (it needs another machine).

use std::{fs, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, bail};

use crate::workspace;

/// The most that one guide may take, in seconds.
const LIMIT: &str = "300";

/// Runs every guide.
pub(crate) fn run() -> anyhow::Result<()> {
    let folder = workspace::root().join("docs/guides");
    let mut pages: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("failed to list {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    let mut failed = Vec::new();
    for page in &pages {
        let script = script(&fs::read_to_string(page)?);
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name}: {} lines", script.lines().count());
        if let Err(error) = run_script(&script) {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("the commands of {} fail", failed.join(", ")) }
}

/// Joins the blocks of a page that are marked `sh`.
fn script(page: &str) -> String {
    let mut script = String::new();
    let mut inside = None;
    for line in page.lines() {
        match (inside, line.trim_start().strip_prefix("```")) {
            (None, Some(mark)) => inside = Some(mark.trim() == "sh"),
            (Some(_), Some(_)) => inside = None,
            (Some(true), None) => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

fn run_script(script: &str) -> anyhow::Result<()> {
    if script.is_empty() {
        return Ok(());
    }
    let folder = workspace::target().join(format!("xtask/guide-{}", std::process::id()));
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let with_ours = std::iter::once(workspace::target().join("debug")).chain(std::env::split_paths(&path));
    let status = Command::new("timeout")
        // What a guide starts in the background ends with it.
        .args(["--kill-after=5", LIMIT, "bash", "-euo", "pipefail", "-c"])
        .arg(format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\nset -x\n{script}"))
        .current_dir(&folder)
        .env("PATH", std::env::join_paths(with_ours)?)
        .env("HOME", &folder)
        .process_group(0)
        .status()
        .context("failed to run bash");
    remove(&folder);
    let status = status?;
    if status.success() { Ok(()) } else { bail!("{status}") }
}

fn remove(folder: &Path) {
    fs::remove_dir_all(folder).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let page = "# A guide\n```sh\nveritas --version\n```\ntext\n```text\nnot this\n```\n```sh no-run\nnor this\n```\n  ```sh\n  echo two\n  ```\n";
        assert_eq!(script(page), "veritas --version\n  echo two\n");
    }

    #[test]
    fn a_failing_command_fails_the_guide() {
        assert!(run_script("true\n").is_ok());
        assert!(run_script("false\ntrue\n").is_err());
    }
}
