//! How many values are distinct, from some pages that were read whole.

use veritas_index_advisor::{Distinct, DistinctSource};

/// In how many of the pages that were read each value was seen.
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
    /// Those that were seen on one page.
    pub on_one: f64,
    /// Those that were seen on two.
    pub on_two: f64,
    /// Those that were seen on three.
    pub on_three: f64,
    /// Pairs of a page and a value on it.
    pub pairs: f64,
}

/// How many standard deviations the bounds are away.
const DEVIATIONS: f64 = 2.5;
/// What may lie behind a count of nothing (95 %).
const FEWEST_ON_THREE: f64 = 3.0;
/// Where the frequencies of a gamma distribution have no bound any more.
const MOST_UNEVEN: f64 = 1.8;

impl Incidence {
    /// Takes the incidence of values, hashed, each with its page.
    pub fn of(mut values: Vec<(u64, u32)>, pages: f64, all_pages: f64, all_rows: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a sample has less than 2^53 rows")]
        let number = |count: usize| count as f64;
        let rows = number(values.len());
        values.sort_unstable();
        values.dedup();
        let pairs = number(values.len());
        let (mut seen, mut on_one, mut on_two, mut on_three) = (0, 0, 0, 0);
        for same in values.chunk_by(|left, right| left.0 == right.0) {
            seen += 1;
            match same.len() {
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
            pairs,
        }
    }

    /// Estimates how many distinct values the whole table has.
    ///
    /// Chao2 for a sample without replacement (Chao and Lin, "Nonparametric lower bounds
    /// for species richness and shared species richness under sampling without
    /// replacement", 2012), with the page as the unit: it is right for values that lie
    /// side by side, where a page stands for all pages, and for values that are
    /// scattered, where pages that share a value tell how many were missed. Sorted
    /// values that go on from one page to the next would be counted on both: between the
    /// rows of a page there is one neighbourhood less than there are rows. It is a lower
    /// bound where some values are rare and others frequent; there a mixture of both kinds
    /// is taken.
    ///
    /// ```
    /// use veritas_postgres::facts::distinct::Incidence;
    ///
    /// // 100 of 1000 pages; 50 rows on each, sorted, each value on 5 neighbouring rows.
    /// let values = (0..100_u32).flat_map(|page| {
    ///     (0..50_u32).map(move |row| (u64::from((page * 10 * 50 + row) / 5), page))
    /// });
    /// let incidence = Incidence::of(values.collect(), 100.0, 1_000.0, 50_000.0);
    /// let count = incidence.estimate().count;
    /// assert!((count / 10_000.0 - 1.0).abs() < 0.1, "{count}");
    /// ```
    pub fn estimate(&self) -> Distinct {
        let Self { pages, all_pages, rows, all_rows, seen, on_one, on_two, on_three, pairs } = *self;
        if pages >= all_pages {
            return Distinct::exact(seen.max(1.0));
        }
        let all_rows = all_rows.max(rows).max(1.0);
        if seen < 1.0 {
            let source = DistinctSource::Bounded { low: 1.0, high: all_rows };
            return Distinct { count: 1.0, source };
        }
        let share = pages / all_pages;
        let odds = share / (1.0 - share);
        let twice = 2.0 * pages / (pages - 1.0).max(1.0) * on_two;
        let denominator = twice + odds * on_one;
        let (mut unseen, mut deviation) = (0.0, 0.0);
        if denominator > 0.0 {
            unseen = on_one * on_one / denominator;
            let by_one = 2.0 * on_one / denominator - on_one * on_one * odds / (denominator * denominator);
            let by_two = 2.0 * on_one * on_one / (denominator * denominator);
            deviation = (by_one * by_one * on_one + by_two * by_two * on_two).sqrt();
        }
        // Values on few pages beside values on many: what was seen on three pages and two
        // tells how often the second kind is seen once, and the rest of those are of the
        // first, of which a page stands for all pages. Taken only where it is plain.
        let (by_three, by_all) = (3.0 * on_three / on_two.max(1.0), twice / on_one.max(1.0));
        if by_three * (1.0 - DEVIATIONS / on_three.max(1.0).sqrt()) > 1.2 * by_all {
            let repeated_once = (2.0 * on_two / by_three).min(on_one);
            let single = (on_one - repeated_once) / share * (1.0 - share);
            let mixed = single + 2.0 * on_two / (by_three * by_three);
            if mixed > unseen {
                unseen = mixed;
                deviation = deviation.max(0.03 * mixed);
            }
        }
        let (rows_of_a_page, values_of_a_page) = (rows / pages, pairs / pages);
        if rows_of_a_page > 1.0 {
            let changes = (values_of_a_page - 1.0) / (rows_of_a_page - 1.0);
            unseen *= changes * rows_of_a_page / values_of_a_page;
        }
        let count = (seen + unseen).clamp(seen, all_rows);
        // Pages are drawn, not rows, and values are not scattered at random: what was not
        // seen is less well known than the deviation says.
        let slack = DEVIATIONS * deviation + 0.03 * unseen;
        let high = (count + slack) * self.uneven();
        let source = DistinctSource::Bounded { low: (count - slack).max(seen), high: high.min(all_rows) };
        Distinct { count, source }
    }

    /// Returns by how much the estimate may be too low because values are not equally frequent.
    ///
    /// Chao2 is right for equally frequent values, else too low by `E[f²] / E[f]²` of the
    /// frequencies `f`. What was seen on one, two and three pages gives `E[f³] E[f] / E[f²]²`;
    /// for frequencies of a gamma distribution that is `r` when the former is `1 / (2 - r)`. Taken at
    /// the upper end of what three pages may show by chance.
    fn uneven(&self) -> f64 {
        let Self { on_one, on_two, on_three, .. } = *self;
        if on_one < 1.0 || on_two < 1.0 {
            return 1.0;
        }
        let most_on_three = on_three + DEVIATIONS * on_three.sqrt() + FEWEST_ON_THREE;
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

    /// Draws every `step`th page of a table whose row `n` holds `value(n)`.
    fn drawn(value: impl Fn(u64) -> u64) -> Incidence {
        let (pages, rows_of_a_page, step) = (20_000_u64, 50, 37);
        let values: Vec<(u64, u32)> = (0..pages)
            .step_by(step)
            .flat_map(|page| (0..rows_of_a_page).map(move |row| (page * rows_of_a_page + row, page)))
            .map(|(row, page)| (value(row), u32::try_from(page).expect("a small number")))
            .collect();
        let read = f64::from(u32::try_from(pages.div_ceil(step as u64)).expect("a small number"));
        Incidence::of(values, read, 20_000.0, 1e6)
    }

    #[track_caller]
    /// The truth lies within the bounds, and the estimate is as near as `within`.
    fn check(value: impl Fn(u64) -> u64, truth: f64, within: f64) {
        let found = drawn(value).estimate();
        assert!((found.count / truth - 1.0).abs() < within, "{found:?} for {truth}");
        let (low, high) = found.bounds(1e6);
        assert!(low <= truth * 1.001 && truth <= high * 1.001, "{found:?} for {truth}");
    }

    #[test]
    fn sorted_scattered_unique_and_few_values_are_all_counted() {
        check(|row| row / 4, 250_000.0, 0.03);
        check(|row| row / 707, 1_415.0, 0.4);
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
