//! Time to live: too short, where values outlive it; too long, where what is served is old.

use std::time::Duration;

use veritas_model::{Cause, Finding, FindingKind, Unit};

use super::{View, time_text};
use crate::{AdvisorOptions, TimeToLiveAdvice, TtlCurve, TtlPoint};

/// A time to live is enough when it misses at most this much more than the best one: a point.
const A_POINT: f64 = 0.01;
/// Less than this many times as long is no other time to live.
const SMALLEST_STEP: f64 = 1.5;
/// Loads of the same key that must have been compared for staleness to be known.
const COMPARISONS: u64 = 30;
/// What is stale must be so many times what may be before a shorter life is spoken of.
const CLEARLY: f64 = 2.0;
/// The share of the misses that must be due to time, for another time to live to matter.
const DUE_TO_TIME: f64 = 0.10;
/// How long what is refreshed may be served past its time at first: a quarter of its life,
/// and no longer than this.
const LONGEST_STALE: Duration = Duration::from_secs(30);

/// Says which time to live would serve the namespace better; `None`: as it is.
///
/// Longer, when that takes away a worthwhile share of the misses and what is served gets
/// at most [`AdvisorOptions::most_stale`] older answers: that must be known. No longer than
/// what the recording can prove: a life grows in steps. Shorter, when
/// more than that share of the look-ups is answered with an old value today.
pub(crate) fn advise(
    view: &View<'_>,
    options: &AdvisorOptions,
    reasons: &mut Vec<String>,
) -> Option<TimeToLiveAdvice> {
    if !view.is_enough(options) || view.reading.tuning.bypass {
        return None;
    }
    let now = at(view.ttl_curve, view.reading.tuning.ttl)?;
    let Some(stale_now) = now.staleness else {
        reasons.push(if is_due_to_time(view) {
            "whether values change is not known (no digests): no longer life is advised".to_owned()
        } else {
            hardly_due_to_time(view)
        });
        return None;
    };
    if stale_now > CLEARLY * options.most_stale {
        return shorter(view, &now, options);
    }
    if !is_due_to_time(view) {
        reasons.push(hardly_due_to_time(view));
        return None;
    }
    let advice = longer(view, &now, stale_now, options);
    if advice.is_none() {
        reasons.push(format!(
            "no longer life up to {} (what was recorded can prove no more) is known to take away {:.0} % of the misses \
             with at most {:.1} % more old answers",
            time_text(view.provable_life),
            options.worthwhile * 100.0,
            options.most_stale * 100.0,
        ));
    }
    advice
}

/// Says how long a namespace whose loads refresh should serve past its time.
pub(crate) fn stale(view: &View<'_>, options: &AdvisorOptions) -> Option<Duration> {
    let tuning = &view.reading.tuning;
    let refreshes = view.counted.refreshes > 0 && tuning.stale.is_zero();
    let known = at(view.ttl_curve, tuning.ttl).and_then(|now| now.staleness)?;
    (view.is_enough(options)
        && !tuning.bypass
        && refreshes
        && is_due_to_time(view)
        && known <= options.most_stale)
        .then(|| (tuning.ttl / 4).min(LONGEST_STALE))
        .filter(|stale| stale.as_millis() > 0)
}

#[derive(Debug, Clone, Copy)]
struct Point {
    ttl: Duration,
    hit_ratio: f64,
    staleness: Option<f64>,
}

/// Returns the curve at a time to live.
fn at(curve: &TtlCurve, ttl: Duration) -> Option<Point> {
    curve.at(ttl).map(|point| of(curve, &point))
}

