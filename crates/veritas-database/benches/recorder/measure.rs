//! Measures nanoseconds per call in many short rounds: most of them fit between two interruptions.

use veritas_model::{Clock as _, SystemClock};

/// Rounds of each measurement.
pub(crate) const ROUNDS: usize = 301;

/// 148 bytes: the length of the measurements that this is compared with.
pub(crate) const SQL: &str = "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id \
                              WHERE u.email = 'someone@example.com' AND o.state IN (1, 2, 3) LIMIT 20 ";

/// Returns the median and the spread (min, max) of nanoseconds per call.
pub(crate) fn measure(calls: u32, mut work: impl FnMut()) -> [f64; 3] {
    let clock = SystemClock::new();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = clock.monotonic();
            (0..calls).for_each(|_| work());
            clock.monotonic().since(start).as_secs_f64() * 1e9 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    [rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]]
}

/// Prints one line.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
pub(crate) fn print(name: &str, [median, min, max]: [f64; 3]) {
    println!("{name:<58} {median:>9.1} ns  (min {min:.1}, max {max:.1}, {ROUNDS} rounds)");
}
