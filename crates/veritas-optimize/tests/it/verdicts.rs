//! How often verification errs, measured over seeded loads.

use std::time::Duration;

use veritas_model::{ChangeState, Outcome};
use veritas_optimize::OptimizerOptions;
use veritas_optimize::simulation::{Effect, Load, short_options, watch_one};

/// Counts the changes that were taken back.
fn taken_back(what: &str, seeds: u64, load: Load, effect: Effect, options: &OptimizerOptions) -> u64 {
    let mut reverted = 0;
    for seed in 0..seeds {
        let change = watch_one(seed, load, effect, options)
            .unwrap_or_else(|| panic!("{what}, seed {seed}: there was no change"));
        match change.state {
            ChangeState::Reverted => {
                assert_eq!(change.live.map(|live| live.outcome), Some(Outcome::Worse));
                reverted += 1;
            }
            ChangeState::Kept => {}
            state => panic!("{what}, seed {seed}: it is still {}", state.as_str()),
        }
    }
    println!("{what}: {reverted} of {seeds} taken back");
    reverted
}

#[test]
fn a_change_that_does_nothing_is_hardly_ever_taken_back() {
    let steady = Load::steady();
    let loads = [
        ("steady", steady),
        ("deterministic", Load { spread: 0.0, ..steady }),
        ("heavy tail", Load { spread: 1.2, ..steady }),
        ("rare calls", Load { calls_per_second: 3.0, ..steady }),
        ("only time is known", Load { counts_steps: false, ..steady }),
        ("growing tables", Load { growth_per_second: 0.005, ..steady }),
        ("growing, deterministic", Load { growth_per_second: 0.005, spread: 0.0, ..steady }),
        ("turns to writes", Load { writes: (0.1, 0.9), turns_after: Duration::from_secs(18), ..steady }),
    ];
    let mut all = 0;
    for (what, load) in loads {
        let reverted = taken_back(what, 150, load, Effect::Nothing, &short_options());
        // 1 % of 150, and what chance may add to it.
        assert!(reverted <= 5, "{what}: {reverted}");
        all += reverted;
    }
    assert!(all <= 12, "{all} of 1200 changes that did nothing were taken back");
}

#[test]
fn a_load_that_costs_five_percent_more_is_noticed() {
    let load = Load { spread: 0.25, calls_per_second: 60.0, ..Load::steady() };
    let options = OptimizerOptions {
        baseline_window: Duration::from_mins(2),
        watch_window: Duration::from_mins(4),
        regression_watch: Duration::from_secs(20),
        ..short_options()
    };
    let noticed = taken_back("+5 %", 100, load, Effect::Dearer(1.05), &options);
    assert!(noticed >= 99, "{noticed}");
}

#[test]
fn a_change_that_hurts_writes_is_taken_back_once_the_load_turns() {
    // Under reads it looks fine and is kept; then almost all calls are writes. Thirty writes a
    // second before the turn: with fifteen, how the load drifts is known so roughly after twenty
    // seconds that 17 of 400 are missed.
    let load = Load {
        writes: (0.05, 0.999),
        turns_after: Duration::from_secs(40),
        calls_per_second: 200.0,
        ..Load::steady()
    };
    let noticed = taken_back("writes cost twice as much", 50, load, Effect::Harms(2.0), &short_options());
    assert_eq!(noticed, 50);
}

#[test]
fn a_change_that_helps_is_kept_and_its_gain_is_shown() {
    let options = short_options();
    for seed in 0..50 {
        let change = watch_one(seed, Load::steady(), Effect::Helps, &options).unwrap();
        let live = change.live.unwrap();
        assert_eq!((change.state, live.outcome), (ChangeState::Kept, Outcome::Improved), "seed {seed}");
        // The slow read is 98 % of the load and costs a fifth.
        assert!((0.75..0.82).contains(&live.gain), "seed {seed}: {}", live.gain);
        assert!(live.gain_interval.low < live.gain && live.gain < live.gain_interval.high);
        assert!(live.seconds_saved_per_call > 0.0);
    }
}
