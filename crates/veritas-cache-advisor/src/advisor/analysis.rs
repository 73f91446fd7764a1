//! Analysis: from what was observed of each namespace to findings, proposals and readings.

use std::time::Duration;

use veritas_cache::{Knob, KnobName, NamespaceReading, NamespaceStatistics};
use veritas_model::{Bytes, Finding, Moments, Monotonic, Timestamp};

use super::{Advice, CacheAdvisor, State, locked};
use crate::{
    AdvisorOptions, MissRatioCurve, NamespaceAdvice, Net, OwnCosts, TtlCurve,
    findings::{View, candidate, keys, loss, size, time_to_live},
    proposals::{
        self,
        budget::{Budget, Donor, Funding, is_limited},
    },
    recording::provable_life,
    report::{BigKeyReading, CapacityAdvice, HotKeyReading, TimeToLiveAdvice},
};

/// What is known of one namespace at this turn.
struct Known<'a> {
    reading: &'a NamespaceReading,
    place: usize,
    curve: MissRatioCurve,
    ttl_curve: TtlCurve,
    counted: NamespaceStatistics,
    loads: Moments,
    observed_for: Duration,
    sampled: f64,
    provable_life: Duration,
}

/// What is advised of one namespace.
#[derive(Default)]
struct Advised {
    capacity: Option<CapacityAdvice>,
    funding: Option<Funding>,
    ttl: Option<TimeToLiveAdvice>,
    reasons: Vec<String>,
}

impl CacheAdvisor {
    pub(super) fn analyse(
        &self,
        state: &mut State,
        readings: &[NamespaceReading],
        budget: &Budget,
        now: Timestamp,
        at: Monotonic,
    ) -> (Advice, Vec<NamespaceAdvice>) {
        let known = self.known(state, readings, at);
        let own = self.shared.own_costs();
        let donors: Vec<Donor<'_>> =
            known.iter().filter_map(|known| donor(known, &self.shared.options)).collect();
        let all_loading: f64 =
            known.iter().map(|known| known.loads.sum / known.observed_for.as_secs_f64().max(1e-9)).sum();
        // Who evicts while it is worth something wants for bytes.
        let wants: Vec<bool> =
            known.iter().map(|known| known.counted.evictions > 0 && !known.reading.tuning.bypass).collect();
        let mut advice = Advice::default();
        let mut advised = Vec::with_capacity(known.len());
        for (index, known) in known.iter().enumerate() {
            let others_want = wants.iter().enumerate().any(|(other, wants)| *wants && other != index);
            let tracked = &mut state.tracked[known.place];
            let hot = tracked.hot.ranked();
            let net = own.and_then(|own| net(known, own));
            let view = View {
                reading: known.reading,
                capacity: budget.capacity_of(known.reading),
                curve: &known.curve,
                ttl_curve: &known.ttl_curve,
                net,
                hot: &hot,
                hot_look_ups: tracked.hot.total(),
                big: tracked.big.ranked(),
                counted: known.counted,
                loads: known.loads,
                observed_for: known.observed_for,
                sampled: known.sampled,
                all_loading,
                provable_life: known.provable_life,
                obtainable: budget.obtainable(known.reading, readings),
                is_limited: is_limited(budget.total, known.reading),
                is_contended: budget.is_spent() && others_want,
                now,
            };
            let (said, wanted) = self.look(&view, own, budget, &donors, &mut advice.findings);
            for (name, wish) in wanted {
                let knob = wish.as_ref().map(|wish| wish.knob);
                let steady = tracked.steady.look(name, knob, at, self.shared.options.steady_for);
                let (Some(knob), Some(wish)) = (steady, wish) else { continue };
                let funding = if let Knob::Capacity(to) = knob {
                    let Some(funding) = funding(&view, to, budget, &donors, tracked.funding.as_ref()) else {
                        continue;
                    };
                    tracked.funding = Some(funding.clone());
                    Some(funding)
                } else {
                    None
                };
                advice.proposals.extend(proposals::propose(&view, knob, funding, wish.finding.as_ref()));
            }
            advised.push(reading_of(&view, said));
        }
        let functions = locked(&self.functions);
        if let Some(own) = own {
            advice.findings.extend(candidate::functions(&functions, own, now));
        }
        (advice, advised)
    }

