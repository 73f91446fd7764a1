//! The ledger against the server's catalogues: nothing may be there that the ledger does not know, and nothing half-done.

use std::{collections::BTreeSet, time::Duration};

use veritas::{
    model::{Change, ChangeState},
    postgres::actuator::PREFIX,
};
use veritas_testkit::Database;

use super::stage::{Failure, wait};

/// Indexes of the tables, and whether they can be used.
const INDEXES: &str = "
SELECT c.relname, i.indisvalid AND i.indisready AND i.indislive FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' ORDER BY 1";
const COPIES: &str = "SELECT count(*) FROM pg_database WHERE datname LIKE 'veritas%'";
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'veritas'";
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
/// How long the server may take to see that sessions ended.
const TO_END: Duration = Duration::from_secs(20);

/// Returns how many databases of ours there are on the server.
pub(crate) fn copies(database: &Database) -> u64 {
    database.psql(COPIES).trim().parse().unwrap_or(u64::MAX)
}

/// Returns what is not as the ledger says, or was left; nobody of ours may be at work.
pub(crate) fn wrong(database: &Database, changes: &[Change]) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    let in_force: BTreeSet<&str> = changes
        .iter()
        .filter(|change| change.state == ChangeState::Kept)
        .map(|change| change.plan.object.as_str())
        .collect();
    for change in changes.iter().filter(|change| !change.state.is_settled()) {
        wrong.push(format!("{} is {}", change.plan.object, change.state.as_str()));
    }
    let told = database.psql(INDEXES);
    let mut there = BTreeSet::new();
    for line in told.lines() {
        let (name, usable) = line.split_once('|').ok_or("psql prints columns")?;
        if usable != "t" {
            wrong.push(format!("{name} cannot be used"));
        }
        if name.starts_with(PREFIX) {
            there.insert(name);
        }
    }
    for name in there.difference(&in_force) {
        wrong.push(format!("{name} is there, and the ledger does not say so"));
    }
    for name in in_force.difference(&there) {
        wrong.push(format!("the ledger says that {name} is kept, and it is not there"));
    }
    // A hypothetical index is in the memory of a session, and goes with it.
    for (what, sql) in [("databases", COPIES), ("sessions", SESSIONS), ("advisory locks", LOCKS)] {
        let gone = wait(what, TO_END, || Ok((database.psql(sql) == "0\n").then_some(())));
        if gone.is_err() {
            wrong.push(format!("{what} of ours are left: {}", database.psql(sql).trim()));
        }
    }
    Ok(wrong)
}
