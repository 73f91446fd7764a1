//! Everything that the service acknowledged or showed, and whether it is still there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use veritas::{database::sqlite::PREFIX, model::ChangeState};

use crate::client::Client;

use super::traffic::{array, word};

/// The most entries that the API gives of a list. Older transitions and audit entries
/// were looked for as long as they were among the newest so many.
const PAGE: usize = 1_000;
/// How much older than its neighbours on a page a record may be, in seconds: the time is
/// taken before the act, and acts overtake each other.
const OVERTAKEN: f64 = 2.0;
/// Checks in a row that may find a change being taken back, while its file may be busy.
const MOST_REVERTING: u32 = 5;

/// What was acknowledged or shown, filled while the service lives.
#[derive(Debug, Default)]
pub(super) struct Witness {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    changes: BTreeMap<String, SeenChange>,
    /// Proposal, and whether a dismissal was shown.
    proposals: BTreeMap<String, bool>,
    /// Firing and resolved ones, with their time. A pending alert that does not fire is
    /// forgotten by design.
    transitions: BTreeMap<String, f64>,
    audit: BTreeMap<String, f64>,
    rules: BTreeMap<String, Rule>,
    /// Acts that were acknowledged in this life, and how often.
    acts: BTreeMap<(String, String), usize>,
    acts_in_all: u64,
    reverting: BTreeMap<String, u32>,
    degraded: BTreeSet<String>,
    failures: Vec<String>,
    kills: u64,
    kills_during_start: u64,
    restarts: u64,
    faulty: u64,
    looked_for: u64,
    indexes: u64,
}

#[derive(Debug)]
struct SeenChange {
    state: ChangeState,
    events: Vec<Value>,
    /// Whether it was seen since the last check.
    is_news: bool,
}

/// The thresholds that a rule may have.
#[derive(Debug, Default)]
struct Rule {
    acknowledged: Option<f64>,
    asked: Option<f64>,
}

/// The counts of a proof.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) kills: u64,
    pub(super) kills_during_start: u64,
    /// Restarts after a kill that were checked, and those that lacked something.
    pub(super) restarts: u64,
    pub(super) faulty: u64,
    pub(super) kinds: Vec<(&'static str, u64)>,
    pub(super) records: u64,
    pub(super) looked_for: u64,
    pub(super) indexes: u64,
    /// Changes that a kill met before the act, in it, and those that were kept.
    pub(super) met: [u64; 3],
    pub(super) degraded: Vec<String>,
}

impl Witness {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn killed(&self, during_start: bool) {
        let mut book = self.book();
        book.kills += 1;
        book.kills_during_start += u64::from(during_start);
    }

    /// Notes a change as the service shows it.
    pub(super) fn change(&self, change: &Value) {
        let Some(state) = state_of(change) else { return };
        let id = word(&change["id"]);
        let mut book = self.book();
        let Some(seen) = book.changes.get_mut(&id) else {
            book.changes.insert(id, SeenChange { state, events: Vec::new(), is_news: true });
            return;
        };
        // Answers of different connections overtake each other.
        if seen.state == state || !may_follow(seen.state, state) {
            return;
        }
        seen.state = state;
        seen.is_news = true;
    }

    /// Notes the events of a change, oldest first.
    pub(super) fn events(&self, id: &str, events: &[Value]) {
        if let Some(seen) = self.book().changes.get_mut(id)
            && seen.events.len() < events.len()
        {
            events.clone_into(&mut seen.events);
            seen.is_news = true;
        }
    }

    pub(super) fn proposal(&self, proposal: &Value) {
        let is_dismissed = proposal["state"] == "dismissed";
        *self.book().proposals.entry(word(&proposal["id"])).or_default() |= is_dismissed;
    }

    pub(super) fn transition(&self, transition: &Value) {
        if transition["status"] != "pending" {
            self.book().transitions.insert(transition.to_string(), at(transition));
        }
    }

    pub(super) fn audit(&self, entry: &Value) {
        self.book().audit.insert(entry.to_string(), at(entry));
    }

