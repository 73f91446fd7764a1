//! The demo's report: a table for people, one JSON document for scripts.

use std::{net::SocketAddr, sync::atomic::Ordering};

use serde_json::{Value, json};
use veritas::model::{Change, Finding, Interval, LiveGain, MeasuredGain};

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
        for change in [&self.story.kept, &self.story.reverted] {
            println!("{:<8} {}", change.state.as_str().to_uppercase(), change.summary);
            println!("         on a copy: {}", narrator::measured(&change.predicted));
            if let Some(live) = &change.live {
                println!("         live:      {}", narrator::watched(live));
            }
        }
        println!();
        println!("requests answered {}, failed {}, shed {}", self.answered, self.failed, self.shed);
        Ok(())
    }

    fn json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "seed": self.seed,
            "address": self.address.to_string(),
            "dataset_seconds": self.dataset_seconds,
            "first_finding_seconds": self.story.first_finding_seconds,
            "total_seconds": self.total_seconds,
            "findings": self.story.findings.iter().map(finding).collect::<Vec<_>>(),
            "changes": [change(&self.story.kept), change(&self.story.reverted)],
            "load": { "answered": self.answered, "failed": self.failed, "shed": self.shed },
        })
    }
}

fn finding(finding: &Finding) -> Value {
    let evidence: serde_json::Map<_, _> = finding
        .evidence
        .iter()
        .map(|observation| {
            let figure = json!({
                "value": observation.value,
                "unit": observation.unit.as_str(),
                "provenance": observation.provenance.as_str(),
            });
            (observation.name.clone(), figure)
        })
        .collect();
    let callers: Vec<_> =
        finding.callers.iter().map(|caller| format!("{}:{}", caller.file, caller.line)).collect();
    json!({
        "id": finding.id.as_str(),
        "kind": finding.kind.as_str(),
        "subject": finding.subject.name(),
        "impact": finding.impact.as_str(),
        "recommendation": finding.recommendation,
        "evidence": evidence,
        "callers": callers,
    })
}

fn change(change: &Change) -> Value {
    json!({
        "id": change.id.as_str(),
        "kind": change.kind.as_str(),
        "summary": change.summary,
        "state": change.state.as_str(),
        "reason": change.reason,
        "forward": change.plan.forward,
        "inverse": change.plan.inverse,
        "predicted": predicted(&change.predicted),
        "live": change.live.as_ref().map(live),
    })
}

fn predicted(gain: &MeasuredGain) -> Value {
    json!({
        "metric": gain.metric.as_str(),
        "pairs": gain.pairs,
        "before": gain.before,
        "after": gain.after,
        "gain": gain.gain,
        "gain_interval": interval(gain.gain_interval),
        "p_value": gain.p_value,
        "seconds_before": gain.seconds_before,
        "seconds_after": gain.seconds_after,
        "results_equal": gain.results_equal,
        "method": gain.method,
    })
}

fn live(gain: &LiveGain) -> Value {
    json!({
        "outcome": gain.outcome.as_str(),
        "metric": gain.metric.as_str(),
        "calls_before": gain.calls_before,
        "calls_after": gain.calls_after,
        "gain": gain.gain,
        "gain_interval": interval(gain.gain_interval),
        "seconds_saved_per_call": gain.seconds_saved_per_call,
        "watched_seconds": gain.watched_seconds,
    })
}

fn interval(interval: Interval) -> Value {
    json!({ "low": interval.low, "high": interval.high, "confidence": interval.confidence })
}
