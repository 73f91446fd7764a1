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
        "{:<12}{:>6}  {:<18}{:>8}  {:>9}{:>9}{:>9}  {:>9}{:>9}{:>9}",
        "workload", "keys", "source", "TTL now", "hit mean", "max", "bound", "stale mean", "max", "bound"
    );
    let (mut all_hits, mut all_stales) = (Errors::default(), Errors::default());
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
                let (mut hits, mut stales) = (Errors::default(), Errors::default());
                for point in &curve.points {
                    let truth = replay(stream(), point.time_to_live, &mut Changes::new(rates, 5));
                    hits.add(point.hit_ratio - truth.hit_ratio, point.hit_ratio_error);
                    stales.add(point.staleness - truth.staleness, point.staleness_error);
                }
                println!("{name:<12}{keys:>6}  {source:<18}{:>6} s  {hits}  {stales}", now.as_secs());
                all_hits.extend(&hits);
                all_stales.extend(&stales);
            }
        }
    }
    println!("worst: hit ratio {:.4}, staleness {:.4}", all_hits.worst(), all_stales.worst());
    for (what, errors) in [("hit ratio", &all_hits), ("staleness", &all_stales)] {
        println!(
            "{what}: mean error {:.4}, worst {:.4}; {} of {} within their bounds",
            errors.mean(),
            errors.worst(),
            errors.within(),
            errors.0.len(),
        );
    }
}

/// Errors, each with the bound that was given for it.
#[derive(Default)]
struct Errors(Vec<(f64, f64)>);

impl Errors {
    fn add(&mut self, error: f64, bound: f64) {
        self.0.push((error.abs(), bound));
    }

    fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    fn mean(&self) -> f64 {
        let count = f64::from(u32::try_from(self.0.len()).unwrap_or(u32::MAX).max(1));
        self.0.iter().map(|(error, _)| error).sum::<f64>() / count
    }

    fn worst(&self) -> f64 {
        self.0.iter().map(|(error, _)| *error).fold(0.0, f64::max)
    }

    fn widest(&self) -> f64 {
        self.0.iter().map(|(_, bound)| *bound).fold(0.0, f64::max)
    }

    /// How many are within their bounds, or too small to matter.
    fn within(&self) -> usize {
        self.0.iter().filter(|(error, bound)| *error <= bound.max(1e-4)).count()
    }
}

impl std::fmt::Display for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>9.4}{:>9.4}{:>9.4}", self.mean(), self.worst(), self.widest())
    }
}
