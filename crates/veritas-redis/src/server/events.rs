//! What was slow: the slow log without its literals, and the latency monitor.

use std::time::Duration;

use redis::Value;
use veritas_cache::server::{LatencyEvent, NotRead, Section, SlowEntry, SlowLogReading};
use veritas_model::Timestamp;

use super::{
    pattern::pattern,
    reply::{accepted, bytes, count, items, text},
};

/// How many entries of the slow log are read.
pub(super) const SLOW_ENTRIES: usize = 64;

/// The slow log shows 32 arguments of a command at most; the last one then says how
/// many there were more (`slowlog.c`, `SLOWLOG_ENTRY_MAX_ARGC`).
const SHOWN_ARGUMENTS: usize = 32;

/// Commands whose first argument is a key, in the words of `COMMAND`. For others the
/// slow log's entry has no pattern: an argument that is no key may be anything.
const KEY_FIRST: [&str; 129] = [
    "append",
    "bitcount",
    "bitfield",
    "bitfield_ro",
    "bitpos",
    "blmove",
    "blpop",
    "brpop",
    "brpoplpush",
    "bzpopmax",
    "bzpopmin",
    "copy",
    "decr",
    "decrby",
    "del",
    "dump",
    "exists",
    "expire",
    "expireat",
    "expiretime",
    "geoadd",
    "geodist",
    "geohash",
    "geopos",
    "georadius",
    "georadius_ro",
    "georadiusbymember",
    "georadiusbymember_ro",
    "geosearch",
    "geosearchstore",
    "get",
    "getbit",
    "getdel",
    "getex",
    "getrange",
    "getset",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hincrbyfloat",
    "hkeys",
    "hlen",
    "hmget",
    "hmset",
    "hrandfield",
    "hscan",
    "hset",
    "hsetnx",
    "hstrlen",
    "hvals",
    "incr",
    "incrby",
    "incrbyfloat",
    "lindex",
    "linsert",
    "llen",
    "lmove",
    "lpop",
    "lpos",
    "lpush",
    "lpushx",
    "lrange",
    "lrem",
    "lset",
    "ltrim",
    "mget",
    "move",
    "mset",
    "msetnx",
    "persist",
    "pexpire",
    "pexpireat",
    "pexpiretime",
    "pfadd",
    "pfcount",
    "pfmerge",
    "psetex",
    "pttl",
    "rename",
    "renamenx",
    "restore",
    "rpop",
    "rpoplpush",
    "rpush",
    "rpushx",
    "sadd",
    "scard",
    "sdiff",
    "sdiffstore",
    "set",
    "setbit",
    "setex",
    "setnx",
    "setrange",
    "sinter",
    "sinterstore",
    "sismember",
    "smembers",
    "smismember",
    "smove",
    "sort",
    "sort_ro",
    "spop",
    "srandmember",
    "srem",
    "sscan",
    "strlen",
    "substr",
    "sunion",
    "sunionstore",
    "touch",
    "ttl",
    "type",
    "unlink",
    "xadd",
    "xlen",
    "xrange",
    "xrevrange",
    "xtrim",
    "zadd",
    "zcard",
    "zcount",
    "zincrby",
    "zrange",
    "zrangebyscore",
    "zrem",
    "zscore",
];

/// Reads the slow log; `held` is the reply that says how many entries there are.
pub(super) fn slow_log(log: Option<&Value>, held: Option<&Value>, prefix: &str) -> Section<SlowLogReading> {
    const COMMAND: &str = "SLOWLOG GET";
    let log = accepted(COMMAND, log)?;
    let entries = items(log).ok_or(NotRead::Unreadable { command: COMMAND })?;
    Ok(SlowLogReading {
        held: accepted("SLOWLOG LEN", held).ok().and_then(count),
        entries: entries.iter().filter_map(|entry| slow_entry(entry, prefix)).take(SLOW_ENTRIES).collect(),
    })
}

