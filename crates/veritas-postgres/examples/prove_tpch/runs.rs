//! The real thing: indexes built, statements run with and without them, in turns.

use std::time::{Duration, Instant};

use veritas_postgres::{
    actuator::IndexDefinition,
    advice::WorkloadAdvice,
    plan::Plan,
    session::{Session, qualified},
};
use veritas_statistics::bootstrap;

/// Statements are compared at a share of time below which nothing is said to be slower.
const NOISE: f64 = 0.005;
/// How much slower one statement may be, and how much faster all must be.
const SLOWER: f64 = 0.10;
const FASTER: f64 = 0.35;
/// Pairs that take less than this many seconds are run so many times as often.
const SHORT: f64 = 1.0;
const OFTEN: usize = 3;
/// Of the intervals.
const CONFIDENCE: f64 = 0.95;
const RESAMPLES: usize = 2_000;
/// Without indexes it runs for minutes: left out of the total, given up after this.
const ENDLESS: (u32, &str) = (21, "30s");

/// Builds what is advised, and returns its real bytes.
pub(crate) fn build(session: &mut Session, advice: &WorkloadAdvice) -> u64 {
    let mut bytes = 0;
    for index in &advice.chosen {
        let definition = IndexDefinition::new(index.spec.clone()).unwrap();
        session.batch(&definition.create_alone()).unwrap();
        let name = qualified(&index.spec.table.schema, &definition.name());
        let rows = session.query("SELECT pg_relation_size($1::text::regclass)", &[&name]).unwrap();
        bytes += u64::try_from(rows[0].get::<_, i64>(0)).unwrap();
    }
    bytes
}

/// Drops it again.
pub(crate) fn drop_all(session: &mut Session, advice: &WorkloadAdvice) {
    for index in &advice.chosen {
        let name = IndexDefinition::new(index.spec.clone()).unwrap().name();
        session.batch(&format!("DROP INDEX {}", qualified(&index.spec.table.schema, &name))).unwrap();
    }
}

/// Returns what the planner expects all statements to cost now.
pub(crate) fn cost(session: &mut Session, texts: &[(u32, String)]) -> f64 {
    texts.iter().map(|(_, text)| explained(session, "FORMAT JSON", text).cost()).sum()
}

fn explained(session: &mut Session, how: &str, text: &str) -> Plan {
    let rows = session.simple(&format!("EXPLAIN ({how}) {}", text.trim().trim_end_matches(';'))).unwrap();
    let lines: Vec<&str> = rows.iter().filter_map(|row| row[0].as_deref()).collect();
    Plan::parse(&lines.join("\n")).unwrap()
}

/// Returns the seconds that one statement takes; `None` when it was given up.
fn run(session: &mut Session, text: &str) -> Option<f64> {
    #[expect(clippy::disallowed_methods, reason = "an execution takes as long as it takes")]
    let started = Instant::now();
    let answer = session.simple(text.trim().trim_end_matches(';'));
    let seconds = started.elapsed().as_secs_f64();
    answer.is_ok().then_some(seconds)
}

/// Pages that one execution asks for, in its buffers or not.
fn pages(session: &mut Session, text: &str) -> f64 {
    let plan = explained(session, "ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON", text);
    let buffers = plan.root.actual.and_then(|actual| actual.buffers).unwrap_or_default();
    buffers.hit + buffers.read
}

