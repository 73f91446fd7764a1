//! Proof of time-to-live curves: estimates beside replays against a source whose changes are known.
//!
//! A cache with the time to live of production feeds the estimator: it sees the
//! look-ups and, at the loads of that cache, hashes of values. The truth is a
//! replay of each time to live against the source itself.
//!
//! `cargo run --release -p veritas-cache-advisor --example prove_ttl`
#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

use std::time::Duration;

use veritas_cache_advisor::{
    TtlOptions,
    time_to_live::{estimate, replay},
    workload::{ChangeRates, Changes, Pattern, Workload},
};

fn main() {
    let requests = 400_000;
    let seconds = Duration::from_secs;
    let (minute, hour) = (seconds(60), seconds(3_600));
    let sources = [
        ("never", ChangeRates::Never),
        ("every 10 min", ChangeRates::Same { mean: minute * 10 }),
        ("every hour", ChangeRates::Same { mean: hour }),
        ("1 min to 1 day", ChangeRates::Spread { fastest: minute, slowest: hour * 24 }),
        ("30 % every 5 min", ChangeRates::Some { share: 0.3, mean: minute * 5 }),
    ];
    let times: Vec<Duration> = (0..12).map(|power| seconds(2) * (1 << power)).collect();
    println!(
        "{:<12}{:>6}  {:<18}{:>8}  {:>9}{:>9}  {:>9}{:>9}",
        "workload", "keys", "source", "TTL now", "hit mean", "max", "stale mean", "max"
    );
    let (mut worst_hit, mut worst_stale) = (0.0_f64, 0.0_f64);
    for (name, exponent, keys) in [
        ("zipf 0.7", 0.7, 2_000),
        ("zipf 0.99", 0.99, 10_000),
        ("zipf 0.9", 0.9, 30_000),
        ("zipf 1.1", 1.1, 30_000),
    ] {
        let pattern = Pattern::Zipf { keys, exponent };
        let workload = Workload { per_second: 50.0, ..Workload::new(pattern, 17) };
        for (source, rates) in sources {
            for now in [seconds(60), seconds(600)] {
                let options = TtlOptions { times: times.clone(), ..TtlOptions::default() };
                let stream = || workload.requests().take(requests);
                let curve = estimate(stream(), now, &mut Changes::new(rates, 5), &options);
                let (mut hits, mut stales) = (Vec::new(), Vec::new());
                for point in &curve.points {
                    let truth = replay(stream(), point.time_to_live, &mut Changes::new(rates, 5));
                    hits.push((point.hit_ratio - truth.hit_ratio).abs());
                    stales.push((point.staleness - truth.staleness).abs());
                }
                let count = f64::from(u32::try_from(hits.len()).unwrap_or(1));
                let mean = |errors: &[f64]| errors.iter().sum::<f64>() / count;
                let max = |errors: &[f64]| errors.iter().copied().fold(0.0, f64::max);
                println!(
                    "{name:<12}{keys:>6}  {source:<18}{:>6} s  {:>9.4}{:>9.4}  {:>9.4}{:>9.4}",
                    now.as_secs(),
                    mean(&hits),
                    max(&hits),
                    mean(&stales),
                    max(&stales)
                );
                worst_hit = worst_hit.max(max(&hits));
                worst_stale = worst_stale.max(max(&stales));
            }
        }
    }
    println!("worst: hit ratio {worst_hit:.4}, staleness {worst_stale:.4}");
}
