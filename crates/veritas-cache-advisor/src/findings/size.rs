//! Too small and too large: what another capacity would bring.

use veritas_model::{Bytes, Cause, Finding, FindingKind, Impact, Unit};

use super::{View, seconds_text, size_text};
use crate::{AdvisorOptions, CapacityAdvice};

/// A capacity is enough when it misses at most this much more than the best one: a point.
const A_POINT: f64 = 0.01;
/// What does not cost more misses than this may be given back: half a point.
const HALF_A_POINT: f64 = 0.005;
/// Less than this many times as much is no other capacity.
const SMALLEST_STEP: f64 = 1.25;

/// Says which capacity would serve the namespace better; `None`: as it is.
///
/// More, when the smallest capacity within a point of the best obtainable one takes away a
/// worthwhile share of the misses, the error bounds held against it. Less, when half or
/// less would miss at most half a point more, seen for half of [`AdvisorOptions::window`]
/// (a cache that still fills seems to need little), and somebody cares: it was given a capacity of
/// its own, or others evict and no bytes are free. Neither, when the simulation of today is not
/// like the live cache: then something acts on it that is not simulated.
pub(crate) fn advise(
    view: &View<'_>,
    options: &AdvisorOptions,
    reasons: &mut Vec<String>,
) -> Option<CapacityAdvice> {
    if !view.is_enough(options) || view.reading.tuning.bypass {
        return None;
    }
    if view.curve.look_ups < options.fewest_look_ups {
        reasons.push(format!(
            "other sizes were simulated for {} look-ups, {} are needed",
            view.curve.look_ups, options.fewest_look_ups
        ));
        return None;
    }
    let now = here(view)?;
    let live = 1.0 - view.counted.hit_ratio()?.get();
    if (now.miss_ratio - live).abs() > options.proof.most_different + now.error_bound {
        reasons.push(format!(
            "simulated as it is, {:.1} % of the look-ups miss, and live {:.1} %: no other size is advised",
            now.miss_ratio * 100.0,
            live * 100.0,
        ));
        return None;
    }
    if let Some(advice) = more(view, &now, options) {
        return Some(advice);
    }
    let advice = less(view, &now, options);
    let reason = match &advice {
        Some(_) if view.is_limited || view.is_contended => return advice,
        Some(advice) => format!(
            "{} would do as well as the {} that it may take, but no other namespace wants for bytes",
            size_text(advice.to),
            size_text(advice.from),
        ),
        None if view.counted.evictions == 0 => {
            format!("nothing was evicted, so that more than {} would bring nothing", size_text(now.capacity))
        }
        None => format!(
            "no other size up to {} is known to take away {:.0} % of the misses and {} of loading each second",
            size_text(view.obtainable.max(now.capacity)),
            options.worthwhile * 100.0,
            seconds_text(options.least_saving),
        ),
    };
    reasons.push(reason);
    None
}

struct Point {
    capacity: Bytes,
    miss_ratio: f64,
    error_bound: f64,
}

fn here(view: &View<'_>) -> Option<Point> {
    let (curve, capacity) = (view.curve, view.capacity);
    Some(Point {
        capacity,
        miss_ratio: curve.miss_ratio_at(capacity)?,
        error_bound: curve.error_bound_at(capacity)?,
    })
}

fn points(view: &View<'_>, fits: impl Fn(f64) -> bool) -> Vec<Point> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
    let times = |capacity: Bytes| capacity.get() as f64 / view.capacity.get().max(1) as f64;
    view.curve
        .points
        .iter()
        .filter(|point| fits(times(point.capacity)))
        .map(|point| Point {
            capacity: point.capacity,
            miss_ratio: point.miss_ratio,
            error_bound: point.error_bound,
        })
        .collect()
}

fn advice(view: &View<'_>, now: &Point, then: &Point) -> CapacityAdvice {
    CapacityAdvice {
        from: now.capacity,
        to: then.capacity,
        miss_ratio: now.miss_ratio,
        advised_miss_ratio: then.miss_ratio,
        error_bound: now.error_bound.hypot(then.error_bound),
        seconds_saved: view.saved_by(now.miss_ratio - then.miss_ratio),
    }
}

