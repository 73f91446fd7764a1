//! The replay: the statements of a load with and without one index, in pairs, with the values that they were run with.
//!
//! Everything happens in one transaction that is rolled back. Indexes that were made later
//! are dropped in it first; then each call runs on both sides, in an order that is drawn:
//! once where the index was dropped to a savepoint and got back, once where it stays
//! dropped. What counts is what the server executed, not what planning read.

use tokio_postgres::{Client, Transaction};
use veritas::model::Plan;
use veritas_statistics::{
    Rng,
    paired::{Alternative, signed_rank},
};

use super::{
    load::{Recorded, Statement, bound},
    stage::Failure,
};

/// Calls of each statement that are replayed.
const VECTORS: usize = 12;
/// Calls of a statement that runs without parameters, or that looked dearer.
const MANY: usize = 24;
/// A read that costs this share of pages more, and this many, is a regression unless it is
/// faster beyond chance.
const PAGES: (f64, f64) = (0.10, 3.0);
/// A read that takes this share longer, and this many seconds, beyond chance, is one too.
const TIME: (f64, f64) = (0.10, 1e-4);
const ALPHA: f64 = 0.001;
/// The load as a whole, its writes included, may not cost this share of pages more.
const WHOLE: f64 = 0.01;

/// What one index did to the statements on its table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effect {
    /// Pages of the load without the index and with it: every statement at its calls.
    pub(crate) pages: (f64, f64),
    /// Reads that became cheaper by a tenth of their pages or more.
    pub(crate) cheaper: usize,
    /// Writes that became dearer by as much; that is the price of an index.
    pub(crate) dearer_writes: usize,
    pub(crate) statements: usize,
    pub(crate) pairs: usize,
    /// Reads with more pages that take less time beyond chance: a join by the index whose
    /// pages are all in the buffers.
    pub(crate) more_pages_less_time: usize,
    /// What regressed, in words.
    pub(crate) regressions: Vec<String>,
}

/// The pairs of one statement: without the index, and with it.
#[derive(Debug, Default)]
struct Measured {
    pages: Vec<(f64, f64)>,
    seconds: Vec<(f64, f64)>,
}

/// Replays the statements on the table of one plan with and without its index, as it was
/// when the plans of `later` were not carried out yet.
pub(crate) async fn replay(
    client: &mut Client,
    plan: &Plan,
    later: &[&Plan],
    statements: &[(&Statement, &Recorded)],
    rng: &mut Rng,
) -> Result<Effect, Failure> {
    let mut transaction = client.transaction().await?;
    for plan in later {
        transaction.batch_execute(&format!("DROP INDEX \"{}\"", bare(&plan.object))).await?;
    }
    let index = bare(&plan.object);
    let mut effect = Effect::default();
    for (statement, recorded) in statements.iter().filter(|(statement, _)| is_on(statement, plan)) {
        if recorded.vectors.is_empty() {
            continue;
        }
        let wanted = if statement.draws.is_empty() { MANY } else { VECTORS };
        let mut measured = measure(&mut transaction, index, statement, recorded, wanted, rng).await?;
        if statement.is_read && measured.regression().is_some() {
            // What looked dearer by chance does not do so twice.
            measured = measure(&mut transaction, index, statement, recorded, MANY, rng).await?;
            if let Some(why) = measured.regression() {
                effect.regressions.push(format!("{} with {}: {why}", statement.name, index));
            }
        }
        effect.add(statement, recorded, &measured);
    }
    transaction.rollback().await?;
    let (without, with) = effect.pages;
    if with > without * (1.0 + WHOLE) {
        effect.regressions.push(format!("the load with {index}: {without:.0} -> {with:.0} pages"));
    }
    Ok(effect)
}

impl Effect {
    #[expect(clippy::cast_precision_loss, reason = "some thousand calls")]
    fn add(&mut self, statement: &Statement, recorded: &Recorded, measured: &Measured) {
        let (without, with) = mean(&measured.pages);
        self.statements += 1;
        self.pairs += measured.pages.len();
        self.pages.0 += recorded.calls as f64 * without;
        self.pages.1 += recorded.calls as f64 * with;
        self.cheaper += usize::from(statement.is_read && with < without * (1.0 - PAGES.0));
        let is_dearer = measured.has_more_pages();
        self.dearer_writes += usize::from(!statement.is_read && is_dearer);
        self.more_pages_less_time += usize::from(statement.is_read && is_dearer && measured.is_faster());
    }
}