fn slow_entry(entry: &Value, prefix: &str) -> Option<SlowEntry> {
    let parts = items(entry)?;
    let words = items(parts.get(3)?)?;
    let command = text(words.first()?)?.to_ascii_lowercase();
    let more = words.last().filter(|_| words.len() == SHOWN_ARGUMENTS).and_then(hidden_arguments);
    let hidden = more.map_or(0, |more| more.saturating_sub(1));
    let arguments = (words.len() as u64 - 1).saturating_add(hidden);
    // A renamed or a mistyped command may be anything; one that Redis has is letters.
    let is_word = command.len() <= 32
        && command.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    Some(SlowEntry {
        id: count(parts.first()?)?,
        ran_at: seconds(parts.get(1)?)?,
        took: Duration::from_micros(count(parts.get(2)?)?),
        pattern: words
            .get(1)
            .and_then(bytes)
            .filter(|_| command == "keys" || KEY_FIRST.contains(&command.as_str()))
            .map(|key| pattern(key, prefix)),
        command: if is_word { command } else { "?".to_owned() },
        arguments,
    })
}

/// Reads `... (17 more arguments)`.
fn hidden_arguments(word: &Value) -> Option<u64> {
    text(word)?.strip_prefix("... (")?.strip_suffix(" more arguments)")?.parse().ok()
}

/// Reads the latency monitor's last spikes.
pub(super) fn latency(reply: Option<&Value>) -> Section<Vec<LatencyEvent>> {
    const COMMAND: &str = "LATENCY LATEST";
    let events = items(accepted(COMMAND, reply)?).ok_or(NotRead::Unreadable { command: COMMAND })?;
    let event = |event: &Value| {
        let parts = items(event)?;
        Some(LatencyEvent {
            event: text(parts.first()?)?.chars().take(64).collect(),
            last_at: seconds(parts.get(1)?)?,
            last: Duration::from_millis(count(parts.get(2)?)?),
            longest: Duration::from_millis(count(parts.get(3)?)?),
        })
    };
    Ok(events.iter().filter_map(event).collect())
}

fn seconds(reply: &Value) -> Option<Timestamp> {
    let seconds = i64::try_from(count(reply)?).ok()?;
    Some(Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(words: &[&str]) -> Value {
        let words = words.iter().map(|word| Value::BulkString(word.as_bytes().to_vec())).collect();
        Value::Array(vec![Value::Int(7), Value::Int(100), Value::Int(12_000), Value::Array(words)])
    }

    #[track_caller]
    fn check(words: &[&str], command: &str, pattern: Option<&str>, arguments: u64) {
        let entry = slow_entry(&entry(words), "veritas").expect("an entry");
        assert_eq!(entry.command, command);
        assert_eq!(entry.pattern.as_deref(), pattern);
        assert_eq!(entry.arguments, arguments);
        assert_eq!(entry.took, Duration::from_millis(12));
    }

    #[test]
    fn an_entry_keeps_no_literal() {
        check(&["SET", "user:alice", "secret"], "set", Some("user:*"), 2);
        check(&["KEYS", "session:*"], "keys", Some("session:*"), 1);
        check(&["EVAL", "return redis.call('get', 'secret:key')", "0"], "eval", None, 2);
        check(&["AUTH", "user:secret"], "auth", None, 1);
        check(&["my secret: command", "a:b"], "?", None, 1);
    }

    #[test]
    fn hidden_arguments_are_counted() {
        let mut words = vec!["DEL"];
        words.extend(["a:1"; 30]);
        words.push("... (970 more arguments)");
        check(&words, "del", Some("a:*"), 1_000);
        words[31] = "... (18446744073709551615 more arguments)";
        check(&words, "del", Some("a:*"), u64::MAX);
    }

    #[test]
    fn the_commands_are_sorted() {
        assert!(KEY_FIRST.is_sorted());
    }

    #[test]
    fn what_is_no_log_is_said_to_be_none() {
        assert!(matches!(slow_log(Some(&Value::Int(1)), None, "veritas"), Err(NotRead::Unreadable { .. })));
        assert_eq!(slow_log(None, None, "veritas"), Err(NotRead::TimedOut));
        assert_eq!(latency(Some(&Value::Array(vec![Value::Nil]))), Ok(Vec::new()));
    }
}