fn more(view: &View<'_>, now: &Point, options: &AdvisorOptions) -> Option<CapacityAdvice> {
    // Without evictions nothing wants for room.
    if view.counted.evictions == 0 {
        return None;
    }
    let larger: Vec<Point> = points(view, |times| times >= SMALLEST_STEP)
        .into_iter()
        .filter(|point| point.capacity <= view.obtainable)
        .collect();
    let best = larger.iter().map(|point| point.miss_ratio).min_by(f64::total_cmp)?;
    let enough = larger.iter().find(|point| point.miss_ratio <= best + A_POINT)?;
    let advice = advice(view, now, enough);
    let gone = now.miss_ratio - enough.miss_ratio - advice.error_bound;
    (gone >= options.worthwhile * now.miss_ratio
        && gone > 0.0
        && advice.seconds_saved >= options.least_saving)
        .then_some(advice)
}

fn less(view: &View<'_>, now: &Point, options: &AdvisorOptions) -> Option<CapacityAdvice> {
    if view.observed_for < options.window / 2 {
        return None;
    }
    let smaller = points(view, |times| times <= 0.5);
    let enough = smaller.iter().find(|point| {
        point.miss_ratio + now.error_bound.hypot(point.error_bound) <= now.miss_ratio + HALF_A_POINT
    })?;
    Some(advice(view, now, enough))
}

/// The finding that an advice is.
#[expect(clippy::cast_precision_loss, reason = "sizes in bytes stay below 2^53")]
pub(crate) fn finding(view: &View<'_>, advice: &CapacityAdvice) -> Finding {
    let kind = if advice.is_raise() { FindingKind::CacheTooSmall } else { FindingKind::CacheTooLarge };
    let (now, then) = (1.0 - advice.miss_ratio, 1.0 - advice.advised_miss_ratio);
    let name = &view.reading.name;
    let (from, to) = (size_text(advice.from), size_text(advice.to));
    let recommendation = if advice.is_raise() {
        format!(
            "Let {name} hold {to} instead of {from}: {:.1} % of its look-ups would hit instead of {:.1} %, \
             which saves {} of loading each second (simulated)",
            then * 100.0,
            now * 100.0,
            seconds_text(advice.seconds_saved),
        )
    } else {
        format!(
            "Let {name} hold {to} instead of {from}: {:.1} % of its look-ups would still hit, {:.1} % do now \
             (simulated); the rest is free for others",
            then * 100.0,
            now * 100.0,
        )
    };
    let mut more = vec![
        view.entry_bytes(),
        view.measured("capacity", advice.from.get() as f64, Unit::Bytes),
        view.measured("evictions", view.counted.evictions as f64, Unit::Count),
        view.simulated("miss_ratio", advice.miss_ratio, Unit::Ratio),
        view.simulated("advised_miss_ratio", advice.advised_miss_ratio, Unit::Ratio),
        view.estimated("miss_ratio_error_bound", advice.error_bound, Unit::Ratio),
        view.simulated("seconds_saved_per_second", advice.seconds_saved, Unit::PerSecond),
        view.simulated(
            "seconds_saved_per_second_and_mebibyte",
            advice.seconds_saved_per_mebibyte(),
            Unit::PerSecond,
        ),
    ];
    // What the next sizes bring.
    for point in view.curve.points.iter().filter(|point| point.capacity > advice.from).take(4) {
        let name = format!("miss_ratio_at_{}_bytes", point.capacity.get());
        more.push(view.simulated(&name, point.miss_ratio, Unit::Ratio));
    }
    let cause = Cause::CacheSize {
        capacity: advice.from.get(),
        hit_ratio: now,
        advised_capacity: advice.to.get(),
        advised_hit_ratio: then,
    };
    // Bytes that are not needed cost nobody time.
    let impact = if advice.is_raise() { view.impact(advice.seconds_saved) } else { Impact::Low };
    view.finding(kind, None, cause, recommendation, impact, more)
}
