//! Serving: what waits is packed into round trips, sent, and answered within its deadline.

use std::sync::Arc;

use redis::Value;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Detour, Link, Lost, Node, Shared, Source, Wire,
    attach::Connection,
    cluster::{self, Redirect},
    jittered,
    pack::{Packed, Place},
    work::{Answers, Ask, Work, enqueue},
};
use crate::{
    counters::add,
    error::{TierError, answer},
};

/// How many round trips may be on their way at once. What comes while all are is
/// packed together, so more would only make the packets smaller.
const TRIPS: usize = 8;

/// How many keys or commands travel together.
pub(crate) const TRIP_LENGTH: usize = 512;

/// After how long a demoted server may be left again: when no other takes its place,
/// its reads are still worth more than an endless reconnecting.
const DEMOTED_PAUSE: std::time::Duration = std::time::Duration::from_secs(10);

/// How often the sentinels are asked whether the primary is still the same, at least. One that
/// lost its part in a failover is told so by them after eight seconds only, or never when
/// they do not reach it, and takes writes until then, which are lost.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Whether a round trip ended with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Outcome {
    /// None came in time.
    #[default]
    Silence,
    Answer,
    /// The connection is broken.
    Break,
}

/// What became of a round trip.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    outcome: Outcome,
    /// The server said that it takes no writes.
    demoted: bool,
    /// Nobody called: we only wanted to know.
    heartbeat: bool,
    /// Calls that had no answer, or one that says the server is not ready.
    failed: u32,
}

impl Link {
    /// Serves until the connection is lost or nobody needs it.
    pub(super) async fn serve(&mut self, connection: Connection) -> Lost {
        let heartbeat = self.shared.options.breaker.heartbeat;
        let borrowed = matches!(self.source, Source::Borrowed(_));
        let mut trips: JoinSet<Verdict> = JoinSet::new();
        let mut arrived = Vec::new();
        let mut beat = Instant::now() + heartbeat;
        let mut beating = false;
        let mut closing = false;
        let (mut looks, mut look) = (JoinSet::new(), Instant::now() + jittered(LOOK));
        loop {
            while trips.len() < TRIPS
                && let Some(trip) = self.next_trip()
            {
                trips.spawn(trip.run(connection.wire.duplicate()));
            }
            if closing && trips.is_empty() && self.waiting.is_empty() {
                return Lost::Closed;
            }
            let expiry = self.waiting.front().map(|work| work.expires);
            tokio::select! {
                biased;
                () = connection.closed.notified() => return Lost::Disconnected,
                Some(verdict) = trips.join_next() => {
                    // A trip that panicked is our own bug: its calls are answered, the connection is not trusted.
                    let Ok(verdict) = verdict else { return Lost::Disconnected };
                    beating &= !verdict.heartbeat;
                    if let Some(lost) = self.judge(verdict, borrowed) {
                        return lost;
                    }
                    beat = Instant::now();
                    if verdict.outcome == Outcome::Answer {
                        beat += heartbeat;
                    }
                }
                count = self.works.recv_many(&mut arrived, TRIP_LENGTH), if !closing => {
                    closing = count == 0;
                    arrived.drain(..).for_each(|work| enqueue(&mut self.waiting, work));
                }
                () = sleep_until(expiry.unwrap_or(beat)), if expiry.is_some() => {
                    if self.expire_waiting() {
                        return Lost::Silent;
                    }
                }
                Some(named) = looks.join_next() => {
                    // Sentinels that do not answer say nothing of the primary.
                    if let Ok(Some(named)) = named && connection.primary.as_ref() != Some(&named) {
                        return Lost::Demoted;
                    }
                }
                () = sleep_until(look), if self.finds_the_primary() && looks.is_empty() => {
                    look = Instant::now() + jittered(LOOK);
                    if let Some(asking) = self.source.look(self.shared.options.connect_timeout) {
                        looks.spawn(asking);
                    }
                }
                // Also beside a command that may take long: the others' news come over this connection.
                () = sleep_until(beat), if !borrowed && !beating => {
                    beating = true;
                    trips.spawn(self.trip(Vec::new(), 0).run(connection.wire.duplicate()));
                }
            }
        }
    }

