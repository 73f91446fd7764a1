//! Settings that are surely wrong, and replication that falls behind.

use std::time::Duration;

use veritas_database::server::ServerReading;
use veritas_model::{Bytes, Finding, FindingKind, Impact, Observation, Unit};

use super::{Verdict, condition, figure, on_server};

/// Settings, the value that no server with data of worth should have, and what follows.
const WRONG: [(&str, &str, &str); 11] = [
    ("fsync", "off", "a crash of the machine destroys the database"),
    ("full_page_writes", "off", "a crash of the machine can tear pages"),
    ("autovacuum", "off", "dead rows and old transaction ids pile up"),
    ("track_counts", "off", "autovacuum does not know where to work"),
    ("zero_damaged_pages", "on", "damaged pages are emptied silently"),
    ("ignore_checksum_failure", "on", "damaged pages are read as if they were whole"),
    ("enable_seqscan", "off", "every plan is chosen by a handicap"),
    ("enable_indexscan", "off", "indexes are not read in order"),
    ("enable_hashjoin", "off", "large joins are made by slower ways"),
    ("enable_mergejoin", "off", "large joins are made by slower ways"),
    ("enable_nestloop", "off", "look-ups by key are made by slower ways"),
];
/// What a server comes with.
const DEFAULT_BUFFERS: u64 = 128 * 1024 * 1024;
/// Data of this size are not served from what a server comes with.
const LARGE: u64 = 8 * 1024 * 1024 * 1024;
/// A replica that is this late answers with yesterday's data.
const LAG: Duration = Duration::from_mins(1);
/// What an abandoned slot may hold back before it matters.
const HELD_BACK: u64 = 1024 * 1024 * 1024;

pub(super) fn findings(reading: &ServerReading) -> Vec<Finding> {
    let mut found = settings(reading);
    found.extend(replication(reading));
    found
}

fn settings(reading: &ServerReading) -> Vec<Finding> {
    let Ok(settings) = &reading.settings else { return Vec::new() };
    let mut found = Vec::new();
    for setting in settings {
        let wrong = WRONG.iter().find(|(name, value, _)| setting.name == *name && setting.value == *value);
        let Some((name, value, consequence)) = wrong else { continue };
        let recommendation = format!(
            "Set {name} = {} (ALTER SYSTEM): {consequence}",
            if *value == "off" { "on" } else { "off" }
        );
        found.push(setting_finding(
            reading,
            name,
            format!("{name} is {value}: {consequence}"),
            recommendation,
            Vec::new(),
        ));
    }
    let data: u64 = reading
        .tables
        .as_deref()
        .unwrap_or_default()
        .iter()
        .map(|table| table.size.get().saturating_add(table.index_size.get()))
        .sum();
    let buffers = settings.iter().find(|setting| setting.name == "shared_buffers").and_then(|setting| {
        let unit = match setting.unit.as_deref() {
            Some("8kB") => 8192,
            Some("kB") => 1024,
            Some("MB") => 1024 * 1024,
            _ => return None,
        };
        setting.value.parse::<u64>().ok().map(|value| Bytes::new(value.saturating_mul(unit)))
    });
    if let Some(buffers) = buffers.filter(|buffers| buffers.get() <= DEFAULT_BUFFERS && data >= LARGE) {
        let recommendation =
            "Set shared_buffers to about a quarter of the memory that the server may use".to_owned();
        let evidence = vec![
            figure(reading, "shared_buffers_bytes", buffers.get(), Unit::Bytes),
            figure(reading, "data_bytes", data, Unit::Bytes),
        ];
        let detail = "shared_buffers is what a server comes with, for gigabytes of data".to_owned();
        found.push(setting_finding(reading, "shared_buffers", detail, recommendation, evidence));
    }
    found
}

fn setting_finding(
    reading: &ServerReading,
    name: &str,
    detail: String,
    recommendation: String,
    evidence: Vec<Observation>,
) -> Finding {
    let kind = FindingKind::ServerSetting;
    let cause = condition("settings", detail);
    let part = Some(format!("setting {name}"));
    on_server(reading, part, Impact::Medium, Verdict { kind, cause, recommendation, evidence })
}

fn replication(reading: &ServerReading) -> Vec<Finding> {
    let Ok(replication) = &reading.replication else { return Vec::new() };
    let kind = FindingKind::Replication;
    let mut found = Vec::new();
    for replica in &replication.replicas {
        let is_behind = replica.behind.is_none_or(|behind| behind.get() > 0);
        let Some(lag) = replica.lag.filter(|lag| is_behind && *lag >= LAG) else { continue };
        let cause = condition("replication", format!("the replica {} lags", replica.name));
        let recommendation = format!(
            "Look at what {} waits for: long statements that block its replay, its disk, or the network",
            replica.name
        );
        let evidence =
            vec![Observation::measured("lag_seconds", lag.as_secs_f64(), Unit::Seconds, reading.read_at)];
        let part = Some(format!("replica {}", replica.name));
        found.push(on_server(
            reading,
            part,
            Impact::Medium,
            Verdict { kind, cause, recommendation, evidence },
        ));
    }
    for slot in &replication.slots {
        let Some(held) = slot.held_back.filter(|held| !slot.active && held.get() >= HELD_BACK) else {
            continue;
        };
        let cause = condition(
            "replication",
            format!("nobody reads the slot {}, which holds back the log", slot.name),
        );
        let recommendation = format!(
            "Drop the slot {} if its reader is gone for good: it fills the disk of this server",
            slot.name
        );
        let evidence = vec![figure(reading, "held_back_bytes", held.get(), Unit::Bytes)];
        let part = Some(format!("slot {}", slot.name));
        found.push(on_server(reading, part, Impact::High, Verdict { kind, cause, recommendation, evidence }));
    }
    if let Some(lag) = replication.own_lag.filter(|lag| reading.is_replica && *lag >= LAG * 5) {
        let cause = condition("replication", "this replica lags");
        let recommendation =
            "Look at what this replica waits for: long statements that block its replay, its disk, or the network"
                .to_owned();
        let evidence =
            vec![Observation::measured("lag_seconds", lag.as_secs_f64(), Unit::Seconds, reading.read_at)];
        found.push(on_server(
            reading,
            None,
            Impact::Medium,
            Verdict { kind, cause, recommendation, evidence },
        ));
    }
    found
}
