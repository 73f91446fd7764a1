//! How many values are distinct, from some pages that were read whole.

use veritas_index_advisor::{Distinct, DistinctSource};

/// In how many places of the pages that were read each value was seen.
///
/// A place is a page, or a few pages next to each other: where values lie side by side, one
/// goes on from page to page, and is at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incidence {
    /// Pages that were read.
    pub pages: f64,
    /// Pages that there are.
    pub all_pages: f64,
    /// Rows on the pages that were read, with a value.
    pub rows: f64,
    /// Rows of the table, with a value.
    pub all_rows: f64,
    /// Different values that were seen.
    pub seen: f64,
    /// Those that were seen at one place.
    pub on_one: f64,
    /// Those that were seen at two.
    pub on_two: f64,
    /// Those that were seen at three.
    pub on_three: f64,
    /// Rows that are not among the first quarter of those of their page.
    pub later: f64,
    /// Those of them whose value is new on the page.
    pub births: f64,
}

/// How many standard deviations the bounds are away.
const DEVIATIONS: f64 = 2.5;
/// What may lie behind a count of nothing (95 %).
const FEWEST: f64 = 3.0;
/// Where the frequencies of a gamma distribution have no bound any more.
const MOST_UNEVEN: f64 = 1.8;
/// What an estimate of what was not seen may be off by beside chance: pages are drawn, not
/// rows, and values are not scattered at random.
const SLACK: f64 = 0.03;

/// By how much values must be rarer at two places than at three, against values that are
/// equally frequent, to be taken for two kinds.
const PLAIN: f64 = 1.2;

impl Incidence {
    /// Takes the incidence of values, hashed, each with its page, in the order of the rows.
    pub fn of(mut values: Vec<(u64, u32)>, pages: f64, all_pages: f64, all_rows: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a sample has less than 2^53 rows")]
        let number = |count: usize| count as f64;
        let rows = number(values.len());
        let (mut later, mut births) = (0, 0);
        let mut on_page: Vec<(u64, usize)> = Vec::new();
        for page in values.chunk_by(|left, right| left.1 == right.1) {
            let first_quarter = page.len().div_ceil(4);
            on_page.clear();
            on_page.extend(page.iter().enumerate().map(|(at, (hash, _))| (*hash, at)));
            on_page.sort_unstable();
            let firsts = on_page.chunk_by(|left, right| left.0 == right.0).map(|same| same[0].1);
            births += firsts.filter(|first| *first >= first_quarter).count();
            later += page.len() - first_quarter;
        }
        let (later, births) = (number(later), number(births));
        // As many pages as a value goes on for, were they sorted.
        let pages_of_a_run = later / births.max(0.5) * pages / rows.max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let place = (pages_of_a_run.ceil() + 1.0).min(f64::from(u32::MAX)) as u32;
        values.sort_unstable();
        values.dedup();
        let (mut seen, mut on_one, mut on_two, mut on_three) = (0, 0, 0, 0);
        for same in values.chunk_by(|left, right| left.0 == right.0) {
            seen += 1;
            let (mut places, mut begins) = (1, same[0].1);
            for &(_, page) in same {
                if page - begins > place {
                    (places, begins) = (places + 1, page);
                }
            }
            match places {
                1 => on_one += 1,
                2 => on_two += 1,
                3 => on_three += 1,
                _ => {}
            }
        }
        Self {
            pages,
            all_pages,
            rows,
            all_rows,
            seen: number(seen),
            on_one: number(on_one),
            on_two: number(on_two),
            on_three: number(on_three),
            later,
            births,
        }
    }