    pub(super) fn rule_asked(&self, name: &str, threshold: f64) {
        self.book().rules.entry(name.to_owned()).or_default().asked = Some(threshold);
    }

    pub(super) fn rule_acknowledged(&self, name: &str, threshold: f64) {
        self.book().rules.entry(name.to_owned()).or_default().acknowledged = Some(threshold);
    }

    /// Notes that an act was acknowledged.
    pub(super) fn acted(&self, action: &str, object: &str) {
        let mut book = self.book();
        *book.acts.entry((action.to_owned(), object.to_owned())).or_default() += 1;
        book.acts_in_all += 1;
    }

    /// Notes an answer that is neither a success nor a conflict.
    pub(super) fn refused(&self, error: &anyhow::Error) {
        let is_broken = error.chain().any(|cause| cause.is::<hyper::Error>() || cause.is::<std::io::Error>());
        if !is_broken {
            self.book().failures.push(format!("refused: {error:#}"));
        }
    }

    /// Looks for everything after a restart that followed a kill.
    ///
    /// # Errors
    ///
    /// Those of [`Self::check`].
    pub(super) async fn check_restart(&self, client: &mut Client, database: &Path) -> anyhow::Result<()> {
        let failures = self.book().failures.len();
        self.check(client, database).await?;
        let mut book = self.book();
        book.restarts += 1;
        book.faulty += u64::from(book.failures.len() > failures);
        Ok(())
    }

    /// Looks for everything. The service was just started, and nobody else asks it.
    ///
    /// # Errors
    ///
    /// When the service does not answer; what is lost or wrong is noted.
    pub(super) async fn check(&self, client: &mut Client, database: &Path) -> anyhow::Result<()> {
        let degraded = client.degraded().await?;
        let before = changes(client).await?;
        let database = database.to_owned();
        let indexes = tokio::task::spawn_blocking(move || indexes(&database)).await??;
        let after = changes(client).await?;
        let news = {
            let mut book = self.book();
            book.degraded.extend(degraded);
            book.check_indexes(&before, &indexes, &after);
            book.check_states(&after);
            book.news()
        };
        for id in news {
            let found = client.find(&format!("/changes/{id}")).await?;
            self.book().check_change(&id, found.as_ref());
        }
        let proposals = client.get(&format!("/proposals?limit={PAGE}")).await?;
        let missing = self.book().check_proposals(array(&proposals["proposals"]));
        for id in missing {
            if client.find(&format!("/proposals/{id}")).await?.is_none() {
                self.book().failures.push(format!("proposal {id} is lost"));
            }
        }
        let history = client.get(&format!("/alerts/history?limit={PAGE}")).await?;
        let rules = client.get("/alerts/rules").await?;
        let audit = client.get(&format!("/audit?limit={PAGE}")).await?;
        let mut guard = self.book();
        let book = &mut *guard;
        let (looked_for, lost) = missing_of(&book.transitions, array(&history["transitions"]));
        book.looked_for += looked_for;
        book.failures.extend(lost.into_iter().map(|lost| format!("alert transition lost: {lost}")));
        let (looked_for, lost) = missing_of(&book.audit, array(&audit["entries"]));
        book.looked_for += looked_for;
        book.failures.extend(lost.into_iter().map(|lost| format!("audit entry lost: {lost}")));
        book.check_rules(array(&rules["rules"]));
        book.check_acts(array(&audit["entries"]));
        Ok(())
    }

    pub(super) fn failures(&self) -> Vec<String> {
        self.book().failures.clone()
    }

    /// Says in a line how far the proof is.
    pub(super) fn summary(&self) -> String {
        let book = self.book();
        format!(
            "{} changes, {} transitions, {} acts; {} failures{}{}",
            book.changes.len(),
            book.transitions.len(),
            book.acts_in_all,
            book.failures.len(),
            if book.failures.is_empty() { "" } else { ", the last: " },
            book.failures.last().map_or("", String::as_str)
        )
    }

