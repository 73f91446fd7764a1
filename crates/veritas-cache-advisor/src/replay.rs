//! Replays of a trace: what sizes and times to live would have made of it.

use std::{ops::ControlFlow, time::Duration};

use veritas_model::Bytes;

use crate::{
    curve::{EstimatorOptions, MissRatioCurve, MissRatioEstimator, SizeAdvice, advise_size},
    simulate::{Engine, Lru, Policy},
    time_to_live::{TtlCurve, TtlEstimator, TtlOptions},
    trace::{Operation, TraceError, TraceRequest},
};

/// What is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayOptions {
    /// The capacities to look at; the first sixteen count.
    pub sizes: Vec<Bytes>,
    /// The times to live to look at; the first twenty count.
    pub times: Vec<Duration>,
    /// Whether each size is replayed in full too, with the real engine: slower, and
    /// memory grows with the sizes.
    pub exact: bool,
    /// Whether each size is replayed with LRU too, to compare.
    pub lru: bool,
    /// The engine's parameters; [`Policy::ENTRIES`] makes every entry weigh one.
    pub policy: Policy,
    /// After how many requests progress is reported.
    pub report_every: u64,
    /// How far from the best miss ratio the advised size may be.
    pub regret: f64,
}

impl ReplayOptions {
    /// Sixteen sizes from 64 KiB to about 57 GiB, each two and a half times the one before.
    pub fn in_bytes() -> Self {
        Self { sizes: geometric(64 * 1024), policy: Policy::BYTES, ..Self::in_entries() }
    }

    /// Sixteen sizes from 16 to about 15 million entries.
    pub fn in_entries() -> Self {
        Self {
            sizes: geometric(16),
            times: TtlOptions::default().times,
            exact: false,
            lru: false,
            policy: Policy::ENTRIES,
            report_every: 1 << 20,
            regret: 0.01,
        }
    }
}

fn geometric(smallest: u64) -> Vec<Bytes> {
    std::iter::successors(Some(smallest), |size| Some(size / 2 * 5)).take(16).map(Bytes::new).collect()
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Requests so far.
    pub requests: u64,
}

/// What one size would have missed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizeRow {
    /// The capacity.
    pub capacity: Bytes,
    /// The share of look-ups that misses, estimated from a sample of the keys.
    pub estimated: f64,
    /// How far off that may be.
    pub error_bound: f64,
    /// The same of a full replay, if asked for.
    pub exact: Option<f64>,
    /// The same of a full replay with LRU, if asked for.
    pub lru: Option<f64>,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayReport {
    /// Requests of any kind.
    pub requests: u64,
    /// Look-ups.
    pub look_ups: u64,
    /// Writes.
    pub writes: u64,
    /// Deletes.
    pub deletes: u64,
    /// From the first request to the last.
    pub span: Duration,
    /// The share of keys that were sampled in the end, at the smallest size.
    pub rate: f64,
    /// What the sizes would have missed, ascending.
    pub sizes: Vec<SizeRow>,
    /// What times to live would have hit. A trace does not tell what the values
    /// were, so staleness is not known.
    pub times: TtlCurve,
    /// The size that is advised, on exact figures where there are some.
    pub advice: Option<SizeAdvice>,
    /// Whether it was told to stop before the trace ended.
    pub stopped: bool,
}

/// A replay under way.
pub struct Replay {
    options: ReplayOptions,
    estimator: MissRatioEstimator,
    times: TtlEstimator,
    engines: Vec<Full>,
    report: ReplayReport,
    began_at: Option<Duration>,
}

/// A size that is replayed in full.
struct Full {
    engine: Option<Engine>,
    misses: u64,
    lru: Option<Lru>,
    lru_misses: u64,
}