    fn judge(&mut self, verdict: Verdict, borrowed: bool) -> Option<Lost> {
        if verdict.outcome == Outcome::Break {
            return Some(if borrowed { Lost::Silent } else { Lost::Disconnected });
        }
        // A heartbeat is small: its answer does not make up for calls that had none.
        if verdict.outcome == Outcome::Answer && verdict.failed == 0 && !(verdict.heartbeat && self.suspect) {
            self.suspect = false;
            self.node.breaker.succeeded();
        }
        self.suspect |= verdict.failed > 0 && !verdict.heartbeat;
        if verdict.failed > 0 && self.node.breaker.failed(verdict.failed) {
            return Some(Lost::Silent);
        }
        if verdict.demoted && !borrowed && matches!(self.detour, Detour::None) {
            let now = Instant::now();
            if self.left_demoted.is_none_or(|left| now >= left + DEMOTED_PAUSE) || self.finds_the_primary() {
                self.left_demoted = Some(now);
                return Some(Lost::Demoted);
            }
        }
        None
    }

    /// Returns whether connecting again looks for the primary.
    fn finds_the_primary(&self) -> bool {
        matches!(self.source, Source::Sentinel { .. })
    }

    /// Packs what waits, in order, up to the length of a trip.
    fn next_trip(&mut self) -> Option<Trip> {
        let now = Instant::now();
        let mut works = Vec::new();
        let mut length = 0;
        while let Some(work) = self.waiting.front() {
            if length > 0 && length + work.ask.len() > TRIP_LENGTH {
                break;
            }
            let Some(work) = self.waiting.pop_front() else { break };
            if work.expires <= now {
                work.fail(TierError::TimedOut);
            } else if !work.is_abandoned() {
                length += work.ask.len();
                works.push(work);
            }
        }
        (!works.is_empty()).then(|| self.trip(works, length))
    }

    fn trip(&self, works: Vec<Work>, length: usize) -> Trip {
        let detour = match &self.detour {
            Detour::None => None,
            Detour::Cluster(router) => Some(router.clone()),
        };
        let works = works.into_iter().map(Some).collect();
        Trip { shared: Arc::clone(&self.shared), node: Arc::clone(&self.node), works, length, detour }
    }
}

/// Works that travel together; none of them: a heartbeat.
struct Trip {
    shared: Arc<Shared>,
    node: Arc<Node>,
    /// In the order of their replies; `None` is one whose caller was told that it took too long.
    works: Vec<Option<Work>>,
    length: usize,
    /// The router, on a cluster.
    detour: Option<mpsc::UnboundedSender<Redirect>>,
}

impl Trip {
    async fn run(mut self, mut wire: Box<dyn Wire>) -> Verdict {
        let verdict = Verdict { heartbeat: self.works.is_empty(), ..Verdict::default() };
        let mut verdict = self.go(&mut *wire, self.detour.is_some(), verdict).await;
        if !self.works.is_empty() {
            // Keys that were refused together are asked for one by one: one of them
            // may be forbidden to us, and the others have nothing to do with it.
            let again = self.go(&mut *wire, true, Verdict::default()).await;
            verdict = Verdict { demoted: verdict.demoted, failed: verdict.failed + again.failed, ..again };
        }
        verdict
    }

