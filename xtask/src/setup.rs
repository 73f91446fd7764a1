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
    packages()?;
    python(TOOLS)?;
    println!("PostgreSQL with hypopg, MariaDB, Redis and the Python tools are there");
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

/// Where Debian keeps the versions of PostgreSQL, each in a folder of its own, off PATH.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Installs what is missing, and afterwards what only then is known to be: the version
/// of an extension is that of the server.
fn packages() -> anyhow::Result<()> {
    let there = |candidate: &Path| candidate.is_file();
    for _ in 0..2 {
        let missing = missing_packages(newest_version(Path::new(VERSIONS)), &there);
        if missing.is_empty() {
            return Ok(());
        }
        install(&missing)?;
    }
    Ok(())
}

/// Returns the newest version of PostgreSQL in `folder`, which the tests will use.
fn newest_version(folder: &Path) -> Option<u32> {
    let versions = fs::read_dir(folder).into_iter().flatten().flatten();
    let with_server = versions.filter(|version| version.path().join("bin/postgres").is_file());
    with_server.filter_map(|version| version.file_name().to_str()?.parse().ok()).max()
}

/// Returns the Debian packages that are needed and not there, beside `version` of PostgreSQL.
fn missing_packages(version: Option<u32>, is_file: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Servers are not for everybody's PATH.
    folders.push("/usr/sbin".into());
    let of_postgres = version.map(|version| Path::new(VERSIONS).join(version.to_string()));
    folders.extend(of_postgres.iter().map(|folder| folder.join("bin")));
    let there = |program: &str| folders.iter().any(|folder| is_file(&folder.join(program)));
    let mut packages: Vec<String> = Vec::new();
    if !["initdb", "postgres", "psql"].into_iter().all(there) {
        packages.push("postgresql".into());
    }
    if let (Some(version), Some(folder)) = (version, of_postgres) {
        let has = |library: &str| is_file(&folder.join("lib").join(library));
        if !has("pg_stat_statements.so") {
            packages.push("postgresql-contrib".into());
        }
        // HypoPG is built for one version each.
        if !has("hypopg.so") {
            packages.push(format!("postgresql-{version}-hypopg"));
        }
    }
    if !["mariadbd", "mariadb-install-db", "mariadb"].into_iter().all(there) {
        packages.push("mariadb-server".into());
    }
    if !["redis-server", "redis-cli"].into_iter().all(there) {
        packages.push("redis-server".into());
    }
    // The yardstick of index advice for SQLite: `.expert` of its command line.
    if !there("sqlite3") {
        packages.push("sqlite3".into());
    }
    if !there("openssl") {
        packages.push("openssl".into());
    }
    if !there("python3") || !can_make_environments() {
        packages.push("python3-venv".into());
    }
    packages
}

fn can_make_environments() -> bool {
    let made = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    made.is_ok_and(|output| output.status.success())
}

fn install(packages: &[String]) -> anyhow::Result<()> {
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
        let missing = missing_packages(None, &|_| false);
        assert_eq!(
            missing,
            ["postgresql", "mariadb-server", "redis-server", "sqlite3", "openssl", "python3-venv"]
        );
    }

    #[test]
    fn what_is_there_is_not_installed_again() {
        let missing = missing_packages(Some(15), &|_| true);
        assert!(missing.is_empty() || missing == ["python3-venv"], "{missing:?}");
    }

    #[test]
    fn an_extension_is_of_the_servers_version() {
        let missing = missing_packages(Some(17), &|path| path.extension().is_none_or(|kind| kind != "so"));
        assert_eq!(missing[..2], ["postgresql-contrib", "postgresql-17-hypopg"]);
        let other = |path: &Path| !path.starts_with("/usr/lib/postgresql/17/lib");
        assert!(missing_packages(Some(17), &other).contains(&"postgresql-17-hypopg".to_owned()));
    }

    #[test]
    fn the_newest_version_with_a_server_counts() {
        let folder = std::env::temp_dir().join(format!("veritas-setup-{}", std::process::id()));
        for (version, server) in [("9", true), ("15", true), ("17", false), ("common", true)] {
            let programs = folder.join(version).join("bin");
            fs::create_dir_all(&programs).unwrap();
            if server {
                fs::write(programs.join("postgres"), "").unwrap();
            }
        }
        let newest = newest_version(&folder);
        fs::remove_dir_all(&folder).ok();
        assert_eq!(newest, Some(15));
        assert_eq!(newest_version(Path::new("/nowhere")), None);
    }
}
