//! What is known of one key that is followed, and what it makes of a look-up.

use super::{
    change::{ChangeRate, Prior},
    estimator::LIVES,
};
use crate::sample::{SampleRate, Scale};

/// What is known of one key.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) hash: u64,
    /// What a request counts for.
    pub(super) scale: Scale,
    /// Of how many keys this one was chosen.
    pub(super) chosen_at: SampleRate,
    /// When each cache would have loaded what it holds.
    pub(super) loaded_at: [u32; LIVES],
    /// How likely that had not changed when the real cache last loaded, of `SURE`.
    pub(super) fresh: [u16; LIVES],
    /// What is not yet in the totals.
    pub(super) misses: [u16; LIVES],
    pub(super) look_ups: u16,
    /// Look-ups since the last real load.
    pub(super) since_load: u16,
    /// How often it was asked for, of late.
    pub(super) popularity: u32,
    /// The last real load, and the hash of what it brought.
    pub(super) last: Option<(u32, u32)>,
    pub(super) rate: ChangeRate,
}

/// What is certain.
pub(super) const SURE: u16 = u16::MAX;

/// What hits at one time to live were judged by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    /// Hits of keys whose rate of change is known.
    pub(super) hits: f64,
    /// What a hit's being stale or not deviates from its likelihood, of all of them.
    pub(super) chance: f64,
    /// What they would be off by if every rate were off by its standard deviation, all the same way.
    pub(super) rates: f64,
    /// Hits before, and how old what they were answered with was, in milliseconds.
    pub(super) early: f64,
    pub(super) early_ages: f64,
}

impl Followed {
    pub(super) fn begin(&mut self) {
        self.look_ups = 0;
        self.misses = [0; LIVES];
    }

    /// Notes a look-up at every time to live: without a branch, for all of them at once.
    #[inline]
    pub(super) fn look_up(&mut self, at: u32, ends_after: &[u32; LIVES]) {
        self.look_ups += 1;
        self.since_load = self.since_load.saturating_add(1);
        self.popularity = self.popularity.saturating_add(1);
        let mut ended = [0_u32; LIVES];
        for ((ended, loaded_at), ends_after) in ended.iter_mut().zip(&self.loaded_at).zip(ends_after) {
            *ended = u32::from(at.wrapping_sub(*loaded_at) >= *ends_after).wrapping_neg();
        }
        for (loaded_at, ended) in self.loaded_at.iter_mut().zip(&ended) {
            *loaded_at = (*loaded_at & !ended) | (at & ended);
        }
        let ended = ended.map(|ended| (ended & 0xffff) as u16);
        for ((misses, fresh), ended) in self.misses.iter_mut().zip(&mut self.fresh).zip(ended) {
            *misses = misses.wrapping_sub(ended);
            *fresh |= ended;
        }
    }

    /// Notes a hit that can not be judged yet.
    pub(super) fn note_early(&self, at: u32, ends_after: &[u32; LIVES], judged: &mut [Judged; LIVES]) {
        for ((loaded_at, ends_after), judged) in self.loaded_at.iter().zip(ends_after).zip(judged) {
            let age = at.wrapping_sub(*loaded_at);
            if age < *ends_after {
                judged.early += self.scale.count();
                judged.early_ages += self.scale.count() * f64::from(age);
            }
        }
    }

    /// Returns how likely it is, at every time to live, that a look-up hits and is answered
    /// with an old value.
    pub(super) fn judge(
        &self,
        at: u32,
        ends_after: &[u32],
        prior: &Prior,
        judged: &mut [Judged; LIVES],
    ) -> [f64; LIVES] {
        let since_real = self.last.map(|(loaded_at, _)| at.wrapping_sub(loaded_at));
        let unchanged = |for_so_long: u32| self.rate.unchanged_for(f64::from(for_so_long), prior);
        let unchanged_since_real = since_real.map_or(1.0, unchanged);
        let (weight, mean, deviation) =
            (self.scale.count(), self.rate.mean(prior), self.rate.relative_deviation(prior));
        let mut stale = [0.0; LIVES];
        // Many caches loaded at the same time.
        let mut known = (0, 1.0);
        for (life, (ends_after, judged)) in ends_after.iter().zip(judged).enumerate() {
            let age = at.wrapping_sub(self.loaded_at[life]);
            if age >= *ends_after {
                continue;
            }
            // What the real loads say, then what the rate says since.
            let (unknown_for, since_known) = match since_real {
                Some(since) if since <= age => (since, unchanged_since_real),
                _ => {
                    if known.0 != age {
                        known = (age, unchanged(age));
                    }
                    known
                }
            };
            let still = f64::from(self.fresh[life]) / f64::from(SURE) * since_known;
            stale[life] = 1.0 - still;
            judged.hits += weight;
            judged.chance += weight * (still * (1.0 - still)).sqrt();
            judged.rates += weight * still * (mean * f64::from(unknown_for)).min(1.0) * deviation;
        }
        stale
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability")]
pub(super) fn of_sure(probability: f64) -> u16 {
    (probability.clamp(0.0, 1.0) * f64::from(SURE)).round() as u16
}
