//! The estimator: a miss-ratio curve of the real engine from sampled requests.

use std::time::Duration;

use veritas_cache::{Access, AccessKind};
use veritas_model::Bytes;

use super::{CurvePoint, MissRatioCurve};
use crate::{
    sample::{SampleRate, Scale, Total},
    simulate::{LANES, Lanes, Policy},
};

/// By how much the rate is lowered at a time.
const STEP: f64 = 0.8;

/// How many standard errors a bound is. They leave out how the sampled keys crowd each other out,
/// so two are too few: they held 87 to 94 of 100 errors of our suite.
const BOUND: f64 = 2.5;

/// Work is held against its limit each time so many requests have come.
const STRETCH: u64 = 16 * 1024;

/// How many times the rate of the largest size that of the smallest may be.
const WIDEST: f64 = 4.0;

/// What an estimator may take, and what it simulates.
#[derive(Debug, Clone, PartialEq)]
pub struct EstimatorOptions {
    /// The engine's parameters.
    pub policy: Policy,
    /// The time to live in force, if entries die.
    pub time_to_live: Option<Duration>,
    /// How many keys are simulated at most; 65,000 at most. While there are no
    /// more, every key is, and the curve is exact.
    pub max_keys: usize,
    /// How many bytes it may take.
    pub max_bytes: Bytes,
    /// How much work is done before it is limited. A simulated request is one
    /// piece of work, and each size that it misses one more: some 20 ns each.
    pub head_start: u64,
    /// How much work is done for each later request, on average over all of them,
    /// sampled or not. With `max_keys`, this is what the estimator costs.
    pub work_per_request: f64,
}

impl Default for EstimatorOptions {
    /// The engine in bytes, endless entries, 20,000 keys, 1 MiB, a head start of a million pieces
    /// of work (about 20 ms), then a quarter of a piece per request.
    fn default() -> Self {
        Self {
            policy: Policy::BYTES,
            time_to_live: None,
            max_keys: 20_000,
            max_bytes: Bytes::new(1024 * 1024),
            head_start: 1024 * 1024,
            work_per_request: 0.25,
        }
    }
}

/// Estimates what a cache of the real engine would miss at up to sixteen sizes.
///
/// It simulates all sizes at once on the requests for a sample of the keys
/// (Waldspurger et al., "Cache modeling and optimization using miniature
/// simulations", USENIX ATC 2017), each at a capacity scaled by the sampling
/// rate. The rate is 1 at first, and is lowered when the sample outgrows its
/// keys, bytes or share of the work; keys above the new threshold are forgotten.
///
/// The misses of the sample are scaled up, and divided by the number of *all*
/// requests, which is known: that is the correction of SHARDS-adj, where the
/// requests that the sample has too few or too many of count as hits.
///
/// Not thread-safe: one per namespace, fed from one thread.
#[derive(Debug)]
pub struct MissRatioEstimator {
    options: EstimatorOptions,
    sizes: Vec<u64>,
    lanes: Lanes,
    /// The rate of each size; the smaller the cache, the higher.
    rates: Vec<SampleRate>,
    scales: Vec<Scale>,
    highest: SampleRate,
    requests: u64,
    simulated: u64,
    work: u64,
    /// Requests and work when the present stretch began.
    stretch: (u64, u64),
    window_requests: u64,
    window_simulated: u64,
    misses: Vec<Total>,
    /// The mean weight of what was stored, for keys whose weight is not known.
    mean_weight: f64,
    /// That of what the real cache holds.
    entry_bytes: Option<f64>,
}

