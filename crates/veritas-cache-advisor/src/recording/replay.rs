//! A replay: what a recording's look-ups would have met with and without a change.
//!
//! Both worlds start empty and see the same accesses; what is before the measured span
//! warms them up. A look-up that misses stores what the load brought. Stores that came
//! from a load are not repeated, since in another world another look-up loads; explicit
//! ones and deletes are. Where the recording does not know a key's past (its first
//! look-up hit), the world before answers as the live cache did, and the world after is
//! given no advantage by it.

use std::collections::HashMap;

use veritas_cache::AccessKind;

use super::{
    Recorded,
    world::{Answer, Fact, Settings, World},
};
use crate::{
    net::OwnCosts,
    sample::{SampleRate, sampling_hash},
};

/// What a world's look-ups met.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Tally {
    /// Look-ups.
    pub(crate) look_ups: u64,
    /// Look-ups whose caller waited for a load.
    pub(crate) misses: u64,
    /// Loads made beside look-ups that were answered.
    pub(crate) refreshes: u64,
    /// Look-ups that were answered with what a load would no longer have brought.
    pub(crate) stale: u64,
    /// Seconds that callers spent, in loads and in the cache.
    pub(crate) seconds: f64,
    /// Those of them in the cache itself: estimated, and measured nowhere.
    pub(crate) own: f64,
}

impl Tally {
    fn add(&mut self, answer: Answer, (load, own): (f64, f64)) {
        self.look_ups += 1;
        self.misses += u64::from(answer.missed);
        self.refreshes += u64::from(answer.refreshed);
        self.stale += u64::from(answer.stale);
        self.seconds += load + own;
        self.own += own;
    }

    /// Counts each as so many.
    fn times(mut self, count: u64) -> Self {
        for figure in [&mut self.look_ups, &mut self.misses, &mut self.refreshes, &mut self.stale] {
            *figure = figure.saturating_mul(count);
        }
        #[expect(clippy::cast_precision_loss, reason = "a factor of sampling stays below 2^53")]
        let count = count as f64;
        self.seconds *= count;
        self.own *= count;
        self
    }

    pub(crate) fn and(&mut self, other: &Self) {
        self.look_ups += other.look_ups;
        self.misses += other.misses;
        self.refreshes += other.refreshes;
        self.stale += other.stale;
        self.seconds += other.seconds;
        self.own += other.own;
    }
}

/// The same look-ups in both worlds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pair {
    pub(crate) before: Tally,
    pub(crate) after: Tally,
}

impl Pair {
    pub(crate) fn and(&mut self, other: &Self) {
        self.before.and(&other.before);
        self.after.and(&other.after);
    }

    fn times(self, count: u64) -> Self {
        Self { before: self.before.times(count), after: self.after.times(count) }
    }
}

/// Which part of a recording is measured, and in how many windows of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first millisecond that is measured: what is before it warms the worlds up.
    pub(crate) from_ms: u64,
    /// The last one.
    pub(crate) to_ms: u64,
    /// Windows.
    pub(crate) windows: usize,
}

impl Span {
    fn window(&self, at_ms: u64) -> Option<usize> {
        let into = at_ms.checked_sub(self.from_ms)?;
        let length = (self.to_ms - self.from_ms + 1).div_ceil(self.windows as u64).max(1);
        usize::try_from(into / length).ok().filter(|window| *window < self.windows)
    }
}

/// The two worlds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Change {
    pub(crate) before: Settings,
    pub(crate) after: Settings,
}

/// What things cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Costs {
    /// What the cache itself costs.
    pub(crate) own: OwnCosts,
    /// Mean seconds of one load: for keys whose own is not known, or is below the
    /// microsecond that a recording resolves.
    pub(crate) load: f64,
}

impl Costs {
    /// Below this mean the costs of single keys are not told apart, in seconds.
    const RESOLVED: f64 = 20e-6;

    fn of_load(&self, cost_us: u32) -> f64 {
        if cost_us == 0 || self.load < Self::RESOLVED { self.load } else { f64::from(cost_us) * 1e-6 }
    }

    /// Returns the seconds that the caller spends in a load, and those in the cache itself.
    fn of(&self, settings: &Settings, answer: Answer, fact: Fact) -> (f64, f64) {
        if !answer.missed {
            (0.0, self.own.hit)
        } else if settings.bypass {
            (self.of_load(fact.cost_us), self.own.bypassed)
        } else {
            (self.of_load(fact.cost_us), self.own.miss + self.own.store)
        }
    }
}

