//! A load on the simulated target: three statements whose calls cost what they cost.

use std::time::Duration;

use veritas_model::{Fingerprint, Moments, WorkMetric, WorkTotals};
use veritas_statistics::Rng;

/// What a change does to the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// The slow read costs a fifth.
    Helps,
    /// Nothing changes.
    Nothing,
    /// The writes cost this many times as much. The proof, made under reads, does not see it.
    Harms(f64),
    /// Everything costs this many times as much.
    Dearer(f64),
}

/// The shape of a load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Mean calls per second of each statement; calls come at random (Poisson).
    pub calls_per_second: f64,
    /// Standard deviation of the logarithm of a call's cost: 0 is the same cost always,
    /// 1 is a heavy tail.
    pub spread: f64,
    /// Share by which every call becomes dearer each second, as scans of a growing table do.
    pub growth_per_second: f64,
    /// Share of the calls that are writes at first, and once [`Self::turns_after`] is over.
    pub writes: (f64, f64),
    /// When the load turns.
    pub turns_after: Duration,
    /// Whether there is a load on the second table too.
    pub both_tables: bool,
    /// Whether the steps of calls are counted; else only their seconds are known.
    pub counts_steps: bool,
}

impl Load {
    /// Returns a load that stays as it is.
    pub const fn steady() -> Self {
        Self {
            calls_per_second: 60.0,
            spread: 0.5,
            growth_per_second: 0.0,
            writes: (0.3, 0.3),
            turns_after: Duration::MAX,
            both_tables: false,
            counts_steps: true,
        }
    }
}

/// The running load.
#[derive(Debug)]
pub(super) struct RunningLoad {
    load: Load,
    passed: Duration,
    rng: Rng,
    /// A slow read, a quick read and a write, on each of two tables.
    totals: Vec<WorkTotals>,
}

const TABLES: [&str; 2] = ["a", "b"];
/// Name, steps of a call, whether it writes.
const STATEMENTS: [(&str, f64, bool); 3] =
    [("slow_read", 4_000.0, false), ("quick_read", 40.0, false), ("write", 60.0, true)];

impl RunningLoad {
    pub(super) fn new(load: Load, seed: u64) -> Self {
        let totals = TABLES
            .iter()
            .flat_map(|table| STATEMENTS.iter().map(move |(name, ..)| format!("{name} {table}")))
            .map(|name| WorkTotals {
                fingerprint: Fingerprint::of_normalized(&name),
                name,
                metric: WorkMetric::VmSteps,
                steps: Moments::default(),
                seconds: Moments::default(),
            })
            .collect();
        Self { load, passed: Duration::ZERO, rng: Rng::new(seed), totals }
    }

    /// Runs the load for a while under the effects that are in force on each table.
    pub(super) fn run(&mut self, time: Duration, in_force: &[(String, Effect)]) {
        let Load {
            calls_per_second,
            spread,
            growth_per_second,
            writes,
            turns_after,
            counts_steps,
            both_tables,
        } = self.load;
        let writes = if self.passed < turns_after { writes.0 } else { writes.1 };
        let growth = 1.0 + growth_per_second * self.passed.as_secs_f64();
        self.passed += time;
        for (number, totals) in self.totals.iter_mut().enumerate() {
            let table = TABLES[number / STATEMENTS.len()];
            if table != TABLES[0] && !both_tables {
                continue;
            }
            let (name, steps, is_write) = STATEMENTS[number % STATEMENTS.len()];
            let share = if is_write { writes } else { (1.0 - writes) / 2.0 };
            let factor: f64 = in_force
                .iter()
                .filter(|(on, _)| on == table)
                .map(|(_, effect)| match effect {
                    Effect::Helps if name == "slow_read" => 0.2,
                    Effect::Harms(factor) if is_write => *factor,
                    Effect::Dearer(factor) => *factor,
                    _ => 1.0,
                })
                .product();
            // The logarithmic normal distribution with mean 1.
            for _ in 0..poisson(&mut self.rng, calls_per_second * share * 3.0 * time.as_secs_f64()) {
                let noise = (spread * self.rng.standard_normal() - spread * spread / 2.0).exp();
                let cost = steps * factor * growth * noise;
                if counts_steps {
                    totals.steps.add(cost.round());
                }
                // 20 ns a step, and what else the machine does.
                totals.seconds.add(cost * 20e-9 * (0.8 + 0.4 * self.rng.next_f64()));
            }
        }
    }

    /// Returns what the statements on the tables have cost so far.
    pub(super) fn work(&self, scope: &[String]) -> Vec<WorkTotals> {
        let in_scope = |name: &str| scope.iter().any(|table| name.ends_with(&format!(" {table}")));
        self.totals.iter().filter(|totals| in_scope(&totals.name)).cloned().collect()
    }
}

/// Draws from the Poisson distribution (Knuth, "The Art of Computer Programming", volume
/// 2, §3.4.1; in parts of 50, since the product underflows).
fn poisson(rng: &mut Rng, mean: f64) -> u32 {
    let mut drawn = 0;
    let mut left = mean;
    while left > 0.0 {
        let limit = (-left.min(50.0)).exp();
        left -= 50.0;
        let mut product = rng.next_f64();
        while product > limit {
            drawn += 1;
            product *= rng.next_f64();
        }
    }
    drawn
}