    pub(super) fn figures(&self) -> Figures {
        let book = self.book();
        let events: usize = book.changes.values().map(|change| change.events.len()).sum();
        let with = |is_meant: fn(&Value) -> bool| {
            book.changes.values().filter(|change| change.events.iter().any(is_meant)).count() as u64
        };
        let met = [
            with(|event| event["reason"] == "interrupted before it was applied"),
            with(|event| event["reason"] == "interrupted while it was being applied"),
            with(|event| event["state"] == "kept"),
        ];
        let kinds = vec![
            ("changes", book.changes.len() as u64),
            ("events of changes", events as u64),
            ("proposals", book.proposals.len() as u64),
            ("alert transitions (firing, resolved)", book.transitions.len() as u64),
            ("audit entries", book.audit.len() as u64),
            ("acknowledged acts (approve, dismiss, revert, put a rule)", book.acts_in_all),
        ];
        Figures {
            kills: book.kills,
            kills_during_start: book.kills_during_start,
            restarts: book.restarts,
            faulty: book.faulty,
            records: kinds.iter().map(|(_, count)| count).sum(),
            kinds,
            looked_for: book.looked_for,
            indexes: book.indexes,
            met,
            degraded: book.degraded.iter().cloned().collect(),
        }
    }
}

impl Book {
    fn news(&mut self) -> Vec<String> {
        let news = self.changes.iter_mut();
        news.filter_map(|(id, seen)| std::mem::take(&mut seen.is_news).then(|| id.clone())).collect()
    }

    /// Checks what no change may be found in after a start.
    fn check_states(&mut self, now: &BTreeMap<String, Value>) {
        let mut reverting = BTreeMap::new();
        for (id, change) in now {
            self.looked_for += 1;
            match state_of(change) {
                Some(ChangeState::Applying) => {
                    self.failures.push(format!("change {id} is still being applied after a restart"));
                }
                Some(ChangeState::Reverting) => {
                    let times = self.reverting.get(id).copied().unwrap_or_default() + 1;
                    if times == MOST_REVERTING {
                        let reason = &change["reason"];
                        self.failures.push(format!("change {id} is not taken back: {reason}"));
                    }
                    reverting.insert(id.clone(), times);
                }
                Some(_) => {}
                None => self.failures.push(format!("change {id} is in no state: {}", change["state"])),
            }
            let Some((seen, state)) = self.changes.get(id).zip(state_of(change)) else { continue };
            if !may_follow(seen.state, state) {
                let (seen, state) = (seen.state.as_str(), state.as_str());
                self.failures.push(format!("change {id} went from {seen} to {state}"));
            }
        }
        self.reverting = reverting;
        // What is not on the page is asked for by its identity.
        for (id, seen) in &mut self.changes {
            seen.is_news |= !now.contains_key(id);
        }
    }

    fn check_change(&mut self, id: &str, found: Option<&Value>) {
        self.looked_for += 1;
        let Some(seen) = self.changes.get(id) else { return };
        let Some(found) = found else {
            self.failures.push(format!("change {id} is lost; it was {}", seen.state.as_str()));
            return;
        };
        let state = state_of(&found["change"]);
        if !state.is_some_and(|state| may_follow(seen.state, state)) {
            let (seen, state) = (seen.state.as_str(), &found["change"]["state"]);
            self.failures.push(format!("change {id} went from {seen} to {state}"));
        }
        let events = array(&found["events"]);
        self.looked_for += seen.events.len() as u64;
        if !events.starts_with(&seen.events) {
            self.failures.push(format!("change {id} has lost events: {:?} of {events:?}", seen.events));
        }
        if events.last().map(|event| &event["state"]) != Some(&found["change"]["state"]) {
            self.failures.push(format!("change {id} is not in the state of its last event: {found}"));
        }
        // What is shown now must be there the next time.
        if let Some(seen) = self.changes.get_mut(id) {
            seen.state = state.unwrap_or(seen.state);
            events.clone_into(&mut seen.events);
        }
    }

