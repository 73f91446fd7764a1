//! Plans of each statement over time.
//!
//! A plan that changes is news only when the statement costs more since: what is compared
//! are the windows that the server's counters give (calls and seconds between two
//! readings), those under the plan before with those under the plan now.

use std::collections::{BTreeMap, VecDeque};

use veritas_database::server::{PlanReading, StatementWindow};
use veritas_model::{
    Cause, Finding, FindingKind, Fingerprint, Impact, Moments, Observation, Provenance, Subject, Timestamp,
    Unit,
};
use veritas_statistics::normal;

use crate::plan::Plan;

/// Statements that are remembered; the one seen least recently goes first.
pub const MOST_STATEMENTS: usize = 500;
/// Plans of one statement that are remembered; the one seen least recently goes first.
pub const MOST_PLANS: usize = 8;
/// Windows of one statement that are remembered.
pub const MOST_WINDOWS: usize = 120;

/// A statement whose calls got slower by less than this is not worth a finding.
const SLOWER: f64 = 1.5;
/// The chance at which noise alone would be taken for a change.
const ALPHA: f64 = 0.001;
/// Fewer calls on either side tell nothing.
const LEAST_CALLS: u64 = 20;
/// The plan for all values must cost this much more than the mean of those for values.
const GENERIC_FACTOR: f64 = 5.0;
/// Plans that cost less are cheap either way (the planner's unit: a page read).
const LEAST_COST: f64 = 100.0;

/// Plans and windows of the statements of one server. Bounded; drops are counted.
#[derive(Debug, Default)]
pub struct PlanHistory {
    statements: BTreeMap<Fingerprint, Known>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// The present plan first.
    plans: VecDeque<Remembered>,
    /// Newest last.
    windows: VecDeque<StatementWindow>,
    seen_at: Timestamp,
}

#[derive(Debug)]
struct Remembered {
    reading: PlanReading,
    /// Calls and seconds while it was in use.
    work: Moments,
}

/// What a plan became.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanShift {
    /// The plan before.
    pub before: PlanReading,
    /// The plan now.
    pub after: PlanReading,
    /// Calls and seconds under the plan before.
    pub work_before: Moments,
    /// Calls and seconds under the plan now.
    pub work_after: Moments,
}

impl PlanHistory {
    /// Notes the plan that a statement has now. Plans for all values and plans for one
    /// are told apart.
    pub fn saw(&mut self, fingerprint: Fingerprint, plan: &Plan, now: Timestamp) {
        let known = self.known(fingerprint, now);
        let shape = plan.shape();
        let place = known
            .plans
            .iter()
            .position(|known| known.reading.shape == shape && known.reading.generic == plan.generic);
        let remembered = match place.and_then(|place| known.plans.remove(place)) {
            Some(mut remembered) => {
                remembered.reading.last_seen_at = now;
                remembered.reading.cost = plan.cost();
                remembered
            }
            None => Remembered {
                reading: PlanReading {
                    shape,
                    text: plan.text_without_literals(),
                    cost: plan.cost(),
                    generic: plan.generic,
                    first_seen_at: now,
                    last_seen_at: now,
                    mean_seconds: None,
                },
                work: Moments::default(),
            },
        };
        known.plans.push_front(remembered);
        let too_many = known.plans.len().saturating_sub(MOST_PLANS);
        known.plans.truncate(MOST_PLANS);
        self.dropped += too_many as u64;
    }

    /// Notes what a statement cost between two readings; it counts for its present plan.
    pub fn cost(&mut self, fingerprint: Fingerprint, window: StatementWindow) {
        let at = window.at;
        let known = self.known(fingerprint, at);
        if let Some(present) = known.plans.front_mut() {
            present.work = present.work.and(&window.work);
            present.reading.mean_seconds = present.work.mean();
        }
        known.windows.push_back(window);
        if known.windows.len() > MOST_WINDOWS {
            let _oldest = known.windows.pop_front();
        }
    }

