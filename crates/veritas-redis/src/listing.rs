//! Listing: the keys of a namespace in Redis, a page at a time, readable.

use std::time::Duration;

use redis::Value;
use veritas_cache::{KeyPage, KeyReading, ListError, MAX_PAGE};

use crate::{
    ScanCursor, TierError,
    frame::{self, HEAD},
    key::Place,
    tiered::{Space, Tiers},
};

/// How many keys of the server are looked at in one step of the scan.
const STEP: u32 = 1_000;

/// A page ends early after this many steps, so that it takes a bounded time on a
/// server that is full of others' keys: one millisecond a step, and at most one deadline.
const MOST_STEPS: usize = 20;

/// How much of a frame is read for its key. Longer keys are shown as their hash.
const HEAD_BYTES: usize = HEAD + 64 * 16 + 1_024;

/// Reads a page. It may hold more keys than `limit` by what one step brought, since a
/// server's cursor cannot stop inside of a step, and fewer although there are more.
pub(crate) async fn page(
    tiers: &Tiers,
    namespace: &str,
    cursor: Option<&str>,
    limit: usize,
) -> Result<KeyPage, ListError> {
    let spaces: Vec<_> = tiers.spaces.all().into_iter().filter(|space| space.name == namespace).collect();
    let (mut which, mut at) = match cursor {
        None => (0, ScanCursor::default()),
        Some(cursor) => read_cursor(cursor).ok_or(ListError::BadCursor)?,
    };
    if spaces.is_empty() {
        return Err(ListError::UnknownNamespace);
    }
    let limit = limit.clamp(1, MAX_PAGE);
    let mut keys = Vec::new();
    for _ in 0..MOST_STEPS {
        let Some(space) = spaces.get(which) else { return Ok(KeyPage { keys, next: None }) };
        let step = STEP.min(u32::try_from(limit - keys.len().min(limit)).unwrap_or(STEP).max(10));
        let found = tiers.redis.scan(&space.keys.values(), at, step).await.map_err(unavailable)?;
        keys.extend(read_keys(tiers, space, found.keys).await.map_err(unavailable)?);
        if let Some(next) = found.next {
            at = next;
        } else {
            (which, at) = (which + 1, ScanCursor::default());
        }
        if keys.len() >= limit {
            break;
        }
    }
    let next = (which < spaces.len()).then(|| format!("{which}.{at}"));
    Ok(KeyPage { keys, next })
}

fn unavailable(error: TierError) -> ListError {
    ListError::Unavailable(error.to_string())
}

fn read_cursor(cursor: &str) -> Option<(usize, ScanCursor)> {
    let (which, at) = cursor.split_once('.')?;
    Some((which.parse().ok()?, at.parse().ok()?))
}

/// Reads what is shown of keys: three small questions for each, in one go.
async fn read_keys(tiers: &Tiers, space: &Space, keys: Vec<Vec<u8>>) -> Result<Vec<KeyReading>, TierError> {
    let mut commands = Vec::with_capacity(keys.len() * 3);
    for key in &keys {
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(key);
        let mut life = redis::cmd("PTTL");
        life.arg(key);
        let mut head = redis::cmd("GETRANGE");
        head.arg(key).arg(0).arg(HEAD_BYTES - 1);
        commands.extend([(usage, key.as_slice()), (life, key.as_slice()), (head, key.as_slice())]);
    }
    let mut answers = tiers.redis.commands_on_keys(commands).await.into_iter();
    let mut readings = Vec::with_capacity(keys.len());
    for key in &keys {
        let (usage, life, head) = (answers.next(), answers.next(), answers.next());
        // Gone meanwhile, or of a type that is not ours.
        let (Some(Ok(Value::Int(bytes))), Some(Ok(Value::Int(life))), Some(Ok(Value::BulkString(head)))) =
            (usage, life, head)
        else {
            continue;
        };
        let Some(canonical) = frame::key_of(&head) else { continue };
        let Some(Place::Value(_) | Place::HashedValue(_)) = space.keys.place(key) else { continue };
        readings.push(KeyReading {
            key: veritas_cache::readable(&canonical),
            bytes: u64::try_from(bytes).unwrap_or(0),
            age: frame::stored_at_ms(&head)
                .map(|at| Duration::from_millis(tiers.now_ms().saturating_sub(at))),
            expires_in: u64::try_from(life).ok().map(Duration::from_millis),
            preview: None,
        });
    }
    Ok(readings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_ours_is_read_and_no_other() {
        assert_eq!(read_cursor("1.0-17"), Some((1, "0-17".parse().unwrap())));
        for strange in ["", "1", "1.", ".0-1", "x.0-1", "1.0", "1.0-x"] {
            assert_eq!(read_cursor(strange), None, "{strange}");
        }
    }
}
