//! The last readings of each server, for whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use veritas_model::Fingerprint;

use super::{PlanReading, ServerReading, StatementWindow};

/// Plans and windows of one statement.
type History = (Vec<PlanReading>, Vec<StatementWindow>);

/// What is known of the statements of one server. Plans and windows come from different places,
/// at different times.
#[derive(Debug, Clone, Default)]
struct Histories {
    plans: Arc<BTreeMap<Fingerprint, Vec<PlanReading>>>,
    windows: Arc<BTreeMap<Fingerprint, Vec<StatementWindow>>>,
}

/// The last reading of one server, and the one before.
#[derive(Debug, Clone)]
pub struct Readings {
    /// The last reading.
    pub reading: Arc<ServerReading>,
    /// The one before, where there is one.
    pub before: Option<Arc<ServerReading>>,
}

/// The last readings of each server. Nobody waits here longer than a copy of a pointer takes.
#[derive(Debug, Default)]
pub struct LatestReadings {
    servers: Mutex<BTreeMap<String, Readings>>,
    histories: Mutex<BTreeMap<String, Histories>>,
}

impl LatestReadings {
    /// Publishes a reading.
    pub fn publish(&self, reading: ServerReading) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let name = reading.name.clone();
        let before = servers.remove(&name).map(|readings| readings.reading);
        let _new = servers.insert(name, Readings { reading: Arc::new(reading), before });
    }

    /// Publishes what is known of the statements of the server `name`, in place of what was.
    pub fn publish_histories(&self, name: &str, histories: BTreeMap<Fingerprint, History>) {
        let (mut plans, mut windows) = (BTreeMap::new(), BTreeMap::new());
        for (fingerprint, (of_statement, in_windows)) in histories {
            let _new = plans.insert(fingerprint, of_statement);
            let _new = windows.insert(fingerprint, in_windows);
        }
        self.publish_plans(name, plans);
        self.publish_windows(name, windows);
    }

    /// Publishes the plans of the statements of the server `name` (of each the present one first),
    /// in place of what was. Whoever publishes bounds them.
    pub fn publish_plans(&self, name: &str, plans: BTreeMap<Fingerprint, Vec<PlanReading>>) {
        let plans = Arc::new(plans);
        let mut known = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut known.entry(name.to_owned()).or_default().plans, plans);
        // What is large is freed when nobody waits for us any more.
        drop((known, before));
    }

    /// Publishes what the statements of the server `name` cost over time (of each the newest window
    /// last), in place of what was. Whoever publishes bounds them.
    pub fn publish_windows(&self, name: &str, windows: BTreeMap<Fingerprint, Vec<StatementWindow>>) {
        let windows = Arc::new(windows);
        let mut known = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut known.entry(name.to_owned()).or_default().windows, windows);
        drop((known, before));
    }

    /// Returns the readings of the server `name`.
    pub fn get(&self, name: &str) -> Option<Readings> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Returns the readings of all servers, by name.
    pub fn all(&self) -> Vec<Readings> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns plans (the present one first) and windows (newest last) of a statement, with the server's name.
    pub fn histories(&self, fingerprint: Fingerprint) -> Vec<(String, History)> {
        let known = self.histories.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_each = known.into_iter().filter_map(|(name, histories)| {
            let plans = histories.plans.get(&fingerprint);
            let windows = histories.windows.get(&fingerprint);
            let is_known = plans.is_some() || windows.is_some();
            let history = (plans.cloned().unwrap_or_default(), windows.cloned().unwrap_or_default());
            is_known.then_some((name, history))
        });
        of_each.collect()
    }
}

#[cfg(test)]
mod tests {
    use veritas_model::{Moments, Timestamp};

    use super::*;

    #[test]
    fn plans_and_windows_come_from_different_places() {
        let latest = LatestReadings::default();
        let fingerprint = Fingerprint::from_u64(7);
        let window = StatementWindow {
            at: Timestamp::default(),
            seconds: 10.0,
            work: Moments::default(),
            rows: 0,
            buffers: 0,
        };
        latest.publish_windows("main", BTreeMap::from([(fingerprint, vec![window.clone()])]));
        let plan = PlanReading {
            shape: 1,
            text: "Seq Scan on t".into(),
            cost: 1.0,
            generic: false,
            first_seen_at: Timestamp::default(),
            last_seen_at: Timestamp::default(),
            mean_seconds: None,
        };
        latest.publish_plans("main", BTreeMap::from([(fingerprint, vec![plan.clone()])]));
        let known = latest.histories(fingerprint);
        assert_eq!(known, [("main".to_owned(), (vec![plan], vec![window]))]);
        latest.publish_plans("main", BTreeMap::new());
        assert_eq!(latest.histories(fingerprint)[0].1.0, []);
        assert_eq!(latest.histories(Fingerprint::from_u64(8)), []);
    }
}