impl Replay {
    /// Creates a replay that has seen nothing.
    pub fn new(mut options: ReplayOptions) -> Self {
        options.sizes.truncate(crate::simulate::LANES);
        options.sizes.sort_unstable();
        options.sizes.dedup();
        let estimating = EstimatorOptions { policy: options.policy, ..EstimatorOptions::default() };
        let full = |size: &Bytes| Full {
            engine: options.exact.then(|| Engine::new(&options.policy, size.get())),
            misses: 0,
            lru: options.lru.then(|| Lru::new(size.get())),
            lru_misses: 0,
        };
        Self {
            estimator: MissRatioEstimator::new(&options.sizes, estimating),
            times: TtlEstimator::new(&TtlOptions { times: options.times.clone(), ..TtlOptions::default() }),
            engines: options.sizes.iter().map(full).collect(),
            report: ReplayReport {
                requests: 0,
                look_ups: 0,
                writes: 0,
                deletes: 0,
                span: Duration::ZERO,
                rate: 1.0,
                sizes: Vec::new(),
                times: TtlCurve::default(),
                advice: None,
                stopped: false,
            },
            began_at: None,
            options,
        }
    }

    /// Replays a whole trace. `progress` is called from time to time, and can stop it.
    ///
    /// # Errors
    ///
    /// The first error of the trace. What came before it is lost; call
    /// [`request`](Self::request) yourself to keep it.
    pub fn run(
        mut self,
        trace: impl Iterator<Item = Result<TraceRequest, TraceError>>,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ReplayReport, TraceError> {
        for request in trace {
            self.request(&request?);
            let requests = self.report.requests;
            if requests.is_multiple_of(self.options.report_every.max(1))
                && progress(Progress { requests }).is_break()
            {
                self.report.stopped = true;
                break;
            }
        }
        Ok(self.report())
    }

    /// Replays one request.
    pub fn request(&mut self, request: &TraceRequest) {
        let weight = if self.options.policy == Policy::ENTRIES { 1 } else { request.size };
        let (key, at) = (request.key, request.at);
        let began_at = *self.began_at.get_or_insert(at);
        self.report.span = at.saturating_sub(began_at);
        self.report.requests += 1;
        match request.operation {
            Operation::Get => {
                self.report.look_ups += 1;
                self.estimator.request(key, weight, at);
                self.times.look_up(key, at);
                for full in &mut self.engines {
                    full.misses +=
                        full.engine.as_mut().map_or(0, |cache| u64::from(!cache.request(key, weight)));
                    full.lru_misses +=
                        full.lru.as_mut().map_or(0, |cache| u64::from(!cache.request(key, weight)));
                }
            }
            Operation::Set => {
                self.report.writes += 1;
                self.estimator.write(key, weight, at);
                for full in &mut self.engines {
                    if let Some(engine) = &mut full.engine {
                        engine.store(key, weight);
                    }
                    if let Some(lru) = &mut full.lru {
                        lru.delete(key);
                        lru.request(key, weight);
                    }
                }
            }
            Operation::Delete => {
                self.report.deletes += 1;
                self.estimator.delete(key);
                for full in &mut self.engines {
                    if let Some(engine) = &mut full.engine {
                        engine.delete(key);
                    }
                    if let Some(lru) = &mut full.lru {
                        lru.delete(key);
                    }
                }
            }
        }
    }

    /// Returns what was found so far.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn report(&self) -> ReplayReport {
        let look_ups = self.report.look_ups;
        let share = |misses: u64| if look_ups == 0 { 0.0 } else { misses as f64 / look_ups as f64 };
        let curve = self.estimator.curve();
        let row = |(point, full): (&crate::CurvePoint, &Full)| SizeRow {
            capacity: point.capacity,
            estimated: point.miss_ratio,
            error_bound: point.error_bound,
            exact: full.engine.as_ref().map(|_| share(full.misses)),
            lru: full.lru.as_ref().map(|_| share(full.lru_misses)),
        };
        let sizes: Vec<SizeRow> = curve.points.iter().zip(&self.engines).map(row).collect();
        let points = curve.points.iter().zip(&sizes).map(|(point, row)| crate::CurvePoint {
            miss_ratio: row.exact.unwrap_or(point.miss_ratio),
            error_bound: if row.exact.is_some() { 0.0 } else { point.error_bound },
            ..*point
        });
        let best_known = MissRatioCurve { points: points.collect(), ..curve.clone() };
        ReplayReport {
            rate: curve.rate,
            advice: advise_size(&best_known, self.options.regret),
            sizes,
            times: self.times.curve(),
            ..self.report.clone()
        }
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("options", &self.options).finish_non_exhaustive()
    }
}
