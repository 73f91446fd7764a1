//! One request: the statements that it has run, and what it repeats.
//!
//! Everything here is bounded, whatever the request does: different statements, the keys that
//! tell a repetition from another look-up, and the keys of each statement.

use std::{borrow::Cow, sync::Arc, time::Duration};

use veritas_model::{Caller, Monotonic};

use super::next_identity;
use crate::{
    StatementKind,
    recorder::{CallSite, Entry, Execution},
    requests::{Ended, Requests},
    scope::{REPETITIONS, WRITE_REPETITIONS},
};

/// Different statements that are counted in one request; further ones are not
/// looked at for repetitions.
const STATEMENTS_PER_REQUEST: usize = 256;
/// Questions (a statement with its values) that are remembered in one request; further ones
/// are not recognized when they are asked again. 16 KiB.
const QUESTIONS: usize = 1024;
/// A statement that is asked again right after itself, but not before so long, waits for
/// something to change.
const POLLING: Duration = Duration::from_millis(20);

/// A request, and the statements that it has run.
#[derive(Debug)]
pub(crate) struct RequestFrame {
    pub(crate) identity: u64,
    pub(crate) name: Cow<'static, str>,
    statements: Vec<Repeated>,
    asked: Asked,
    /// The statement before: its place in `statements`, what it asked, and when it ended.
    last: Option<(usize, u64, Monotonic)>,
    calls: u64,
    seconds: f64,
    /// Transactions begun or ended, as far as they were seen.
    transactions: u64,
    last_caller: Option<(Box<str>, u32)>,
    ledger: Option<Arc<Requests>>,
}

/// A statement in one request.
#[derive(Debug)]
struct Repeated {
    entry: Arc<Entry>,
    calls: u64,
    seconds: f64,
    /// Calls that failed: an attempt that is made again repeats nothing.
    failed: u64,
    /// Hashes of the first different keys.
    keys: [u64; REPETITIONS],
    different: usize,
    /// Whether a call's key could not be told.
    is_key_unknown: bool,
    /// Successful calls since the last begin or end of a transaction, and most of them.
    in_transaction: (u64, u64),
    most_in_transaction: u64,
    /// Where the call came from that made it a repetition.
    caller: Option<Caller>,
    redundant: Redundant,
}

/// The calls of a statement that asked what had been asked.
#[derive(Debug, Default)]
struct Redundant {
    calls: u64,
    seconds: f64,
    caller: Option<Caller>,
}

/// What one request did with one statement.
#[derive(Debug)]
pub(crate) struct Repetition<'a> {
    pub(crate) request: &'a str,
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    /// Whether it repeated it with other keys.
    pub(crate) is_repeating: bool,
    pub(crate) caller: Option<Caller>,
    pub(crate) redundant_calls: u64,
    pub(crate) redundant_seconds: f64,
    pub(crate) redundant_caller: Option<Caller>,
}

impl RequestFrame {
    pub(crate) fn new(name: Cow<'static, str>) -> Self {
        Self {
            identity: next_identity(),
            name,
            statements: Vec::new(),
            asked: Asked::default(),
            last: None,
            calls: 0,
            seconds: 0.0,
            transactions: 0,
            last_caller: None,
            ledger: None,
        }
    }

    /// Counts one call; `key` is a hash of what the statement looked up, `None`
    /// when that is not known. `now` is when it ended.
    pub(crate) fn count(
        &mut self,
        entry: &Arc<Entry>,
        key: Option<u64>,
        execution: &Execution<'_>,
        now: Monotonic,
        ledger: &Arc<Requests>,
    ) {
        self.ledger.get_or_insert_with(|| Arc::clone(ledger));
        let seconds = execution.elapsed.as_secs_f64();
        self.calls += 1;
        self.seconds += seconds;
        let kind = entry.statement().kind;
        if kind == StatementKind::Other && is_transaction(&entry.statement().text) {
            self.transactions += 1;
        } else if kind != StatementKind::Select {
            // What was asked before may be answered otherwise now.
            self.asked.forget();
        }
        let index = match self.statements.iter().rposition(|repeated| Arc::ptr_eq(&repeated.entry, entry)) {
            Some(index) => index,
            None if self.statements.len() < STATEMENTS_PER_REQUEST => {
                self.statements.push(Repeated::new(entry));
                if let Some(site) = execution.caller {
                    self.note_caller(site);
                }
                self.statements.len() - 1
            }
            None => return,
        };
        let is_again = kind == StatementKind::Select
            && !execution.error
            && key.is_some_and(|key| {
                let question = Asked::question(entry, key);
                let was_asked = self.asked.insert(question);
                let waited = self.last.is_some_and(|(last, asked, ended)| {
                    last == index
                        && asked == key
                        && now.since(ended).saturating_sub(execution.elapsed) >= POLLING
                });
                was_asked && !waited
            });
        self.last = Some((index, key.unwrap_or_default(), now));
        self.statements[index].count(key, execution, self.transactions, is_again);
    }

    fn note_caller(&mut self, site: CallSite<'_>) {
        if self.statements.len() as u64 == crate::requests::CHATTY_STATEMENTS {
            self.last_caller = Some((site.file.into(), site.line));
        }
    }