    fn known(&mut self, fingerprint: Fingerprint, now: Timestamp) -> &mut Known {
        if !self.statements.contains_key(&fingerprint) && self.statements.len() >= MOST_STATEMENTS {
            let oldest = self.statements.iter().min_by_key(|(_, known)| known.seen_at).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                let _gone = self.statements.remove(&oldest);
                self.dropped += 1;
            }
        }
        let known = self.statements.entry(fingerprint).or_default();
        known.seen_at = now;
        known
    }

    /// Returns how many statements and plans were forgotten to make room.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns plans (the present one first) and windows (newest last) of every statement,
    /// for [`veritas_database::server::LatestReadings::publish_histories`].
    pub fn readings(&self) -> BTreeMap<Fingerprint, (Vec<PlanReading>, Vec<StatementWindow>)> {
        let of_each = self.statements.iter().map(|(fingerprint, known)| {
            let plans = known.plans.iter().map(|plan| plan.reading.clone()).collect();
            (*fingerprint, (plans, known.windows.iter().cloned().collect()))
        });
        of_each.collect()
    }

    /// Returns what the plan of a statement became, when it costs more since: by half at
    /// least, and by more than the spread of its calls explains (Welch's test, one-sided).
    pub fn shift(&self, fingerprint: Fingerprint) -> Option<PlanShift> {
        let known = self.statements.get(&fingerprint)?;
        let now = known.plans.front()?;
        let before = known.plans.iter().skip(1).find(|plan| plan.reading.generic == now.reading.generic)?;
        is_slower(&before.work, &now.work).then(|| PlanShift {
            before: before.reading.clone(),
            after: now.reading.clone(),
            work_before: before.work,
            work_after: now.work,
        })
    }

    /// Finds that the plan of a statement changed, and that it costs more since.
    pub fn finding(&self, subject: &Subject, time_share: f64, now: Timestamp) -> Option<Finding> {
        let Subject::Statement { fingerprint, .. } = subject else { return None };
        let shift = self.shift(*fingerprint)?;
        let (before, after) = (shift.work_before.mean()?, shift.work_after.mean()?);
        let kind = FindingKind::PlanChange;
        let cause = Cause::PlanChange {
            before: shift.before.text,
            after: shift.after.text,
            seconds_before: Some(before),
            seconds_after: Some(after),
        };
        let recommendation = format!(
            "Compare both plans: since it changed, a call takes {:.1} times as long; look at statistics and indexes \
             that came or went",
            after / before.max(f64::MIN_POSITIVE),
        );
        #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
        let evidence = vec![
            Observation::measured("mean_seconds_before", before, Unit::Seconds, now),
            Observation::measured("mean_seconds", after, Unit::Seconds, now),
            Observation::measured("calls_before", shift.work_before.count as f64, Unit::Count, now),
            Observation::measured("calls", shift.work_after.count as f64, Unit::Count, now),
        ];
        Some(finding(kind, subject, cause, recommendation, time_share, evidence, now))
    }
}