    /// Estimates how many distinct values the whole table has.
    ///
    /// Two ways, and the lower count of both. For scattered values Chao2 for a sample
    /// without replacement (Chao and Lin, "Nonparametric lower bounds for species richness
    /// and shared species richness under sampling without replacement", 2012), with the
    /// place as the unit: places that share a value tell how many were missed. It is a lower
    /// bound where some values are rare and others frequent; there a mixture of both kinds
    /// is taken. For values that lie side by side, how often a row's value is new to its
    /// page, the first quarter of which tells what goes on from the page before: in a table
    /// that is sorted, or where a few sorted runs take turns, there are as many values as
    /// such rows, and there are hardly more in any.
    ///
    /// ```
    /// use veritas_postgres::facts::distinct::Incidence;
    ///
    /// // 100 of 1000 pages; 50 rows on each, sorted, each value on 5 neighbouring rows.
    /// let values = (0..100_u32).flat_map(|page| {
    ///     (0..50_u32).map(move |row| (u64::from((page * 10 * 50 + row) / 5), page * 10))
    /// });
    /// let incidence = Incidence::of(values.collect(), 100.0, 1_000.0, 50_000.0);
    /// let count = incidence.estimate().count;
    /// assert!((count / 10_000.0 - 1.0).abs() < 0.1, "{count}");
    /// ```
    pub fn estimate(&self) -> Distinct {
        let Self { pages, all_pages, rows, all_rows, seen, .. } = *self;
        if pages >= all_pages {
            return Distinct::exact(seen.max(1.0));
        }
        let all_rows = all_rows.max(rows).max(1.0);
        if seen < 1.0 {
            let source = DistinctSource::Bounded { low: 1.0, high: all_rows };
            return Distinct { count: 1.0, source };
        }
        let (missed, deviation) = self.missed(self.on_two);
        let by_kinds = self.missed_by_kinds().max(missed);
        let slack = DEVIATIONS * deviation + SLACK * by_kinds;
        let scattered = (seen + by_kinds).min(all_rows);
        let most_scattered = (seen + by_kinds + slack) * self.uneven();
        let (sorted, most_sorted) = self.sorted(all_rows);
        let most = most_scattered.min(most_sorted).max(seen);
        let source = |low: f64, count: f64| DistinctSource::Bounded {
            low: low.clamp(seen.min(count), count),
            high: most.clamp(count, all_rows.max(count)),
        };
        if sorted < scattered {
            // That no value was seen at two places may be chance.
            let more_on_two = self.on_two + DEVIATIONS * self.on_two.sqrt() + FEWEST;
            let least = seen + self.missed(more_on_two).0;
            let count = sorted.max(seen);
            return Distinct { count, source: source(least.min(2.0 * sorted - most_sorted), count) };
        }
        let count = scattered.max(seen);
        Distinct { count, source: source(seen + missed - DEVIATIONS * deviation - SLACK * missed, count) }
    }

    /// Returns how many values were not seen if all are equally frequent, and the standard
    /// deviation of that.
    fn missed(&self, on_two: f64) -> (f64, f64) {
        let Self { pages, on_one, .. } = *self;
        let odds = pages / (self.all_pages - pages).max(1.0);
        let twice = 2.0 * pages / (pages - 1.0).max(1.0) * on_two;
        let sum = twice + odds * on_one;
        if sum <= 0.0 {
            return (0.0, 0.0);
        }
        let by_one = 2.0 * on_one / sum - on_one * on_one * odds / (sum * sum);
        let by_two = 2.0 * on_one * on_one / (sum * sum);
        (on_one * on_one / sum, (by_one * by_one * on_one + by_two * by_two * on_two).sqrt())
    }

    /// Returns how many values were not seen if some are at one place and the others equally
    /// frequent; 0 where that is not plain.
    ///
    /// What was seen at three places and two tells how often the second kind is seen once,
    /// and the rest of those are of the first, each of which stands for as many as there are
    /// pages for one that was read.
    fn missed_by_kinds(&self) -> f64 {
        let Self { on_one, on_two, on_three, .. } = *self;
        if on_two < 1.0 || on_three < 1.0 {
            return 0.0;
        }
        let (rate, of_all) = (3.0 * on_three / on_two, 2.0 * on_two / on_one.max(1.0));
        if rate * (1.0 - DEVIATIONS / on_three.sqrt()) < PLAIN * of_all {
            return 0.0;
        }
        let repeated_once = 2.0 * on_two / rate;
        let single = on_one - repeated_once;
        let chance = (on_one + repeated_once * repeated_once * (4.0 / on_two + 1.0 / on_three)).sqrt();
        if single < DEVIATIONS * chance {
            return 0.0;
        }
        single * (self.all_pages - self.pages) / self.pages + 2.0 * on_two / (rate * rate)
    }

    /// Returns how many values there are if they are sorted, and how many at most.
    fn sorted(&self, all_rows: f64) -> (f64, f64) {
        if self.later < 1.0 {
            return (all_rows, all_rows);
        }
        let of_all = |births: f64| (1.0 + births / self.later * (all_rows - 1.0)).min(all_rows);
        // Where every row is new, nothing is left to chance.
        let chance = (self.births * (1.0 - self.births / self.later)).sqrt();
        let chance = if self.births < 1.0 { FEWEST } else { DEVIATIONS * chance };
        (of_all(self.births), of_all(self.births * (1.0 + SLACK / 2.0) + chance))
    }