impl MissRatioEstimator {
    /// Creates an estimator for these capacities; the first sixteen count.
    pub fn new(capacities: &[Bytes], mut options: EstimatorOptions) -> Self {
        let per_key = if options.time_to_live.is_some() { 72 } else { 40 };
        // Three quarters for the table of keys, the rest for the queues.
        let affordable = usize::try_from(options.max_bytes.get() / 4 * 3 / per_key).unwrap_or(usize::MAX);
        options.max_keys = options.max_keys.min(affordable).clamp(1, 65_000);
        let mut sizes: Vec<u64> = capacities.iter().take(LANES).map(|size| size.get()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let lanes = Lanes::new(options.policy, &sizes, options.time_to_live);
        Self {
            misses: vec![Total::ZERO; sizes.len()],
            mean_weight: options.policy.expected_weight,
            entry_bytes: None,
            options,
            lanes,
            rates: vec![SampleRate::ALL; sizes.len()],
            scales: vec![Scale::ONE; sizes.len()],
            highest: SampleRate::ALL,
            sizes,
            requests: 0,
            simulated: 0,
            work: 0,
            stretch: (0, 0),
            window_requests: 0,
            window_simulated: 0,
        }
    }

    /// Notes a get-or-load of a key, of all there are: sampling is done here.
    /// About a nanosecond for a key that is not sampled.
    #[inline]
    pub fn request(&mut self, hash: u64, weight: u32, at: Duration) {
        self.requests += 1;
        if self.highest.takes(hash) {
            self.sampled_request(hash, weight, at);
        }
    }

    fn sampled_request(&mut self, hash: u64, weight: u32, at: Duration) {
        self.simulated += 1;
        self.lanes.tell_time(at);
        self.work += 1;
        for lane in self.lanes.request(hash, weight).missed() {
            self.work += 1;
            self.misses[lane].count(hash, self.scales[lane]);
        }
        self.keep_within_limits();
    }

    /// Notes a write of a key that was not looked up.
    pub fn write(&mut self, hash: u64, weight: u32, at: Duration) {
        if self.highest.takes(hash) {
            self.work += 1;
            self.lanes.tell_time(at);
            self.lanes.store(hash, weight);
            self.keep_within_limits();
        }
    }

    /// Notes that a key was deleted.
    pub fn delete(&mut self, hash: u64) {
        if self.highest.takes(hash) {
            self.lanes.delete(hash);
        }
    }

    /// Notes an access from a tap, which samples by [`threshold`](Self::threshold);
    /// what it leaves out is told by [`skipped`](Self::skipped).
    ///
    /// A key that hits without being known was stored before it was sampled: it is
    /// taken to weigh what others do on average.
    pub fn feed(&mut self, access: &Access) {
        if !self.highest.takes(access.key) {
            // Recorded under an earlier, higher threshold.
            self.requests += u64::from(matches!(access.kind, AccessKind::Hit | AccessKind::Miss));
            return;
        }
        let at = Duration::from_millis(access.at_ms);
        match access.kind {
            AccessKind::Hit => {
                self.requests += 1;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of u32")]
                let weight = self.lanes.weight_of(access.key).unwrap_or(self.mean_weight as u32);
                self.sampled_request(access.key, weight, at);
            }
            AccessKind::Miss => {
                self.requests += 1;
                self.simulated += 1;
                self.lanes.tell_time(at);
                self.work += 1;
                for lane in self.lanes.look_up(access.key).missed() {
                    self.work += 1;
                    self.misses[lane].count(access.key, self.scales[lane]);
                }
            }
            AccessKind::Store { weight, cost_us, .. } => {
                self.mean_weight += (f64::from(weight) - self.mean_weight) / 256.0;
                self.lanes.tell_time(at);
                if cost_us > 0 {
                    self.lanes.load(access.key, weight);
                } else {
                    self.lanes.store(access.key, weight);
                }
                self.keep_within_limits();
            }
            AccessKind::Delete => self.lanes.delete(access.key),
        }
    }

    /// Notes look-ups of keys that were not sampled: all look-ups of the namespace
    /// less those that were fed.
    pub fn skipped(&mut self, look_ups: u64) {
        self.requests += look_ups;
    }

    /// Notes what an entry of the real cache weighs on average, all of it counted: what is
    /// simulated remembers as many evicted keys as that cache does. Call it again as the mean moves.
    pub fn expect_entries(&mut self, mean_weight: f64) {
        if mean_weight.is_finite() && mean_weight >= 1.0 {
            self.entry_bytes = Some(mean_weight);
            self.lanes.expect_weight(mean_weight);
        }
    }

    /// Returns the highest hash that is sampled: for a tap.
    pub fn threshold(&self) -> u64 {
        self.highest.threshold()
    }

    /// Returns the share of keys that is sampled for the smallest size; the larger have less.
    pub fn rate(&self) -> SampleRate {
        self.highest
    }

    /// Returns how many look-ups there were in all.
    pub fn look_ups(&self) -> u64 {
        self.requests
    }

    /// Returns how many of them were simulated.
    pub fn simulated(&self) -> u64 {
        self.simulated
    }

    /// Returns the bytes that were asked of the allocator.
    pub fn memory(&self) -> Bytes {
        let totals = self.misses.capacity() * size_of::<Total>() + self.sizes.capacity() * size_of::<u64>();
        Bytes::new((size_of::<Self>() + totals + self.lanes.bytes()) as u64)
    }

    /// Begins a new window: the curve speaks for what comes from now on. The
    /// simulated caches stay as full as they are.
    pub fn start_window(&mut self) {
        self.misses.fill(Total::ZERO);
        self.window_requests = self.requests;
        self.window_simulated = self.simulated;
    }

    /// Returns the curve of the present window; no points before its first look-up.
    pub fn curve(&self) -> MissRatioCurve {
        self.draw(|misses| (misses.estimate(), misses.standard_error()))
    }

    /// Returns the curve of the present window, given how many look-ups a real
    /// cache of this capacity missed in it: what the sample got wrong there, it got
    /// wrong at other sizes too, and that is taken out of them. Without a simulated
    /// cache of just that capacity it is the plain curve.
    #[expect(clippy::cast_precision_loss, reason = "a number of look-ups")]
    pub fn curve_through(&self, capacity: Bytes, misses: u64) -> MissRatioCurve {
        let Ok(lane) = self.sizes.binary_search(&capacity.get()) else { return self.curve() };
        self.draw(|total| total.corrected_by(&self.misses[lane], misses as f64))
    }

    /// Makes points of estimated totals and their standard errors.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn draw(&self, estimate: impl Fn(&Total) -> (f64, f64)) -> MissRatioCurve {
        let look_ups = self.requests - self.window_requests;
        let all = look_ups as f64;
        let points = self.sizes.iter().zip(&self.misses).filter(|_| look_ups > 0).map(|(size, misses)| {
            let (misses, error) = estimate(misses);
            CurvePoint {
                capacity: Bytes::new(*size),
                miss_ratio: (misses / all).clamp(0.0, 1.0),
                error_bound: error / all * BOUND,
            }
        });
        MissRatioCurve {
            points: points.collect(),
            look_ups,
            simulated: self.simulated - self.window_simulated,
            rate: self.highest.share(),
            entry_bytes: self.entry_bytes,
        }
    }

