//! Samples: what a few keys of a server tell of all of them.

use veritas_model::{Bytes, Interval, Ratio};

use super::Section;

/// What a sample of the keys of one database shows.
///
/// `drawn` keys are drawn at random, with replacement, for the shares; `scanned` keys
/// are the next part of the database in the server's own order, so that over many
/// readings every key is looked at once a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySample {
    /// The number of the database.
    pub database: u32,
    /// Keys drawn at random, gone ones not counted.
    pub drawn: u64,
    /// Keys looked at in order, in this reading.
    pub scanned: u64,
    /// How often all keys were looked at in order, since the view was made.
    pub passes: u64,
    /// Commands of ours that the server counts as hits of its keyspace: see
    /// [`NodeRates`](super::NodeRates).
    pub probes: u64,
    /// The share of keys that never expire, among those drawn.
    pub without_ttl: Section<Share>,
    /// The mean size of a key with its value, among those drawn.
    pub mean_size: Section<Bytes>,
    /// Keys that never expire, by pattern, the largest share of them first, 16 at most.
    pub lasting_patterns: Section<Vec<PatternShare>>,
    /// The biggest keys of all readings that still exist, biggest first, 16 at most.
    pub biggest: Section<Vec<KeySize>>,
    /// The most used keys of all readings that still exist.
    pub hottest: Section<HotKeys>,
}

/// A share that was estimated from a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Keys in the sample of which it holds.
    pub count: u64,
    /// Keys in the sample.
    pub sampled: u64,
    /// `count` / `sampled`.
    pub share: Ratio,
    /// Where the true share lies (Wilson's score interval).
    pub interval: Interval,
}

/// How many of the keys of one pattern never expire.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternShare {
    /// What the keys look like ([`KeySize::pattern`]).
    pub pattern: String,
    /// Keys of this pattern that never expire, among all keys.
    pub lasting: Share,
}

/// A key and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySize {
    /// The key, what cannot be printed escaped, cut off after 200 characters.
    pub key: String,
    /// What it looks like: its first word, and `*` for all that could be a literal
    /// (`session:*`; of keys of ours also the namespace, `veritas:users:*`).
    pub pattern: String,
    /// `string`, `hash`, `list`, `set`, `zset`, `stream`; `None` where we may not ask.
    pub kind: Option<String>,
    /// What it takes with its value, as the server estimates it from a few of its elements.
    pub bytes: Bytes,
}

/// The most used keys of a server that counts uses (policies `allkeys-lfu` and
/// `volatile-lfu`).
#[derive(Debug, Clone, PartialEq)]
pub struct HotKeys {
    /// The keys, most used first, 16 at most.
    pub keys: Vec<KeyHeat>,
}

/// A key and how often it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyHeat {
    /// The key, what cannot be printed escaped, cut off after 200 characters.
    pub key: String,
    /// What it looks like, as [`KeySize::pattern`].
    pub pattern: String,
    /// The server's logarithmic counter, 0 to 255. It falls by one a minute without use.
    pub counter: u8,
    /// Recent uses that make such a counter on average, with the server's default
    /// `lfu-log-factor` of 10.
    pub uses: f64,
    /// Its share of the uses of all keys: `uses` over the mean of the keys drawn at
    /// random times the number of keys. `None` when those are not known. An estimate
    /// by order of magnitude: the counter is random and ends at 255.
    pub use_share: Option<Ratio>,
}
