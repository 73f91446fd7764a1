//! Hot keys and big keys.

use veritas_model::{Bytes, Cause, Finding, FindingKind, Impact, Unit};

use super::{View, size_text};
use crate::{AdvisorOptions, report::hash_text};

/// At most so many keys of one namespace are told of.
const TOLD: usize = 3;

/// So many callers that wait for the same load at once are a matter of medium impact.
const SOME_WAIT: f64 = 1.0;
/// So many are one of high impact.
const MANY_WAIT: f64 = 100.0;

/// Finds keys that take a large share of the look-ups for certain, and are looked up often
/// enough for it to matter.
///
/// Only sampled keys are seen: where a part of the keys is sampled, a hot key outside of
/// it is missed, and what is found is counted in full all the same. How much a hot key
/// matters is how many look-ups of it come while it is loaded: so many wait at its end.
#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
pub(crate) fn hot(view: &View<'_>, options: &AdvisorOptions) -> Vec<Finding> {
    if !view.is_enough(options) {
        return Vec::new();
    }
    let among = view.hot_look_ups.max(1) as f64;
    let share = |count: u64| (count as f64 / among).min(1.0);
    let per_second = |count: u64| share(count) * view.look_ups_per_second();
    let is_hot = |hot: &&crate::HotKey| {
        share(hot.at_least()) >= options.hot_share
            && per_second(hot.at_least()) >= options.hot_per_second
            && hot.at_least() as f64 >= options.fewest_look_ups as f64 * 0.05
    };
    view.hot
        .iter()
        .filter(is_hot)
        .take(TOLD)
        .map(|hot| {
            let (share, per_second) = (share(hot.at_least()), per_second(hot.at_least()));
            let waiting = per_second * view.load_seconds();
            let hash = hash_text(hot.key);
            let recommendation = format!(
                "One key of {} ({hash}) takes {:.1} % of its look-ups: keep it where it is used, and refresh it before \
                 its time is over, so that its end does not make everyone wait",
                view.reading.name,
                share * 100.0,
            );
            let more = vec![
                view.estimated("key_look_ups_at_least", hot.at_least() as f64, Unit::Count),
                view.estimated("key_look_ups_at_most", hot.count as f64, Unit::Count),
                view.estimated("key_share_of_look_ups", share, Unit::Ratio),
                view.estimated("key_look_ups_per_second", per_second, Unit::PerSecond),
                view.estimated("key_look_ups_during_a_load", waiting, Unit::Count),
            ];
            let impact = if waiting >= MANY_WAIT {
                Impact::High
            } else if waiting >= SOME_WAIT {
                Impact::Medium
            } else {
                Impact::Low
            };
            let cause = Cause::HotKey { request_share: share };
            view.finding(FindingKind::HotKey, Some(hash), cause, recommendation, impact, more)
        })
        .collect()
}

/// Finds keys whose value takes a large part of what the namespace may hold.
#[expect(clippy::cast_precision_loss, reason = "sizes in bytes stay below 2^53")]
pub(crate) fn big(view: &View<'_>, options: &AdvisorOptions) -> Vec<Finding> {
    let capacity = view.capacity.get().max(1) as f64;
    let share = |weight: u32| f64::from(weight) / capacity;
    view.big
        .iter()
        .filter(|big| {
            share(big.weight) >= options.big_share && u64::from(big.weight) >= options.big_bytes.get()
        })
        .take(TOLD)
        .map(|big| {
            let hash = hash_text(big.key);
            let bytes = Bytes::new(u64::from(big.weight));
            let recommendation = format!(
                "One value of {} ({hash}) takes {}, {:.1} % of what it may hold: split it, or limit the size of values",
                view.reading.name,
                size_text(bytes),
                share(big.weight) * 100.0,
            );
            let more = vec![
                view.measured("key_bytes", bytes.get() as f64, Unit::Bytes),
                view.measured("key_share_of_capacity", share(big.weight), Unit::Ratio),
            ];
            // A share of the bytes is no share of the time: where nothing is evicted it displaces nothing.
            let displaces = view.counted.evictions > 0 && share(big.weight) >= 2.0 * options.big_share;
            let impact = if displaces { Impact::Medium } else { Impact::Low };
            let cause = Cause::BigKey { bytes: bytes.get() };
            view.finding(FindingKind::BigKey, Some(hash), cause, recommendation, impact, more)
        })
        .collect()
}
