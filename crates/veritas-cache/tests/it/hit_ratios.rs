//! Hit ratios: not below those of an LRU and (loops aside) of `moka`, at a size that a test can afford.

use crate::policies::compare;

#[test]
fn the_hit_ratio_is_not_below_that_of_lru_nor_moka_but_for_moka_on_loops() {
    for cell in compare(60_000, 10_000) {
        // Known: on a loop a little longer than the cache, the engine keeps less of it than moka
        // does (and an LRU nothing at all).
        let to_moka = if cell.workload == "loop" { -0.2 } else { 0.0 };
        let worst = (cell.ours - cell.lru).min(cell.ours - cell.moka - to_moka);
        // Of so few requests, the ratios of two equal policies differ by some tenths of a point.
        assert!(
            worst >= -0.01,
            "{} at {} %: ours {:.4}, LRU {:.4}, moka {:.4}",
            cell.workload,
            cell.percent,
            cell.ours,
            cell.lru,
            cell.moka
        );
    }
}
