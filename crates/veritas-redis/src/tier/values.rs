//! Values: read, written and removed, one or many at a time.

use std::{collections::VecDeque, time::Duration};

use redis::{Cmd, Value};

use super::{Pending, RedisTier, SetEntry, first, milliseconds};
use crate::{
    counters::add,
    error::{TierError, answer},
    link::work::{Answer, Answers, Ask, Command, Keys},
    wait::block_on,
};

/// How many keys of one call travel together. Smaller than a trip may be, so that a
/// large batch leaves room in each for others.
const CHUNK_LENGTH: usize = 256;

/// How many bytes of values one call sends together, unless a single one is larger.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many chunks of one call may be on their way: while the server works on one,
/// the next is being packed and the last one read.
const CHUNKS: usize = 4;

/// Longer lives are for ever: a server adds them to its clock and refuses an overflow.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

impl RedisTier {
    /// Reads one value; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists; when the breaker is open at once, without an allocation.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TierError> {
        let slot = self.slot(key);
        self.gate(slot, 1)?;
        let mut keys = Keys::with_capacity(1, key.len());
        keys.push(key);
        let answer = self.one(Ask::Get(keys), 0, slot).await;
        self.read(answer)
    }

    /// Reads many values, each with its own outcome, in the order of the keys.
    /// They travel in chunks; a chunk without an answer ends the call, and the keys
    /// after it fail alike.
    pub async fn get_many<K: AsRef<[u8]> + Sync>(
        &self,
        keys: &[K],
    ) -> Vec<Result<Option<Vec<u8>>, TierError>> {
        let mut values = Vec::with_capacity(keys.len());
        let pack = |start: usize| {
            let end = keys.len().min(start + CHUNK_LENGTH);
            let bytes = keys[start..end].iter().map(|key| key.as_ref().len()).sum();
            let mut chunk = Keys::with_capacity(end - start, bytes);
            keys[start..end].iter().for_each(|key| chunk.push(key.as_ref()));
            (end, Ask::Get(chunk), 0)
        };
        self.in_chunks(keys.len(), pack, |_, answer| values.push(self.read(answer))).await;
        values
    }

    /// Writes one value.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn set(&self, entry: SetEntry<'_>) -> Result<(), TierError> {
        let slot = self.slot(entry.key);
        self.gate(slot, 1)?;
        let ask = Ask::Commands(vec![self.packed_set(&entry)]);
        let answer = self.one(ask, entry.key.len() + entry.value.len(), slot).await;
        self.written(&entry, &answer)
    }

    /// Writes many values, each with its own life and its own outcome, in order.
    pub async fn set_many(&self, entries: &[SetEntry<'_>]) -> Vec<Result<(), TierError>> {
        let mut outcomes = Vec::with_capacity(entries.len());
        let pack = |start: usize| {
            let (mut end, mut bytes) = (start, 0);
            let mut commands = Vec::with_capacity(CHUNK_LENGTH.min(entries.len() - start));
            while let Some(entry) = entries.get(end) {
                let weight = entry.key.len() + entry.value.len();
                if end > start && (end - start >= CHUNK_LENGTH || bytes + weight > CHUNK_BYTES) {
                    break;
                }
                commands.push(self.packed_set(entry));
                bytes += weight;
                end += 1;
            }
            (end, Ask::Commands(commands), bytes)
        };
        let take = |index: usize, answer| outcomes.push(self.written(&entries[index], &answer));
        self.in_chunks(entries.len(), pack, take).await;
        outcomes
    }

    /// Removes one value; returns whether there was one.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn delete(&self, key: &[u8]) -> Result<bool, TierError> {
        let slot = self.slot(key);
        self.gate(slot, 1)?;
        let answer = self.one(Ask::Commands(vec![self.packed_delete(key)]), key.len(), slot).await;
        self.deleted(key, &answer)
    }

    /// Removes many values; tells of each whether there was one.
    pub async fn delete_many<K: AsRef<[u8]> + Sync>(&self, keys: &[K]) -> Vec<Result<bool, TierError>> {
        let mut outcomes = Vec::with_capacity(keys.len());
        let pack = |start: usize| {
            let end = keys.len().min(start + CHUNK_LENGTH);
            let commands: Vec<_> =
                keys[start..end].iter().map(|key| self.packed_delete(key.as_ref())).collect();
            let bytes = keys[start..end].iter().map(|key| key.as_ref().len()).sum();
            (end, Ask::Commands(commands), bytes)
        };
        let take = |index: usize, answer| outcomes.push(self.deleted(keys[index].as_ref(), &answer));
        self.in_chunks(keys.len(), pack, take).await;
        outcomes
    }

    /// [`Self::get`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn get_blocking(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TierError> {
        block_on(self.get(key))
    }

    /// [`Self::get_many`] for callers outside of futures.
    pub fn get_many_blocking<K: AsRef<[u8]> + Sync>(
        &self,
        keys: &[K],
    ) -> Vec<Result<Option<Vec<u8>>, TierError>> {
        block_on(self.get_many(keys))
    }

    /// [`Self::set`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn set_blocking(&self, entry: SetEntry<'_>) -> Result<(), TierError> {
        block_on(self.set(entry))
    }

    /// [`Self::set_many`] for callers outside of futures.
    pub fn set_many_blocking(&self, entries: &[SetEntry<'_>]) -> Vec<Result<(), TierError>> {
        block_on(self.set_many(entries))
    }

    /// [`Self::delete`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub fn delete_blocking(&self, key: &[u8]) -> Result<bool, TierError> {
        block_on(self.delete(key))
    }

    /// [`Self::delete_many`] for callers outside of futures.
    pub fn delete_many_blocking<K: AsRef<[u8]> + Sync>(&self, keys: &[K]) -> Vec<Result<bool, TierError>> {
        block_on(self.delete_many(keys))
    }

    /// Asks one question.
    async fn one(&self, ask: Ask, bytes: usize, _slot: Option<u16>) -> Answer {
        first(self.submit(ask, bytes, self.options().deadline)?.await)
    }

    /// Asks `length` questions in chunks, a few at a time. `pack` makes the chunk that
    /// begins at an index and tells its end and weight; `take` gets the answers in order.
    async fn in_chunks(
        &self,
        length: usize,
        pack: impl Fn(usize) -> (usize, Ask, usize),
        mut take: impl FnMut(usize, Answer),
    ) {
        let mut pending: VecDeque<(usize, usize, Pending)> = VecDeque::with_capacity(CHUNKS);
        let mut at = 0;
        let mut failed = self.gate_quietly().err();
        loop {
            while failed.is_none() && at < length && pending.len() < CHUNKS {
                let (end, ask, bytes) = pack(at);
                match self.submit(ask, bytes, self.options().deadline) {
                    Ok(answers) => pending.push_back((at, end, answers)),
                    // Others fill the queue: once our own part of it is done, there is room.
                    Err(TierError::Full) if !pending.is_empty() => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
                at = end;
            }
            if at == length
                && let Some((_, _, last)) = pending.back_mut()
            {
                // Nothing is left to be sent: one waking is enough for all that is on its way.
                last.arrive().await;
            }
            let Some((start, end, answers)) = pending.pop_front() else { break };
            match answers.await {
                Answers::Raw(values) => {
                    let mut values = values.into_iter();
                    for index in start..end {
                        take(index, values.next().ok_or(TierError::Unexpected).and_then(answer));
                    }
                }
                Answers::Each(answers) => {
                    let mut answers = answers.into_iter();
                    for index in start..end {
                        take(index, answers.next().unwrap_or(Err(TierError::Unexpected)));
                    }
                }
                Answers::Failed(error) => {
                    // What concerns the server concerns the rest as well.
                    failed =
                        failed.or((error.is_outage() || error == TierError::Unavailable).then_some(error));
                    (start..end).for_each(|index| take(index, Err(error)));
                }
            }
        }
        for index in at..length {
            take(index, Err(failed.unwrap_or(TierError::Unexpected)));
        }
    }

    /// Like `gate`, for calls that count their keys themselves.
    fn gate_quietly(&self) -> Result<(), TierError> {
        if self.is_available() { Ok(()) } else { Err(TierError::Unavailable) }
    }

    fn packed_set(&self, entry: &SetEntry<'_>) -> Command {
        let slot = self.slot(entry.key);
        let mut cmd = Cmd::with_capacity(5, entry.key.len() + entry.value.len() + 32);
        match entry.ttl {
            Some(Duration::ZERO) => return self.packed_delete(entry.key),
            Some(ttl) if ttl < FOR_EVER => {
                // A tenth cheaper for the server than SET with PX, which it rewrites.
                cmd.arg("PSETEX").arg(entry.key).arg(milliseconds(ttl)).arg(entry.value);
            }
            _ => {
                cmd.arg("SET").arg(entry.key).arg(entry.value);
            }
        }
        Command { cmd, slot }
    }

    fn packed_delete(&self, key: &[u8]) -> Command {
        let mut cmd = Cmd::with_capacity(2, key.len() + 6);
        cmd.arg("UNLINK").arg(key);
        Command { cmd, slot: self.slot(key) }
    }

    fn read(&self, answer: Answer) -> Result<Option<Vec<u8>>, TierError> {
        let counters = &self.inner.shared.counters;
        match answer {
            Ok(Value::BulkString(value)) => {
                add(&counters.hits, 1);
                add(&counters.bytes_in, value.len());
                Ok(Some(value))
            }
            Ok(Value::Nil) => {
                add(&counters.misses, 1);
                Ok(None)
            }
            Ok(_) => self.failed(TierError::Unexpected),
            Err(error) => self.failed(error),
        }
    }

    fn written(&self, entry: &SetEntry<'_>, answer: &Answer) -> Result<(), TierError> {
        match answer {
            Ok(Value::Okay | Value::Int(_)) => {
                add(&self.inner.shared.counters.sets, 1);
                add(&self.inner.shared.counters.bytes_out, entry.value.len());
                // The server does not tell us of our own writes.
                self.inner.shared.coherence.wake(entry.key);
                Ok(())
            }
            Ok(_) => self.failed(TierError::Unexpected),
            Err(error) => self.failed(*error),
        }
    }

    fn deleted(&self, key: &[u8], answer: &Answer) -> Result<bool, TierError> {
        match answer {
            Ok(Value::Int(count)) => {
                let present = *count > 0;
                add(&self.inner.shared.counters.deletes, usize::from(present));
                self.inner.shared.coherence.wake(key);
                Ok(present)
            }
            Ok(_) => self.failed(TierError::Unexpected),
            Err(error) => self.failed(*error),
        }
    }

    fn failed<T>(&self, error: TierError) -> Result<T, TierError> {
        self.inner.shared.counters.failed(error, 1);
        Err(error)
    }
}
