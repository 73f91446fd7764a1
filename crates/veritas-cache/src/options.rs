//! Options of the cache: how much it holds, for how long, under how many names.

use std::{num::NonZeroUsize, time::Duration};

use veritas_model::Bytes;

/// How much the caches hold together, for how long, and under how many names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// What all entries together may weigh: keys, values and our own overhead. A
    /// hard limit on weights; 0 stores nothing. Default 64 MiB. Our overhead is
    /// weighed at two places of the table, some 220 bytes an entry, and really takes 1.5 to 3
    /// of them: [`Caches::memory`](crate::Caches::memory) tells.
    ///
    /// Namespaces take it in steps as they fill; when it is used up, each gets its
    /// share ([`NamespaceOptions::capacity`], else an equal one) of what others hold
    /// beyond theirs. A value is refused that is heavier than 97 % of a shard's part of the
    /// namespace's capacity (of 1 MiB, where that is more and the capacity is), and, while all of it
    /// is used, one that is heavier than its namespace's share. Types under one name
    /// share evenly what the name has.
    pub capacity: Bytes,
    /// How long an entry lives when nobody says otherwise. 0 stores nothing; a
    /// time beyond the clock's range is for ever. Default 300 s.
    pub default_ttl: Duration,
    /// How many namespaces have statistics of their own; whatever is opened beyond
    /// that is counted together under [`OVERFLOW`](crate::OVERFLOW) and cached all
    /// the same. Default 1024.
    pub max_namespaces: NonZeroUsize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            capacity: Bytes::new(64 * 1024 * 1024),
            default_ttl: Duration::from_mins(5),
            max_namespaces: NonZeroUsize::new(1024).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// What one namespace does differently from others.
///
/// The application says these where it opens the namespace; what is tuned later
/// ([`Caches::tune`](crate::Caches::tune)) goes before them.
#[derive(Debug, Clone, PartialEq)]
pub struct NamespaceOptions {
    /// How long its entries live when nobody says otherwise; `None` (the default) is
    /// [`CacheOptions::default_ttl`].
    pub ttl: Option<Duration>,
    /// By what share at most the time to live is shortened, so that what was stored
    /// together does not die together: 0 to 0.5 (what is outside counts as the nearest of
    /// these). The share is the same for a key each time and in each process. A time that
    /// is given with a value is taken as it is. Default 0.05.
    pub jitter: f64,
    /// How long it is remembered that there is nothing under a key; `None` (the
    /// default) is not at all. Only loads that can find nothing ask for it.
    pub negative_ttl: Option<Duration>,
    /// How long an entry is still served past its time while one caller, or the
    /// background, refreshes it. Default 0: never.
    pub stale: Duration,
    /// How eagerly loads refresh an entry before its time: `XFetch`'s beta (Vattani et
    /// al., VLDB 2015), 0 to 100. An entry is refreshed early when the time it has left
    /// is less than beta times what its load took times `-ln(u)`, `u` uniform in (0, 1]. 0 is
    /// off. Default 1.
    pub early_refresh: f64,
    /// How many bytes of the common capacity it may hold at most, and what others may
    /// not take away from it as long as the capacity suffices for all such promises.
    /// `None` (the default): as much as there is room for.
    pub capacity: Option<Bytes>,
    /// The heaviest value that is stored, in bytes with its key; `None` (the default): what
    /// finds room.
    pub max_value: Option<Bytes>,
    /// The version of its values' form, where they are shared with other processes: another
    /// number is another set of entries. Default 0.
    pub schema: u32,
    /// Whether it begins bypassed: nothing is stored in it or served from it, while its
    /// look-ups and loads are counted and seen by the tap. Default false.
    pub start_bypassed: bool,
}

impl Default for NamespaceOptions {
    fn default() -> Self {
        Self {
            ttl: None,
            jitter: 0.05,
            negative_ttl: None,
            stale: Duration::ZERO,
            early_refresh: 1.0,
            capacity: None,
            max_value: None,
            schema: 0,
            start_bypassed: false,
        }
    }
}
