//! The table: which node serves which slot, as callers and the router see it.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU16, Ordering},
};

use crate::{
    breaker::Gate,
    link::{Node, slots::SLOTS},
};

/// Which node serves which slot: read by callers, written by the router.
#[derive(Debug)]
pub(crate) struct Table {
    /// The place of the node in `nodes`, plus one; 0 is nobody.
    pub(super) slots: Box<[AtomicU16]>,
    pub(super) nodes: RwLock<Vec<Arc<Node>>>,
    /// Whether the slots are known at all.
    pub(crate) whole: Node,
}

impl Table {
    pub(crate) fn new(whole: Node) -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU16::new(0)).collect(), nodes: RwLock::default(), whole }
    }

    pub(super) fn place(&self, slot: u16) -> Option<usize> {
        usize::from(self.slots[usize::from(slot) % SLOTS].load(Ordering::Acquire)).checked_sub(1)
    }

    /// Returns whether a call for this slot would fail at once.
    pub(crate) fn is_down(&self, slot: Option<u16>) -> bool {
        match self.whole.breaker.gate() {
            Gate::Down => return true,
            Gate::Connecting => return false,
            Gate::Up => {}
        }
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let down = |node: &Arc<Node>| node.breaker.gate() == Gate::Down;
        match slot {
            Some(slot) => self.place(slot).and_then(|place| nodes.get(place)).is_some_and(down),
            None => nodes.iter().all(down),
        }
    }

    /// Returns every node that serves anything, with a slot of it.
    pub(crate) fn slot_of_each(&self) -> Vec<(String, u16)> {
        let mut slots: Vec<Option<u16>> = Vec::new();
        for slot in 0..u16::try_from(SLOTS).unwrap_or(u16::MAX) {
            if let Some(place) = self.place(slot) {
                slots.resize(slots.len().max(place + 1), None);
                slots[place] = slots[place].or(Some(slot));
            }
        }
        let nodes = self.nodes();
        nodes.iter().zip(slots).filter_map(|(node, slot)| Some((node.name.clone(), slot?))).collect()
    }

    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
