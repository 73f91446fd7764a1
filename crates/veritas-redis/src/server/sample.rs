//! Samples of keys: which keys are looked at, what is asked of them, what follows for all.
//!
//! Two kinds of looks, because they answer two questions. Keys *drawn* at random stand
//! for all keys: shares and means come from them. Keys *scanned*, the next few of the
//! server's own order in each reading, are how the few big and hot ones are found,
//! which a sample would miss; what was found is remembered and looked at again.

mod conclude;
mod estimate;

use std::collections::HashMap;

use redis::{Cmd, Value, cmd};
use veritas_cache::server::{NotRead, Section};

use self::estimate::uses_of;
use super::reply::{accepted, bytes, count, integer, items, text};
pub(super) use conclude::conclude;

/// Keys drawn at random in one reading: shares are within 5 points then.
pub(super) const DRAWN: usize = 400;

/// Keys scanned in one reading, about.
pub(super) const SCANNED: usize = 1_000;

/// How many keys one `SCAN` may bring at most; more are left for the next pass. It
/// may bring more than it was asked for where many keys share a place of the table.
const SCAN_BOUND: usize = 4 * SCANNED;

/// How many big keys, hot keys and patterns are kept.
const KEPT: usize = 16;

/// Keys longer than this are not looked at: the question would cost more than the answer tells.
const LONGEST_KEY: usize = 4_096;

/// What is remembered of a node from one reading to the next.
#[derive(Debug, Default, Clone)]
pub(super) struct Remembered {
    /// Where the scan goes on; the server's own word for it.
    cursor: Option<Vec<u8>>,
    passes: u64,
    /// The biggest and the most used keys seen so far, `KEPT` of each at most.
    biggest: Vec<Vec<u8>>,
    hottest: Vec<Vec<u8>>,
}

impl Remembered {
    /// Returns the commands that choose the keys of a reading: they go with the first
    /// questions, and cost the server about a millisecond.
    pub(super) fn choosing(&self) -> Vec<Cmd> {
        let mut scan = cmd("SCAN");
        scan.arg(self.cursor.as_deref().unwrap_or(b"0")).arg("COUNT").arg(SCANNED);
        let mut commands = vec![scan];
        commands.extend((0..DRAWN).map(|_| cmd("RANDOMKEY")));
        commands
    }

    /// Takes the replies to [`Self::choosing`].
    pub(super) fn choose(&mut self, replies: &[Value], counts_uses: bool) -> Chosen {
        let (scan, random) =
            replies.split_first().map_or((None, replies), |(scan, random)| (Some(scan), random));
        let scanned = self.read_scan(scan);
        let drawn = accepted("RANDOMKEY", random.first()).map(|_| {
            random
                .iter()
                .filter_map(bytes)
                .filter(|key| key.len() <= LONGEST_KEY)
                .map(<[u8]>::to_vec)
                .collect()
        });
        let mut chosen = Chosen { drawn, scanned: Ok(0), keys: Vec::new(), counts_uses };
        let mut seen = HashMap::new();
        let mut add = |key: &[u8], why: fn(&mut Looked)| {
            let place = *seen.entry(key.to_vec()).or_insert_with(|| {
                chosen.keys.push(Looked { key: key.to_vec(), ..Looked::default() });
                chosen.keys.len() - 1
            });
            why(&mut chosen.keys[place]);
        };
        for key in chosen.drawn.iter().flatten() {
            add(key, |looked| looked.draws += 1);
        }
        for key in scanned.iter().flatten() {
            add(key, |_| ());
        }
        for key in self.biggest.iter().chain(&self.hottest) {
            add(key, |_| ());
        }
        chosen.scanned = scanned.map(|keys| keys.len() as u64);
        chosen
    }

    fn read_scan(&mut self, reply: Option<&Value>) -> Section<Vec<Vec<u8>>> {
        const COMMAND: &str = "SCAN";
        let parts = accepted(COMMAND, reply).inspect_err(|_| self.cursor = None)?;
        let read = || {
            let parts = items(parts)?;
            let cursor = bytes(parts.first()?)?.to_vec();
            let keys = items(parts.get(1)?)?.iter().filter_map(bytes).filter(|key| key.len() <= LONGEST_KEY);
            Some((cursor, keys.take(SCAN_BOUND).map(<[u8]>::to_vec).collect()))
        };
        let (cursor, keys) = read().ok_or(NotRead::Unreadable { command: COMMAND })?;
        self.passes += u64::from(cursor == b"0");
        self.cursor = Some(cursor);
        Ok(keys)
    }
}

/// The keys of one reading.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The keys drawn, each as often as it was.
    drawn: Section<Vec<Vec<u8>>>,
    scanned: Section<u64>,
    keys: Vec<Looked>,
    counts_uses: bool,
}

/// A key and what is known of it.
#[derive(Debug, Default)]
struct Looked {
    key: Vec<u8>,
    draws: u64,
    size: Option<u64>,
    /// Whether it never expires.
    lasts: Option<bool>,
    counter: Option<u8>,
    kind: Option<String>,
}

/// A question about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Size,
    Ttl,
    Counter,
    Kind,
}

