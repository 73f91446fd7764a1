//! How a B-tree is built from sorted items: which of them share a posting list,
//! and how pages fill (`nbtsort.c` of `PostgreSQL` 13 to 18).

use std::collections::BTreeMap;

use veritas_statistics::Rng;

use super::{
    groups::Group,
    tuples::{self, Shares, aligned},
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
/// How many pages are filled to learn how many items one takes.
const TRIED_PAGES: u32 = 40;
/// So many items are enough as well: what is left over of a page is a part of an item, and
/// the more items a page takes, the less of it that is.
const TRIED_ITEMS: u32 = 1_500;
/// But not fewer pages than this.
const FEWEST_PAGES: u32 = 4;

/// An item of a leaf page: its size, and how much of it is the posting list.
type Item = (u32, u32);

/// Keys of one size that occur equally often.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    /// The bytes of a tuple with such a key.
    size: u32,
    /// How many rows share a key.
    times: u32,
    /// How many such keys there are.
    keys: f64,
}

/// Leaf items of one kind of keys.
#[derive(Debug)]
pub(super) struct Items {
    kinds: Vec<Kind>,
}

impl Items {
    /// Returns the items of keys that never share a posting list.
    pub(super) fn single(sizes: &Shares, rows: f64) -> Self {
        let kinds = sizes.iter().map(|&(size, share)| Kind { size, times: 1, keys: share * rows });
        Self { kinds: kinds.collect() }
    }

    /// Returns the items of deduplicated keys. `sizes` tells the sizes of their tuples, by
    /// the width of the value in the one column whose widths vary, or of all of them.
    pub(super) fn deduplicated(group: &Group, sizes: impl Fn(Option<u32>) -> Shares) -> Self {
        let Some(alike) = &group.kinds else {
            let mut sizes = sizes(None);
            // One key has one size, which nobody knows; it hardly matters beside its list.
            if group.keys <= 1.5 {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small size")]
                let mean = tuples::mean(&sizes).round() as u32;
                sizes = vec![(aligned(mean), 1.0)];
            }
            let kinds = multiplicities(group).into_iter().flat_map(|(times, share_of_keys)| {
                let keys = group.keys * share_of_keys;
                sizes.iter().map(move |&(size, share)| Kind { size, times, keys: keys * share })
            });
            return Self { kinds: kinds.collect() };
        };
        let mut by_width: BTreeMap<Option<u32>, Shares> = BTreeMap::new();
        let mut keys_of: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for alike in alike {
            let sizes = by_width.entry(alike.width).or_insert_with(|| sizes(alike.width));
            for &(size, share) in &*sizes {
                *keys_of.entry((size, alike.times)).or_default() += group.keys * alike.share * share;
            }
        }
        let kinds = keys_of.into_iter().map(|((size, times), keys)| Kind { size, times, keys });
        Self { kinds: kinds.collect() }
    }

    /// Returns how many items there are.
    pub(super) fn count(&self) -> f64 {
        self.kinds.iter().map(|kind| kind.keys * f64::from(kind.items().1)).sum()
    }

    /// Returns how many leaf pages they fill; a fraction, for the last page may
    /// be shared with other kinds.
    pub(super) fn pages(&self, fillfactor: u8) -> f64 {
        let keys: f64 = self.kinds.iter().map(|kind| kind.keys).sum();
        let bytes: f64 = self.kinds.iter().map(|kind| kind.keys * kind.bytes()).sum();
        let mut leaf = Leaf::new(fillfactor);
        if keys <= 0.0 || bytes <= leaf.room() {
            return bytes / leaf.room();
        }
        let mut sum = 0.0;
        let steps: Vec<(f64, Kind)> = self
            .kinds
            .iter()
            .map(|kind| {
                sum += kind.keys / keys;
                (sum, *kind)
            })
            .collect();
        // Some pages are filled with keys drawn at random (the same ones each time),
        // for how much of a page is left over depends on what comes next to what.
        let mut random = Rng::new(0x6a09_e667_f3bc_c908);
        let mut items = 0_u32;
        'pages: loop {
            let at = random.next_f64() * sum;
            let next = steps.partition_point(|&(until, _)| until < at).min(steps.len() - 1);
            for item in steps[next].1.each_item() {
                leaf.add(item);
                items += 1;
                let is_enough = items >= TRIED_ITEMS && leaf.finished >= FEWEST_PAGES;
                if is_enough || leaf.finished >= TRIED_PAGES {
                    break 'pages;
                }
            }
        }
        bytes * f64::from(leaf.finished) / leaf.bytes_finished
    }
}

