//! The actuator: proves a change to a cache on recorded accesses, makes it, takes it back.

pub(crate) mod plan;
mod proof;

use std::{sync::Arc, time::Duration};

use veritas_cache::{Knob, KnobName, NamespaceReading};
use veritas_model::{
    Actuator, ActuatorError, ChangeKind, Fingerprint, MeasuredGain, Moments, Plan, Presence, Proposal,
    Proven, Ratio, WorkMetric, WorkTotals, stable_hash,
};

use self::{
    plan::{CachePlan, Turn},
    proof::Measured,
};
use crate::{
    CacheAdvisor, Recording,
    advisor::shared::{Kept, Shared},
    net::OwnCosts,
    proposals::budget::Budget,
    recording::{self, Change, Costs, Recorded, Replayed, Settings, Span, Unfit},
    simulate::Policy,
};

/// Changes capacity, time to live and policy of caches, starts and stops them.
///
/// **What a proof is.** The recorded accesses of a sample of the keys are replayed on the
/// real engine, with and without the change, and compared in windows of time. The figure
/// is look-ups that miss, which the recording decides and no other load disturbs; for
/// *stop* it is the time that callers spend. A recording that is too short, too old, full
/// of gaps, or whose replay does not resemble the live cache, is an error and never a proof.
///
/// **What a change is.** Knobs of [`Caches::tune`](veritas_cache::Caches::tune), set to
/// absolute values: applying twice is applying once.
pub struct CacheActuator {
    shared: Arc<Shared>,
}

/// What is replayed of one namespace.
struct Subject {
    reading: NamespaceReading,
    kept: Kept,
    change: Change,
}

impl CacheActuator {
    const KINDS: [ChangeKind; 5] = [
        ChangeKind::CacheCapacity,
        ChangeKind::CacheTtl,
        ChangeKind::CachePolicy,
        ChangeKind::CacheStart,
        ChangeKind::CacheStop,
    ];

    /// Makes an actuator for the caches that an advisor looks at: it proves with what the
    /// advisor recorded.
    pub fn new(advisor: &CacheAdvisor) -> Self {
        Self { shared: Arc::clone(advisor.shared()) }
    }

    /// Puts a change back in force that stood when the process ended: how a cache is tuned
    /// lives in memory, and the ledger outlives it. The namespace need not be open yet.
    ///
    /// # Errors
    ///
    /// When the plan is none of ours, or as many knobs wait for namespaces as are kept.
    pub fn reinstate(&self, kind: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        for turn in read(kind, plan)?.turns() {
            self.set(turn, turn.forward)?;
        }
        Ok(())
    }

    /// Reads the plan, and refuses what is not one of ours or about what is not open.
    fn accept(&self, kind: ChangeKind, plan: &Plan) -> Result<CachePlan, ActuatorError> {
        let accepted = read(kind, plan)?;
        let is_unknown = |turn: &&Turn| self.shared.caches.tuning(&turn.namespace).is_none();
        let unknown = accepted.turns().find(is_unknown).map(|turn| turn.namespace.clone());
        unknown.map_or(Ok(accepted), |target| Err(ActuatorError::UnknownTarget { target }))
    }

    /// Returns whether a knob was turned so. What the application's own options happen to
    /// say is not turned.
    fn in_force(&self, turn: &Turn, knob: Knob) -> bool {
        let tuning = self.shared.caches.tuning(&turn.namespace);
        tuning.is_some_and(|tuning| match knob {
            Knob::AsConfigured(name) => !tuning.tuned.contains(&name),
            knob => tuning.tuned.contains(&knob.name()) && tuning.knob(knob.name()) == knob,
        })
    }

    /// Turns a knob, and returns what it was.
    fn set(&self, turn: &Turn, knob: Knob) -> Result<Knob, ActuatorError> {
        let set = self.shared.caches.tune(&turn.namespace, &knob);
        set.map_err(|error| ActuatorError::Target {
            step: "turn the knob",
            target: turn.namespace.clone(),
            reason: error.to_string(),
        })
    }

