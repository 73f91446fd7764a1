//! How a B-tree is built from sorted items: which of them share a posting list,
//! and how pages fill (`nbtsort.c` of `PostgreSQL` 13 to 18).

use std::collections::BTreeMap;

use super::{
    groups::Group,
    tuples::{Shares, aligned},
};

/// A page.
pub(super) const PAGE: u32 = 8_192;
/// What an empty page offers, once the pointer of its high key, the header (24),
/// the special space (16) and the pointer of the next item are taken off.
const EMPTY: i64 = 8_192 - 24 - 16 - 4 - 4;
/// A line pointer (`ItemIdData`).
const POINTER: u32 = 4;
/// A heap row's address (`ItemPointerData`).
const ROW: u32 = 6;
/// The largest posting list tuple that a build makes, rounded down to the
/// alignment: `MAXALIGN_DOWN(8192 / 10) - 4`.
const POSTING: u32 = 808;
/// What a leaf page must keep free to add a row's address to its high key.
const HIGH_KEY: i64 = 8;
/// How full inner pages are built, in percent (`BTREE_NONLEAF_FILLFACTOR`).
const INNER_FILL: i64 = 70;
/// How many pages of a kind are filled to learn how many items one takes.
const TRIED_PAGES: u32 = 32;

/// An item of a leaf page: its size, and how much of it is the posting list.
type Item = (u32, u32);

/// Leaf items of one kind of keys.
#[derive(Debug)]
pub(super) struct Items {
    /// Items to how many of them there are.
    counts: BTreeMap<Item, f64>,
}

impl Items {
    /// Returns the items of keys that never share a posting list.
    pub(super) fn single(sizes: &Shares, rows: f64) -> Self {
        Self { counts: sizes.iter().map(|&(size, share)| ((size, 0), share * rows)).collect() }
    }

    /// Returns the items of deduplicated keys.
    pub(super) fn deduplicated(sizes: &Shares, group: Group) -> Self {
        let mut counts = BTreeMap::new();
        for &(times, share_of_keys) in &multiplicities(group) {
            for &(size, share) in sizes {
                let keys = group.keys * share_of_keys * share;
                let most = (POSTING.saturating_sub(size) / ROW).max(1);
                let full = times / most;
                if full > 0 {
                    *counts.entry(posting(size, most)).or_default() += keys * f64::from(full);
                }
                if times % most > 0 {
                    *counts.entry(posting(size, times % most)).or_default() += keys;
                }
            }
        }
        Self { counts }
    }

    /// Returns how many items there are.
    pub(super) fn count(&self) -> f64 {
        self.counts.values().sum()
    }

    /// Returns how many leaf pages they fill; a fraction, for the last page may
    /// be shared with other kinds.
    pub(super) fn pages(&self, fillfactor: u8) -> f64 {
        let count = self.count();
        if count <= 0.0 {
            return 0.0;
        }
        let mut sum = 0.0;
        let steps: Vec<(f64, Item)> = self
            .counts
            .iter()
            .map(|(&item, &many)| {
                sum += many / count;
                (sum, item)
            })
            .collect();
        let mut leaf = Leaf::new(fillfactor);
        let mut added = 0_u32;
        // Items in an order without pattern: steps of the golden ratio visit every
        // kind as often as its share says, on every stretch (Weyl, 1916).
        let mut at = 0.5_f64;
        while leaf.finished < TRIED_PAGES && f64::from(added) < count {
            let next = steps.partition_point(|&(until, _)| until < at).min(steps.len() - 1);
            leaf.add(steps[next].1);
            at = (at + 0.618_033_988_749_894_9).fract();
            added += 1;
        }
        if leaf.finished == 0 {
            return f64::from(added) / f64::from(added.max(leaf.expected()));
        }
        count * f64::from(leaf.finished) / f64::from(leaf.items_finished)
    }
}

/// The leaf page that is being filled.
#[derive(Debug)]
struct Leaf {
    /// Finish the page when less than this is free.
    keep_free: i64,
    free: i64,
    items: u32,
    last: Item,
    /// Pages that are finished, and the data items on them.
    finished: u32,
    items_finished: u32,
}

impl Leaf {
    fn new(fillfactor: u8) -> Self {
        let keep_free = i64::from(PAGE) * (100 - i64::from(fillfactor.clamp(10, 100))) / 100;
        Self { keep_free, free: EMPTY, items: 0, last: (0, 0), finished: 0, items_finished: 0 }
    }

    /// Adds an item, as `_bt_buildadd` does: a page that is full enough keeps all
    /// items but the last, which becomes its high key and the next page's first.
    fn add(&mut self, item: Item) {
        let full = self.free < i64::from(item.0) + HIGH_KEY
            || (self.free + i64::from(self.last.1) < self.keep_free && self.items > 1);
        if full && self.items > 1 {
            self.finished += 1;
            self.items_finished += self.items - 1;
            self.free = EMPTY - i64::from(self.last.0 + POINTER);
            self.items = 1;
        }
        self.free -= i64::from(item.0 + POINTER);
        self.items += 1;
        self.last = item;
    }

