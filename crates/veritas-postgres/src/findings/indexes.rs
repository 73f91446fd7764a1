//! Indexes that cost and do not serve.

use std::time::Duration;

use veritas_database::server::{IndexReading, ServerReading};
use veritas_model::{Cause, Finding, FindingKind, Impact, Unit};

use super::{Verdict, figure, on_server};

/// Smaller indexes are not worth a finding of disuse.
const LEAST_UNUSED: u64 = 1024 * 1024;
/// Smaller indexes cannot be bloated by much.
const LEAST_BLOATED: u64 = 10 * 1024 * 1024;
/// B-trees that are written take up to half more than fresh ones.
const BLOATED: u64 = 2;
/// An index so much larger does not replace one that is read often.
const TOO_WIDE: u64 = 4;

pub(super) fn findings(
    reading: &ServerReading,
    before: Option<&ServerReading>,
    disuse: Duration,
) -> Vec<Finding> {
    let Ok(indexes) = &reading.indexes else { return Vec::new() };
    let mut found = Vec::new();
    for index in indexes {
        let redundant = || indexes.iter().find_map(|other| covered(index, other).map(|kind| (kind, other)));
        let verdict = if !index.valid {
            Some((
                FindingKind::InvalidIndex,
                "is not valid: it is written and never read".to_owned(),
                format!("Drop {} (DROP INDEX CONCURRENTLY) and make it again", index.name),
            ))
        } else if let Some((kind, other)) = redundant() {
            let word = if kind == FindingKind::DuplicateIndex { "is the same as" } else { "is covered by" };
            Some((
                kind,
                format!("{word} {}", other.name),
                format!("Drop {}: {} serves whatever it serves", index.name, other.name),
            ))
        } else if is_unused(reading, before, index, disuse) {
            Some((
                FindingKind::UnusedIndex,
                "was never read, and every write pays for it".to_owned(),
                format!("Drop {} once it is known that no rare report and no replica reads it", index.name),
            ))
        } else if is_bloated(index) {
            Some((
                FindingKind::IndexBloat,
                "is much larger than what it holds".to_owned(),
                format!("Rebuild {} (REINDEX INDEX CONCURRENTLY)", index.name),
            ))
        } else {
            None
        };
        found.extend(verdict.map(|verdict| finding(reading, index, verdict)));
    }
    found
}

fn finding(reading: &ServerReading, index: &IndexReading, verdict: (FindingKind, String, String)) -> Finding {
    let (kind, detail, recommendation) = verdict;
    let mut evidence = vec![figure(reading, "index_bytes", index.size.get(), Unit::Bytes)];
    evidence.extend(index.scans.map(|scans| figure(reading, "index_scans", scans, Unit::Count)));
    evidence.extend(
        index.expected_size.map(|size| figure(reading, "expected_index_bytes", size.get(), Unit::Bytes)),
    );
    let cause = Cause::Index {
        table: index.table.clone(),
        index: index.name.clone(),
        detail,
        bytes: Some(index.size.get()),
    };
    let part = format!("index {}.{}", index.schema, index.name);
    on_server(reading, Some(part), Impact::Low, Verdict { kind, cause, recommendation, evidence })
}

/// What forbids dropping an index even if another is like it: all but a foreign key,
/// which the other then supports.
fn is_kept(index: &IndexReading) -> bool {
    let supports_key =
        index.protected.as_deref().is_some_and(|reason| reason.starts_with("supports the foreign key"));
    index.constraint.is_some() || index.protected.is_some() && !supports_key
}

/// Whether `other` serves whatever `index` serves, so that `index` may go.
fn covered(index: &IndexReading, other: &IndexReading) -> Option<FindingKind> {
    let is_pair = index.schema == other.schema
        && index.table == other.table
        && index.name != other.name
        && index.method == other.method
        && index.predicate == other.predicate
        && index.valid
        && other.valid;
    if !is_pair {
        return None;
    }
    if index.keys == other.keys && sorted(&index.include) == sorted(&other.include) {
        // Of two that are the same, the one goes that guarantees less; of equals, the later name.
        let ranks = |index: &IndexReading| (is_kept(index), index.unique);
        let goes = match (ranks(index), ranks(other)) {
            ((true, _), _) | ((false, true), (_, false)) => false,
            (own, others) if own == others => {
                index.unique == other.unique
                    && (index.name.len(), &index.name) > (other.name.len(), &other.name)
            }
            _ => true,
        };
        return goes.then_some(FindingKind::DuplicateIndex);
    }
    let is_prefix = index.method == "btree"
        && !index.unique
        && !is_kept(index)
        && index.keys.len() <= other.keys.len()
        && other.keys[..index.keys.len()] == index.keys[..]
        && index.include.iter().all(|column| other.include.contains(column) || other.keys.contains(column))
        && (index.keys.len() < other.keys.len() || index.include.len() < other.include.len())
        && other.size.get() <= index.size.get().saturating_mul(TOO_WIDE).max(LEAST_UNUSED);
    is_prefix.then_some(FindingKind::RedundantIndex)
}

fn sorted(columns: &[String]) -> Vec<&String> {
    let mut columns: Vec<&String> = columns.iter().collect();
    columns.sort();
    columns
}

fn is_unused(
    reading: &ServerReading,
    before: Option<&ServerReading>,
    index: &IndexReading,
    disuse: Duration,
) -> bool {
    let has_replicas = reading.replication.as_ref().is_ok_and(|replication| !replication.replicas.is_empty());
    let was_read = before.and_then(|before| before.indexes.as_ref().ok()).is_some_and(|indexes| {
        indexes.iter().any(|other| {
            other.schema == index.schema && other.name == index.name && other.scans.unwrap_or(0) > 0
        })
    });
    let is_written = reading.tables.as_ref().is_ok_and(|tables| {
        tables.iter().any(|table| {
            table.schema == index.schema
                && table.name == index.table
                && table.inserted + table.updated + table.deleted > 0
        })
    });
    index.scans == Some(0)
        && index.scanned_at.is_none()
        && !was_read
        && is_written
        && !has_replicas
        && !reading.is_replica
        && reading.uptime.is_some_and(|uptime| uptime >= disuse)
        && index.size.get() >= LEAST_UNUSED
        && !index.unique
        && index.constraint.is_none()
        && index.protected.is_none()
}

fn is_bloated(index: &IndexReading) -> bool {
    index.expected_size.is_some_and(|expected| {
        index.size.get() >= LEAST_BLOATED && index.size.get() >= expected.get().saturating_mul(BLOATED)
    })
}
