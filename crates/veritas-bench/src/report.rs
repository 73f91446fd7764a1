//! The report: tables for people, JSON for scripts.

use std::time::Duration;

use serde_json::json;
use veritas_model::{Bytes, round2};

use crate::{client::Phase, process::Idle};

/// Everything that one run showed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) startup: Duration,
    pub(crate) idle: Idle,
    pub(crate) after_load: u64,
    pub(crate) binary_bytes: u64,
    pub(crate) ours: Phase,
    pub(crate) ours_open: Phase,
    pub(crate) theirs: Phase,
    pub(crate) theirs_open: Phase,
    pub(crate) twin_resident: u64,
}

impl Report {
    /// Prints it on stdout.
    #[expect(clippy::print_stdout, reason = "the report is this program's data")]
    pub(crate) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.json())?);
            return Ok(());
        }
        println!("machine: {}", self.machine);
        println!("server on one core, generator on the other; GET cache/stats with a token\n");
        println!(
            "{:<34} {:>10} {:>9} {:>9} {:>9} {:>7}",
            "", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "failed"
        );
        for (name, phase) in self.phases() {
            println!(
                "{name:<34} {:>10.0} {:>9.3} {:>9.3} {:>9.3} {:>7}",
                phase.per_second(),
                phase.milliseconds(0.5).unwrap_or(f64::NAN),
                phase.milliseconds(0.99).unwrap_or(f64::NAN),
                phase.milliseconds(0.999).unwrap_or(f64::NAN),
                phase.failed,
            );
        }
        println!("\nthroughput, veritas / FastAPI      {:.1} x", self.ratio());
        println!(
            "cold start to first 200            {:.1} ms (median of 9)",
            self.startup.as_secs_f64() * 1e3
        );
        println!("idle CPU, 1 s sampling             {:.3} % of a core", self.idle.cpu_percent);
        println!(
            "RSS idle / after load              {} / {} MiB",
            mib(self.idle.resident_bytes),
            mib(self.after_load)
        );
        println!("RSS FastAPI twin after load        {} MiB", mib(self.twin_resident));
        println!("binary, stripped                   {} MiB", mib(self.binary_bytes));
        Ok(())
    }

    fn phases(&self) -> [(&'static str, &Phase); 4] {
        [
            ("veritas, saturated, 32 connections", &self.ours),
            ("FastAPI, saturated, 32 connections", &self.theirs),
            ("veritas, open loop", &self.ours_open),
            ("FastAPI, open loop at half", &self.theirs_open),
        ]
    }

    fn ratio(&self) -> f64 {
        self.ours.per_second() / self.theirs.per_second()
    }

    fn json(&self) -> serde_json::Value {
        let phases: serde_json::Map<_, _> = self
            .phases()
            .into_iter()
            .map(|(name, phase)| {
                let figures = json!({
                    "requests_per_second": round2(phase.per_second()),
                    "latency_ms_p50": phase.milliseconds(0.5),
                    "latency_ms_p99": phase.milliseconds(0.99),
                    "latency_ms_p999": phase.milliseconds(0.999),
                    "failed": phase.failed,
                });
                (name.to_owned(), figures)
            })
            .collect();
        json!({
            "machine": self.machine,
            "phases": phases,
            "throughput_ratio": round2(self.ratio()),
            "cold_start_ms": round2(self.startup.as_secs_f64() * 1e3),
            "idle_cpu_percent": self.idle.cpu_percent,
            "rss_idle_bytes": self.idle.resident_bytes,
            "rss_after_load_bytes": self.after_load,
            "rss_twin_bytes": self.twin_resident,
            "binary_bytes": self.binary_bytes,
        })
    }
}

fn mib(bytes: u64) -> f64 {
    Bytes::new(bytes).mebibytes()
}