    fn subject(&self, readings: &[NamespaceReading], turn: &Turn) -> Result<Subject, ActuatorError> {
        let unknown = || ActuatorError::UnknownTarget { target: turn.namespace.clone() };
        let reading = readings.iter().find(|one| one.name == turn.namespace).ok_or_else(unknown)?.clone();
        if reading.tuning.knob(turn.forward.name()) == turn.forward {
            return Err(ActuatorError::PlanRefused {
                reason: format!("{} is {} already", turn.namespace, turn.forward),
            });
        }
        let kept = self.shared.kept(&turn.namespace).ok_or_else(|| not_yet(turn, &Unfit::Empty))?;
        let budget = Budget::of(self.shared.total(), readings);
        let before = settings(&reading, budget.capacity_of(&reading).get(), &kept.recording);
        let after = turned(before, &turn.forward);
        Ok(Subject { reading, kept, change: Change { before, after } })
    }

    /// The longest time to live that the change is about.
    fn life(plan: &CachePlan, subjects: &[Subject]) -> Option<Duration> {
        let about_time = matches!(plan.main.forward.name(), KnobName::Ttl | KnobName::Stale);
        let of = |settings: &Settings| settings.ttl_ms.saturating_add(settings.stale_ms);
        let longest =
            subjects.iter().map(|subject| of(&subject.change.before).max(of(&subject.change.after))).max()?;
        about_time.then(|| Duration::from_millis(longest))
    }

    /// Returns the time that all recordings can be measured over.
    fn span(&self, plan: &CachePlan, subjects: &[Subject]) -> Result<Span, ActuatorError> {
        let now = self.shared.now_ms();
        let life = Self::life(plan, subjects);
        let options = &self.shared.options.proof;
        let mut common: Option<Span> = None;
        for (subject, turn) in subjects.iter().zip(plan.turns()) {
            let span = recording::span(&subject.kept.recording, now, life, options)
                .map_err(|unfit| not_yet(turn, &unfit))?;
            common = Some(common.map_or(span, |known| Span {
                from_ms: known.from_ms.max(span.from_ms),
                to_ms: known.to_ms.min(span.to_ms),
                ..span
            }));
        }
        let span = common.ok_or_else(|| not_yet(&plan.main, &Unfit::Empty))?;
        let measured = Duration::from_millis(span.to_ms.saturating_sub(span.from_ms));
        if measured < options.shortest {
            let unfit = Unfit::TooShort {
                seconds: measured.as_secs_f64(),
                needed_seconds: options.shortest.as_secs_f64(),
            };
            return Err(not_yet(&plan.main, &unfit));
        }
        Ok(span)
    }

