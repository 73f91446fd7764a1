//! The last word: every statement is asked with the final set, each index must
//! earn its place, and existing ones are hidden one by one where that is possible.

use super::{oracle::Oracle, set::Set};
use crate::{
    advice::{Chosen, DropReason, Dropped, Search, Stage, StatementGain},
    table::TableFacts,
    workload::Workload,
};

/// Asks for the set itself, takes out what does not save `least`, and asks
/// again. Returns the set, and whether every statement was asked with it.
pub(super) fn confirmed(oracle: &mut Oracle<'_>, from: Set, least: f64) -> (Set, bool) {
    oracle.told.stage = Stage::Prune;
    let mut set = from;
    loop {
        let all_asked = ask_all(oracle, set);
        let now = oracle.total(set);
        oracle.told.cost_now = now;
        oracle.told.indexes = set.len();
        let worst = set
            .members()
            .map(|one| (one, oracle.total(set.without(one)) - now))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        match worst {
            Some((worst, rise)) if rise < least.max(f64::MIN_POSITIVE) => set = set.without(worst),
            _ => return (set, all_asked),
        }
    }
}

/// Asks every statement that the set concerns, unless exactly that was asked.
fn ask_all(oracle: &mut Oracle<'_>, set: Set) -> bool {
    let mut all = true;
    for statement in 0..oracle.statements.len() {
        if !oracle.statements[statement].left_out {
            all &= oracle.confirm(statement, set).is_some() || oracle.statements[statement].left_out;
        }
    }
    all
}

/// Returns what one member of a set gives: what the total would rise without it.
pub(super) fn earned(oracle: &Oracle<'_>, set: Set, at: usize) -> Chosen {
    let candidate = &oracle.pool.candidates[at];
    let without = set.without(at);
    let mut statements: Vec<(f64, StatementGain)> = oracle
        .statements
        .iter()
        .enumerate()
        .map(|(statement, known)| {
            let gain = StatementGain {
                statement,
                before: oracle.cost_known(statement, without),
                after: oracle.cost_known(statement, set),
            };
            ((gain.before - gain.after) * known.weight, gain)
        })
        .filter(|(saved, _)| *saved > 0.0)
        .collect();
    statements.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.statement.cmp(&b.1.statement)));
    Chosen {
        spec: candidate.spec.clone(),
        size: candidate.size,
        gain: oracle.total(without) - oracle.total(set),
        write_cost: candidate.write,
        statements: statements.into_iter().map(|(_, gain)| gain).collect(),
    }
}

/// Returns existing indexes that cost more in writes than they save.
///
/// Each is hidden beside those that were found before it; nothing protected is.
pub(super) fn hidden(
    oracle: &mut Oracle<'_>,
    workload: &Workload,
    facts: &[TableFacts],
    search: &Search,
    set: Set,
) -> Vec<Dropped> {
    let mut dropped: Vec<Dropped> = Vec::new();
    let seconds = workload.window.as_secs_f64();
    for table in facts {
        let mut gone: Vec<&str> = Vec::new();
        for index in table.existing.iter().filter(|index| index.valid && !index.is_protected()) {
            let writes = super::pool::write_cost(&index.spec, table, search.write_cost, seconds);
            if writes <= 0.0 {
                continue;
            }
            gone.push(&index.name);
            let rise = rise_without(oracle, workload, table, &gone, set);
            if let Some(rise) = rise.filter(|rise| *rise < writes) {
                dropped.push(Dropped {
                    table: table.table.clone(),
                    name: index.name.clone(),
                    bytes: index.bytes,
                    reason: DropReason::NotWorth { saves: writes - rise },
                });
            } else {
                gone.pop();
            }
        }
    }
    dropped
}

/// Returns by how much the total rises without `gone`; `None` when a question failed.
fn rise_without(
    oracle: &mut Oracle<'_>,
    workload: &Workload,
    table: &TableFacts,
    gone: &[&str],
    set: Set,
) -> Option<f64> {
    let mut rise = 0.0;
    for (at, statement) in workload.statements.iter().enumerate() {
        let known = &oracle.statements[at];
        if known.left_out || !statement.tables.contains(&table.table) {
            continue;
        }
        let (now, weight) = (oracle.cost_known(at, set), known.weight);
        rise += (oracle.cost_hidden(at, set, gone)? - now).max(0.0) * weight;
    }
    Some(rise)
}
