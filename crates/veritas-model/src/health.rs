//! Health: what is degraded and why, for `/readyz` and the start-up lines.

use std::{collections::BTreeMap, sync::Mutex};

/// The state of one part of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It works.
    Ready,
    /// It works in part or not at all, and the rest goes on; the reason is for operators.
    Degraded(String),
}

/// The parts of the engine and their states, shared by all of them.
#[derive(Debug, Default)]
pub struct Health {
    components: Mutex<BTreeMap<String, Condition>>,
}

impl Health {
    /// Records the state of a part (`history`, `ledger`, `sampler`, `target:main`).
    pub fn set(&self, component: &str, condition: Condition) {
        self.locked().insert(component.to_owned(), condition);
    }

    /// Forgets a part.
    pub fn remove(&self, component: &str) {
        self.locked().remove(component);
    }

    /// Returns every part and its state, by name.
    pub fn components(&self) -> Vec<(String, Condition)> {
        self.locked().iter().map(|(name, condition)| (name.clone(), condition.clone())).collect()
    }

    /// Returns whether every part is ready.
    pub fn is_ready(&self) -> bool {
        self.locked().values().all(|condition| *condition == Condition::Ready)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Condition>> {
        self.components.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_degraded_part_is_not_ready() {
        let health = Health::default();
        health.set("history", Condition::Ready);
        assert!(health.is_ready());
        health.set("ledger", Condition::Degraded("the disk is full".into()));
        assert!(!health.is_ready());
        health.remove("ledger");
        assert!(health.is_ready());
    }
}
