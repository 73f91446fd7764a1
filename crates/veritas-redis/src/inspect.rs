//! Looking around: counters in Redis, pages of keys, and what keys weigh there.

use std::{fmt, str::FromStr, time::Duration};

use redis::{Value, cmd};

use crate::{
    error::TierError,
    tier::{RedisTier, milliseconds},
};

/// Where a scan goes on: the node, by its place in the cluster, and the server's
/// cursor. Prints as `node-cursor` and reads the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ScanCursor {
    node: usize,
    cursor: u64,
}

impl fmt::Display for ScanCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.node, self.cursor)
    }
}

impl FromStr for ScanCursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (node, cursor) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { node: node.parse()?, cursor: cursor.parse()? })
    }
}

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPage {
    /// Keys, possibly none, possibly more than asked for. A key may come twice in a scan.
    pub keys: Vec<Vec<u8>>,
    /// Where to go on; `None` at the end.
    pub next: Option<ScanCursor>,
}

impl RedisTier {
    /// Reads a page of the keys that begin with `prefix`: about `count` keys of
    /// the server are looked at, whatever they begin with. Keys that are there for
    /// the whole scan are seen; others may be. On a cluster it goes from node to
    /// node, and what moves meanwhile may be missed.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn scan(&self, prefix: &[u8], from: ScanCursor, count: u32) -> Result<ScanPage, TierError> {
        let nodes = self.node_slots();
        let Some(slot) = nodes.get(from.node) else { return Ok(ScanPage { keys: Vec::new(), next: None }) };
        let mut scan = cmd("SCAN");
        scan.arg(from.cursor).arg("MATCH").arg(glob(prefix)).arg("COUNT").arg(count.max(1));
        let mut answers = self.commands(vec![(scan, *slot)], self.options().deadline).await;
        let answer = answers.pop().unwrap_or(Err(TierError::Unexpected))?;
        let (cursor, keys) = read_page(answer).ok_or(TierError::Unexpected)?;
        let next = match cursor {
            0 if from.node + 1 < nodes.len() => Some(ScanCursor { node: from.node + 1, cursor: 0 }),
            0 => None,
            cursor => Some(ScanCursor { node: from.node, cursor }),
        };
        Ok(ScanPage { keys, next })
    }

    /// Returns what each key takes on the server in bytes, or `None` when it is gone.
    /// `samples` elements of a compound value are measured; 0 means all.
    pub async fn memory_usage<K: AsRef<[u8]> + Sync>(
        &self,
        keys: &[K],
        samples: u32,
    ) -> Vec<Result<Option<u64>, TierError>> {
        let mut usages = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(256) {
            let commands = chunk
                .iter()
                .map(|key| {
                    let mut usage = cmd("MEMORY");
                    usage.arg("USAGE").arg(key.as_ref()).arg("SAMPLES").arg(samples);
                    (usage, key.as_ref())
                })
                .collect();
            let answers = self.commands_on_keys(commands).await;
            usages.extend(answers.into_iter().map(|answer| match answer? {
                Value::Int(bytes) => Ok(u64::try_from(bytes).ok()),
                Value::Nil => Ok(None),
                _ => Err(TierError::Unexpected),
            }));
        }
        usages
    }

    /// Adds one to a counter and returns it; a counter that is not there was 0. With
    /// `life` it lives that long from now.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists; what is no number is [`TierError::Other`].
    pub async fn increment(&self, key: &[u8], life: Option<Duration>) -> Result<i64, TierError> {
        let mut increment = cmd("INCR");
        increment.arg(key);
        let mut commands = vec![(increment, key)];
        if let Some(life) = life {
            let mut expire = cmd("PEXPIRE");
            expire.arg(key).arg(milliseconds(life));
            commands.push((expire, key));
        }
        let answer = self.commands_on_keys(commands).await.into_iter().next();
        self.shared().coherence.wake(key);
        match answer.unwrap_or(Err(TierError::Unexpected))? {
            Value::Int(count) => Ok(count),
            _ => Err(TierError::Unexpected),
        }
    }
}

fn read_page(answer: Value) -> Option<(u64, Vec<Vec<u8>>)> {
    let Value::Array(parts) = answer else { return None };
    let [Value::BulkString(cursor), Value::Array(keys)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let cursor = std::str::from_utf8(&cursor).ok()?.parse().ok()?;
    let keys =
        keys.into_iter().filter_map(|key| if let Value::BulkString(key) = key { Some(key) } else { None });
    Some((cursor, keys.collect()))
}

/// Returns the pattern of keys that begin with exactly these bytes.
fn glob(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_prints() {
        let cursor = ScanCursor { node: 2, cursor: u64::MAX };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "1", "-", "1-x", "x-1", "1-2-3"] {
            assert!(wrong.parse::<ScanCursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_taken_literally() {
        assert_eq!(glob(b"a*[b]?\\"), b"a\\*\\[b\\]\\?\\\\*");
    }
}