impl Question {
    const fn command(self) -> &'static str {
        match self {
            Self::Size => "MEMORY USAGE",
            Self::Ttl => "PTTL",
            Self::Counter => "OBJECT FREQ",
            Self::Kind => "TYPE",
        }
    }

    /// Tells whether the server counts it as a look-up of the key: `MEMORY USAGE` is
    /// the one that does not (`lookupKeyReadWithFlags` in `db.c` of Redis 7).
    const fn counts_as_hit(self) -> bool {
        !matches!(self, Self::Size)
    }

    fn about(self, key: &[u8]) -> Cmd {
        let (name, rest) = self.command().split_once(' ').unwrap_or((self.command(), ""));
        let mut command = cmd(name);
        if !rest.is_empty() {
            command.arg(rest);
        }
        command.arg(key);
        command
    }
}

/// The questions of one reading, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Questions {
    asked: Vec<(Question, usize)>,
    /// Why a kind of question was refused.
    refused: Vec<(Question, NotRead)>,
    answered: usize,
    probes: u64,
}

impl Chosen {
    /// Returns what is to be asked of the keys.
    pub(super) fn questions(&self) -> Questions {
        let mut asked = Vec::new();
        // Drawn keys first, whole: if time runs out, what was asked is a sample still.
        for drawn in [true, false] {
            for (place, looked) in
                self.keys.iter().enumerate().filter(|(_, looked)| (looked.draws > 0) == drawn)
            {
                if looked.draws > 0 {
                    asked.push((Question::Ttl, place));
                }
                asked.push((Question::Size, place));
                if self.counts_uses {
                    asked.push((Question::Counter, place));
                }
            }
        }
        Questions::new(asked)
    }

    /// Returns what is to be asked of the biggest keys, once those are known.
    pub(super) fn last_questions(&self) -> Questions {
        Questions::new(self.biggest().into_iter().map(|place| (Question::Kind, place)).collect())
    }

    /// Returns the places of the biggest keys, biggest first.
    fn biggest(&self) -> Vec<usize> {
        self.top(|looked| looked.size.map(|size| (size, 0)))
    }

    /// Returns the places of the most used keys. Counters of keys that are new or
    /// unused say nothing.
    fn hottest(&self) -> Vec<usize> {
        let used = |looked: &Looked| looked.counter.filter(|counter| uses_of(*counter) > 0.0);
        self.top(|looked| used(looked).map(|counter| (u64::from(counter), looked.size.unwrap_or(0))))
    }

    fn top(&self, by: impl Fn(&Looked) -> Option<(u64, u64)>) -> Vec<usize> {
        let mut places: Vec<((u64, u64), usize)> =
            self.keys.iter().enumerate().filter_map(|(place, looked)| Some((by(looked)?, place))).collect();
        places.sort_unstable_by_key(|(value, place)| (std::cmp::Reverse(*value), *place));
        places.truncate(KEPT);
        places.into_iter().map(|(_, place)| place).collect()
    }

    fn take(&mut self, question: Question, place: usize, reply: &Value) {
        let Some(looked) = self.keys.get_mut(place) else { return };
        match question {
            Question::Size => looked.size = count(reply),
            // -1 never expires, -2 is gone.
            Question::Ttl => looked.lasts = integer(reply).filter(|left| *left >= -1).map(|left| left == -1),
            Question::Counter => looked.counter = count(reply).and_then(|counter| u8::try_from(counter).ok()),
            Question::Kind => looked.kind = text(reply).map(|kind| kind.chars().take(32).collect()),
        }
    }
}

impl Questions {
    fn new(asked: Vec<(Question, usize)>) -> Self {
        Self { asked, refused: Vec::new(), answered: 0, probes: 0 }
    }

    /// Returns the next questions, `most` at most; none when all are answered.
    /// A kind that was refused is not asked again.
    pub(super) fn next(&mut self, chosen: &Chosen, most: usize) -> Vec<Cmd> {
        let rest = self.asked.split_off(self.answered.min(self.asked.len()));
        self.asked
            .extend(rest.into_iter().filter(|(kind, _)| self.refused.iter().all(|(other, _)| other != kind)));
        let rest = self.asked[self.answered..].iter().take(most);
        rest.map(|(question, place)| question.about(&chosen.keys[*place].key)).collect()
    }

    /// Takes the answers to the last questions.
    pub(super) fn answer(&mut self, chosen: &mut Chosen, replies: &[Value]) {
        for (reply, (question, place)) in replies.iter().zip(&self.asked[self.answered..]) {
            self.probes += u64::from(question.counts_as_hit());
            match accepted(question.command(), Some(reply)) {
                Ok(reply) => chosen.take(*question, *place, reply),
                // The key is gone, which `OBJECT` calls an error in some versions.
                Err(NotRead::Refused { .. }) => {}
                Err(why) => {
                    if self.refused.iter().all(|(other, _)| other != question) {
                        self.refused.push((*question, why));
                    }
                }
            }
        }
        self.answered = (self.answered + replies.len()).min(self.asked.len());
    }

    /// Returns why `question` has no answers.
    fn refusal(&self, question: Question) -> NotRead {
        let refused = self.refused.iter().find(|(other, _)| *other == question);
        refused.map_or(NotRead::TimedOut, |(_, why)| why.clone())
    }
}
