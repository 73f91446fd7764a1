//! The command line of what talks to databases: `explain` and `db`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Places;

/// Where a `PostgreSQL` database is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PostgresPlace {
    /// The database, as `postgresql://USER@HOST:PORT/DATABASE`, without a password [default: the setting `targets.postgres`].
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// The file that holds the password [default: the setting `targets.postgres_password_file`].
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// `veritas explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The statement, `-` to read it from stdin. It may have `$1`, `$2` … where values belong.
    pub(crate) statement: String,
    /// A value for `$1`, the next for `$2` …; without values the plan is the one for all values.
    #[arg(long = "value", value_name = "VALUE")]
    pub(crate) values: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// A `MariaDB` or `MySQL` database instead, as `mysql://USER@HOST:PORT/DATABASE`; its parameters are `?`.
    #[arg(long, value_name = "URL", conflicts_with = "postgres")]
    pub(crate) mysql: Option<String>,
    #[command(flatten)]
    pub(crate) place: PostgresPlace,
}

/// `veritas db`.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Print which indexes a workload should have within a budget, and what each would bring.
    #[command(
        after_help = "Examples:\n  veritas db advise --postgres postgresql://me@db/shop --budget 250MB\n  veritas db advise --workload queries.sql --budget 1GB --json\n  veritas db advise --migration alembic > migration.py\n\nWithout --workload the statements come from pg_stat_statements. A workload file has a statement after the other, each ended by a semicolon; a comment `-- calls: 500` before one says how often it runs. Nothing is changed: the plans are asked for with indexes that do not exist. Ctrl-C ends the search and prints the best found so far."
    )]
    Advise(DatabaseAdviseArguments),
    /// Print the SQL that gives a role what Veritas needs, and no more.
    #[command(
        after_help = "Examples:\n  veritas db grants veritas --database shop\n  veritas db grants veritas --database shop --level prove | psql"
    )]
    Grants(GrantsArguments),
}

/// `veritas db advise`.
#[derive(Debug, Args)]
pub(crate) struct DatabaseAdviseArguments {
    /// A file of statements; by default the server's own statistics are read.
    #[arg(long, value_name = "FILE", conflicts_with = "from_stats")]
    pub(crate) workload: Option<PathBuf>,
    /// Take the statements from `pg_stat_statements`, as it does without --workload.
    #[arg(long)]
    pub(crate) from_stats: bool,
    /// The most that the new indexes may take together (`250MB`, `1GiB`) [default: a fifth of the database].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) budget: Option<u64>,
    /// How long to search (`10s`, `2m`).
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::parse_time)]
    pub(crate) time_limit: std::time::Duration,
    /// Print the changes as a migration instead of a table.
    #[arg(long, value_enum, conflicts_with = "json")]
    pub(crate) migration: Option<MigrationForm>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PostgresPlace,
}

/// The tool that a migration is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MigrationForm {
    /// Plain SQL.
    Sql,
    /// sqlx: reversible migrations.
    Sqlx,
    /// Alembic.
    Alembic,
    /// Django.
    Django,
}

/// `veritas db grants`.
#[derive(Debug, Args)]
pub(crate) struct GrantsArguments {
    /// The role that Veritas logs in as.
    pub(crate) role: String,
    /// The database that it looks at.
    #[arg(long, value_name = "NAME")]
    pub(crate) database: String,
    /// What it is to do.
    #[arg(long, value_enum, default_value_t = GrantLevel::Observe)]
    pub(crate) level: GrantLevel,
    /// The server's major version.
    #[arg(long, value_name = "MAJOR", default_value_t = 15, value_parser = clap::value_parser!(u32).range(13..=99))]
    pub(crate) server_version: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a role is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrantLevel {
    /// Read statistics and plans.
    Observe,
    /// Prove proposals on copies of tables as well.
    Prove,
    /// Create and drop indexes as well.
    Apply,
}

/// Reads `250MB`, `1GiB`, `65536`: decimal and binary units.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 250MB, 1GiB or 65536");
    let digits =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1024.0 * 1024.0,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        "tib" | "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number * unit;
    if !(1.0..=1e15).contains(&bytes) {
        return Err(format!("a budget is from one byte to 1000 TB, not {text}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 1 and 10^15")]
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(parse_size(text).ok(), expected, "{text}");
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        check("250MB", Some(250_000_000));
        check("1.5 GiB", Some(1_610_612_736));
        check("65536", Some(65_536));
        check("8k", Some(8_192));
        for wrong in ["", "MB", "-1MB", "1XB", "0", "1e9", "9999999TB", "1.2.3MB"] {
            check(wrong, None);
        }
    }
}