    fn keep_within_limits(&mut self) {
        let is_over = |this: &Self| this.lanes.keys() > this.options.max_keys.min(65_000);
        // Memory grows in steps, at powers of two, and is asked about rarely.
        let is_heavy = |this: &Self| {
            this.simulated.is_multiple_of(256)
                && this.memory() > this.options.max_bytes
                && this.lanes.keys() > this.options.max_keys / 8
        };
        if let Some(factor) = self.overwork() {
            self.lower_rates(factor, |_, _| true);
        } else if is_over(self) || is_heavy(self) {
            // The caches that know the most keys give the most for the least loss.
            let (highest, share_of) = (self.highest.share(), |rate: &SampleRate| rate.share());
            let may_fall = move |rate: &SampleRate| share_of(rate) * WIDEST > highest;
            let counts: Vec<usize> = (0..self.sizes.len()).map(|size| self.lanes.keys_in(size)).collect();
            let falling = counts.iter().zip(&self.rates).filter(|(_, rate)| may_fall(rate));
            let crowd = falling.map(|(count, _)| *count).max().unwrap_or(0) / 5 * 4;
            self.lower_rates(STEP, |size, rate| crowd == 0 || counts[size] >= crowd && may_fall(rate));
        }
    }

    /// Returns by how much the rates must fall, when the last stretch of requests
    /// made too much work.
    #[expect(clippy::cast_precision_loss, reason = "a limit")]
    fn overwork(&mut self) -> Option<f64> {
        let (requests, work) = (self.requests - self.stretch.0, self.work - self.stretch.1);
        if requests < STRETCH {
            return None;
        }
        self.stretch = (self.requests, self.work);
        let share = requests as f64 * self.options.work_per_request / work as f64;
        (self.work > self.options.head_start && share < 1.0).then(|| share.clamp(0.5, STEP))
    }

    /// Samples no more than `rate` of the keys from now on, as when a tap is told to give
    /// fewer. A rate above the present one changes nothing.
    pub fn lower_to(&mut self, rate: SampleRate) {
        if rate < self.highest {
            let rates = self.rates.iter().map(|own| (*own).min(rate)).collect();
            self.set_rates(rates);
        }
    }

    /// Lowers the rates of some sizes by a factor, and those of larger ones to no more.
    fn lower_rates(&mut self, factor: f64, falls: impl Fn(usize, &SampleRate) -> bool) {
        let mut rates = self.rates.clone();
        let mut most = SampleRate::ALL;
        for (size, rate) in rates.iter_mut().enumerate() {
            if falls(size, rate) {
                *rate = SampleRate::of(rate.share() * factor);
            }
            *rate = (*rate).min(most);
            most = *rate;
        }
        self.set_rates(rates);
    }

    fn set_rates(&mut self, rates: Vec<SampleRate>) {
        self.rates = rates;
        self.scales = self.rates.iter().map(|rate| Scale::at(rate.share())).collect();
        self.highest = self.rates.first().copied().unwrap_or(SampleRate::ALL);
        self.lanes.lower_rates(&self.rates);
    }
}