    fn known<'a>(&self, state: &State, readings: &'a [NamespaceReading], at: Monotonic) -> Vec<Known<'a>> {
        let recordings = self.shared.recordings();
        let of = |(place, tracked): (usize, &super::Tracked)| {
            let reading = readings.iter().find(|reading| reading.id == tracked.id)?;
            let (counted, loads, observed_for) = tracked.counted(reading, at);
            let recording = recordings.get(&tracked.name).map(|kept| &kept.recording);
            let recorded = recording.map_or(1.0, |recording| recording.rate().share());
            let proof = &self.shared.options.proof;
            Some(Known {
                reading,
                place,
                curve: tracked.curve(&self.shared.options),
                ttl_curve: tracked.ttl_curve(&self.shared.options),
                counted,
                loads,
                observed_for,
                sampled: recorded.min(tracked.allowed.share()),
                provable_life: recording.map_or(Duration::ZERO, |recording| provable_life(recording, proof)),
            })
        };
        state.tracked.iter().enumerate().filter_map(of).collect()
    }

    /// Finds what there is to find, and says which knobs should be turned.
    fn look(
        &self,
        view: &View<'_>,
        own: Option<OwnCosts>,
        budget: &Budget,
        donors: &[Donor<'_>],
        findings: &mut Vec<Finding>,
    ) -> (Advised, Vec<(KnobName, Option<Wish>)>) {
        let options = &self.shared.options;
        let mut said = Advised::default();
        if !view.is_enough(options) {
            said.reasons.push(format!(
                "{} look-ups in {:.0} s were observed, {} in {:.0} s are needed",
                view.counted.total_requests(),
                view.observed_for.as_secs_f64(),
                options.fewest_look_ups,
                options.shortest_observation.as_secs_f64(),
            ));
        }
        findings.extend(keys::hot(view, options));
        findings.extend(keys::big(view, options));
        let mut wanted = Vec::new();

        let loss = loss::net_loss(view, options);
        let dormant = own.and_then(|own| candidate::dormant(view, own, options));
        let bypass = if let Some(net) = &loss {
            let finding = loss::finding(view, net);
            let wish = Wish::of(Knob::Bypass(true), &finding);
            findings.push(finding);
            let pays = own.is_some_and(|own| net.gain_of_stopping(own) >= options.worthwhile);
            if !pays {
                said.reasons.push(
                    "watching costs about as much as caching: it is for the code to leave it out".to_owned(),
                );
            }
            Some(wish).filter(|_| pays)
        } else if let Some(candidate) = &dormant {
            let finding = candidate::finding(view, candidate);
            let wish = Wish::of(Knob::Bypass(false), &finding);
            findings.push(finding);
            Some(wish)
        } else {
            findings.extend(loss::unread(view, options));
            None
        };
        let is_at_a_loss = loss.is_some() || dormant.is_some();
        wanted.push((KnobName::Bypass, bypass));

        // What should not be cached at all needs no other size.
        said.capacity = if is_at_a_loss { None } else { size::advise(view, options, &mut said.reasons) };
        let capacity = said.capacity.and_then(|advice| {
            let finding = size::finding(view, &advice);
            let wish = Wish::of(Knob::Capacity(advice.to), &finding);
            findings.push(finding);
            advice.is_raise().then_some(wish)
        });
        if let (Some(advice), Some(_)) = (&said.capacity, &capacity) {
            said.funding = budget.fund(view.reading, advice.to, advice.seconds_saved, donors, None);
            if said.funding.is_none() {
                said.reasons.push(
                    "no other namespace is known to lose less than half of what its bytes would save here"
                        .to_owned(),
                );
            }
        }
        let funded = said.funding.is_some();
        wanted.push((KnobName::Capacity, capacity.filter(|_| funded)));

        said.ttl = if is_at_a_loss { None } else { time_to_live::advise(view, options, &mut said.reasons) };
        let ttl = said.ttl.and_then(|advice| {
            let finding = time_to_live::finding(view, &advice);
            let wish = Wish::of(Knob::Ttl(advice.to), &finding);
            findings.push(finding);
            // What makes answers fresher costs hits: how fresh they must be is not ours to say.
            (advice.to > advice.from).then_some(wish)
        });
        wanted.push((KnobName::Ttl, ttl));
        let stale = time_to_live::stale(view, options).filter(|_| !is_at_a_loss);
        if dormant.is_none() && view.reading.tuning.bypass && view.is_enough(options) {
            said.reasons
                .push("it only watches: caching it is not known to save more than it costs".to_owned());
        }
        wanted.push((KnobName::Stale, stale.map(|stale| Wish { knob: Knob::Stale(stale), finding: None })));
        (said, wanted)
    }
}