    #[expect(clippy::cast_precision_loss, reason = "capacities and counts stay below 2^53")]
    fn replay(
        &self,
        plan: &CachePlan,
        subjects: &mut [Subject],
        span: &Span,
        own: OwnCosts,
    ) -> Result<(Replayed, f64), ActuatorError> {
        let options = &self.shared.options.proof;
        let mut seen: Vec<Replayed> = Vec::new();
        for subject in subjects.iter_mut() {
            let rate = subject.kept.recording.rate();
            let load = subject.reading.load_cost.mean().unwrap_or(0.0);
            let own = OwnCosts { hit: subject.reading.hit_cost_ns.map_or(own.hit, |ns| ns * 1e-9), ..own };
            let entries: Vec<Recorded> = subject.kept.recording.entries().copied().collect();
            seen.push(recording::replay(&entries, rate, &subject.change, span, &Costs { own, load }));
        }
        let masks = seen.clone();
        for (index, one) in seen.iter_mut().enumerate() {
            let other = masks.iter().enumerate().find(|(other, _)| *other != index).map(|(_, other)| other);
            one.keep_windows(options.look_ups_per_window, other);
        }
        let mut look_ups = 0.0;
        let mut joined: Option<Replayed> = None;
        for ((subject, one), turn) in subjects.iter().zip(seen).zip(plan.turns()) {
            let recording = &subject.kept.recording;
            let rate = recording.rate().share();
            let smallest = subject.change.before.capacity.min(subject.change.after.capacity);
            let is_today = subject.kept.settings_since_ms <= span.from_ms;
            let mean_weight = mean_weight(recording);
            recording::check(&one, smallest as f64 * rate, mean_weight, rate, is_today, options)
                .map_err(|unfit| not_yet(turn, &unfit))?;
            let factor = (1.0 / rate).round();
            let sampled = one.total.before.look_ups as f64 * factor;
            look_ups += recording.look_ups_between(span.from_ms, span.to_ms).unwrap_or(sampled);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "one divided by a share is at least 1, and a float-to-int cast saturates"
            )]
            let one = one.times(factor as u64);
            joined = Some(match joined {
                None => one,
                Some(joined) => joined.and(one),
            });
        }
        joined.map(|joined| (joined, look_ups)).ok_or_else(|| not_yet(&plan.main, &Unfit::Empty))
    }

    /// Returns whether what would be served is fresh enough. A change that lets values
    /// live longer is not judged where nobody knows whether they change.
    fn fresh(&self, subject: &Subject, replayed: &Replayed) -> Result<bool, ActuatorError> {
        let Change { before, after } = &subject.change;
        let lives_longer = after.ttl_ms > before.ttl_ms || after.stale_ms > before.stale_ms;
        if !lives_longer || before.bypass {
            return Ok(true);
        }
        let known = Ratio::of(replayed.stores.1, replayed.stores.0).map_or(0.0, Ratio::get);
        if known < 0.9 {
            return Err(ActuatorError::Guard {
                reason: format!(
                    "{:.0} % of the recorded values have a digest: whether they change is not known, so no one can \
                     say how old what is served would be",
                    known * 100.0
                ),
            });
        }
        let stale = |tally: &recording::Tally| Ratio::of(tally.stale, tally.look_ups).map_or(0.0, Ratio::get);
        let more = stale(&replayed.total.after) - stale(&replayed.total.before);
        Ok(more <= self.shared.options.most_stale)
    }
}

impl Actuator for CacheActuator {
    fn kinds(&self) -> &[ChangeKind] {
        &Self::KINDS
    }

    /// Replays what was recorded with and without the change; see [`CacheActuator`]. Takes
    /// well below a second.
    fn measure(&self, proposal: &Proposal) -> Result<MeasuredGain, ActuatorError> {
        let plan = self.accept(proposal.kind, &proposal.plan)?;
        let readings = self.shared.caches.namespaces();
        let own = self.shared.own_costs().ok_or_else(|| ActuatorError::Guard {
            reason: "what the cache itself costs is not known on this clock".to_owned(),
        })?;
        let mut subjects =
            plan.turns().map(|turn| self.subject(&readings, turn)).collect::<Result<Vec<_>, _>>()?;
        let span = self.span(&plan, &subjects)?;
        let (replayed, look_ups) = self.replay(&plan, &mut subjects, &span, own)?;
        let is_sampled = subjects.iter().any(|subject| subject.kept.recording.rate().share() < 1.0);
        let fresh = match subjects.last() {
            Some(main) => self.fresh(main, &replayed)?,
            None => false,
        };
        let metric = match proposal.kind {
            ChangeKind::CacheStop => WorkMetric::Seconds,
            _ => WorkMetric::Misses,
        };
        let method = method(&plan, &subjects, &replayed, &span);
        let seed = stable_hash(proposal.id.as_str().as_bytes());
        let live_is_today = subjects.iter().all(|subject| subject.kept.settings_since_ms <= span.from_ms);
        let (replayed, own_error) = (&replayed, own.error);
        let measured = Measured {
            replayed,
            is_sampled,
            metric,
            look_ups,
            own_error,
            live_is_today,
            fresh,
            method,
            seed,
        };
        Ok(measured.gain())
    }

    fn apply(&self, proven: &Proven) -> Result<(), ActuatorError> {
        let proposal = proven.proposal();
        let plan = self.accept(proposal.kind, &proposal.plan)?;
        self.guard_budget(&plan)?;
        self.guard_inverse(&plan)?;
        for turn in plan.turns() {
            if !self.in_force(turn, turn.forward) {
                self.set(turn, turn.forward)?;
            }
        }
        Ok(())
    }