    /// Returns how many items the page would take if it went on as it began.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a page holds few items")]
    fn expected(&self) -> u32 {
        let used = (EMPTY - self.free).max(1);
        ((EMPTY - self.keep_free) * i64::from(self.items) / used).max(1) as u32
    }
}

fn posting(size: u32, times: u32) -> Item {
    if times <= 1 {
        (size, 0)
    } else {
        let whole = aligned(size + ROW * times);
        (whole, whole - size)
    }
}

/// Returns how often keys of a group occur, with the share of keys of each.
///
/// Rows fall on keys at random, and keys without rows are not in the index: a
/// Poisson distribution without its zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn multiplicities(group: Group) -> Vec<(u32, f64)> {
    let mean = (group.rows / group.keys.max(1e-9)).clamp(1.0, 4e9);
    if mean < 1.000_001 {
        return vec![(1, 1.0)];
    }
    if group.keys <= 1.5 {
        return vec![(mean.round() as u32, 1.0)];
    }
    if mean > 100.0 {
        // Far from zero: a normal distribution, by its quantiles.
        let spread = mean.sqrt();
        return QUANTILES
            .iter()
            .map(|z| ((mean + z * spread).round() as u32, 1.0 / QUANTILES.len() as f64))
            .collect();
    }
    let rate = rate_of(mean);
    let mut shares = Vec::new();
    let (mut share, mut sum) = ((-rate).exp(), 0.0);
    let whole = -(-rate).exp_m1();
    let mut times = 0_u32;
    while sum < 0.999_999 && times < 1_000 {
        times += 1;
        share *= rate / f64::from(times);
        shares.push((times, share / whole));
        sum += share / whole;
    }
    shares
}

/// The middles of 16 equal parts of the standard normal distribution.
const QUANTILES: [f64; 16] = [
    -1.8627, -1.3180, -1.0100, -0.7764, -0.5791, -0.4023, -0.2372, -0.0784, 0.0784, 0.2372, 0.4023, 0.5791,
    0.7764, 1.0100, 1.3180, 1.8627,
];

/// Returns the rate of a Poisson distribution whose mean without zero is `mean`.
fn rate_of(mean: f64) -> f64 {
    let (mut low, mut high) = (0.0, mean);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if middle / -(-middle).exp_m1() < mean {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Returns the inner pages above `leaves` pages whose high keys take `pivot` bytes
/// on average, all levels together.
pub(super) fn inner_pages(leaves: f64, pivot: f64) -> f64 {
    let mut level = leaves.max(1.0).ceil();
    let mut pages = 0.0;
    let item = pivot + f64::from(POINTER);
    #[expect(clippy::cast_precision_loss, reason = "a page is small")]
    let room = (EMPTY - i64::from(PAGE) * (100 - INNER_FILL) / 100) as f64;
    // Half an item is left over on average, and the first of a page has no key.
    let per_page = ((room + item / 2.0 - 12.0) / item).max(2.0);
    while level > 1.0 {
        level = (level / per_page).ceil();
        pages += level;
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_per_page(item: Item, expected: f64) {
        let items = Items { counts: BTreeMap::from([(item, 1e6)]) };
        assert_eq!((1e6 / items.pages(90)).round(), expected);
    }

    #[test]
    fn a_leaf_page_takes_as_many_items_as_the_server_puts_there() {
        // Measured by pageinspect on PostgreSQL 15: 366 bigint keys, 9 full posting lists.
        check_per_page((16, 0), 366.0);
        check_per_page(posting(16, 132), 9.0);
    }

    #[test]
    fn a_posting_list_ends_at_a_tenth_of_a_page() {
        let items = Items::deduplicated(&vec![(16, 1.0)], Group { rows: 1_320.0, keys: 1.0 });
        assert_eq!(items.counts, BTreeMap::from([((808, 792), 10.0)]));
    }

    #[test]
    fn a_key_that_occurs_once_has_no_list() {
        let items = Items::deduplicated(&vec![(24, 1.0)], Group { rows: 1e6, keys: 1e6 });
        assert_eq!(items.counts, BTreeMap::from([((24, 0), 1e6)]));
    }

    #[test]
    fn a_distribution_without_its_zero_keeps_its_mean() {
        for mean in [1.01, 1.5, 4.0, 30.0, 99.0] {
            let shares = multiplicities(Group { rows: 1e6 * mean, keys: 1e6 });
            let actual: f64 = shares.iter().map(|&(times, share)| f64::from(times) * share).sum();
            assert!((actual / mean - 1.0).abs() < 1e-3, "{actual} is not {mean}");
        }
    }
}