    /// Returns by how much the estimate may be too low because values are not equally frequent.
    ///
    /// Chao2 is right for equally frequent values, else too low by `E[f²] / E[f]²` of the
    /// frequencies `f`. What was seen at one, two and three places gives `E[f³] E[f] / E[f²]²`;
    /// for frequencies of a gamma distribution that is `r` when the former is `1 / (2 - r)`.
    /// Taken at the upper end of what three places may show by chance.
    fn uneven(&self) -> f64 {
        let Self { on_one, on_two, on_three, .. } = *self;
        if on_one < 1.0 || on_two < 1.0 {
            return 1.0;
        }
        let most_on_three = on_three + DEVIATIONS * on_three.sqrt() + FEWEST;
        let ratio = (3.0 * most_on_three / on_two) / (2.0 * on_two / on_one);
        1.0 / (2.0 - ratio.clamp(1.0, MOST_UNEVEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplies by a number that scatters, after Steele et al. (splitmix64).
    fn scattered(value: u64) -> u64 {
        let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Reads those of the 20 000 pages that are `drawn`, of 50 rows each, of a table whose row
    /// `n` holds `value(n)`.
    fn read(value: impl Fn(u64) -> u64, drawn: impl Fn(u64) -> bool) -> Incidence {
        let pages: Vec<u64> = (0..20_000).filter(|page| drawn(*page)).collect();
        let count = f64::from(u32::try_from(pages.len()).expect("a small number"));
        let values: Vec<(u64, u32)> = pages
            .into_iter()
            .flat_map(|page| (0..50).map(move |row| (page * 50 + row, page)))
            .map(|(row, page)| (value(row), u32::try_from(page).expect("a small number")))
            .collect();
        Incidence::of(values, count, 20_000.0, 1e6)
    }

    /// The truth lies within the bounds, and the estimate is as near as `within`.
    #[track_caller]
    fn check_estimate(found: Distinct, truth: f64, within: f64) {
        assert!((found.count / truth - 1.0).abs() < within, "{found:?} for {truth}");
        let (low, high) = found.bounds(1e6);
        assert!(low <= truth * 1.001 && truth <= high * 1.001, "{found:?} for {truth}");
    }

    /// Every 37th page is read.
    #[track_caller]
    fn check(value: impl Fn(u64) -> u64, truth: f64, within: f64) {
        check_estimate(read(value, |page| page.is_multiple_of(37)).estimate(), truth, within);
    }

    /// One page in 37 is read, by ten draws, some of them next to each other.
    #[track_caller]
    fn check_drawn(value: impl Fn(u64) -> u64, truth: f64, within: f64) {
        for seed in 1..=10 {
            let is_drawn = |page: u64| scattered(page ^ (seed << 32)).is_multiple_of(37);
            check_estimate(read(&value, is_drawn).estimate(), truth, within);
        }
    }

    #[test]
    fn sorted_scattered_unique_and_few_values_are_all_counted() {
        check(|row| row / 4, 250_000.0, 0.03);
        check(|row| row / 707, 1_415.0, 0.05);
        // Four rows of each on the average, some one and some ten: the estimate is low by what
        // cannot be seen, a fifth here, and the bounds say so.
        check(|row| scattered(row) % 250_000, 245_421.0, 0.25);
        check(|row| scattered(row) % 50_000, 50_000.0, 0.05);
        check(|row| row, 1e6, 0.001);
        check(scattered, 1e6, 0.001);
        check(|row| row % 7, 7.0, 0.001);
        // A third of the rows hold few values, the others one each.
        check(|row| if row % 3 == 0 { scattered(row) % 3_000 } else { row + 10_000 }, 669_667.0, 0.05);
    }

    #[test]
    fn pages_next_to_each_other_do_not_mislead() {
        check_drawn(|row| row / 4, 250_000.0, 0.03);
        check_drawn(|row| row / 31, 32_259.0, 0.1);
        // 28 values begin within what is read, give or take 5: the bounds say so.
        check_drawn(|row| row / 707, 1_415.0, 0.5);
        check_drawn(|row| scattered(row) % 50_000, 50_000.0, 0.05);
        // Four that are sorted take turns, as sessions do.
        check_drawn(|row| 4 * (row / 48) + row % 4, 83_334.0, 0.1);
    }

    #[test]
    fn a_table_that_was_read_whole_is_counted() {
        let incidence = Incidence::of(vec![(1, 0), (1, 1), (2, 1)], 2.0, 2.0, 3.0);
        assert_eq!(incidence.estimate(), Distinct::exact(2.0));
    }

    #[test]
    fn nothing_seen_is_nothing_known() {
        let incidence = Incidence::of(Vec::new(), 3.0, 9.0, 100.0);
        assert_eq!(incidence.estimate().bounds(100.0), (1.0, 100.0));
    }
}
