//! The live load after changes.

use std::time::Duration;

use veritas_model::{Change, ChangeKind, ChangeState, KindGroup};

use super::{Optimizer, Working, failed, overlap};
use crate::{
    Act, OptimizeError,
    baseline::Baseline,
    watch::{Verdict, Watch},
};

impl Optimizer {
    /// Goes on watching changes whose watch was lost with the last process. A change that
    /// was already kept is not watched again: over so long a time nothing but the change
    /// of the data would be measured (see the decision record on verification).
    pub(super) fn resume_watches(&self, working: &mut Working) -> Result<(), OptimizeError> {
        let changes = self.control.changes().map_err(failed("read the ledger"))?;
        for change in changes {
            if change.state != ChangeState::Verifying || working.watches.contains_key(&change.id) {
                continue;
            }
            let Ok(actuator) = self.actuator(change.kind, &change.plan) else { continue };
            let before = self.control.baseline(&change.id).map_err(failed("read the baseline"))?;
            let now = self.clock.monotonic();
            let baseline = Baseline { before: before.unwrap_or_default(), halves: None, middle: now };
            let watched = change.live.as_ref().map_or(0.0, |live| live.watched_seconds);
            let carried = Duration::try_from_secs_f64(watched).unwrap_or_default();
            // The load drifted on meanwhile. The wall clock may have jumped back, but not
            // over what was watched.
            let since_change = change.applied_at.map_or(Duration::ZERO, |at| self.clock.now().since(at));
            let away = since_change.max(carried).saturating_add(self.options.baseline_window / 2);
            let work = actuator.work(&change.plan);
            let mut watch = Watch::resume(baseline, now, work, carried, away, &self.options);
            if begins_empty(change.kind) {
                watch.disturb("the process was restarted, and its caches began empty".to_owned());
            }
            working.watches.insert(change.id.clone(), held_to(&change, watch));
        }
        Ok(())
    }

    /// Looks at the load of every change whose time has come.
    pub(super) fn watch_load(&self, working: &mut Working, acts: &mut Vec<Act>) -> Result<(), OptimizeError> {
        let now = self.clock.monotonic();
        let due: Vec<_> =
            working.watches.iter().filter(|(_, watch)| watch.is_due(now)).map(|(id, _)| id.clone()).collect();
        for id in due {
            let change = self.control.change(&id).map_err(failed("read the change"))?;
            let Some(change) =
                change.filter(|change| matches!(change.state, ChangeState::Verifying | ChangeState::Kept))
            else {
                working.watches.remove(&id);
                continue;
            };
            self.look(&change, working, acts)?;
        }
        Ok(())
    }

    fn look(&self, change: &Change, working: &mut Working, acts: &mut Vec<Act>) -> Result<(), OptimizeError> {
        let Ok(actuator) = self.actuator(change.kind, &change.plan) else { return Ok(()) };
        let Some(watch) = working.watches.get_mut(&change.id) else { return Ok(()) };
        let (now, at) = (self.clock.monotonic(), self.clock.now());
        let work = actuator.work(&change.plan);
        let entered = match watch.look(now, &work, &self.options) {
            Verdict::Worse(live) => self.enter(&change.id, change.state, |change| {
                change.state = ChangeState::Reverting;
                change.settled_at = None;
                change.reason = format!(
                    "the live load costs {:.1} % more (at {:.0} % confidence between {:.1} % and {:.1} %)",
                    -live.gain * 100.0,
                    live.gain_interval.confidence * 100.0,
                    -live.gain_interval.high * 100.0,
                    -live.gain_interval.low * 100.0,
                );
                change.live = Some(live);
            })?,
            Verdict::Broken(live) => self.enter(&change.id, change.state, |change| {
                change.state = ChangeState::Reverting;
                change.settled_at = None;
                change.reason = format!(
                    "the live load shows {:.1} % less work, and {:.1} % was predicted",
                    live.gain * 100.0,
                    change.predicted.gain * 100.0,
                );
                change.live = Some(live);
            })?,
            Verdict::Keep(live, reason) => {
                let entered = self.enter(&change.id, ChangeState::Verifying, |change| {
                    change.state = ChangeState::Kept;
                    change.settled_at = Some(at);
                    change.reason = reason;
                    change.live = Some(live);
                })?;
                if entered.is_some() {
                    watch.keep(now, &work, &self.options);
                }
                entered
            }
            Verdict::GoOn(live) => {
                // Journaled with its state and reason unchanged: no event, but a restart
                // knows how long the load was watched and how much alpha is spent.
                self.enter(&change.id, ChangeState::Verifying, |change| change.live = Some(live))?;
                None
            }
            Verdict::Quiet => None,
            Verdict::Over => {
                working.watches.remove(&change.id);
                None
            }
        };
        acts.extend(entered.map(|change| Act::Entered(change.id, change.state)));
        Ok(())
    }

    /// Tells the watches over other changes in the same scope that what they see is no
    /// longer the doing of their change alone.
    pub(super) fn disturb_others(
        &self,
        by: &Change,
        how: &str,
        working: &mut Working,
    ) -> Result<(), OptimizeError> {
        if working.watches.keys().all(|id| *id == by.id) {
            return Ok(());
        }
        for change in self.control.changes().map_err(failed("read the ledger"))? {
            if change.id != by.id
                && overlap((change.kind, &change.plan), (by.kind, &by.plan))
                && let Some(watch) = working.watches.get_mut(&change.id)
            {
                watch.disturb(format!("{how} ({})", by.id));
            }
        }
        Ok(())
    }
}

/// Returns whether a restart takes away what the load is compared by: a cache that fills
/// anew misses more than the full one before it, whatever the change did. A cache that was
/// stopped holds nothing either way.
fn begins_empty(kind: ChangeKind) -> bool {
    kind.group() == KindGroup::Caching && kind != ChangeKind::CacheStop
}

/// Holds changes to caches to what was predicted: the prediction comes from a replay of the
/// very look-ups, so a live load that shows less than half of it shows that it was wrong.
pub(super) fn held_to(change: &Change, watch: Watch) -> Watch {
    match change.kind.group() {
        KindGroup::Caching => watch.promising(change.predicted.gain),
        KindGroup::Indexing | KindGroup::QueryExecution => watch,
    }
}
