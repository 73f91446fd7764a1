//! The alerts: every rule with its state, evaluated once per tick, stored before shown.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use veritas_model::{AlertRule, AlertStatus, AlertTransition, Condition, Health, Timestamp};
use veritas_store::{ControlPlane, StoreError};

use crate::{
    message::message,
    rule::{RuleError, validate},
    track::{Recorded, Step, Track},
};

/// The name under which the alerts appear in [`Health`].
const COMPONENT: &str = "alerts";

/// An alert that is pending or firing.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveAlert {
    /// Its rule, as it is now.
    pub rule: AlertRule,
    /// Pending or firing.
    pub status: AlertStatus,
    /// When the condition began to hold.
    pub since: Timestamp,
    /// When it fired; `None` while it is pending.
    pub fired_at: Option<Timestamp>,
    /// The last known value.
    pub value: f64,
    /// What it says of that value (`High CPU usage: 85%`).
    pub message: String,
    /// What was to blame when it fired, if that was known.
    pub cause: Option<String>,
}

/// Why the alerts could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The stored rules could not be read.
    #[error("failed to read the alert rules")]
    Rules {
        /// What the control plane said.
        source: StoreError,
    },
    /// The stored states could not be read.
    #[error("failed to read the states of the alerts")]
    States {
        /// What the control plane said.
        source: StoreError,
    },
}

/// Why a rule was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutRuleError {
    /// The rule is not sound.
    #[error("the rule is refused")]
    Refused {
        /// Its fault.
        source: RuleError,
    },
    /// It could not be stored; nothing has changed.
    #[error("failed to store the rule {name:?}")]
    Store {
        /// Its name.
        name: String,
        /// What the control plane said.
        source: StoreError,
    },
}

/// Why a rule was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveRuleError {
    /// There is no such rule.
    #[error("there is no rule {name:?}")]
    NotFound {
        /// The name given.
        name: String,
    },
    /// The removal could not be stored; nothing has changed.
    #[error("failed to store the removal of the rule {name:?}")]
    Store {
        /// Its name.
        name: String,
        /// What the control plane said.
        source: StoreError,
    },
}

/// A rule with its state.
#[derive(Debug)]
struct Entry {
    rule: AlertRule,
    track: Track,
    value: f64,
    cause: Option<String>,
}

/// What is still open of a rule that is gone or watches something else now:
/// its end must be stored.
#[derive(Debug)]
struct Orphan {
    last: AlertTransition,
    cause: String,
}

#[derive(Debug, Default)]
struct Book {
    entries: BTreeMap<String, Entry>,
    orphans: Vec<Orphan>,
    degraded: bool,
}

/// Evaluates the rules and keeps their states in the control plane.
///
/// One thread evaluates; any thread reads. [`Self::active`] and
/// [`Self::firing`] never wait for the disk; everything that returns a `Result`
/// may.
pub struct Alerts {
    control: Arc<dyn ControlPlane>,
    health: Option<Arc<Health>>,
    default_names: Vec<String>,
    book: Mutex<Book>,
    /// What readers see. Apart from `book`, which is locked while the disk works.
    published: Mutex<Arc<Vec<ActiveAlert>>>,
    unstored: AtomicU64,
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Alerts").field("active", &self.active()).finish_non_exhaustive()
    }
}

impl Alerts {
    /// Loads the rules and restores the states that were stored before a
    /// restart. A stored rule takes the place of the default of its name; a
    /// default that was removed stays removed.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the control plane cannot be read.
    pub fn load(control: Arc<dyn ControlPlane>, defaults: Vec<AlertRule>) -> Result<Self, LoadError> {
        let stored = control.rules().map_err(|source| LoadError::Rules { source })?;
        let open = control.open_alerts().map_err(|source| LoadError::States { source })?;
        let default_names = defaults.iter().map(|rule| rule.name.clone()).collect();
        let mut book = Book::default();
        for rule in defaults.into_iter().chain(stored) {
            if is_tombstone(&rule) {
                book.entries.remove(&rule.name);
            } else {
                book.entries.insert(rule.name.clone(), Entry::quiet(rule));
            }
        }
        for last in open {
            if let Some(entry) = book.entries.get_mut(&last.rule) {
                entry.track = Track::restored(&last);
                entry.value = last.value;
                entry.cause = last.cause;
            } else {
                book.orphans.push(Orphan { last, cause: "the rule was removed".into() });
            }
        }
        let published = Mutex::new(Arc::new(book.active()));
        Ok(Self {
            control,
            health: None,
            default_names,
            book: Mutex::new(book),
            published,
            unstored: AtomicU64::new(0),
        })
    }