/// Whether calls take longer now, beyond what their spread explains.
fn is_slower(before: &Moments, after: &Moments) -> bool {
    let (Some(mean_before), Some(mean_after)) = (before.mean(), after.mean()) else { return false };
    let (Some(variance_before), Some(variance_after)) = (before.variance(), after.variance()) else {
        return false;
    };
    if before.count < LEAST_CALLS || after.count < LEAST_CALLS || mean_after < mean_before * SLOWER {
        return false;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    let error = (variance_before / before.count as f64 + variance_after / after.count as f64).sqrt();
    let distance = mean_after - mean_before;
    error == 0.0 || normal::cdf(-distance / error) < ALPHA
}

/// Finds that the plan for all values costs far more than those for sampled values: what
/// a prepared statement gets after its fifth call, when `plan_cache_mode` is `auto` and
/// the mean looks no worse, or always, when it is forced.
///
/// `custom` are plans for values that were seen; fewer than three tell nothing.
pub fn generic_plan(
    subject: &Subject,
    generic: &Plan,
    custom: &[Plan],
    time_share: f64,
    now: Timestamp,
) -> Option<Finding> {
    let is_comparable = generic.generic && custom.len() >= 3 && custom.iter().all(|plan| !plan.generic);
    if !is_comparable || custom.iter().all(|plan| plan.shape() == generic.shape()) {
        return None;
    }
    // Estimates under another assumption do not compare; what the plan for all values does
    // with the value's rows is unknown. Only a plan of another shape that is dearer than
    // every one of those for values is worth a word.
    let dearest = custom.iter().map(Plan::cost).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a handful of plans")]
    let mean = custom.iter().map(Plan::cost).sum::<f64>() / custom.len() as f64;
    if generic.cost() < LEAST_COST || generic.cost() <= dearest || generic.cost() < mean * GENERIC_FACTOR {
        return None;
    }
    let cause = Cause::Plan {
        node: generic.root.kind.as_str().to_owned(),
        table: generic.relations().first().map(|relation| relation.name.clone()),
        detail: format!(
            "the plan for all values is expected to cost {:.0}, those for sampled values {mean:.0} on the average",
            generic.cost()
        ),
        plan: generic.text_without_literals(),
    };
    let recommendation =
        "Let this statement be planned for its values (SET plan_cache_mode = force_custom_plan, or \
                          no prepared statement): its plan for all values is far worse"
            .to_owned();
    let estimated = |name: &str, value: f64| Observation {
        provenance: Provenance::Estimated,
        ..Observation::measured(name, value, Unit::Count, now)
    };
    #[expect(clippy::cast_precision_loss, reason = "a handful of plans")]
    let evidence = vec![
        estimated("generic_plan_cost", generic.cost()),
        estimated("custom_plan_cost_mean", mean),
        estimated("custom_plan_cost_max", dearest),
        estimated("sampled_values", custom.len() as f64),
    ];
    Some(finding(FindingKind::GenericPlan, subject, cause, recommendation, time_share, evidence, now))
}

fn finding(
    kind: FindingKind,
    subject: &Subject,
    cause: Cause,
    recommendation: String,
    time_share: f64,
    evidence: Vec<Observation>,
    now: Timestamp,
) -> Finding {
    Finding {
        id: Finding::identity(kind, subject),
        kind,
        subject: subject.clone(),
        cause,
        recommendation,
        impact: Impact::of_time_share(time_share),
        evidence,
        callers: Vec::new(),
        found_at: now,
        seen_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(node: &str, cost: f64, generic: bool) -> Plan {
        let json = format!(
            r#"[{{"Plan": {{"Node Type": "{node}", "Relation Name": "t", "Alias": "t", "Total Cost": {cost}, "Plan Rows": 1}}}}]"#
        );
        Plan { generic, ..Plan::parse(&json).unwrap() }
    }

    fn subject() -> Subject {
        let normalized = "select * from t where a = ?";
        Subject::Statement {
            name: "one".to_owned(),
            fingerprint: Fingerprint::of_normalized(normalized),
            normalized: normalized.to_owned(),
        }
    }

    fn fingerprint() -> Fingerprint {
        let Subject::Statement { fingerprint, .. } = subject() else { unreachable!() };
        fingerprint
    }

    /// A window of 100 calls that take `seconds` each, give or take a tenth.
    fn window(seconds: f64) -> StatementWindow {
        let mut work = Moments::default();
        for call in 0..100_i32 {
            work.add(seconds * (0.9 + 0.002 * f64::from(call)));
        }
        StatementWindow { at: Timestamp::default(), seconds: 60.0, work, rows: 100, buffers: 100 }
    }

    fn history(windows: &[(&str, f64)]) -> PlanHistory {
        let mut history = PlanHistory::default();
        for (node, seconds) in windows {
            history.saw(fingerprint(), &plan(node, 10.0, false), Timestamp::default());
            history.cost(fingerprint(), window(*seconds));
        }
        history
    }

    #[test]
    fn another_plan_is_news_only_when_calls_take_longer_since() {
        let found = |windows: &[(&str, f64)]| {
            history(windows).finding(&subject(), 0.5, Timestamp::default()).map(|finding| finding.kind)
        };
        assert_eq!(found(&[("Index Scan", 0.001), ("Seq Scan", 0.1)]), Some(FindingKind::PlanChange));
        // Faster, as fast, and no other plan at all.
        assert_eq!(found(&[("Seq Scan", 0.1), ("Index Scan", 0.001)]), None);
        assert_eq!(found(&[("Index Scan", 0.001), ("Seq Scan", 0.001_2)]), None);
        assert_eq!(found(&[("Seq Scan", 0.001), ("Seq Scan", 0.1)]), None);
        assert_eq!(found(&[("Seq Scan", 0.1)]), None);
    }

    #[test]
    fn what_spreads_widely_is_no_change() {
        let mut history = PlanHistory::default();
        for node in ["Index Scan", "Seq Scan"] {
            history.saw(fingerprint(), &plan(node, 10.0, false), Timestamp::default());
            let mut work = Moments::default();
            for call in 0..25 {
                let outlier = if node == "Seq Scan" && call == 0 { 10.0 } else { 0.1 };
                work.add(outlier);
            }
            let window =
                StatementWindow { at: Timestamp::default(), seconds: 1.0, work, rows: 0, buffers: 0 };
            history.cost(fingerprint(), window);
        }
        assert_eq!(history.shift(fingerprint()), None);
    }

    #[test]
    fn a_history_is_bounded_and_counts_what_it_forgets() {
        let mut history = PlanHistory::default();
        for number in 0..20_u64 {
            history.saw(fingerprint(), &plan(&format!("Node {number}"), 1.0, false), Timestamp::default());
        }
        assert_eq!(history.readings()[&fingerprint()].0.len(), MOST_PLANS);
        for number in 0..600_u64 {
            history.saw(Fingerprint::from_u64(number), &plan("Seq Scan", 1.0, false), Timestamp::default());
        }
        assert_eq!(history.readings().len(), MOST_STATEMENTS);
        for _window in 0..500 {
            history.cost(Fingerprint::from_u64(599), window(1.0));
        }
        assert_eq!(history.readings()[&Fingerprint::from_u64(599)].1.len(), MOST_WINDOWS);
        assert_eq!(history.dropped(), 12 + 101);
    }

    #[test]
    fn a_plan_for_all_values_is_a_finding_when_it_is_dearer_than_each_for_a_value() {
        let found = |generic: f64, custom: &[f64], node: &str| {
            let custom: Vec<Plan> = custom.iter().map(|cost| plan(node, *cost, false)).collect();
            generic_plan(&subject(), &plan("Seq Scan", generic, true), &custom, 0.1, Timestamp::default())
                .map(|finding| finding.kind)
        };
        assert_eq!(found(1_000.0, &[10.0, 12.0, 9.0], "Index Scan"), Some(FindingKind::GenericPlan));
        assert_eq!(found(1_000.0, &[10.0, 12.0, 9.0], "Seq Scan"), None, "the same plan");
        assert_eq!(found(1_000.0, &[10.0, 12.0, 2_000.0], "Index Scan"), None, "some values need it");
        assert_eq!(found(1_000.0, &[10.0], "Index Scan"), None, "too few values");
        assert_eq!(found(50.0, &[1.0, 1.0, 1.0], "Index Scan"), None, "cheap either way");
    }
}
