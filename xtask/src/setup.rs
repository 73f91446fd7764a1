//! `cargo xtask setup`: installs what the tests need; quick when it is there.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{steps::run as command, workspace};

/// The Python tools of the tests, pinned.
const TOOLS: &str = "tools/requirements.txt";
/// What the proof against libCacheSim needs, pinned; installed when that proof is run.
const ORACLE: &str = "tools/requirements-oracle.txt";
/// What the proofs over TPC-H need, pinned; installed when one of them is run.
const TPCH: &str = "tools/requirements-tpch.txt";
/// The peers of the benchmarks, pinned; installed when a benchmark wants them.
const PEERS: &str = "crates/veritas-bench/python/requirements.txt";

/// Installs what is missing.
///
/// # Errors
///
/// When something is missing and this user may not install it; the error says
/// what to type.
pub(crate) fn run() -> anyhow::Result<()> {
    let missing = missing_packages(&|candidate| candidate.is_file());
    if !missing.is_empty() {
        install(&missing)?;
    }
    python(TOOLS)?;
    println!("PostgreSQL, Redis and the Python tools are there");
    Ok(())
}

/// Installs the peers of the benchmarks.
pub(crate) fn peers() -> anyhow::Result<()> {
    python(PEERS)
}

/// Installs libCacheSim, for the proof against it.
pub(crate) fn oracle() -> anyhow::Result<()> {
    python(ORACLE)
}

/// Installs the generator of TPC-H, for the proofs over it.
pub(crate) fn tpch() -> anyhow::Result<()> {
    python(TPCH)
}

/// Returns the Debian packages that are needed and not there.
fn missing_packages(is_file: &dyn Fn(&Path) -> bool) -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Debian keeps each version of the server off PATH.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    let there = |program: &str| folders.iter().any(|folder| is_file(&folder.join(program)));
    let mut packages = Vec::new();
    if !["initdb", "postgres", "psql"].into_iter().all(there) {
        packages.push("postgresql");
    }
    if !["redis-server", "redis-cli"].into_iter().all(there) {
        packages.push("redis-server");
    }
    if !there("python3") || !can_make_environments() {
        packages.push("python3-venv");
    }
    packages
}

fn can_make_environments() -> bool {
    let made = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    made.is_ok_and(|output| output.status.success())
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let typed = format!("apt-get update && apt-get install --yes {}", packages.join(" "));
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        bail!("these are missing: {}\nhint: as root on Debian, run: {typed}", packages.join(", "));
    }
    println!("{typed}");
    command(Command::new("apt-get").args(["update", "--quiet"]))?;
    command(
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Installs pinned Python packages into the environment of the workspace, unless
/// the same list was installed before.
fn python(list: &str) -> anyhow::Result<()> {
    let environment = workspace::python();
    let stamp = environment.join(stamp_of(list));
    let list = workspace::root().join(list);
    let wanted = fs::read_to_string(&list).with_context(|| format!("failed to read {}", list.display()))?;
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !environment.join("bin/pip").exists() {
        command(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let pip = environment.join("bin/pip");
    command(
        Command::new(pip)
            .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&list),
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("failed to write {}", stamp.display()))
}

/// Returns the file that notes what was installed of a list.
fn stamp_of(list: &str) -> String {
    let name = match list {
        TOOLS => "tools",
        ORACLE => "oracle",
        TPCH => "tpch",
        _ => "peers",
    };
    format!("installed-{name}.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_has_a_stamp_of_its_own() {
        let stamps = [TOOLS, ORACLE, TPCH, PEERS].map(stamp_of);
        let expected =
            ["installed-tools.txt", "installed-oracle.txt", "installed-tpch.txt", "installed-peers.txt"];
        assert_eq!(stamps, expected);
        let there = |list: &&str| workspace::root().join(list).is_file();
        assert!([TOOLS, ORACLE, TPCH, PEERS].iter().all(there));
    }

    #[test]
    fn what_is_not_on_any_path_is_missing() {
        let missing = missing_packages(&|_| false);
        assert_eq!(missing, ["postgresql", "redis-server", "python3-venv"]);
    }

    #[test]
    fn what_is_there_is_not_installed_again() {
        let missing = missing_packages(&|_| true);
        assert!(!missing.contains(&"postgresql") && !missing.contains(&"redis-server"));
    }
}
