//! The demo's load: an open-loop schedule of real HTTP requests at the service.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::MissedTickBehavior};
use veritas_statistics::{Histogram, Rng};

use super::dataset;

/// Connections that the load keeps open.
const CONNECTIONS: usize = 6;
/// Requests that may wait for a connection; beyond it they are counted as shed.
const WAITING: usize = 256;

/// Which requests are played, in requests per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mix {
    /// An author's newest content: scans the table until the index is there.
    pub(super) author_content: f64,
    /// The feed: one statement, and one more for each row.
    pub(super) feed: f64,
    /// The verification of one piece of content: the hot function.
    pub(super) verify: f64,
    /// An unpaginated export.
    pub(super) export: f64,
    /// The verdicts on one piece of content.
    pub(super) verdicts: f64,
    /// An author, through the cache.
    pub(super) author: f64,
    /// A new verdict: a write.
    pub(super) record: f64,
}

impl Mix {
    /// Mostly reads, as a content site sees them.
    pub(super) const READS: Self = Self {
        author_content: 6.0,
        feed: 12.0,
        verify: 30.0,
        export: 2.0,
        verdicts: 30.0,
        author: 30.0,
        record: 10.0,
    };

    /// Writes, as on the day of an import.
    pub(super) const WRITES: Self = Self {
        author_content: 2.0,
        feed: 4.0,
        verify: 4.0,
        export: 0.0,
        verdicts: 0.6,
        author: 4.0,
        record: 400.0,
    };

    fn rates(self) -> [f64; 7] {
        [self.author_content, self.feed, self.verify, self.export, self.verdicts, self.author, self.record]
    }

    /// Returns the requests of one second.
    pub(super) fn requests_per_second(self) -> f64 {
        self.rates().iter().sum()
    }
}

/// What the load has done so far.
#[derive(Debug, Default)]
pub(super) struct LoadCounters {
    /// Requests answered with 2xx.
    pub(super) answered: AtomicU64,
    /// Requests answered otherwise, or not at all.
    pub(super) failed: AtomicU64,
    /// Requests that found every connection busy and the queue full.
    pub(super) shed: AtomicU64,
}

/// A running load. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Load {
    mix: Arc<Mutex<Mix>>,
    counters: Arc<LoadCounters>,
    latencies: Arc<Mutex<Histogram>>,
    _tasks: JoinSet<()>,
}

impl Load {
    /// Starts the load against the service at `address`.
    pub(super) fn start(address: SocketAddr, mix: Mix, seed: u64) -> Self {
        let mix = Arc::new(Mutex::new(mix));
        let counters = Arc::new(LoadCounters::default());
        let latencies = Arc::new(Mutex::new(Histogram::new()));
        let (requests, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        let mut tasks = JoinSet::new();
        tasks.spawn(schedule(Arc::clone(&mix), Arc::clone(&counters), requests, seed));
        for _ in 0..CONNECTIONS {
            tasks.spawn(play(address, Arc::clone(&waiting), Arc::clone(&counters), Arc::clone(&latencies)));
        }
        Self { mix, counters, latencies, _tasks: tasks }
    }

    /// Changes what is played, from now on.
    pub(super) fn set_mix(&self, mix: Mix) {
        *self.mix.lock().unwrap_or_else(PoisonError::into_inner) = mix;
    }

    /// Returns what was done so far.
    pub(super) fn counters(&self) -> &LoadCounters {
        &self.counters
    }

    /// Returns the latencies (ns, from the planned start of each request) since the last call.
    pub(super) fn take_latencies(&self) -> Histogram {
        std::mem::take(&mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One planned request.
struct Planned {
    method: Method,
    path: String,
    due: tokio::time::Instant,
}

async fn schedule(
    mix: Arc<Mutex<Mix>>,
    counters: Arc<LoadCounters>,
    requests: mpsc::Sender<Planned>,
    seed: u64,
) {
    const TICK: Duration = Duration::from_millis(5);
    let mut rng = Rng::new(seed);
    let mut owed = [0.0_f64; 7];
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let due = ticks.tick().await;
        let rates = mix.lock().unwrap_or_else(PoisonError::into_inner).rates();
        for (kind, rate) in rates.into_iter().enumerate() {
            owed[kind] += rate * TICK.as_secs_f64();
            while owed[kind] >= 1.0 {
                owed[kind] -= 1.0;
                let (method, path) = request(kind, &mut rng);
                if requests.try_send(Planned { method, path, due }).is_err() {
                    counters.shed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

fn request(kind: usize, rng: &mut Rng) -> (Method, String) {
    // Squaring a uniform draw makes low numbers popular, as real content is.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the product lies in 0..of"
    )]
    let mut popular = |of: u64| 1 + (rng.next_f64().powi(3) * of as f64) as u64;
    match kind {
        0 => (Method::GET, format!("/authors/{}/content", 1 + rng.below(dataset::AUTHORS))),
        1 => (Method::GET, format!("/feed?page={}", rng.below(50))),
        2 => (Method::GET, format!("/content/{}/verification", popular(60))),
        3 => (Method::GET, format!("/export/{}", dataset::kind(rng.below(dataset::KINDS)))),
        4 => (Method::GET, format!("/content/{}/verdicts", 1 + rng.below(dataset::VERIFIED_CONTENT))),
        5 => (Method::GET, format!("/authors/{}", popular(dataset::AUTHORS))),
        _ => (
            Method::POST,
            format!("/verifications/{}?verdict={}", 1 + rng.below(dataset::VERIFICATIONS), rng.below(4)),
        ),
    }
}

async fn play(
    address: SocketAddr,
    waiting: Arc<tokio::sync::Mutex<mpsc::Receiver<Planned>>>,
    counters: Arc<LoadCounters>,
    latencies: Arc<Mutex<Histogram>>,
) {
    let mut connection = None;
    loop {
        let Some(planned) = waiting.lock().await.recv().await else { return };
        let sender = match connection.take() {
            Some(sender) => Ok(sender),
            None => connect(address).await,
        };
        let answered = match sender {
            Ok(mut sender) => {
                let answer = send(&mut sender, address, &planned).await;
                if answer.is_some() {
                    connection = Some(sender);
                }
                answer
            }
            Err(_) => None,
        };
        match answered {
            Some(true) => {
                counters.answered.fetch_add(1, Ordering::Relaxed);
                let nanos = u64::try_from(planned.due.elapsed().as_nanos()).unwrap_or(u64::MAX);
                latencies.lock().unwrap_or_else(PoisonError::into_inner).record(nanos);
            }
            Some(false) | None => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

async fn connect(
    address: SocketAddr,
) -> Result<http1::SendRequest<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends one request; `None` when the connection is of no more use, else whether it was answered with 2xx.
async fn send(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    address: SocketAddr,
    planned: &Planned,
) -> Option<bool> {
    let request = Request::builder()
        .method(planned.method.clone())
        .uri(&planned.path)
        .header(hyper::header::HOST, address.to_string())
        .body(Empty::new())
        .ok()?;
    sender.ready().await.ok()?;
    let answer = sender.send_request(request).await.ok()?;
    let is_success = answer.status().is_success();
    answer.into_body().collect().await.ok()?;
    Some(is_success)
}
