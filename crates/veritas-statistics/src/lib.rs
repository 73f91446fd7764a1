//! Histograms, quantiles, paired tests and intervals: one implementation for all.

fn main() {}
