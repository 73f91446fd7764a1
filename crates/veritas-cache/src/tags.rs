//! Tags: names under which many entries die at once, in constant time.
//!
//! Nothing lists the entries of a tag. Each namespace counts its invalidations;
//! an entry remembers what that count was when its load began ([`Stamp::as_of`]),
//! and a tag remembers at which count it was invalidated last. An entry is alive
//! while none of its tags was invalidated after it began. So an invalidation costs
//! one row of a table, a load that was under way during it is dead on arrival, and
//! an untagged entry costs nothing at all.
//!
//! The table is bounded. When it is full, the older half of its rows is folded
//! into one: whatever bears *any* tag without a row and began before the latest
//! folded invalidation counts as invalidated too. That errs on the safe side: an
//! entry may die early, and none survives its tag.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, PoisonError},
};

use super::sync::{AtomicU64, Ordering, RwLock};

/// How many tags a namespace remembers the invalidation of, one by one.
const MOST_ROWS: usize = 4096;

/// A tag, and how new a value that bears it is.
///
/// Values that come out of a loader are as new as the start of their load; for
/// them [`Self::of`] is enough. Who reads a value first and stores it later takes
/// [`Cache::tag_version`](crate::Cache::tag_version) before it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagVersion {
    id: u64,
    as_of: u64,
}

impl TagVersion {
    /// Names a tag of a value that is as new as its load, or as the moment when it is set.
    pub fn of(tag: &str) -> Self {
        Self { id: id(tag), as_of: u64::MAX }
    }
}

/// Two tags with one hash die together, which is only ever too early.
fn id(tag: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    tag.hash(&mut hasher);
    hasher.finish()
}

/// What an entry keeps of its tags; `None` when it has none.
pub(crate) type EntryTags = Option<Arc<Stamp>>;

/// The tags of an entry, and how many invalidations its namespace had seen when
/// its load began.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    as_of: u64,
    tags: Box<[u64]>,
}

impl Stamp {
    /// Stamps what began at `as_of` with its tags.
    pub(crate) fn new(as_of: u64, tags: &[TagVersion]) -> EntryTags {
        (!tags.is_empty()).then(|| {
            let as_of = tags.iter().fold(as_of, |as_of, tag| as_of.min(tag.as_of));
            Arc::new(Self { as_of, tags: tags.iter().map(|tag| tag.id).collect() })
        })
    }

    /// Returns the bytes that it takes beside the entry.
    pub(crate) fn heap_size(&self) -> usize {
        2 * size_of::<usize>() + size_of::<Self>() + size_of_val(&*self.tags)
    }
}

/// The invalidations of one namespace.
#[derive(Debug)]
pub(crate) struct Tags {
    /// How many there were; it is raised after the table tells of them.
    count: AtomicU64,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// When a tag was invalidated last.
    rows: HashMap<u64, u64>,
    /// When the latest of the folded ones was.
    folded: u64,
}

impl Tags {
    pub(crate) fn new() -> Self {
        Self { count: AtomicU64::new(0), table: RwLock::new(Table::default()) }
    }

    /// Returns how many invalidations there were: what begins now is as new as that.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Returns the version of a tag for what is read from now on.
    pub(crate) fn version(&self, tag: &str) -> TagVersion {
        TagVersion { id: id(tag), as_of: self.now() }
    }

    /// Kills every entry that bears the tag and began before now. Cost: one row of
    /// a table; once in 2048 times, the folding of its older half (some 50 µs).
    pub(crate) fn invalidate(&self, tag: &str) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        // Nobody else raises it while we hold the table.
        let count = self.count.load(Ordering::Relaxed) + 1;
        table.rows.insert(id(tag), count);
        if table.rows.len() > MOST_ROWS {
            table.fold();
        }
        self.count.store(count, Ordering::Release);
    }

    /// Returns whether none of the tags was invalidated after the entry began.
    #[inline]
    pub(crate) fn is_alive(&self, tags: &EntryTags) -> bool {
        tags.as_ref().is_none_or(|stamp| self.now() <= stamp.as_of || self.is_untouched(stamp))
    }

    fn is_untouched(&self, stamp: &Stamp) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        stamp.tags.iter().all(|tag| table.rows.get(tag).copied().unwrap_or(table.folded) <= stamp.as_of)
    }
}

impl Table {
    /// Folds the older half of the rows into one.
    fn fold(&mut self) {
        let mut counts: Vec<u64> = self.rows.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, &mut folded, _) = counts.select_nth_unstable(middle);
        self.rows.retain(|_, count| *count > folded);
        self.folded = self.folded.max(folded);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sync::checked, *};

    fn stamped(tags: &Tags, names: &[&str]) -> EntryTags {
        let names: Vec<TagVersion> = names.iter().map(|name| TagVersion::of(name)).collect();
        Stamp::new(tags.now(), &names)
    }

    #[test]
    fn an_entry_dies_with_any_of_its_tags() {
        checked(|| {
            let tags = Tags::new();
            let (none, one, both) =
                (stamped(&tags, &[]), stamped(&tags, &["a"]), stamped(&tags, &["a", "b"]));
            tags.invalidate("b");
            assert_eq!([&none, &one, &both].map(|entry| tags.is_alive(entry)), [true, true, false]);
            tags.invalidate("a");
            assert_eq!([&none, &one, &both].map(|entry| tags.is_alive(entry)), [true, false, false]);
            assert!(tags.is_alive(&stamped(&tags, &["a", "b"])), "what begins later lives");
        });
    }

    #[test]
    fn what_was_read_before_an_invalidation_is_stored_dead() {
        checked(|| {
            let tags = Tags::new();
            let read = tags.version("a");
            tags.invalidate("a");
            assert!(!tags.is_alive(&Stamp::new(tags.now(), &[read])));
            assert!(tags.is_alive(&Stamp::new(tags.now(), &[tags.version("a")])));
        });
    }

    #[test]
    fn folding_kills_too_early_and_never_too_late() {
        checked(|| {
            let tags = Tags::new();
            let early = stamped(&tags, &["early"]);
            tags.invalidate("early");
            let bystander = stamped(&tags, &["bystander"]);
            for index in 0..2 * MOST_ROWS {
                tags.invalidate(&format!("tag {index}"));
                assert!(tags.table.read().unwrap().rows.len() <= MOST_ROWS);
            }
            assert!(!tags.is_alive(&early), "its row is folded");
            assert!(!tags.is_alive(&bystander), "it began before the folded ones");
            let last = format!("tag {}", 2 * MOST_ROWS - 1);
            let late = stamped(&tags, &["bystander", &last]);
            assert!(tags.is_alive(&late));
            tags.invalidate(&last);
            assert!(!tags.is_alive(&late));
        });
    }
}
