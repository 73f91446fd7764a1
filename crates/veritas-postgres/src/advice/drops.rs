//! Indexes that could go: duplicates, those that others serve as well, and unused ones.

use std::sync::PoisonError;

use veritas_database::server::{IndexReading, ServerReading};
use veritas_index_advisor::{DropReason, Dropped, TableId, drops};
use veritas_model::{
    Cause, ChangeKind, Estimate, Finding, FindingKind, Impact, Observation, Proposal, Subject, Timestamp,
    Unit,
};

use super::{Advice, PostgresAdvisor, Skipped, round::in_words};
use crate::{actuator::IndexRemoval, facts, session::Session};

/// Tables that are looked at, the largest first.
const MOST_TABLES: usize = 200;

impl PostgresAdvisor {
    /// Finds indexes that could go, and proposes some.
    pub(super) fn drops(
        &self,
        session: &mut Session,
        reading: &ServerReading,
        now: Timestamp,
        advice: &mut Advice,
    ) {
        let (Ok(tables), Ok(indexes)) = (&reading.tables, &reading.indexes) else { return };
        let tables: Vec<TableId> = tables
            .iter()
            .take(MOST_TABLES)
            .map(|table| TableId::new(table.schema.clone(), table.name.clone()))
            .collect();
        let mut facts = match facts::read(session, &tables) {
            Ok(facts) => facts.tables,
            Err(error) => {
                advice.skipped.push(Skipped { name: "indexes to drop".to_owned(), reason: in_words(&error) });
                return;
            }
        };
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        for table in &mut facts {
            let schema = table.table.schema.clone();
            for index in &mut table.existing {
                index.usage = usage.of(&schema, &index.name, reading, now);
            }
        }
        drop(usage);
        let options = drops::Options { window: self.options.disuse, ..drops::Options::default() };
        let mut dropped = drops::of(&facts, &options);
        dropped.sort_by(|left, right| right.bytes.cmp(&left.bytes).then_with(|| left.name.cmp(&right.name)));
        for gone in dropped {
            let same = |index: &&IndexReading| index.schema == gone.table.schema && index.name == gone.name;
            let Some(index) = indexes.iter().find(same) else { continue };
            // What the server's view protects is left alone, whatever the rules say.
            if let Some(why) = index.protected.clone().or_else(|| index.constraint.clone()) {
                advice.skipped.push(Skipped { name: index.name.clone(), reason: why });
                continue;
            }
            let finding = self.finding(&gone, index, now);
            let proposed =
                advice.proposals.iter().filter(|known| known.kind == ChangeKind::IndexDrop).count();
            if proposed < self.options.proposals {
                match self.removal(&gone, index, &finding, now) {
                    Ok(proposal) => advice.proposals.push(proposal),
                    Err(reason) => advice.skipped.push(Skipped { name: index.name.clone(), reason }),
                }
            }
            advice.findings.push(finding);
        }
    }

    fn finding(&self, gone: &Dropped, index: &IndexReading, now: Timestamp) -> Finding {
        let (kind, detail) = match &gone.reason {
            DropReason::Duplicate { of } => (FindingKind::DuplicateIndex, format!("it is the same as {of}")),
            DropReason::Covered { by } => {
                (FindingKind::RedundantIndex, format!("{by} begins with its columns and serves its reads"))
            }
            DropReason::Unused => (
                FindingKind::UnusedIndex,
                format!("nothing has read it for {} days", self.options.disuse.as_secs() / 86_400),
            ),
            DropReason::Invalid => {
                (FindingKind::InvalidIndex, "a failed build left it, and nothing can read it".to_owned())
            }
            DropReason::NotWorth { .. } => {
                (FindingKind::UnusedIndex, "statements cost no more without it".to_owned())
            }
        };
        let subject = Subject::Server {
            name: self.target.name.clone(),
            part: Some(format!("index {}.{}", index.schema, index.name)),
        };
        #[expect(clippy::cast_precision_loss, reason = "sizes stay below 2^53")]
        let size = Observation::measured("index_bytes", index.size.get() as f64, Unit::Bytes, now);
        Finding {
            id: Finding::identity(kind, &subject),
            kind,
            subject,
            cause: Cause::Index {
                table: gone.table.to_string(),
                index: index.name.clone(),
                detail: detail.clone(),
                bytes: Some(index.size.get()),
            },
            recommendation: format!("Drop the index {}: {detail}", index.name),
            impact: Impact::Low,
            evidence: vec![size],
            callers: Vec::new(),
            found_at: now,
            seen_at: now,
        }
    }

    fn removal(
        &self,
        gone: &Dropped,
        index: &IndexReading,
        finding: &Finding,
        now: Timestamp,
    ) -> Result<Proposal, String> {
        let removal = IndexRemoval::new(&*index.schema, &*index.name, &*index.definition)?;
        let plan = removal.plan(&self.target.name, &gone.table);
        Ok(Proposal {
            id: Proposal::identity(ChangeKind::IndexDrop, &plan),
            finding: Some(finding.id.clone()),
            kind: ChangeKind::IndexDrop,
            summary: finding.recommendation.clone(),
            plan,
            estimate: Some(Estimate {
                before: 0.0,
                after: 0.0,
                unit: "planner cost".to_owned(),
                bytes: i64::try_from(index.size.get()).ok().map(|bytes| -bytes),
                method: "a rule: no statement was planned without it".to_owned(),
            }),
            proposed_at: now,
        })
    }
}
