//! `veritas db grants`: the least that a role needs, as SQL.

use std::fmt::Write as _;

use serde_json::json;
use veritas::postgres::grants::{self, Level};

use crate::{
    arguments::{GrantLevel, GrantsArguments},
    failure::Failure,
    reference::print,
};

/// Runs `veritas db grants`.
pub(crate) fn run(arguments: &GrantsArguments) -> Result<(), Failure> {
    let level = match arguments.level {
        GrantLevel::Observe => Level::Observe,
        GrantLevel::Prove => Level::Prove,
        GrantLevel::Apply => Level::Apply,
    };
    let version = arguments.server_version * 10_000;
    let grants = grants::statements(&arguments.role, &arguments.database, level, version);
    if arguments.json {
        let all: Vec<_> = grants.iter().map(|grant| json!({ "sql": grant.sql, "why": grant.why })).collect();
        return print(format!("{}\n", serde_json::to_string_pretty(&all)?).as_bytes());
    }
    let mut text = String::new();
    for grant in &grants {
        for line in grant.why.lines() {
            writeln!(text, "-- {line}")?;
        }
        writeln!(text, "{}\n", grant.sql)?;
    }
    print(text.trim_end().as_bytes())?;
    print(b"\n")
}
