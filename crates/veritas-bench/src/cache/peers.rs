//! The peers in Python, measured by `python/cache_peers.py`.

use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::table::Table;

/// The script, shipped beside this crate.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/cache_peers.py");

/// Runs the script and returns what it printed.
pub(crate) fn run(python: &Path, arguments: &[&str]) -> anyhow::Result<Value> {
    let output = Command::new(python)
        .arg(SCRIPT)
        .args(arguments)
        .output()
        .with_context(|| format!("failed to run {}", python.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the Python peers failed; `cargo xtask bench cache` installs them\n{said}"
    );
    serde_json::from_slice(&output.stdout).context("the Python peers printed something else than JSON")
}

/// Measures a hit of each library that keeps values in the process.
pub(crate) fn hits(python: &Path) -> anyhow::Result<Table> {
    let figures = run(python, &["hits"])?;
    let mut table = Table::new("a hit of a decorated Python function (user_id, section)", "ns");
    let hits = figures["hit_ns"].as_object().context("there are figures of hits")?;
    let mut hits: Vec<(&String, f64)> = hits
        .iter()
        .map(|(name, nanos)| Ok((name, nanos.as_f64().context("a figure is a number")?)))
        .collect::<anyhow::Result<_>>()?;
    // The cheapest first: the call of the function itself, which the others are compared with.
    hits.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    for (name, nanos) in hits {
        table.add(name, vec![nanos]);
    }
    Ok(table)
}
