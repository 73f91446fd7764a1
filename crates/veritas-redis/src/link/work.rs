//! Work: what one call asks of a node, and how its answers find back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use redis::{Cmd, Value};
use tokio::{sync::oneshot, time::Instant};

use super::Shared;
use crate::error::TierError;

/// What the calls without an answer may hold together.
pub(crate) const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Keys in one piece of memory.
#[derive(Debug, Default, Clone)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    pub(crate) fn with_capacity(keys: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(keys) }
    }

    pub(crate) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }
}

/// One command and the slot of its key, if it has one.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) cmd: Cmd,
    pub(crate) slot: Option<u16>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// The values of keys: may travel with those of others.
    Get(Keys),
    /// Commands, each with its own answer, in this order.
    Commands(Vec<Command>),
}

impl Ask {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Get(keys) => keys.len(),
            Self::Commands(commands) => commands.len(),
        }
    }
}

/// One answer to one question.
pub(crate) type Answer = Result<Value, TierError>;

/// The answers to all questions of one work, in their order.
#[derive(Debug)]
pub(crate) enum Answers {
    /// All came from one node; errors of the server are among the values.
    Raw(Vec<Value>),
    /// They came from several.
    Each(Vec<Answer>),
    /// There is none, for one reason.
    Failed(TierError),
}

/// The share of the queue that a call holds until it is answered.
#[derive(Debug)]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Ticket {
    /// Takes a place in the queue, if there is one.
    pub(crate) fn take(shared: &Arc<Shared>, ask: &Ask, values: usize) -> Result<Self, TierError> {
        let bytes = values + if let Ask::Get(keys) = ask { keys.weight() } else { 0 };
        let ticket = Self { shared: Arc::clone(shared), bytes };
        let calls = shared.calls.fetch_add(1, Ordering::AcqRel);
        let held = shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        // One oversized call may pass when it is alone: otherwise it never could.
        let too_heavy = held > 0 && held.saturating_add(bytes) > MAX_QUEUED_BYTES;
        if calls >= shared.options.queue || too_heavy {
            return Err(TierError::Full); // and the ticket is given back
        }
        Ok(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.calls.fetch_sub(1, Ordering::AcqRel);
        self.shared.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Where answers go. Whatever happens to it, somebody is answered: a dropped reply is a lost connection.
#[derive(Debug)]
pub(crate) struct Reply(Option<To>);

#[derive(Debug)]
enum To {
    Caller(oneshot::Sender<Answers>),
    /// The answers that several nodes give together.
    Merge(Arc<Merge>, Vec<usize>),
}

impl Reply {
    pub(crate) fn direct(caller: oneshot::Sender<Answers>) -> Self {
        Self(Some(To::Caller(caller)))
    }

    pub(crate) fn part(merge: &Arc<Merge>, places: Vec<usize>) -> Self {
        Self(Some(To::Merge(Arc::clone(merge), places)))
    }

    fn send(&mut self, answers: Answers) {
        match self.0.take() {
            // A caller that has given up needs no answer.
            Some(To::Caller(caller)) => drop(caller.send(answers)),
            Some(To::Merge(merge, places)) => merge.fill(&places, answers),
            None => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.send(Answers::Failed(TierError::Disconnected));
        }
    }
}

/// Answers that come from several nodes.
#[derive(Debug)]
pub(crate) struct Merge {
    state: Mutex<MergeState>,
}

#[derive(Debug)]
struct MergeState {
    answers: Vec<Option<Answer>>,
    missing: usize,
    reply: Reply,
    ticket: Option<Ticket>,
}

impl Merge {
    pub(crate) fn new(length: usize, reply: Reply, ticket: Option<Ticket>) -> Arc<Self> {
        let answers = (0..length).map(|_| None).collect();
        Arc::new(Self { state: Mutex::new(MergeState { answers, missing: length, reply, ticket }) })
    }

    pub(crate) fn fill(&self, places: &[usize], answers: Answers) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match answers {
            Answers::Raw(values) => {
                let mut values = values.into_iter();
                for place in places {
                    let answer = values.next().ok_or(TierError::Unexpected);
                    state.set(*place, answer.and_then(crate::error::answer));
                }
            }
            Answers::Each(answers) => {
                let mut answers = answers.into_iter();
                for place in places {
                    state.set(*place, answers.next().unwrap_or(Err(TierError::Unexpected)));
                }
            }
            Answers::Failed(error) => places.iter().for_each(|place| state.set(*place, Err(error))),
        }
        if state.missing == 0 {
            let answers = std::mem::take(&mut state.answers);
            let answers = answers.into_iter().map(|one| one.unwrap_or(Err(TierError::Unexpected))).collect();
            drop(state.ticket.take());
            state.reply.send(Answers::Each(answers));
        }
    }
}

impl MergeState {
    fn set(&mut self, place: usize, answer: Answer) {
        if let Some(empty @ None) = self.answers.get_mut(place) {
            *empty = Some(answer);
            self.missing -= 1;
        }
    }
}

/// One call's questions on their way.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) ask: Ask,
    /// When the caller stops waiting.
    pub(crate) expires: Instant,
    pub(crate) reply: Reply,
    pub(crate) ticket: Option<Ticket>,
    /// How often it was sent on to another node.
    pub(crate) detours: u8,
    /// Whether it goes to a node that takes it only on request (`ASKING`).
    pub(crate) asking: bool,
}

/// Puts a work behind all that expire no later, so that the first is always the first to
/// expire: those that may take long hold up nobody's deadline.
pub(crate) fn enqueue(waiting: &mut VecDeque<Work>, work: Work) {
    if waiting.back().is_none_or(|last| last.expires <= work.expires) {
        return waiting.push_back(work);
    }
    let place = waiting.partition_point(|one| one.expires <= work.expires);
    waiting.insert(place, work);
}

impl Work {
    /// Answers all questions with one error.
    pub(crate) fn fail(self, error: TierError) {
        self.answer(Answers::Failed(error));
    }

    pub(crate) fn answer(mut self, answers: Answers) {
        // The place in the queue is free before the caller goes on.
        drop(self.ticket.take());
        self.reply.send(answers);
    }

    /// Returns whether it reads and nobody waits for the answer any more. What
    /// writes or removes is carried out all the same.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(self.ask, Ask::Get(_))
            && matches!(&self.reply.0, Some(To::Caller(caller)) if caller.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_bytes_and_their_order() {
        let mut keys = Keys::with_capacity(3, 8);
        for key in [&b"a"[..], b"", b"\0\r\n"] {
            keys.push(key);
        }
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"\0\r\n"]);
    }

    #[test]
    fn a_dropped_reply_is_a_lost_connection() {
        let (sender, mut receiver) = oneshot::channel();
        drop(Reply::direct(sender));
        assert!(matches!(receiver.try_recv(), Ok(Answers::Failed(TierError::Disconnected))));
    }

    #[test]
    fn parts_are_answered_together_and_a_lost_part_is_an_error_of_its_keys_only() {
        let (sender, mut receiver) = oneshot::channel();
        let merge = Merge::new(3, Reply::direct(sender), None);
        let lost = Reply::part(&merge, vec![1]);
        let mut kept = Reply::part(&merge, vec![2, 0]);
        kept.send(Answers::Raw(vec![Value::Int(2), Value::Nil]));
        assert!(receiver.try_recv().is_err());
        drop(lost);
        let Ok(Answers::Each(answers)) = receiver.try_recv() else { panic!("no answers") };
        assert_eq!(answers, [Ok(Value::Nil), Err(TierError::Disconnected), Ok(Value::Int(2))]);
    }
}