impl Kind {
    /// Returns how many rows a full posting list holds, and how many items a key takes.
    fn items(&self) -> (u32, u32) {
        let most = (POSTING.saturating_sub(self.size) / ROW).max(1);
        (most, self.times.div_ceil(most))
    }

    /// Returns the bytes that the items of one key take, pointers included.
    fn bytes(&self) -> f64 {
        let (most, _) = self.items();
        let full = f64::from(self.times / most) * f64::from(posting(self.size, most).0 + POINTER);
        let rest = self.times % most;
        full + if rest > 0 { f64::from(posting(self.size, rest).0 + POINTER) } else { 0.0 }
    }

    /// Returns the items of one key: full lists, then the rest.
    fn each_item(self) -> impl Iterator<Item = Item> {
        let (most, _) = self.items();
        let rest = self.times % most;
        let full = std::iter::repeat_n(posting(self.size, most), (self.times / most) as usize);
        full.chain((rest > 0).then(|| posting(self.size, rest)))
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
    /// What the page's data items take, pointers included.
    bytes: u32,
    /// Pages that are finished, and the bytes of data items on them.
    finished: u32,
    bytes_finished: f64,
}

impl Leaf {
    fn new(fillfactor: u8) -> Self {
        let keep_free = i64::from(PAGE) * (100 - i64::from(fillfactor.clamp(10, 100))) / 100;
        Self { keep_free, free: EMPTY, items: 0, last: (0, 0), bytes: 0, finished: 0, bytes_finished: 0.0 }
    }

    /// Adds an item, as `_bt_buildadd` does: a page that is full enough keeps all
    /// items but the last, which becomes its high key and the next page's first.
    fn add(&mut self, item: Item) {
        let full = self.free < i64::from(item.0) + HIGH_KEY
            || (self.free + i64::from(self.last.1) < self.keep_free && self.items > 1);
        if full && self.items > 1 {
            self.finished += 1;
            let moved = self.last.0 + POINTER;
            self.bytes_finished += f64::from(self.bytes - moved);
            self.free = EMPTY - i64::from(moved);
            (self.bytes, self.items) = (moved, 1);
        }
        self.free -= i64::from(item.0 + POINTER);
        self.bytes += item.0 + POINTER;
        self.items += 1;
        self.last = item;
    }

    /// Returns the bytes that a page takes before it counts as full.
    #[expect(clippy::cast_precision_loss, reason = "a page is small")]
    fn room(&self) -> f64 {
        (EMPTY - self.keep_free) as f64
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
fn multiplicities(group: &Group) -> Vec<(u32, f64)> {
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
        return QUANTILES.iter().map(|z| ((mean + z * spread).round() as u32, QUANTILE_SHARE)).collect();
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

/// What each of them stands for.
const QUANTILE_SHARE: f64 = 1.0 / 16.0;

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
    fn check_per_page(times: u32, items_per_page: f64) {
        let items = Items { kinds: vec![Kind { size: 16, times, keys: 1e6 }] };
        assert_eq!((1e6 / items.pages(90)).round(), items_per_page);
    }

    #[test]
    fn a_leaf_page_takes_as_many_items_as_the_server_puts_there() {
        // Looked at with pageinspect on PostgreSQL 15: bigint keys that occur once,
        // and full posting lists.
        check_per_page(1, 366.0);
        check_per_page(132, 9.0);
    }

    #[test]
    fn a_posting_list_ends_at_a_tenth_of_a_page() {
        let kind = Kind { size: 16, times: 1_321, keys: 1.0 };
        let items: Vec<Item> = kind.each_item().collect();
        assert_eq!(items.len(), 11);
        assert_eq!((items[0], items[10]), ((808, 792), (16, 0)));
    }

    #[test]
    fn a_key_that_occurs_once_has_no_list() {
        let items = Items::deduplicated(&Group::random(1e6, 1e6), |_| vec![(24, 1.0)]);
        assert_eq!(items.kinds, vec![Kind { size: 24, times: 1, keys: 1e6 }]);
    }

    #[test]
    fn a_distribution_without_its_zero_keeps_its_mean() {
        for mean in [1.01, 1.5, 4.0, 30.0, 99.0] {
            let shares = multiplicities(&Group::random(1e6 * mean, 1e6));
            let actual: f64 = shares.iter().map(|&(times, share)| f64::from(times) * share).sum();
            assert!((actual / mean - 1.0).abs() < 1e-3, "{actual} is not {mean}");
        }
    }
}
