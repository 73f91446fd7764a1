//! Net loss: a cache that costs more than it saves, and one that nobody reads.

use veritas_model::{Cause, Finding, FindingKind, Impact, Unit};

use super::{View, seconds_text};
use crate::{AdvisorOptions, Net};

/// Sets to one look-up from which on nobody seems to read what is stored.
const SETS_PER_LOOK_UP: u64 = 20;
/// A cache that hits less often than this is not read to any effect.
const HARDLY_EVER: f64 = 0.001;

/// Says that the cache costs more than it saves, chance excluded; `None` where that is not
/// so, or not measured.
pub(crate) fn net_loss(view: &View<'_>, options: &AdvisorOptions) -> Option<Net> {
    let net = view.net.filter(Net::is_loss)?;
    (view.is_enough(options) && !view.reading.tuning.bypass).then_some(net)
}

/// The finding of a net loss.
pub(crate) fn finding(view: &View<'_>, net: &Net) -> Finding {
    let lost = -net.net * view.look_ups_per_second();
    let recommendation = format!(
        "Stop caching {}: each look-up costs {} in the cache (estimated) and saves {} of loading ({:.1} % \
         hit, a load takes {})",
        view.reading.name,
        seconds_text(net.spent),
        seconds_text(net.saved),
        net.hit_ratio * 100.0,
        seconds_text(net.load),
    );
    let more = vec![
        view.estimated("spent_seconds_per_look_up", net.spent, Unit::Seconds),
        view.estimated("saved_seconds_per_look_up", net.saved, Unit::Seconds),
        view.estimated("net_seconds_per_look_up", net.net, Unit::Seconds),
        view.estimated("net_seconds_per_look_up_low", net.interval.low, Unit::Seconds),
        view.estimated("net_seconds_per_look_up_high", net.interval.high, Unit::Seconds),
    ];
    let cause = Cause::CacheLoss { spent_seconds: net.spent, saved_seconds: net.saved };
    view.finding(FindingKind::CacheNetLoss, None, cause, recommendation, view.impact(lost), more)
}

/// Finds a namespace into which is written and from which nobody reads: it is stored
/// for nothing, whatever a load costs.
#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
pub(crate) fn unread(view: &View<'_>, options: &AdvisorOptions) -> Option<Finding> {
    let (sets, look_ups) = (view.counted.sets, view.counted.total_requests());
    let hit_ratio = view.counted.hit_ratio().map_or(0.0, veritas_model::Ratio::get);
    let is_unread = sets >= SETS_PER_LOOK_UP.saturating_mul(look_ups) || hit_ratio < HARDLY_EVER;
    if sets < options.fewest_look_ups
        || view.observed_for < options.shortest_observation
        || view.reading.tuning.bypass
        || !is_unread
    {
        return None;
    }
    let seconds = view.observed_for.as_secs_f64().max(1e-9);
    let spent = view.net.map_or(0.0, |net| net.spent);
    let recommendation = format!(
        "Nobody reads what is stored in {}: {sets} values were stored, and {} of {look_ups} look-ups hit. Do not \
         cache it, or look it up where it is needed",
        view.reading.name, view.counted.hits,
    );
    let more = vec![
        view.measured("sets", sets as f64, Unit::Count),
        view.measured("sets_per_second", sets as f64 / seconds, Unit::PerSecond),
        view.measured("hits", view.counted.hits as f64, Unit::Count),
        view.measured("bytes_held", view.reading.weight.get() as f64, Unit::Bytes),
    ];
    let cause = Cause::CacheLoss { spent_seconds: spent, saved_seconds: 0.0 };
    Some(view.finding(FindingKind::CacheNetLoss, None, cause, recommendation, Impact::Low, more))
}