/// What a replay showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replayed {
    /// By time, in order.
    pub(crate) windows: Vec<Pair>,
    /// By key: what another sample of keys would show lies as far from this one as these
    /// groups lie from each other.
    pub(crate) groups: Vec<Pair>,
    /// All of it.
    pub(crate) total: Pair,
    /// Look-ups whose key's past is not known, and that hit on the live cache.
    pub(crate) unknown_past: u64,
    /// Look-ups whose key's past is not known, and that missed: in a larger cache some of
    /// them might have hit.
    pub(crate) first_misses: u64,
    /// Of the measured look-ups, those that missed on the live cache.
    pub(crate) live_misses: u64,
    /// Stores seen, and those of them whose value's digest is known.
    pub(crate) stores: (u64, u64),
}

impl Replayed {
    /// So many groups of keys are told apart.
    const GROUPS: u64 = 16;

    /// Forgets the windows in which this or `other` had fewer look-ups.
    pub(crate) fn keep_windows(&mut self, fewest: u64, other: Option<&Self>) {
        let enough: Vec<bool> = (0..self.windows.len())
            .map(|index| {
                std::iter::once(&*self)
                    .chain(other)
                    .all(|side| side.windows.get(index).is_some_and(|pair| pair.before.look_ups >= fewest))
            })
            .collect();
        let mut keep = enough.into_iter();
        self.windows.retain(|_| keep.next().unwrap_or(false));
    }

    /// Returns this as if each look-up had been so many: what a sample stands for.
    pub(crate) fn times(mut self, count: u64) -> Self {
        for pair in self.windows.iter_mut().chain(&mut self.groups).chain([&mut self.total]) {
            *pair = pair.times(count);
        }
        for figure in [&mut self.unknown_past, &mut self.first_misses, &mut self.live_misses] {
            *figure = figure.saturating_mul(count);
        }
        self
    }