/// Finds the bytes of a capacity that stands: what stood is what was wished for, not who
/// gives it.
fn funding(
    view: &View<'_>,
    to: Bytes,
    budget: &Budget,
    donors: &[Donor<'_>],
    before: Option<&Funding>,
) -> Option<Funding> {
    let now = view.curve.miss_ratio_at(view.capacity)?;
    let gain = view.saved_by(now - view.curve.miss_ratio_at(to)?);
    budget.fund(view.reading, to, gain, donors, before)
}

/// A knob that should be turned, and why.
struct Wish {
    knob: Knob,
    finding: Option<Finding>,
}

impl Wish {
    fn of(knob: Knob, finding: &Finding) -> Self {
        Self { knob, finding: Some(finding.clone()) }
    }
}

/// What a cache saves and costs, with its own hit cost where that was measured.
fn net(known: &Known<'_>, own: OwnCosts) -> Option<Net> {
    if known.reading.tuning.bypass {
        return None;
    }
    let hit = known.reading.hit_cost_ns.map_or(own.hit, |nanos| nanos * 1e-9);
    Net::of(known.counted.hits, known.counted.misses, &known.loads, OwnCosts { hit, ..own })
}

/// Returns a namespace as a giver of bytes; `None` while little is known of it (a cache that
/// still fills seems to need nothing), or when nobody timed what a miss of it costs: what it would lose is not known then.
#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
fn donor<'a>(known: &'a Known<'a>, options: &AdvisorOptions) -> Option<Donor<'a>> {
    let look_ups = known.counted.total_requests();
    if known.curve.points.is_empty()
        || look_ups.min(known.curve.look_ups) < options.fewest_look_ups
        || known.observed_for < options.shortest_observation.max(options.window / 2)
    {
        return None;
    }
    let per_second = look_ups as f64 / known.observed_for.as_secs_f64().max(1e-9);
    let loading = per_second * known.loads.mean()?;
    Some(Donor { reading: known.reading, curve: &known.curve, loading })
}

fn reading_of(view: &View<'_>, said: Advised) -> NamespaceAdvice {
    let look_ups = view.hot_look_ups.max(1);
    NamespaceAdvice {
        name: view.reading.name.clone(),
        observed_for: view.observed_for,
        look_ups: view.counted.total_requests(),
        hits: view.counted.hits,
        sampled: view.sampled,
        capacity: view.capacity,
        ttl: view.reading.tuning.ttl,
        bypassed: view.reading.tuning.bypass,
        miss_ratio_curve: view.curve.clone(),
        ttl_curve: view.ttl_curve.clone(),
        net: view.net,
        hot_keys: view.hot.iter().take(10).map(|hot| HotKeyReading::of(hot, look_ups)).collect(),
        big_keys: view.big.iter().take(10).map(BigKeyReading::of).collect(),
        capacity_advice: said.capacity,
        ttl_advice: said.ttl,
        reasons: said.reasons,
    }
}
