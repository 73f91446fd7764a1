//! The advisor's settings.

use std::time::Duration;

use veritas_model::Bytes;

use crate::{OwnCosts, ProofOptions};

/// The advisor's settings. Memory is bounded by [`Self::namespaces`] times what one takes:
/// 32 bytes for each of [`Self::recorded`], 1 MiB for its curve and 0.8 MiB for its times to
/// live; with the defaults 3.8 MiB each and, with the accesses that wait, 64 MiB in all, of
/// which an application with few keys uses little.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvisorOptions {
    /// Namespaces that are analysed: the most active ones (16).
    pub namespaces: usize,
    /// Accesses that are kept for proofs, per namespace (65,536).
    pub recorded: usize,
    /// How far back a recording should go, where the rate can be chosen so (10 minutes).
    pub record_for: Duration,
    /// Accesses that wait for a turn; what does not find room is dropped and counted (65,536).
    pub waiting: usize,
    /// The share of one core that the analysis may take (0.01).
    pub share_of_core: f64,
    /// What the namespaces may hold together; `None`: what the caches were made with.
    pub budget: Option<Bytes>,
    /// What the cache itself costs; `None`: it is measured once.
    pub own_costs: Option<OwnCosts>,
    /// Look-ups below which nothing is said (1,000).
    pub fewest_look_ups: u64,
    /// The time below which nothing is said (30 s).
    pub shortest_observation: Duration,
    /// How long an advice must stand before it is proposed (10 s).
    pub steady_for: Duration,
    /// After how long the counts begin anew, so that advice is about today (10 minutes).
    pub window: Duration,
    /// The share of the misses that must be gone for certain to be worth a proposal (0.10).
    pub worthwhile: f64,
    /// Seconds of loading per second that must be saved to be worth a finding (0.0001).
    pub least_saving: f64,
    /// The share of look-ups that may be answered with an old value because of a change (0.01).
    pub most_stale: f64,
    /// The share of the look-ups from which on a key is hot (0.10).
    pub hot_share: f64,
    /// Look-ups of a key per second below which it is not called hot, whatever its share (100).
    pub hot_per_second: f64,
    /// The share of the capacity from which on a value is big (0.05).
    pub big_share: f64,
    /// The size below which no value is called big (64 KiB).
    pub big_bytes: Bytes,
    /// What a proof asks of a recording.
    pub proof: ProofOptions,
}

impl Default for AdvisorOptions {
    fn default() -> Self {
        Self {
            namespaces: 16,
            recorded: 64 * 1024,
            record_for: Duration::from_mins(10),
            waiting: 64 * 1024,
            share_of_core: 0.01,
            budget: None,
            own_costs: None,
            fewest_look_ups: 1_000,
            shortest_observation: Duration::from_secs(30),
            steady_for: Duration::from_secs(10),
            window: Duration::from_mins(10),
            worthwhile: 0.10,
            least_saving: 1e-4,
            most_stale: 0.01,
            hot_share: 0.10,
            hot_per_second: 100.0,
            big_share: 0.05,
            big_bytes: Bytes::new(64 * 1024),
            proof: ProofOptions::default(),
        }
    }
}