    /// Compares the ledger with the indexes that are there. Only a change that was in the
    /// same state before and after the look can be compared.
    fn check_indexes(
        &mut self,
        before: &BTreeMap<String, Value>,
        indexes: &BTreeSet<String>,
        after: &BTreeMap<String, Value>,
    ) {
        let object = |change: &Value| word(&change["plan"]["object"]);
        let mut known = BTreeSet::new();
        let mut unsure = BTreeSet::new();
        let mut in_force = BTreeSet::new();
        for (id, change) in after {
            known.insert(object(change));
            match state_of(change) {
                state if state != before.get(id).and_then(state_of) => unsure.insert(object(change)),
                Some(ChangeState::Verifying | ChangeState::Kept) => in_force.insert(object(change)),
                Some(ChangeState::Reverted | ChangeState::Failed) => false,
                _ => unsure.insert(object(change)),
            };
        }
        for object in &known {
            if unsure.contains(object) {
                continue;
            }
            self.indexes += 1;
            match (in_force.contains(object), indexes.contains(object)) {
                (true, false) => self.failures.push(format!("{object} is in force and not there")),
                (false, true) => self.failures.push(format!("{object} is not in force and is there")),
                _ => {}
            }
        }
        // A full page may hide the oldest changes.
        if after.len() < PAGE {
            for object in indexes.difference(&known) {
                self.failures.push(format!("{object} is there and no change knows it"));
            }
        }
    }

    /// Returns the proposals that are not among `found`.
    fn check_proposals(&mut self, found: &[Value]) -> Vec<String> {
        let states: BTreeMap<_, _> =
            found.iter().map(|proposal| (word(&proposal["id"]), word(&proposal["state"]))).collect();
        let mut missing = Vec::new();
        for (id, is_dismissed) in &self.proposals {
            self.looked_for += 1;
            match states.get(id) {
                Some(state) if *is_dismissed && state != "dismissed" => {
                    self.failures.push(format!("proposal {id} was dismissed and is {state}"));
                }
                Some(_) => {}
                None => missing.push(id.clone()),
            }
        }
        missing
    }

    fn check_rules(&mut self, found: &[Value]) {
        for (name, rule) in &mut self.rules {
            let Some(acknowledged) = rule.acknowledged else { continue };
            self.looked_for += 1;
            let threshold = found
                .iter()
                .find(|found| found["name"] == name.as_str())
                .and_then(|found| found["threshold"].as_f64());
            match threshold {
                // The last one may have been stored and not acknowledged.
                Some(threshold) if threshold == acknowledged || Some(threshold) == rule.asked => {
                    *rule = Rule { acknowledged: Some(threshold), asked: None };
                }
                _ => {
                    self.failures
                        .push(format!("rule {name} has threshold {threshold:?}, not {acknowledged}"));
                }
            }
        }
    }

    /// Checks that the acts of the last life are in the audit log.
    fn check_acts(&mut self, audit: &[Value]) {
        let mut counts = BTreeMap::<_, usize>::new();
        for entry in audit.iter().filter(|entry| entry["outcome"] == "ok") {
            *counts.entry((word(&entry["action"]), word(&entry["object"]))).or_default() += 1;
        }
        let acts = std::mem::take(&mut self.acts);
        let is_whole = acts.values().sum::<usize>() * 2 < PAGE;
        for (act, count) in acts {
            self.looked_for += count as u64;
            if is_whole && counts.get(&act).copied().unwrap_or_default() < count {
                self.failures.push(format!("{} of {} is not in the audit log {count} times", act.0, act.1));
            }
        }
    }
}

/// Returns how many of `seen` must be on a page of the newest, and which are not.
fn missing_of(seen: &BTreeMap<String, f64>, page: &[Value]) -> (u64, Vec<String>) {
    let oldest = if page.len() < PAGE { f64::MIN } else { page.last().map_or(f64::MAX, at) + OVERTAKEN };
    let found: BTreeSet<String> = page.iter().map(Value::to_string).collect();
    let wanted: Vec<_> = seen.iter().filter(|(_, at)| **at > oldest).map(|(text, _)| text).collect();
    let missing = wanted.iter().filter(|text| !found.contains(**text)).map(|text| (*text).clone());
    (wanted.len() as u64, missing.collect())
}

