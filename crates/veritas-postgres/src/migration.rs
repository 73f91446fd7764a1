//! A change of indexes as a migration: text for people to put into their own project.
//!
//! The forms are plain SQL, sqlx, Alembic and Django. Every form creates and drops the
//! index `CONCURRENTLY`, hence outside of a transaction. Nothing here is run by us.

mod definition;
mod python;

use veritas_model::{Plan, Timestamp};

use definition::Definition;

/// The tool that a migration is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Two files of SQL.
    Sql,
    /// sqlx: reversible migrations, two files.
    Sqlx,
    /// Alembic: one file.
    Alembic,
    /// Django: one file.
    Django,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Sql, Self::Sqlx, Self::Alembic, Self::Django];

    /// Returns the word used on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Sqlx => "sqlx",
            Self::Alembic => "alembic",
            Self::Django => "django",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == word)
    }
}

/// One file of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFile {
    /// Its name, without a folder.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Why a change has no migration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// Neither the change nor its inverse creates an index.
    #[error("failed to write a migration: the change neither creates nor drops an index")]
    NoIndex,
    /// The definition of the index does not parse.
    #[error("failed to write a migration: the definition of the index does not parse")]
    Unparsed,
}

/// Writes the change `plan` as a migration; `at` numbers its files where the tool wants that.
///
/// What a tool cannot say by its own operations (expressions, operator classes, other
/// methods than B-tree) is written as SQL inside of its file.
///
/// # Errors
///
/// [`MigrationError`] for a change that is none of indexes.
pub fn write(plan: &Plan, form: Form, at: Timestamp) -> Result<Vec<MigrationFile>, MigrationError> {
    let creates = definition::creates_index(&plan.forward);
    if !creates && !definition::creates_index(&plan.inverse) {
        return Err(MigrationError::NoIndex);
    }
    let index = Definition::parse(if creates { &plan.forward } else { &plan.inverse })?;
    let change = Change { forward: &plan.forward, inverse: &plan.inverse, creates, index: &index };
    Ok(match form {
        Form::Sql => sql(&change),
        Form::Sqlx => sqlx(&change, at),
        Form::Alembic => vec![python::alembic(&change)],
        Form::Django => vec![python::django(&change)],
    })
}

/// A change, taken apart.
struct Change<'a> {
    forward: &'a str,
    inverse: &'a str,
    creates: bool,
    index: &'a Definition,
}

impl Change<'_> {
    /// Returns `add_INDEX` or `drop_INDEX`, made of letters that every file system takes.
    fn slug(&self) -> String {
        let verb = if self.creates { "add" } else { "drop" };
        let name: String = self.index.name.chars().map(plain).take(80).collect();
        format!("{verb}_{name}")
    }

    /// Returns what the change does, on one line.
    fn summary(&self) -> String {
        let verb = if self.creates { "creates" } else { "drops" };
        // A quoted name may hold a line break, which would end a comment.
        let said = format!("{verb} the index {} of {}", self.index.name, self.index.table);
        said.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
    }
}

fn plain(letter: char) -> char {
    if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }
}

const OUTSIDE: &str = "-- Outside of a transaction: CONCURRENTLY refuses one. Broken off, it leaves an invalid \
                       index; drop that, and run it again.";

fn sql(change: &Change<'_>) -> Vec<MigrationFile> {
    let file = |suffix: &str, statement: &str| MigrationFile {
        name: format!("{}.{suffix}.sql", change.slug()),
        text: format!("-- {}\n{OUTSIDE}\n{};\n", change.summary(), bare(statement)),
    };
    vec![file("up", change.forward), file("down", change.inverse)]
}

/// sqlx runs a file outside of a transaction when it begins with `-- no-transaction`
/// (`sqlx::migrate::Migration::no_tx`).
fn sqlx(change: &Change<'_>, at: Timestamp) -> Vec<MigrationFile> {
    let version = version(at);
    let file = |suffix: &str, statement: &str| MigrationFile {
        name: format!("{version}_{}.{suffix}.sql", change.slug()),
        text: format!("-- no-transaction\n-- {}\n{};\n", change.summary(), bare(statement)),
    };
    vec![file("up", change.forward), file("down", change.inverse)]
}

fn bare(statement: &str) -> &str {
    statement.trim().trim_end_matches(';').trim_end()
}

/// Writes a time as `YYYYMMDDhhmmss` in UTC, after "chrono-compatible low-level date
/// algorithms" (Howard Hinnant).
fn version(at: Timestamp) -> String {
    let seconds = at.nanos().div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468; // days since 1 March of the year 0
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_time_in_utc() {
        #[track_caller]
        fn check(seconds: i64, expected: &str) {
            assert_eq!(version(Timestamp::from_nanos(seconds * 1_000_000_000)), expected);
        }
        check(0, "19700101000000");
        check(951_827_696, "20000229123456");
        check(1_795_474_721, "20261123225841");
        check(-1, "19691231235959");
    }
}
