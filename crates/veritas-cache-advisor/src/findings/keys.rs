//! Hot keys and big keys.

use veritas_model::{Bytes, Cause, Finding, FindingKind, Impact, Unit};

use super::{View, size_text};
use crate::{AdvisorOptions, report::hash_text};

/// At most so many keys of one namespace are told of.
const TOLD: usize = 3;

/// Finds keys that take a large share of the look-ups for certain.
///
/// Only sampled keys are seen: where a part of the keys is sampled, a hot key outside of
/// it is missed, and what is found is counted in full all the same.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of look-ups stay below 2^53"
)]
pub(crate) fn hot(view: &View<'_>, options: &AdvisorOptions) -> Vec<Finding> {
    if !view.is_enough(options) {
        return Vec::new();
    }
    // The counts fade, and so do the look-ups they are among; those not sampled are not
    // in there.
    let sampled = view.curve.simulated as f64 / view.curve.look_ups.max(1) as f64;
    let among = view.hot_look_ups as f64 / sampled.clamp(1e-6, 1.0);
    let share = |count: u64| (count as f64 / among.max(1.0)).min(1.0);
    let is_hot = |hot: &&crate::HotKey| {
        share(hot.at_least()) >= options.hot_share
            && hot.at_least() >= (options.fewest_look_ups as f64 * 0.05) as u64
    };
    view.hot
        .iter()
        .filter(is_hot)
        .take(TOLD)
        .map(|hot| {
            let share = share(hot.at_least());
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
            ];
            let cause = Cause::HotKey { request_share: share };
            view.finding(FindingKind::HotKey, Some(hash), cause, recommendation, Impact::of_time_share(share), more)
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
            let impact = Impact::of_time_share(share(big.weight));
            let cause = Cause::BigKey { bytes: bytes.get() };
            view.finding(FindingKind::BigKey, Some(hash), cause, recommendation, impact, more)
        })
        .collect()
}