fn of(curve: &TtlCurve, point: &TtlPoint) -> Point {
    let is_known = curve.comparisons >= COMPARISONS;
    Point {
        ttl: point.time_to_live,
        hit_ratio: point.hit_ratio,
        staleness: is_known.then_some(point.staleness),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
fn is_due_to_time(view: &View<'_>) -> bool {
    view.counted.expirations as f64 >= DUE_TO_TIME * view.counted.misses as f64
        && view.counted.expirations > 0
}

fn hardly_due_to_time(view: &View<'_>) -> String {
    format!(
        "{} entries died of age, and {} look-ups missed: a longer life would change little",
        view.counted.expirations, view.counted.misses,
    )
}

fn advice(now: &Point, then: &Point) -> TimeToLiveAdvice {
    TimeToLiveAdvice {
        from: now.ttl,
        to: whole(then.ttl),
        hit_ratio: now.hit_ratio,
        advised_hit_ratio: then.hit_ratio,
        staleness: now.staleness,
        advised_staleness: then.staleness,
    }
}

/// Rounds to what people would write: whole seconds, or whole milliseconds below two.
fn whole(ttl: Duration) -> Duration {
    if ttl >= Duration::from_secs(2) {
        Duration::from_secs(ttl.as_secs())
    } else {
        Duration::from_millis(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
    }
}

fn points(view: &View<'_>) -> impl Iterator<Item = Point> {
    view.ttl_curve.points.iter().map(|point| of(view.ttl_curve, point))
}

fn longer(
    view: &View<'_>,
    now: &Point,
    stale_now: f64,
    options: &AdvisorOptions,
) -> Option<TimeToLiveAdvice> {
    let fresh = |point: &Point| point.staleness.is_some_and(|stale| stale - stale_now <= options.most_stale);
    let longer: Vec<Point> = points(view)
        .filter(|point| point.ttl.as_secs_f64() >= SMALLEST_STEP * now.ttl.as_secs_f64())
        .take_while(|point| point.ttl <= view.provable_life)
        .take_while(fresh)
        .collect();
    let best = longer.iter().map(|point| point.hit_ratio).max_by(f64::total_cmp)?;
    let enough = longer.iter().find(|point| point.hit_ratio >= best - A_POINT)?;
    let gone = enough.hit_ratio - now.hit_ratio;
    (gone > 0.0
        && gone >= options.worthwhile * (1.0 - now.hit_ratio)
        && view.saved_by(gone) >= options.least_saving)
        .then(|| advice(now, enough))
}

fn shorter(view: &View<'_>, now: &Point, options: &AdvisorOptions) -> Option<TimeToLiveAdvice> {
    let shorter: Vec<Point> = points(view)
        .filter(|point| point.ttl.as_secs_f64() * SMALLEST_STEP <= now.ttl.as_secs_f64())
        .collect();
    let fresh = |point: &&Point| point.staleness.is_some_and(|stale| stale <= options.most_stale);
    // The longest of those that are fresh enough, else the shortest there is.
    shorter.iter().rev().find(fresh).or(shorter.first()).map(|then| advice(now, then))
}

/// The finding that an advice is.
pub(crate) fn finding(view: &View<'_>, advice: &TimeToLiveAdvice) -> Finding {
    let name = &view.reading.name;
    let (from, to) = (time_text(advice.from), time_text(advice.to));
    let percent = |share: f64| share * 100.0;
    let saved = view.saved_by(advice.advised_hit_ratio - advice.hit_ratio);
    let (stale, stale_then) = (advice.staleness.unwrap_or(0.0), advice.advised_staleness.unwrap_or(0.0));
    let recommendation = if advice.to > advice.from {
        format!(
            "Let what {name} stores live {to} instead of {from}: {:.1} % of its look-ups would hit instead of {:.1} %, \
             and {:.2} % would be answered with an old value (simulated)",
            percent(advice.advised_hit_ratio),
            percent(advice.hit_ratio),
            percent(stale_then),
        )
    } else {
        format!(
            "{:.1} % of the look-ups of {name} are answered with an old value. With a life of {to} instead of {from} \
             {:.1} % would be, and {:.1} % would hit instead of {:.1} % (simulated); how fresh answers must be is \
             for you to say",
            percent(stale),
            percent(stale_then),
            percent(advice.advised_hit_ratio),
            percent(advice.hit_ratio),
        )
    };
    let more = vec![
        view.measured("ttl_seconds", advice.from.as_secs_f64(), Unit::Seconds),
        view.simulated("advised_ttl_seconds", advice.to.as_secs_f64(), Unit::Seconds),
        view.simulated("simulated_hit_ratio", advice.hit_ratio, Unit::Ratio),
        view.simulated("advised_hit_ratio", advice.advised_hit_ratio, Unit::Ratio),
        view.estimated("staleness", stale, Unit::Ratio),
        view.simulated("advised_staleness", stale_then, Unit::Ratio),
        view.simulated("seconds_saved_per_second", saved, Unit::PerSecond),
    ];
    let cause = Cause::CacheTimeToLive {
        ttl_seconds: advice.from.as_secs_f64(),
        hit_ratio: advice.hit_ratio,
        advised_ttl_seconds: advice.to.as_secs_f64(),
        advised_hit_ratio: advice.advised_hit_ratio,
    };
    let impact = if advice.to > advice.from {
        view.impact(saved)
    } else {
        veritas_model::Impact::of_time_share(stale)
    };
    view.finding(FindingKind::CacheTtl, None, cause, recommendation, impact, more)
}