    /// Ends the request: what it repeated is added to the statements' statistics.
    pub(crate) fn fold(self) {
        let different = self.statements.len() as u64;
        for repeated in self.statements {
            repeated.fold(&self.name);
        }
        if let Some(ledger) = self.ledger {
            ledger.add(Ended {
                name: &self.name,
                statements: self.calls,
                different,
                seconds: self.seconds,
                caller: self.last_caller.map(|(file, line)| Caller { file: file.into(), line }),
            });
        }
    }
}

impl Repeated {
    fn new(entry: &Arc<Entry>) -> Self {
        Self {
            entry: Arc::clone(entry),
            calls: 0,
            seconds: 0.0,
            failed: 0,
            keys: [0; REPETITIONS],
            different: 0,
            is_key_unknown: false,
            in_transaction: (0, 0),
            most_in_transaction: 0,
            caller: None,
            redundant: Redundant::default(),
        }
    }

    fn count(&mut self, key: Option<u64>, execution: &Execution<'_>, transactions: u64, is_again: bool) {
        let seconds = execution.elapsed.as_secs_f64();
        self.calls += 1;
        self.seconds += seconds;
        if execution.error {
            self.failed += 1;
            return;
        }
        match key {
            None => self.is_key_unknown = true,
            Some(key) => {
                let different = self.different;
                if different < REPETITIONS && !self.keys[..different].contains(&key) {
                    self.keys[different] = key;
                    self.different += 1;
                }
            }
        }
        let (transaction, calls) = self.in_transaction;
        self.in_transaction = (transactions, if transaction == transactions { calls + 1 } else { 1 });
        self.most_in_transaction = self.most_in_transaction.max(self.in_transaction.1);
        if self.caller.is_none() && self.calls - self.failed >= REPETITIONS as u64 {
            self.caller = execution.caller.map(Into::into);
        }
        if is_again {
            self.redundant.calls += 1;
            self.redundant.seconds += seconds;
            if self.redundant.caller.is_none() {
                self.redundant.caller = execution.caller.map(Into::into);
            }
        }
    }

    fn is_repeating(&self) -> bool {
        let is_other_keys = self.is_key_unknown || self.different >= REPETITIONS;
        match self.entry.statement().kind {
            // Rows that are written one by one, but in one transaction (or none that was seen).
            StatementKind::Insert | StatementKind::Update | StatementKind::Delete => {
                is_other_keys && self.most_in_transaction >= WRITE_REPETITIONS as u64
            }
            _ => is_other_keys && self.calls - self.failed >= REPETITIONS as u64,
        }
    }

    fn fold(self, request: &str) {
        let is_repeating = self.is_repeating();
        self.entry.add_request(Repetition {
            request,
            calls: self.calls,
            seconds: self.seconds,
            is_repeating,
            caller: self.caller.filter(|_| is_repeating),
            redundant_calls: self.redundant.calls,
            redundant_seconds: self.redundant.seconds,
            redundant_caller: self.redundant.caller,
        });
    }
}

/// Whether a statement of kind `Other` only begins or ends a transaction, or sets something:
/// it writes no rows.
fn is_transaction(normalized: &str) -> bool {
    ["begin", "commit", "end", "start transaction", "savepoint", "release", "set ", "show "]
        .iter()
        .any(|start| normalized.starts_with(start))
}

/// The questions of a request: a set of hashes with open addressing, never more than half full.
#[derive(Debug, Default)]
struct Asked {
    slots: Vec<u64>,
    count: usize,
}

impl Asked {
    fn question(entry: &Arc<Entry>, key: u64) -> u64 {
        let entry = Arc::as_ptr(entry).addr() as u64;
        // Never 0, which marks a free slot.
        (entry.rotate_left(32) ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
    }

    /// Puts a question in; returns whether it was there. A full set takes no more.
    fn insert(&mut self, question: u64) -> bool {
        if self.count * 2 >= self.slots.len() && !self.grow() {
            return self.slots[self.slot(question)] == question;
        }
        let slot = self.slot(question);
        let was_there = self.slots[slot] == question;
        if !was_there {
            self.slots[slot] = question;
            self.count += 1;
        }
        was_there
    }

    /// Returns the slot that holds the question or would take it.
    fn slot(&self, question: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(question >> 40).unwrap_or(0) & mask;
        while self.slots[slot] != 0 && self.slots[slot] != question {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Doubles the room; `false` at the limit.
    fn grow(&mut self) -> bool {
        if self.count >= QUESTIONS {
            return false;
        }
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![0; (old.len() * 2).max(32)];
        for question in old.into_iter().filter(|question| *question != 0) {
            let slot = self.slot(question);
            self.slots[slot] = question;
        }
        true
    }

    fn forget(&mut self) {
        if self.count > 0 {
            self.slots.fill(0);
            self.count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_questions_knows_them_again_and_stays_small() {
        let mut asked = Asked::default();
        for question in 1..=10_000_u64 {
            assert!(!asked.insert(question << 20 | 1), "{question}");
        }
        assert_eq!((asked.count, asked.slots.len()), (QUESTIONS, 2 * QUESTIONS));
        for question in 1..=QUESTIONS as u64 {
            assert!(asked.insert(question << 20 | 1), "{question}");
        }
        asked.forget();
        assert!(!asked.insert(1 << 20 | 1));
    }
}