    /// Reports to `health`, as `alerts`, whether transitions can be stored.
    #[must_use]
    pub fn with_health(mut self, health: Arc<Health>) -> Self {
        health.set(COMPONENT, Condition::Ready);
        self.health = Some(health);
        self
    }

    /// Takes in one tick: `value` returns the value of a series now, or `None`
    /// when it is not known; `blame` says what is to blame and is asked only
    /// when an alert is about to fire.
    ///
    /// Returns the transitions that were made durable, resolutions of removed
    /// rules first, then by rule. A pending alert that ends leaves none. Blocks
    /// on the control plane once per transition, and not at all when nothing
    /// changes.
    pub fn evaluate(
        &self,
        at: Timestamp,
        value: &dyn Fn(&str) -> Option<f64>,
        blame: &dyn Fn(&AlertRule) -> Option<String>,
    ) -> Vec<AlertTransition> {
        let mut transitions = Vec::new();
        let mut failure = None;
        let mut book = self.book();
        let Book { entries, orphans, .. } = &mut *book;

        orphans.retain(|orphan| match self.end_orphan(orphan, at) {
            Ok(transition) => {
                transitions.extend(transition);
                false
            }
            Err(error) => {
                failure = Some(error);
                true
            }
        });
        for entry in entries.values_mut() {
            // The end of what had this name before comes first.
            if orphans.iter().any(|orphan| orphan.last.rule == entry.rule.name) {
                continue;
            }
            match self.evaluate_entry(entry, at, value, blame) {
                Ok(transition) => transitions.extend(transition),
                Err(error) => failure = Some(error),
            }
        }

        self.report(&mut book, failure.as_ref());
        self.publish(&book);
        transitions
    }

    fn evaluate_entry(
        &self,
        entry: &mut Entry,
        at: Timestamp,
        value: &dyn Fn(&str) -> Option<f64>,
        blame: &dyn Fn(&AlertRule) -> Option<String>,
    ) -> Result<Option<AlertTransition>, StoreError> {
        let value = value(&entry.rule.series).filter(|value| value.is_finite());
        entry.value = value.unwrap_or(entry.value);
        let step = entry.track.observe(&entry.rule, at, value);
        let transition = match step {
            Step::Stay => return Ok(None),
            Step::Forget => {
                self.stored(self.control.forget_pending(&entry.rule.name))?;
                None
            }
            Step::Enter(status, since) => {
                let cause = match status {
                    AlertStatus::Pending => None,
                    AlertStatus::Firing => blame(&entry.rule),
                    AlertStatus::Resolved => entry.cause.clone(),
                };
                let transition = entry.transition(status, at, since, cause);
                self.stored(self.control.record_transition(&transition))?;
                Some(transition)
            }
        };
        entry.track.advance(step, at);
        entry.cause = transition.as_ref().and_then(|transition| transition.cause.clone());
        Ok(transition)
    }

    fn end_orphan(&self, orphan: &Orphan, at: Timestamp) -> Result<Option<AlertTransition>, StoreError> {
        if orphan.last.status != AlertStatus::Firing {
            self.stored(self.control.forget_pending(&orphan.last.rule))?;
            return Ok(None);
        }
        let transition = AlertTransition {
            status: AlertStatus::Resolved,
            at,
            cause: Some(orphan.cause.clone()),
            ..orphan.last.clone()
        };
        self.stored(self.control.record_transition(&transition))?;
        Ok(Some(transition))
    }

    /// Returns every alert that is pending or firing, by rule.
    pub fn active(&self) -> Vec<ActiveAlert> {
        let published = Arc::clone(&self.published.lock().unwrap_or_else(PoisonError::into_inner));
        published.to_vec()
    }

    /// Returns the alerts that are firing, by rule.
    pub fn firing(&self) -> Vec<ActiveAlert> {
        let mut active = self.active();
        active.retain(|alert| alert.status == AlertStatus::Firing);
        active
    }

    /// Returns the rules in force, by name: the defaults and the stored ones.
    /// Waits while a tick is being stored.
    pub fn rules(&self) -> Vec<AlertRule> {
        self.book().entries.values().map(|entry| entry.rule.clone()).collect()
    }

