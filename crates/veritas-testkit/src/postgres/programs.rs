//! The programs of one PostgreSQL version, and whether its extensions are there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    account::Account,
    server::{SETUP, find_program, output_of},
    template,
};

use super::{SETTINGS, USER, append};

/// The programs of one PostgreSQL version.
#[derive(Debug)]
pub(super) struct Programs {
    init: PathBuf,
    pub(super) server: PathBuf,
    pub(super) client: PathBuf,
    pub(super) copier: PathBuf,
}

impl Programs {
    /// Finds the newest version: Debian keeps each in a folder of its own, off PATH.
    pub(super) fn find() -> Self {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        let folders: Vec<PathBuf> = versions.into_iter().map(|(_, folder)| folder).collect();
        let find = |program| {
            find_program(program, &folders)
                .unwrap_or_else(|| panic!("PostgreSQL's {program} is not installed; {SETUP}"))
        };
        let server = find("postgres");
        require_statistics(&server);
        Self { init: find("initdb"), server, client: find("psql"), copier: find("pg_basebackup") }
    }

    /// Returns the cluster that servers are copies of, making it when there is none yet.
    pub(super) fn cluster(&self, account: Account) -> PathBuf {
        let version = output_of(Command::new(&self.server).arg("--version"));
        let version: String =
            version.chars().filter(|letter| letter.is_ascii_digit() || *letter == '.').collect();
        // Part of the name is everything that the cluster's content depends on.
        let content = veritas_model::stable_hash(SETTINGS.as_bytes());
        template::directory(&format!("cluster-{version}-{content:016x}"), account, |path| {
            output_of(
                account.run(
                    Command::new(&self.init)
                        .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"])
                        .args(["--wal-segsize=1", "--username", USER, "--pgdata"])
                        .arg(path)
                        .current_dir(path.parent().unwrap_or(path)),
                ),
            );
            append(&path.join("postgresql.conf"), SETTINGS);
        })
    }
}

/// Fails early and clearly where the library that every server loads is not there: the
/// server itself would only say that it cannot access a file.
fn require_statistics(server: &Path) {
    let libraries = server.parent().and_then(Path::parent).map(|version| version.join("lib"));
    let missing = libraries
        .filter(|folder| folder.join("plpgsql.so").exists())
        .is_some_and(|folder| !folder.join("pg_stat_statements.so").exists());
    assert!(!missing, "PostgreSQL's pg_stat_statements is not installed; {SETUP}");
}
