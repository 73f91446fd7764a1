//! Proof: over 10⁷ random pairs of typed values, two have one key exactly when they
//! are one value; and what encoding a call costs.
//!
//! `cargo xtask prove keys [-- PAIRS]`. Half of the pairs are a value and what a
//! careless encoding takes for it.
#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

#[expect(dead_code, reason = "the tests make up calls too")]
#[path = "../tests/it/keys/made_up.rs"]
mod made_up;
#[expect(dead_code, reason = "the tests write values, which this does not")]
#[path = "../tests/it/keys/value.rs"]
mod value;

use std::{hint::black_box, process::ExitCode};

use made_up::Numbers;
use veritas_cache::{CacheKey, KeyEncoder, KeyPart};
use veritas_model::{Clock as _, SystemClock};

struct Call<'a>(u64, &'a str);

impl KeyPart for Call<'_> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.call(0, 2);
        key.argument("section", self.1);
        key.argument("user_id", &self.0);
    }
}

fn main() -> ExitCode {
    let pairs: u64 = std::env::args().nth(1).and_then(|pairs| pairs.parse().ok()).unwrap_or(10_000_000);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let (collisions, splits, same) = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|seed| scope.spawn(move || compare(seed, pairs / threads))).collect();
        workers.into_iter().fold((0, 0, 0), |sum, worker| {
            let (collisions, splits, same) = worker.join().expect("no comparison panics");
            (sum.0 + collisions, sum.1 + splits, sum.2 + same)
        })
    });
    println!("pairs          {}", pairs / threads * threads);
    println!("one value      {same}");
    println!("collisions     {collisions}");
    println!("false splits   {splits}");
    println!("encoding call(u64, &str): {:.0} ns (median of 9)", encoding_nanos());
    if collisions + splits == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare(seed: u64, pairs: u64) -> (u64, u64, u64) {
    let mut numbers = Numbers(seed);
    let (mut collisions, mut splits, mut same) = (0, 0, 0);
    for pair in 0..pairs {
        let one = numbers.value(3);
        let other = if pair % 2 == 0 { numbers.neighbour(&one, 3) } else { numbers.value(3) };
        let one_key = CacheKey::of(&one) == CacheKey::of(&other);
        match (one == other, one_key) {
            (true, true) => same += 1,
            (true, false) => splits += 1,
            (false, true) => collisions += 1,
            (false, false) => {}
        }
    }
    (collisions, splits, same)
}

/// Measures one encoding into a key that is thrown away, as a look-up does.
#[expect(clippy::cast_precision_loss, reason = "a time per operation")]
fn encoding_nanos() -> f64 {
    const TIMES: u32 = 1_000_000;
    let clock = SystemClock::new();
    let mut rounds: Vec<f64> = (0..9)
        .map(|_| {
            let start = clock.monotonic();
            for id in 0..u64::from(TIMES) {
                let mut key = KeyEncoder::new();
                Call(black_box(id), black_box("profile")).encode(&mut key);
                black_box(&key);
            }
            clock.monotonic().since(start).as_nanos() as f64 / f64::from(TIMES)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[4]
}