/// Runs every statement with and without the indexes, `rounds` times in turns, serially,
/// and returns what does not hold. Short statements are run more often. Indexes are hidden
/// as a superuser can: `indisvalid` is cleared, which locks nothing and needs no new build.
pub(crate) fn compare(
    session: &mut Session,
    texts: &[(u32, String)],
    advice: &WorkloadAdvice,
    rounds: usize,
) -> Vec<String> {
    let mut failures = Vec::new();
    session.batch("SET max_parallel_workers_per_gather = 0").unwrap();
    println!(
        "\n{:>4} {:>9} {:>9} {:>6} {:>8} {:>17} {:>11} {:>11}",
        "", "without", "with", "pairs", "change", "95 % interval", "pages", "with"
    );
    let (mut before, mut after) = (0.0, 0.0);
    for (number, text) in texts {
        if *number == ENDLESS.0 {
            endless(session, text, advice);
            continue;
        }
        let pairs = paired(session, text, advice, rounds);
        hide(session, advice, true);
        let pages_without = pages(session, text);
        hide(session, advice, false);
        let pages_with = pages(session, text);
        // Each pair ran side by side; the mean of their ratios is what the indexes do.
        let logarithms: Vec<f64> = pairs.iter().map(|(without, with)| (with / without).ln()).collect();
        let ratio = mean(&logarithms).exp();
        let interval = bootstrap::interval(&logarithms, mean, CONFIDENCE, RESAMPLES, 1);
        let (low, high) = interval.map_or((0.0, f64::INFINITY), |known| (known.low.exp(), known.high.exp()));
        let without = least(pairs.iter().map(|(without, _)| *without));
        let with = least(pairs.iter().map(|(_, with)| *with));
        before += without;
        after += with;
        let is_slower = ratio > 1.0 + SLOWER && low > 1.0 && with - without > NOISE;
        println!(
            "{:>4} {without:>9.3} {with:>9.3} {:>6} {:>7.0}% {:>17} {pages_without:>11.0} {pages_with:>11.0}{}",
            format!("Q{number}"),
            pairs.len(),
            100.0 * (ratio - 1.0),
            format!("{:+.0} to {:+.0}%", 100.0 * (low - 1.0), 100.0 * (high - 1.0)),
            if is_slower { "  slower" } else { "" }
        );
        if is_slower {
            failures.push(format!("Q{number} is {:.0} % slower", 100.0 * (ratio - 1.0)));
        }
    }
    let slower = failures.len();
    let change = 1.0 - after / before;
    println!(
        "{:>4} {before:>9.3} {after:>9.3} {:>14.0}%  without Q21 (at least -{:.0} %; Extend -18 %, prototype -31 %); {slower} slower\n",
        "all",
        -100.0 * change,
        100.0 * FASTER
    );
    if change < FASTER {
        failures.push(format!(
            "real serial time fell by {:.1} %, not by {:.0} %",
            100.0 * change,
            100.0 * FASTER
        ));
    }
    session.batch("RESET max_parallel_workers_per_gather").unwrap();
    failures
}

/// Returns the seconds of pairs, without and with; which of the two comes first changes.
fn paired(session: &mut Session, text: &str, advice: &WorkloadAdvice, rounds: usize) -> Vec<(f64, f64)> {
    let mut pairs = Vec::new();
    let mut wanted = rounds;
    let mut round = 0;
    while pairs.len() < wanted {
        let mut seconds = [0.0; 2];
        for turn in 0..2 {
            let hidden = (turn + round) % 2 == 0;
            hide(session, advice, hidden);
            seconds[usize::from(!hidden)] = run(session, text).expect("no statement but 21 takes long");
        }
        // The first round warms what is cached.
        if round == 0 {
            let times = if seconds[0] + seconds[1] < SHORT { OFTEN } else { 1 };
            wanted = rounds * times;
        } else {
            pairs.push((seconds[0], seconds[1]));
        }
        round += 1;
    }
    pairs
}

#[expect(clippy::cast_precision_loss, reason = "there are few pairs")]
fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len().max(1) as f64
}

fn least(seconds: impl Iterator<Item = f64>) -> f64 {
    seconds.fold(f64::INFINITY, f64::min)
}

fn endless(session: &mut Session, text: &str, advice: &WorkloadAdvice) {
    hide(session, advice, false);
    let with = run(session, text).unwrap_or(f64::INFINITY);
    hide(session, advice, true);
    session.batch(&format!("SET statement_timeout = '{}'", ENDLESS.1)).unwrap();
    session.within(Duration::from_mins(5));
    let without =
        run(session, text).map_or_else(|| format!("> {}", ENDLESS.1), |seconds| format!("{seconds:.3}"));
    session.batch("RESET statement_timeout").unwrap();
    hide(session, advice, false);
    println!("{:>4} {without:>9} {with:>9.3}   (not in the total)", "Q21");
}

/// Hides what was built, or shows it again.
fn hide(session: &mut Session, advice: &WorkloadAdvice, hidden: bool) {
    for index in &advice.chosen {
        let name = IndexDefinition::new(index.spec.clone()).unwrap().name();
        let name = qualified(&index.spec.table.schema, &name);
        let sql = "UPDATE pg_index SET indisvalid = NOT $2 WHERE indexrelid = $1::text::regclass AND indisvalid = $2";
        session.execute(sql, &[&name, &hidden]).unwrap();
    }
}