    /// A namespace that is not open is set as the inverse says when it is opened, so that a
    /// change can be taken back before the application is up, or when it no longer has
    /// that namespace.
    fn revert(&self, kind: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        for turn in read(kind, plan)?.turns().rev() {
            // What someone else set since is not ours to undo.
            if self.in_force(turn, turn.forward) {
                self.set(turn, turn.inverse)?;
            } else if self.shared.caches.tuning(&turn.namespace).is_none() {
                let before = self.set(turn, turn.inverse)?;
                if before != turn.forward {
                    self.set(turn, before)?;
                }
            }
        }
        Ok(())
    }

    /// A change of two namespaces is there when either half of it is: then reverting undoes
    /// what an interrupted change left. In a namespace that is not open nothing is in force.
    fn presence(&self, kind: ChangeKind, plan: &Plan) -> Result<Presence, ActuatorError> {
        let plan = read(kind, plan)?;
        let present = plan.turns().any(|turn| self.in_force(turn, turn.forward));
        Ok(if present { Presence::Present } else { Presence::Absent })
    }

    /// Returns, for each namespace in scope, its look-ups: how many missed, and the seconds
    /// spent in loads and, estimated, in the cache itself. Of a cache that is to be stopped
    /// the misses are no measure, and are left out.
    fn work(&self, plan: &Plan) -> Vec<WorkTotals> {
        let is_stop = plan.forward == Knob::Bypass(true).to_string();
        let own = self.shared.own_costs();
        let readings = self.shared.caches.namespaces();
        let in_scope = readings.iter().filter(|reading| plan.scope.contains(&reading.name));
        in_scope.map(|reading| totals(reading, own, is_stop)).collect()
    }
}

impl CacheActuator {
    /// Refuses to turn a knob that someone else turned since the change was proposed: the
    /// proof was about another setting, and the inverse would bring back that one.
    fn guard_inverse(&self, plan: &CachePlan) -> Result<(), ActuatorError> {
        let is_other =
            |turn: &&Turn| !(self.in_force(turn, turn.forward) || self.in_force(turn, turn.inverse));
        plan.turns().find(is_other).map_or(Ok(()), |turn| {
            Err(ActuatorError::Guard {
                reason: format!(
                    "the {} of {} was set otherwise since this was proposed",
                    turn.forward.name().as_str(),
                    turn.namespace
                ),
            })
        })
    }

    /// Refuses a capacity that would promise more than there is.
    fn guard_budget(&self, plan: &CachePlan) -> Result<(), ActuatorError> {
        let total = self.shared.total();
        let readings = self.shared.caches.namespaces();
        let promised = readings.iter().map(|reading| {
            let turn = plan.turns().find(|turn| turn.namespace == reading.name);
            match turn.map(|turn| turn.forward) {
                Some(Knob::Capacity(bytes)) => bytes.get(),
                _ => crate::proposals::budget::committed(total, reading).get(),
            }
        });
        let promised = promised.fold(0, u64::saturating_add);
        let is_capacity = plan.main.forward.name() == KnobName::Capacity;
        if is_capacity && promised > total.get() {
            return Err(ActuatorError::Guard {
                reason: format!("{promised} bytes would be promised, and there are {}", total.get()),
            });
        }
        Ok(())
    }
}

impl std::fmt::Debug for CacheActuator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheActuator").finish_non_exhaustive()
    }
}

/// Reads a plan, and refuses what is not one of ours.
fn read(kind: ChangeKind, plan: &Plan) -> Result<CachePlan, ActuatorError> {
    CachePlan::of(kind, plan).map_err(|reason| ActuatorError::PlanRefused { reason })
}

/// The recording cannot carry a proof now: trying again later may help.
fn not_yet(turn: &Turn, unfit: &Unfit) -> ActuatorError {
    ActuatorError::Busy { target: turn.namespace.clone(), reason: unfit.to_string() }
}

