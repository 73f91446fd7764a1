//! The demo's report: a table for people, one JSON document for scripts.

use std::{net::SocketAddr, sync::atomic::Ordering};

use serde_json::{Value, json};
use veritas::{api::document, model::Change};

use super::{load::Load, narrator, story::Story};

/// Everything that one run showed.
#[derive(Debug)]
pub(super) struct Report {
    story: Story,
    address: SocketAddr,
    seed: u64,
    dataset_seconds: f64,
    answered: u64,
    failed: u64,
    shed: u64,
    /// Seconds from the start of the command to the end of the story.
    pub(super) total_seconds: f64,
}

impl Report {
    pub(super) fn of(
        story: Story,
        load: &Load,
        address: SocketAddr,
        seed: u64,
        dataset_seconds: f64,
        total_seconds: f64,
    ) -> Self {
        let counters = load.counters();
        Self {
            story,
            address,
            seed,
            dataset_seconds,
            answered: counters.answered.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            shed: counters.shed.load(Ordering::Relaxed),
            total_seconds,
        }
    }

    /// Prints it on stdout.
    #[expect(clippy::print_stdout, reason = "the report is this command's data")]
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.json())?);
            return Ok(());
        }
        println!();
        println!("{:<8} {:<20} {:<32} RECOMMENDATION", "IMPACT", "FINDING", "WHERE");
        for finding in &self.story.findings {
            println!(
                "{:<8} {:<20} {:<32} {}",
                finding.impact.as_str(),
                finding.kind.as_str(),
                finding.subject.name(),
                finding.recommendation
            );
        }
        println!();
        for change in self.changes() {
            println!("{:<8} {}", change.state.as_str().to_uppercase(), change.summary);
            println!("         proven:    {}", narrator::measured(change.kind, &change.predicted));
            if let Some(live) = &change.live {
                println!("         live:      {}", narrator::watched(live));
            }
        }
        println!();
        println!("requests answered {}, failed {}, shed {}", self.answered, self.failed, self.shed);
        Ok(())
    }

    fn changes(&self) -> impl Iterator<Item = &Change> {
        [&self.story.kept, &self.story.cached, &self.story.reverted].into_iter()
    }

    fn json(&self) -> Value {
        let changes: Vec<_> = self.changes().cloned().map(document::change).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "seed": self.seed,
            "address": self.address.to_string(),
            "dataset_seconds": self.dataset_seconds,
            "first_finding_seconds": self.story.first_finding_seconds,
            "total_seconds": self.total_seconds,
            "findings": self.story.findings.iter().cloned().map(document::finding).collect::<Vec<_>>(),
            "changes": changes,
            "load": { "answered": self.answered, "failed": self.failed, "shed": self.shed },
        })
    }
}