/// Returns whether a change that was seen in one state may be found in the other.
fn may_follow(seen: ChangeState, found: ChangeState) -> bool {
    let rank = |state| match state {
        ChangeState::Applying => 0,
        ChangeState::Verifying => 1,
        ChangeState::Kept => 2,
        ChangeState::Reverting => 3,
        ChangeState::Reverted | ChangeState::Failed => 4,
    };
    seen == found || rank(seen) < rank(found)
}

fn state_of(change: &Value) -> Option<ChangeState> {
    change["state"].as_str().and_then(ChangeState::parse)
}

fn at(record: &Value) -> f64 {
    record["at"].as_f64().unwrap_or_default()
}

async fn changes(client: &mut Client) -> anyhow::Result<BTreeMap<String, Value>> {
    let list = client.get(&format!("/changes?limit={PAGE}")).await?;
    Ok(array(&list["changes"]).iter().map(|change| (word(&change["id"]), change.clone())).collect())
}

/// Returns the changes that are under way.
pub(super) async fn unfinished(client: &mut Client) -> anyhow::Result<Vec<String>> {
    let changes = changes(client).await?;
    let is_under_way =
        |change: &Value| matches!(state_of(change), Some(ChangeState::Applying | ChangeState::Reverting));
    Ok(changes.iter().filter(|(_, change)| is_under_way(change)).map(|(id, _)| id.clone()).collect())
}

/// Reads the names of our indexes in the live file.
fn indexes(database: &Path) -> rusqlite::Result<BTreeSet<String>> {
    let live = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    live.busy_timeout(std::time::Duration::from_secs(5))?;
    let mut statement = live.prepare("SELECT name FROM sqlite_schema WHERE type = 'index'")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with(PREFIX)) || name.is_err()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(changes: &[(&str, &str)]) -> BTreeMap<String, Value> {
        let change = |(id, state): &(&str, &str)| {
            ((*id).to_owned(), json!({ "id": id, "state": state, "plan": { "object": format!("of_{id}") } }))
        };
        changes.iter().map(change).collect()
    }

    #[track_caller]
    fn check_states(seen: &str, found: &str, expected: usize) {
        let witness = Witness::default();
        witness.change(&json!({ "id": "c-1", "state": seen }));
        witness.book().check_states(&page(&[("c-1", found)]));
        assert_eq!(witness.failures().len(), expected, "{:?}", witness.failures());
    }

    #[test]
    fn a_change_goes_on_and_never_back() {
        check_states("verifying", "verifying", 0);
        check_states("verifying", "kept", 0);
        check_states("applying", "reverted", 0);
        check_states("kept", "verifying", 1);
        check_states("reverted", "failed", 1);
        check_states("reverted", "reverting", 1);
        check_states("applying", "applying", 1);
    }

    #[test]
    fn the_ledger_and_the_schema_must_agree() {
        let check = |changes: &[(&str, &str)], indexes: &[&str]| {
            let mut book = Book::default();
            let indexes = indexes.iter().map(|name| (*name).to_owned()).collect();
            book.check_indexes(&page(changes), &indexes, &page(changes));
            book.failures
        };
        assert!(check(&[("1", "kept"), ("2", "reverted")], &["of_1"]).is_empty());
        assert_eq!(check(&[("1", "kept")], &[]), ["of_1 is in force and not there"]);
        assert_eq!(check(&[("1", "reverted")], &["of_1"]), ["of_1 is not in force and is there"]);
        assert_eq!(check(&[], &["veritas_x"]), ["veritas_x is there and no change knows it"]);
        assert!(check(&[("1", "reverting")], &["of_1"]).is_empty());
    }

    #[test]
    fn a_record_that_is_gone_is_missed() {
        let witness = Witness::default();
        let transition = json!({ "rule": "r", "status": "firing", "at": 7.0 });
        witness.transition(&transition);
        witness.transition(&json!({ "rule": "r", "status": "pending", "at": 8.0 }));
        let seen = witness.book().transitions.clone();
        assert_eq!(missing_of(&seen, &[transition]), (1, vec![]));
        assert_eq!(missing_of(&seen, &[]).1.len(), 1);
    }
}
