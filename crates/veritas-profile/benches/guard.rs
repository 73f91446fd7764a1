//! What a profiled call costs: switched off and on, beside a bare pair of
//! readings of the operating system's clock, in one run and interleaved.
//!
//! `cargo bench -p veritas-profile`. Each figure is the cost added to an empty
//! call, in nanoseconds: the median of the rounds, with the fastest and the slowest.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;

use veritas_model::{Clock, SystemClock};
use veritas_profile::{Site, enter, set_enabled, tick_source};

const CALLS: u64 = 200_000;
const ROUNDS: usize = 15;

static ONE: Site = Site::new("one", module_path!(), file!(), line!());
static OUTER: Site = Site::new("outer", module_path!(), file!(), line!());
static INNER: Site = Site::new("inner", module_path!(), file!(), line!());

/// A name, whether recording is on, and one call.
type Contender<'a> = (&'a str, bool, &'a dyn Fn(u64));

fn main() {
    let clock = SystemClock::new();
    let contenders: [Contender<'_>; 5] = [
        ("an empty call", true, &|call| _ = black_box(call)),
        ("bare pair of clock readings", true, &|call| {
            let start = clock.monotonic();
            black_box(call);
            black_box(clock.monotonic().since(start));
        }),
        ("guard, switched off", false, &|call| {
            let _guard = enter(&ONE);
            black_box(call);
        }),
        ("guard", true, &|call| {
            let _guard = enter(&ONE);
            black_box(call);
        }),
        ("two guards, nested", true, &|call| {
            let _outer = enter(&OUTER);
            let _inner = enter(&INNER);
            black_box(call);
        }),
    ];
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, enabled, body), times) in contenders.iter().zip(&mut times) {
            set_enabled(*enabled);
            let start = clock.monotonic();
            for call in 0..CALLS {
                body(call);
            }
            #[expect(clippy::cast_precision_loss, reason = "a time per call")]
            times.push(clock.monotonic().since(start).as_nanos() as f64 / CALLS as f64);
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    println!("{ROUNDS} rounds of {CALLS} calls each; ticks from {:?}", tick_source());
    let empty = times[0][ROUNDS / 2];
    println!("  {:<30} {empty:>7.1} ns", contenders[0].0);
    for ((name, _, _), times) in contenders.iter().zip(&times).skip(1) {
        println!(
            "  {name:<30} {:>7.1} ns more  ({:.1} to {:.1})",
            times[ROUNDS / 2] - empty,
            times[0] - empty,
            times[ROUNDS - 1] - empty
        );
    }
}
