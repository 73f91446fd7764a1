//! Histograms, quantiles, paired tests and intervals: one implementation for
//! all of Veritas, so that every percentile and every verdict in the product
//! is computed in the same, tested way.
//!
//! What is here:
//!
//! - [`Histogram`] and [`SharedHistogram`]: log-linear, mergeable in any order
//!   with the same bits as result, quantiles within 1/128 of the true value
//!   from 1 ns to `u64::MAX`;
//! - [`paired::signed_rank`]: the Wilcoxon test for interleaved pairs;
//! - [`bootstrap`]: intervals of any statistic and of a ratio of means (`BCa`);
//! - [`order`]: quantiles of samples, with distribution-free intervals;
//! - [`normal`]: the standard normal distribution;
//! - [`Rng`]: a small seeded generator, so that every result can be repeated.
//!
//! What is not here: judgement. A test returns its p-value, an interval its
//! ends; what follows from them is decided by the caller (`Proposal::prove`,
//! the verification in `veritas-optimize`). Nothing here reads a clock, does
//! I/O, or draws numbers that were not seeded.
//!
//! ```
//! use veritas_statistics::{Histogram, paired::{Alternative, signed_rank}};
//!
//! let mut latencies = Histogram::new();
//! for nanoseconds in 1..=1_000_u64 {
//!     latencies.record(nanoseconds);
//! }
//! let p99 = latencies.quantile(0.99).expect("values were recorded");
//! assert!(p99.abs_diff(990) * 128 <= 990);
//!
//! // Each number is "cost with the change minus cost without it" of one pair.
//! let differences = [-4.0, -6.0, -2.5, -7.0, -3.0, -5.5, -8.0, -1.0];
//! let test = signed_rank(&differences, Alternative::Less).expect("the pairs differ");
//! assert_eq!(test.p_value, 1.0 / 256.0);
//! ```

pub mod bootstrap;
mod generator;
mod histogram;
pub mod normal;
pub mod order;
pub mod paired;

pub use generator::Rng;
pub use histogram::{Histogram, SharedHistogram};