    /// Goes there and back once. What is left in `works` was refused together with others' keys.
    async fn go(&mut self, wire: &mut dyn Wire, singly: bool, verdict: Verdict) -> Verdict {
        let packed = Packed::pack(&mut self.works, self.length, singly, self.detour.is_some());
        if packed.reads {
            add(&self.shared.counters.read_trips, 1);
        }
        let heartbeat = Instant::now() + self.shared.options.deadline;
        let mut sent = packed.send(wire);
        loop {
            let expiry = self.works.iter().flatten().map(|work| work.expires).min().unwrap_or(heartbeat);
            match timeout_at(expiry, &mut sent).await {
                Ok(Ok(values)) => {
                    drop(sent);
                    return self.settle(packed.places, values, singly, verdict);
                }
                Ok(Err(error)) if error.code().is_some() => {
                    // An application's connection may return a server's error in place of an answer.
                    let error = TierError::of_client(&error);
                    let reads = self.works.iter().flatten().all(|work| matches!(work.ask, Ask::Get(_)));
                    if singly || error.is_outage() || !reads {
                        self.works.drain(..).flatten().for_each(|work| work.fail(error));
                    }
                    return Verdict {
                        outcome: Outcome::Answer,
                        failed: u32::from(error.is_outage()),
                        ..verdict
                    };
                }
                Ok(Err(error)) => {
                    let error = TierError::of_client(&error);
                    tracing::debug!(node = self.node.name, %error, "a redis connection failed");
                    self.works.drain(..).flatten().for_each(|work| work.fail(error));
                    return Verdict { outcome: Outcome::Break, ..verdict };
                }
                Err(_) => {
                    let now = Instant::now();
                    let mut failed = 0;
                    for place in &mut self.works {
                        if let Some(work) = place.take_if(|work| work.expires <= now) {
                            work.fail(TierError::TimedOut);
                            failed += 1;
                        }
                    }
                    if self.works.iter().all(Option::is_none) {
                        return Verdict { failed: failed.max(1), ..verdict };
                    }
                }
            }
        }
    }

    /// Gives every work its share of the answers, but for those whose keys were refused together.
    fn settle(
        &mut self,
        places: Vec<Place>,
        values: Vec<Value>,
        singly: bool,
        mut verdict: Verdict,
    ) -> Verdict {
        verdict.outcome = Outcome::Answer;
        let works = std::mem::take(&mut self.works);
        if verdict.heartbeat {
            // What counts is whether the server is ready.
            let unready = values.into_iter().any(|value| answer(value).is_err_and(TierError::is_outage));
            verdict.failed = u32::from(unready);
            return verdict;
        }
        let mut replies = values.into_iter();
        let mut shared = Vec::new().into_iter();
        let mut refused = None;
        for (work, place) in works.into_iter().zip(places) {
            let answers = match place {
                Place::Shared { first, length } => {
                    if first {
                        refused = None;
                        match replies.next() {
                            Some(Value::Array(values)) => shared = values.into_iter(),
                            Some(Value::ServerError(error)) => refused = Some(TierError::of_server(&error)),
                            _ => refused = Some(TierError::Unexpected),
                        }
                    }
                    match refused {
                        Some(error) if !singly && !error.is_outage() => {
                            self.works.extend(work.map(Some));
                            continue;
                        }
                        Some(error) => Answers::Failed(error),
                        // The usual case keeps the memory that the values came in.
                        None if shared.len() == length => Answers::Raw(std::mem::take(&mut shared).collect()),
                        None => Answers::Raw(shared.by_ref().take(length).collect()),
                    }
                }
                Place::Each { length, asking } => {
                    if asking {
                        // The answers to ASKING and to the command take turns.
                        Answers::Raw(replies.by_ref().take(2 * length).skip(1).step_by(2).collect())
                    } else {
                        Answers::Raw(replies.by_ref().take(length).collect())
                    }
                }
            };
            verdict.note(&answers);
            let Some(work) = work else { continue };
            match &self.detour {
                Some(router) => {
                    cluster::answer_or_redirect(work, answers, &self.node, router, &self.shared.counters);
                }
                None => work.answer(answers),
            }
        }
        verdict
    }
}

impl Verdict {
    /// Looks for errors that say something of the server and not of a key.
    fn note(&mut self, answers: &Answers) {
        let mut unready = false;
        let mut see = |error: TierError| match error {
            TierError::Loading => unready = true,
            TierError::ReadOnly => self.demoted = true,
            _ => {}
        };
        match answers {
            Answers::Raw(values) => {
                for value in values {
                    if let Value::ServerError(error) = value {
                        see(TierError::of_server(error));
                    }
                }
            }
            Answers::Failed(error) => see(*error),
            Answers::Each(_) => {}
        }
        self.failed += u32::from(unready);
    }
}