    /// Joins the replay of another namespace over the same windows.
    pub(crate) fn and(mut self, other: Self) -> Self {
        for (window, others) in self.windows.iter_mut().zip(&other.windows) {
            window.and(others);
        }
        self.groups.extend(other.groups);
        self.total.and(&other.total);
        self.unknown_past += other.unknown_past;
        self.first_misses += other.first_misses;
        self.live_misses += other.live_misses;
        self.stores = (self.stores.0 + other.stores.0, self.stores.1 + other.stores.1);
        self
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    fact: Option<Fact>,
    /// A live look-up missed, and nothing was stored since.
    pending: bool,
}

/// Replays a recording's `entries`, in order of time. Costs well below a microsecond an entry.
pub(crate) fn replay(
    entries: &[Recorded],
    rate: SampleRate,
    change: &Change,
    span: &Span,
    costs: &Costs,
) -> Replayed {
    let (mut before, mut after) = (World::new(change.before, rate), World::new(change.after, rate));
    let generous = change.after.is_as_generous_as(&change.before);
    let upcoming = upcoming(entries);
    let usual = usual(entries);
    let mut known: HashMap<u64, Known> = HashMap::new();
    let mut replayed = Replayed {
        windows: vec![Pair::default(); span.windows],
        groups: vec![Pair::default(); usize::try_from(Replayed::GROUPS).unwrap_or(1)],
        total: Pair::default(),
        unknown_past: 0,
        first_misses: 0,
        live_misses: 0,
        stores: (0, 0),
    };
    for (entry, upcoming) in entries.iter().zip(upcoming) {
        let (key, at_ms) = (entry.key, entry.at_ms);
        match entry.kind {
            AccessKind::Hit | AccessKind::Miss => {
                let live_miss = entry.kind == AccessKind::Miss;
                let is_first = !known.contains_key(&key);
                let past = known.entry(key).or_default();
                if live_miss {
                    past.fact = upcoming.or(past.fact);
                    past.pending = true;
                }
                let fact = past.fact.unwrap_or(usual);
                let answers = if is_first && !live_miss {
                    before.store(key, at_ms, fact);
                    after.store(key, at_ms, fact);
                    [Answer::default(), Answer { missed: !generous, ..Answer::default() }]
                } else {
                    [before.look_up(key, at_ms, fact), after.look_up(key, at_ms, fact)]
                };
                let Some(window) = span.window(at_ms) else { continue };
                let mut pair = Pair::default();
                pair.before.add(answers[0], costs.of(&change.before, answers[0], fact));
                pair.after.add(answers[1], costs.of(&change.after, answers[1], fact));
                replayed.live_misses += u64::from(live_miss);
                replayed.unknown_past += u64::from(is_first && !live_miss);
                replayed.first_misses += u64::from(is_first && live_miss);
                // Not the hash that the sample was taken by.
                let group = usize::try_from(sampling_hash(key) % Replayed::GROUPS).unwrap_or(0);
                for part in [&mut replayed.windows[window], &mut replayed.groups[group], &mut replayed.total]
                {
                    part.and(&pair);
                }
            }
            AccessKind::Store { weight, cost_us, value } => {
                let past = known.entry(key).or_default();
                let fact = Fact { weight, cost_us, value };
                if !past.pending && cost_us == 0 {
                    before.store(key, at_ms, fact);
                    after.store(key, at_ms, fact);
                }
                *past = Known { fact: Some(fact), pending: false };
                replayed.stores.0 += 1;
                replayed.stores.1 += u64::from(value != 0);
            }
            AccessKind::Delete => {
                known.entry(key).or_default();
                before.delete(key);
                after.delete(key);
            }
        }
    }
    replayed
}

/// Returns, for each look-up that missed, what was stored under its key next.
fn upcoming(entries: &[Recorded]) -> Vec<Option<Fact>> {
    let mut next: HashMap<u64, Fact> = HashMap::new();
    let mut upcoming = vec![None; entries.len()];
    for (entry, slot) in entries.iter().zip(&mut upcoming).rev() {
        match entry.kind {
            AccessKind::Hit => {}
            AccessKind::Miss => *slot = next.get(&entry.key).copied(),
            AccessKind::Store { weight, cost_us, value } => {
                next.insert(entry.key, Fact { weight, cost_us, value });
            }
            AccessKind::Delete => {
                next.remove(&entry.key);
            }
        }
    }
    upcoming
}

/// Returns what is taken for a key of which no store was recorded: the mean.
fn usual(entries: &[Recorded]) -> Fact {
    let (mut stores, mut weights, mut costs) = (0_u64, 0_u64, 0_u64);
    for entry in entries {
        if let AccessKind::Store { weight, cost_us, .. } = entry.kind {
            stores += 1;
            weights += u64::from(weight);
            costs += u64::from(cost_us);
        }
    }
    let mean = |sum: u64| u32::try_from(sum / stores.max(1)).unwrap_or(u32::MAX);
    Fact { weight: mean(weights), cost_us: mean(costs), value: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Policy;

    const OWN: OwnCosts = OwnCosts { hit: 0.0, miss: 0.0, store: 0.0, bypassed: 0.0, error: 0.0 };
    const COSTS: Costs = Costs { own: OWN, load: 0.001 };
    const SETTINGS: Settings = Settings {
        capacity: 10_000,
        ttl_ms: 100,
        jitter: 0.0,
        stale_ms: 0,
        early_refresh: 0.0,
        bypass: false,
        policy: Policy::BYTES,
    };
    const SPAN: Span = Span { from_ms: 0, to_ms: 999, windows: 10 };

    fn look_up(key: u64, at_ms: u64, hit: bool) -> Recorded {
        Recorded { key, at_ms, kind: if hit { AccessKind::Hit } else { AccessKind::Miss } }
    }

    fn store(key: u64, at_ms: u64, cost_us: u32, value: u32) -> Recorded {
        Recorded { key, at_ms, kind: AccessKind::Store { weight: 100, cost_us, value } }
    }

    fn replayed(entries: &[Recorded], after: Settings) -> Replayed {
        let change = Change { before: SETTINGS, after };
        replay(entries, SampleRate::ALL, &change, &SPAN, &COSTS)
    }

    #[test]
    fn a_longer_life_saves_the_loads_between() {
        let entries: Vec<Recorded> = (0..10)
            .flat_map(|round| [look_up(1, round * 100, false), store(1, round * 100, 2_000, 7)])
            .collect();
        let seen = replayed(&entries, Settings { ttl_ms: 1_000, ..SETTINGS });
        assert_eq!((seen.total.before.misses, seen.total.after.misses), (10, 1));
        assert_eq!(seen.live_misses, 10);
        assert!((seen.total.before.seconds - 0.02).abs() < 1e-9);
        assert!((seen.total.after.seconds - 0.002).abs() < 1e-9);
        assert_eq!(seen.total.after.stale, 0);
        assert!(seen.windows.iter().all(|window| window.before.look_ups == 1));
    }

    #[test]
    fn a_value_that_changed_meanwhile_is_served_stale() {
        let entries: Vec<Recorded> = (0..10_u32)
            .flat_map(|round| {
                let at_ms = u64::from(round) * 100;
                [look_up(1, at_ms, false), store(1, at_ms, 2_000, 1 + round / 5)]
            })
            .collect();
        let seen = replayed(&entries, Settings { ttl_ms: 1_000, ..SETTINGS });
        assert_eq!((seen.total.before.stale, seen.total.after.stale), (0, 5));
        assert_eq!(seen.stores, (10, 10));
    }

    #[test]
    fn an_explicit_store_is_repeated_and_a_loaded_one_is_not() {
        // Stored by a refresh (it has a cost): another world does not know of it.
        let refreshed = [look_up(1, 0, false), store(1, 0, 5, 1), store(1, 90, 5, 1), look_up(1, 150, true)];
        assert_eq!(replayed(&refreshed, SETTINGS).total.before.misses, 2);
        // Stored by the application.
        let set = [look_up(1, 0, false), store(1, 0, 5, 1), store(1, 90, 0, 1), look_up(1, 150, true)];
        assert_eq!(replayed(&set, SETTINGS).total.before.misses, 1);
        // A store without a cost right after a miss is what the application computed.
        let aside = [look_up(1, 0, false), store(1, 0, 0, 1), look_up(1, 50, true), look_up(1, 150, false)];
        assert_eq!(replayed(&aside, SETTINGS).total.before.misses, 2);
    }

    #[test]
    fn what_is_deleted_is_gone_in_both_worlds() {
        let deleted = Recorded { key: 1, at_ms: 10, kind: AccessKind::Delete };
        let entries = [look_up(1, 0, false), store(1, 0, 5, 1), deleted, look_up(1, 20, false)];
        let seen = replayed(&entries, Settings { ttl_ms: 1_000, ..SETTINGS });
        assert_eq!((seen.total.before.misses, seen.total.after.misses), (2, 2));
    }

    #[test]
    fn an_unknown_past_is_no_advantage() {
        let entries = [look_up(1, 0, true), look_up(2, 0, false)];
        let more = replayed(&entries, Settings { capacity: 20_000, ..SETTINGS });
        assert_eq!((more.total.before.misses, more.total.after.misses, more.unknown_past), (1, 1, 1));
        let less = replayed(&entries, Settings { capacity: 5_000, ..SETTINGS });
        assert_eq!((less.total.before.misses, less.total.after.misses), (1, 2));
    }

    #[test]
    fn what_is_before_the_span_only_warms_up() {
        let entries = [look_up(1, 0, false), store(1, 0, 5, 1), look_up(1, 50, true)];
        let span = Span { from_ms: 40, ..SPAN };
        let change = Change { before: SETTINGS, after: SETTINGS };
        let seen = replay(&entries, SampleRate::ALL, &change, &span, &COSTS);
        assert_eq!((seen.total.before.look_ups, seen.total.before.misses), (1, 0));
    }

    #[test]
    fn two_namespaces_are_joined_window_by_window() {
        let entries: Vec<Recorded> = (0..100).map(|key| look_up(key, key * 10, false)).collect();
        let seen = replayed(&entries, SETTINGS);
        let both = seen.clone().times(4).and(seen.clone());
        assert_eq!(both.total.before.look_ups, 500);
        assert!(both.windows.iter().all(|window| window.before.misses == 50));
        let mut few = seen.clone();
        few.windows[3] = Pair::default();
        let mut kept = seen.clone();
        kept.keep_windows(10, Some(&few));
        assert_eq!((kept.windows.len(), seen.windows.len()), (9, 10));
    }

    #[test]
    fn groups_and_windows_hold_all_that_was_measured() {
        let entries: Vec<Recorded> = (0..500).map(|key| look_up(key, key * 2, false)).collect();
        let seen = replayed(&entries, SETTINGS);
        let sum = |pairs: &[Pair]| pairs.iter().map(|pair| pair.after.look_ups).sum::<u64>();
        assert_eq!((sum(&seen.windows), sum(&seen.groups)), (500, 500));
        assert!(seen.groups.iter().all(|group| group.before.look_ups > 10));
    }
}