/// Returns how a namespace is set, for the simulation.
fn settings(reading: &NamespaceReading, capacity: u64, recording: &Recording) -> Settings {
    let tuning = &reading.tuning;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Settings {
        capacity,
        ttl_ms: millis(tuning.ttl),
        jitter: tuning.jitter,
        stale_ms: millis(tuning.stale),
        // Only loads that refresh do so early; others look a key up and load it.
        early_refresh: if reading.statistics.refreshes > 0 { tuning.early_refresh } else { 0.0 },
        bypass: tuning.bypass,
        policy: Policy::BYTES.expecting(recording.entry_bytes()),
    }
}

/// Returns the settings with a knob turned.
fn turned(settings: Settings, knob: &Knob) -> Settings {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match *knob {
        Knob::Capacity(bytes) => Settings { capacity: bytes.get(), ..settings },
        Knob::Ttl(ttl) => Settings { ttl_ms: millis(ttl), ..settings },
        Knob::Bypass(bypass) => Settings { bypass, ..settings },
        Knob::EarlyRefresh(early_refresh) => Settings { early_refresh, ..settings },
        Knob::Stale(stale) => Settings { stale_ms: millis(stale), ..settings },
        Knob::Jitter(jitter) => Settings { jitter, ..settings },
        Knob::AsConfigured(_) => settings,
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums of weights stay below 2^53")]
fn mean_weight(recording: &Recording) -> f64 {
    let weights = recording.entries().filter_map(|entry| match entry.kind {
        veritas_cache::AccessKind::Store { weight, .. } => Some(u64::from(weight)),
        _ => None,
    });
    let (sum, count) = weights.fold((0_u64, 0_u64), |(sum, count), weight| (sum + weight, count + 1));
    sum as f64 / count.max(1) as f64
}

/// Says for people what was replayed, and how well the image resembles the live cache.
#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
fn method(plan: &CachePlan, subjects: &[Subject], replayed: &Replayed, span: &Span) -> String {
    let recordings: Vec<String> = subjects
        .iter()
        .zip(plan.turns())
        .map(|(subject, turn)| {
            let recording = &subject.kept.recording;
            let rate = recording.rate().share();
            let entry = subject.change.before.policy.expected_weight;
            let known = if recording.entry_bytes().is_some() { "measured" } else { "assumed" };
            format!(
                "{} recorded accesses to {} (rate {rate:.5}, {entry:.0} bytes an entry {known})",
                recording.len(),
                turn.namespace,
            )
        })
        .collect();
    let before = &replayed.total.before;
    let per = |misses: u64| misses as f64 / before.look_ups.max(1) as f64;
    let seconds = Duration::from_millis(span.to_ms - span.from_ms).as_secs_f64();
    format!(
        "simulated: replay of {} on the engine with and without the change, {} windows in {seconds:.0} s after \
         warming up; as it is, the replay misses {:.4} of these look-ups, the live cache missed {:.4}; the past of \
         {:.4} of them is not known",
        recordings.join(" and of "),
        replayed.windows.len(),
        per(before.misses),
        per(replayed.live_misses),
        per(replayed.unknown_past),
    )
}

/// Returns what the look-ups of a namespace have cost so far.
#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
fn totals(reading: &NamespaceReading, own: Option<OwnCosts>, is_stop: bool) -> WorkTotals {
    let statistics = &reading.statistics;
    let (look_ups, misses) = (statistics.total_requests(), statistics.misses as f64);
    let own = own.map_or(0.0, |own| {
        let bypassed = statistics.bypassed as f64;
        statistics.hits as f64 * own.hit
            + (misses - bypassed) * own.miss
            + bypassed * own.bypassed
            + statistics.sets as f64 * own.store
    });
    let loads = &reading.load_cost;
    let steps = Moments { count: look_ups, sum: misses, sum_of_squares: misses };
    WorkTotals {
        fingerprint: Fingerprint::of_normalized(&format!("cache {}", reading.name)),
        name: reading.name.clone(),
        metric: WorkMetric::Misses,
        steps: if is_stop { Moments::default() } else { steps },
        seconds: Moments { count: look_ups, sum: loads.sum + own, sum_of_squares: loads.sum_of_squares },
    }
}
