//! Hit ratios on seeded, synthetic workloads: ours, through the whole cache, beside an LRU and `moka`.
//!
//! `cargo run --release -p veritas-cache --example hit_ratios [REQUESTS]`. Every
//! miss stores the key, so these are ratios of get-or-load. Sizes are shares of the number of
//! distinct keys; ours is given bytes such that it holds as many entries.
#![expect(clippy::print_stdout, reason = "a table is printed")]

#[path = "../tests/it/policies.rs"]
mod policies;

fn main() {
    let requests = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    println!(
        "{:<14} {:>5}  {:>7} {:>7} {:>7}   against LRU, moka (points)",
        "workload", "size", "ours", "LRU", "moka"
    );
    let mut worst = f64::INFINITY;
    for cell in policies::compare(requests, 100_000) {
        let (to_lru, to_moka) = (100.0 * (cell.ours - cell.lru), 100.0 * (cell.ours - cell.moka));
        worst = worst.min(to_lru).min(to_moka);
        println!(
            "{:<14} {:>4}%  {:>7.4} {:>7.4} {:>7.4}   {to_lru:>+6.2} {to_moka:>+6.2}",
            cell.workload, cell.percent, cell.ours, cell.lru, cell.moka
        );
    }
    println!("worst: {worst:+.2} points");
}