impl Measured {
    /// Says why the statement is plainly dearer with the index; nothing when it is not.
    fn regression(&self) -> Option<String> {
        let (without, with) = mean(&self.pages);
        if self.has_more_pages() && !self.is_faster() {
            return Some(format!("{without:.1} -> {with:.1} pages a call"));
        }
        let (without, with) = (median(&self.seconds, |pair| pair.0), median(&self.seconds, |pair| pair.1));
        let (share, least) = TIME;
        let is_longer = with > without * (1.0 + share) && with - without > least;
        (is_longer && self.is_beyond_chance(Alternative::Greater))
            .then(|| format!("{:.2} -> {:.2} ms a call", without * 1e3, with * 1e3))
    }

    fn has_more_pages(&self) -> bool {
        let (without, with) = mean(&self.pages);
        let (share, least) = PAGES;
        with > without * (1.0 + share) && with - without > least
    }

    fn is_faster(&self) -> bool {
        let (without, with) = (median(&self.seconds, |pair| pair.0), median(&self.seconds, |pair| pair.1));
        with < without * (1.0 - TIME.0) && self.is_beyond_chance(Alternative::Less)
    }

    /// Tells whether the differences of the seconds, with less without, lie to one side.
    fn is_beyond_chance(&self, side: Alternative) -> bool {
        let differences: Vec<f64> = self.seconds.iter().map(|(without, with)| with - without).collect();
        signed_rank(&differences, side).is_some_and(|test| test.p_value <= ALPHA)
    }
}

async fn measure(
    transaction: &mut Transaction<'_>,
    index: &str,
    statement: &Statement,
    recorded: &Recorded,
    pairs: usize,
    rng: &mut Rng,
) -> Result<Measured, Failure> {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {}", statement.sql);
    let prepared = transaction.prepare(&explain).await?;
    let mut measured = Measured::default();
    // The first pair warms the buffers, and does not count.
    for pair in 0..=pairs {
        let vector = &recorded.vectors[pair % recorded.vectors.len()];
        let mut costs = [(0.0, 0.0); 2];
        let first = usize::from(rng.below(2) == 1);
        for side in [first, 1 - first] {
            let mut savepoint = transaction.transaction().await?;
            let drop_it = format!("DROP INDEX \"{index}\"");
            if side == 0 {
                savepoint.batch_execute(&drop_it).await?;
            } else {
                // The other side does the same, and takes it back.
                let undone = savepoint.transaction().await?;
                undone.batch_execute(&drop_it).await?;
                undone.rollback().await?;
            }
            let lines = savepoint.query(&prepared, &bound(vector)).await?;
            costs[side] = cost(lines.iter().map(|line| line.get(0)));
            savepoint.rollback().await?;
        }
        if pair > 0 {
            let [without, with] = costs;
            measured.pages.push((without.0, with.0));
            measured.seconds.push((without.1, with.1));
        }
    }
    Ok(measured)
}

/// Reads the pages and the seconds of an execution from what `EXPLAIN` printed.
fn cost<'a>(lines: impl Iterator<Item = &'a str>) -> (f64, f64) {
    let (mut pages, mut seconds, mut is_executing) = (None, 0.0, true);
    for line in lines.map(str::trim) {
        is_executing &= !line.starts_with("Planning");
        if is_executing && pages.is_none() && line.starts_with("Buffers:") {
            // The first one is that of the whole plan.
            let of = |word: &str| {
                let found = line.split_whitespace().find_map(|part| part.strip_prefix(word));
                found.and_then(|number| number.trim_end_matches(',').parse().ok()).unwrap_or(0.0)
            };
            pages = Some(of("hit=") + of("read="));
        }
        if let Some(rest) = line.strip_prefix("Execution Time: ") {
            let milliseconds: f64 = rest.trim_end_matches(" ms").parse().unwrap_or(0.0);
            seconds = milliseconds / 1e3;
        }
    }
    (pages.unwrap_or(0.0), seconds)
}

/// Returns the name of an index without its schema.
pub(crate) fn bare(object: &str) -> &str {
    object.rsplit('.').next().unwrap_or(object)
}

/// Tells whether a statement is on a table in the plan's scope.
fn is_on(statement: &Statement, plan: &Plan) -> bool {
    plan.scope.iter().any(|table| {
        let table = bare(table);
        statement
            .sql
            .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .any(|word| word == table)
    })
}

#[expect(clippy::cast_precision_loss, reason = "some dozen pairs")]
fn mean(pairs: &[(f64, f64)]) -> (f64, f64) {
    let count = pairs.len().max(1) as f64;
    let sums = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    (sums.0 / count, sums.1 / count)
}

fn median(pairs: &[(f64, f64)], side: fn(&(f64, f64)) -> f64) -> f64 {
    let mut values: Vec<f64> = pairs.iter().map(side).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
