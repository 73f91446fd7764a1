//! How many bytes the index tuples of a key take: header, NULL bitmap,
//! attributes in order with their alignment.

use std::collections::BTreeMap;

use crate::table::{ColumnFacts, Layout};

/// `MAXALIGN` of every platform with 64-bit pointers.
const MAXIMUM_ALIGNMENT: u32 = 8;
/// `sizeof(IndexTupleData)`.
const HEADER: u32 = 8;
/// The header with its NULL bitmap, `MAXALIGN`ed: any NULL in the tuple brings it.
const HEADER_WITH_NULLS: u32 = 16;
/// The longest value, header included, whose length takes one byte.
const SHORT: u32 = 127;

/// Shares of tuple sizes; sums to 1.
pub(super) type Shares = Vec<(u32, f64)>;

/// Rounds up to the platform's alignment.
pub(super) const fn aligned(bytes: u32) -> u32 {
    bytes.div_ceil(MAXIMUM_ALIGNMENT) * MAXIMUM_ALIGNMENT
}

/// Where in the possible range widths are taken that no one measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lean {
    /// As narrow as the mean allows.
    Low,
    /// Spread around the mean.
    Mean,
    /// As wide as the mean allows.
    High,
}

/// Returns the shares of sizes of tuples with these columns, `MAXALIGN`ed.
pub(super) fn sizes(columns: &[&ColumnFacts], lean: Lean) -> Shares {
    shares(columns.iter().map(|column| (*column, column.null_share, widths(column, lean))))
}

/// The same for tuples whose value of variable width has this width, where one column has
/// such values; 0 is the width of NULL.
pub(super) fn sizes_of_width(columns: &[&ColumnFacts], lean: Lean, width: u32) -> Shares {
    shares(columns.iter().map(|column| match column.layout {
        Layout::Variable { .. } if width == 0 => (*column, 1.0, Vec::new()),
        Layout::Variable { .. } => (*column, 0.0, vec![(width.min(8_192), 1.0)]),
        Layout::Fixed { .. } => (*column, column.null_share, widths(column, lean)),
    }))
}

fn shares<'a>(columns: impl Iterator<Item = (&'a ColumnFacts, f64, Shares)>) -> Shares {
    // Offset of the data's end, and whether a NULL was met, to share.
    let mut ends: BTreeMap<(u32, bool), f64> = BTreeMap::from([((0, false), 1.0)]);
    for (column, null_share, widths) in columns {
        let mut next = BTreeMap::new();
        for (&(end, has_null), &share) in &ends {
            let null_share = null_share.clamp(0.0, 1.0);
            if null_share > 0.0 {
                *next.entry((end, true)).or_default() += share * null_share;
            }
            for &(width, width_share) in &widths {
                let start = match column.layout {
                    Layout::Variable { .. } if width <= SHORT => end,
                    Layout::Fixed { align, .. } | Layout::Variable { align } => {
                        end.next_multiple_of(u32::from(align.max(1)))
                    }
                };
                let kept = share * (1.0 - null_share) * width_share;
                if kept > 0.0 {
                    *next.entry((start + width, has_null)).or_default() += kept;
                }
            }
        }
        ends = next;
    }
    let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
    for ((end, has_null), share) in ends {
        let header = if has_null { HEADER_WITH_NULLS } else { HEADER };
        *shares.entry(aligned(header + end)).or_default() += share;
    }
    shares.into_iter().collect()
}

/// Returns the mean of shares of sizes.
pub(super) fn mean(shares: &Shares) -> f64 {
    shares.iter().map(|&(size, share)| f64::from(size) * share).sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a width is clamped to a page before"
)]
fn widths(column: &ColumnFacts, lean: Lean) -> Shares {
    match (&column.layout, &column.widths) {
        (Layout::Fixed { bytes, .. }, _) => vec![(u32::from(*bytes), 1.0)],
        (Layout::Variable { .. }, Some(shares)) if !shares.is_empty() => {
            let sum: f64 = shares.iter().map(|&(_, share)| share.max(0.0)).sum();
            shares.iter().map(|&(width, share)| (width.min(8_192), share.max(0.0) / sum)).collect()
        }
        (Layout::Variable { .. }, _) => {
            let mean = column.average_bytes.clamp(1.0, 8_000.0);
            // One alignment step around the mean: what is not known is where the
            // rounding to 8 bytes falls.
            let spread = (mean / 4.0).clamp(0.0, 3.5);
            let (from, to) = match lean {
                Lean::Low => (mean - spread, mean),
                Lean::Mean => (mean - spread, mean + spread),
                Lean::High => (mean, mean + spread),
            };
            let (from, to) = (from.round().max(1.0) as u32, to.round().max(1.0) as u32);
            let share = 1.0 / f64::from(to - from + 1);
            (from..=to).map(|width| (width, share)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Distinct;

    fn fixed(bytes: u16, align: u8) -> ColumnFacts {
        ColumnFacts::fixed("c", bytes, align, Distinct::exact(10.0))
    }

    #[track_caller]
    fn check(columns: &[ColumnFacts], expected: u32) {
        let columns: Vec<_> = columns.iter().collect();
        assert_eq!(sizes(&columns, Lean::Mean), vec![(expected, 1.0)]);
    }

    #[test]
    fn the_order_of_columns_decides_about_padding() {
        check(&[fixed(8, 8)], 16);
        check(&[fixed(4, 4)], 16);
        check(&[fixed(4, 4), fixed(4, 4)], 16);
        check(&[fixed(4, 4), fixed(8, 8), fixed(4, 4)], 32);
        check(&[fixed(4, 4), fixed(4, 4), fixed(8, 8)], 24);
        check(&[fixed(1, 1), fixed(2, 2), fixed(4, 4)], 16);
    }

    #[test]
    fn short_texts_are_not_aligned_and_long_ones_are() {
        let mut text = fixed(0, 1);
        text.layout = Layout::Variable { align: 4 };
        text.widths = Some(vec![(5, 1.0)]);
        check(&[fixed(1, 1), text.clone(), fixed(1, 1)], 16);
        text.widths = Some(vec![(201, 1.0)]);
        check(&[fixed(1, 1), text], 216);
    }

    #[test]
    fn a_null_takes_a_bitmap_and_no_value() {
        let mut column = fixed(8, 8);
        column.null_share = 0.25;
        let plain = fixed(8, 8);
        let mut text = fixed(0, 1);
        text.layout = Layout::Variable { align: 4 };
        assert_eq!(sizes_of_width(&[&text, &plain], Lean::Mean, 0), vec![(24, 1.0)]);
        assert_eq!(sizes_of_width(&[&text, &plain], Lean::Mean, 9), vec![(32, 1.0)]);
        assert_eq!(sizes(&[&column, &plain], Lean::Mean), vec![(24, 1.0)]);
        assert_eq!(sizes(&[&column], Lean::Mean), vec![(16, 1.0)]);
    }
}