    /// Adds a rule or changes the one of its name, durably, on behalf of `by`.
    /// A changed rule keeps its state and is judged anew at the next
    /// evaluation, unless it watches another series or direction: then the old
    /// alert is resolved and the rule starts quiet.
    ///
    /// # Errors
    ///
    /// [`PutRuleError`]; then nothing has changed.
    pub fn put_rule(&self, rule: AlertRule, by: &str) -> Result<(), PutRuleError> {
        validate(&rule).map_err(|source| PutRuleError::Refused { source })?;
        let mut book = self.book();
        self.control
            .put_rule(&rule)
            .map_err(|source| PutRuleError::Store { name: rule.name.clone(), source })?;
        let Book { entries, orphans, .. } = &mut *book;
        match entries.get_mut(&rule.name) {
            Some(entry) if entry.rule.series == rule.series && entry.rule.comparison == rule.comparison => {
                entry.rule = rule;
            }
            _ => {
                let old = entries.insert(rule.name.clone(), Entry::quiet(rule));
                orphans.extend(old.and_then(|old| old.orphan(format!("the rule was changed by {by}"))));
            }
        }
        self.publish(&book);
        Ok(())
    }

    /// Removes a rule, durably, on behalf of `by`; a default stays removed. Its
    /// alert is shown no more, and is resolved at the next evaluation.
    ///
    /// # Errors
    ///
    /// [`RemoveRuleError`]; then nothing has changed.
    pub fn remove_rule(&self, name: &str, by: &str) -> Result<(), RemoveRuleError> {
        let mut book = self.book();
        let Some(entry) = book.entries.get(name) else {
            return Err(RemoveRuleError::NotFound { name: name.to_owned() });
        };
        let removal = if self.default_names.iter().any(|default| default == name) {
            self.control.put_rule(&tombstone(&entry.rule))
        } else {
            self.control.remove_rule(name)
        };
        removal.map_err(|source| RemoveRuleError::Store { name: name.to_owned(), source })?;
        let orphan =
            book.entries.remove(name).and_then(|entry| entry.orphan(format!("the rule was removed by {by}")));
        book.orphans.extend(orphan);
        self.publish(&book);
        Ok(())
    }

    /// Returns the newest `limit` transitions, newest first.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read.
    pub fn history(&self, limit: usize) -> Result<Vec<AlertTransition>, StoreError> {
        self.control.alert_history(limit)
    }

    /// Returns how many times a transition could not be stored.
    pub fn unstored(&self) -> u64 {
        self.unstored.load(Ordering::Relaxed)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        if result.is_err() {
            self.unstored.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn report(&self, book: &mut Book, failure: Option<&StoreError>) {
        let Some(health) = &self.health else { return };
        match failure {
            Some(error) => {
                let reason = format!("alert transitions cannot be stored and are tried again: {error}");
                health.set(COMPONENT, Condition::Degraded(reason));
            }
            None if book.degraded => health.set(COMPONENT, Condition::Ready),
            None => {}
        }
        book.degraded = failure.is_some();
    }

    fn publish(&self, book: &Book) {
        let active = Arc::new(book.active());
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = active;
    }
}

impl Book {
    fn active(&self) -> Vec<ActiveAlert> {
        self.entries.values().filter_map(Entry::active).collect()
    }
}

impl Entry {
    const fn quiet(rule: AlertRule) -> Self {
        Self { rule, track: Track::QUIET, value: 0.0, cause: None }
    }

    fn active(&self) -> Option<ActiveAlert> {
        let (status, since, fired_at) = match self.track.recorded() {
            Recorded::Quiet => return None,
            Recorded::Pending { since } => (AlertStatus::Pending, since, None),
            Recorded::Firing { since, fired_at } => (AlertStatus::Firing, since, Some(fired_at)),
        };
        Some(ActiveAlert {
            status,
            since,
            fired_at,
            value: self.value,
            message: message(&self.rule.title, &self.rule.series, self.value),
            cause: self.cause.clone(),
            rule: self.rule.clone(),
        })
    }

    fn transition(
        &self,
        status: AlertStatus,
        at: Timestamp,
        since: Timestamp,
        cause: Option<String>,
    ) -> AlertTransition {
        AlertTransition {
            rule: self.rule.name.clone(),
            status,
            at,
            since,
            value: self.value,
            threshold: self.rule.threshold,
            severity: self.rule.severity,
            message: message(&self.rule.title, &self.rule.series, self.value),
            cause,
        }
    }

    /// Returns what is left of a rule that is going away.
    fn orphan(self, cause: String) -> Option<Orphan> {
        let active = self.active()?;
        let at = active.fired_at.unwrap_or(active.since);
        let last = self.transition(active.status, at, active.since, active.cause);
        Some(Orphan { last, cause })
    }
}

/// Makes the record that a default was removed: a rule of its name without a
/// series, which no sound rule is.
fn tombstone(rule: &AlertRule) -> AlertRule {
    AlertRule { series: String::new(), ..rule.clone() }
}

fn is_tombstone(rule: &AlertRule) -> bool {
    rule.series.is_empty()
}
