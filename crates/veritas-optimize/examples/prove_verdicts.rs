//! Measures how often verification errs: `cargo xtask prove verdicts -- [SEEDS]`. Changes that
//! do nothing must be taken back in at most 1 % of the runs of each load, harmful ones in 99 %.

#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

use std::{process::ExitCode, time::Duration};

use veritas_model::ChangeState;
use veritas_optimize::{
    OptimizerOptions,
    simulation::{Effect, Load, short_options, watch_one},
};

fn main() -> ExitCode {
    let seeds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1_000_u32);
    let steady = Load::steady();
    let short = short_options();
    let long = OptimizerOptions {
        baseline_window: Duration::from_mins(2),
        watch_window: Duration::from_mins(4),
        ..short_options()
    };
    let growing = Load { growth_per_second: 0.005, ..steady };
    let nothing = [
        ("steady", steady),
        ("deterministic", Load { spread: 0.0, ..steady }),
        ("heavy tail", Load { spread: 1.2, ..steady }),
        ("rare calls", Load { calls_per_second: 3.0, ..steady }),
        ("only time is known", Load { counts_steps: false, ..steady }),
        ("growing tables", growing),
        ("growing, deterministic", Load { spread: 0.0, ..growing }),
        ("turns to writes", Load { writes: (0.1, 0.9), turns_after: Duration::from_secs(18), ..steady }),
    ];
    println!("{seeds} seeds of each; taken back:");
    let mut holds = true;
    for (what, load) in nothing {
        let share = taken_back(seeds, load, Effect::Nothing, &short);
        println!("  does nothing, {what:24} {:.2} %", share * 100.0);
        holds &= share <= 0.01;
    }
    let quiet = Load { spread: 0.25, calls_per_second: 90.0, ..steady };
    let import = Load {
        writes: (0.05, 0.999),
        turns_after: Duration::from_secs(40),
        calls_per_second: 200.0,
        ..steady
    };
    let harmful = [
        ("all calls +5 %, minutes", quiet, Effect::Dearer(1.05), &long),
        ("writes x2, once kept", import, Effect::Harms(2.0), &short),
        ("all calls +50 %, heavy tail", Load { spread: 1.0, ..steady }, Effect::Dearer(1.5), &long),
    ];
    for (what, load, effect, options) in harmful {
        let share = taken_back(seeds.div_ceil(4), load, effect, options);
        println!("  harmful, {what:29} {:.2} %", share * 100.0);
        holds &= share >= 0.99;
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn taken_back(seeds: u32, load: Load, effect: Effect, options: &OptimizerOptions) -> f64 {
    let reverted = (0..seeds)
        .filter_map(|seed| watch_one(u64::from(seed) + 50_000, load, effect, options))
        .filter(|change| change.state == ChangeState::Reverted)
        .count();
    f64::from(u32::try_from(reverted).unwrap_or(u32::MAX)) / f64::from(seeds.max(1))
}
