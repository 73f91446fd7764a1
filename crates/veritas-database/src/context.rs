//! The context of a thread: the labels and requests that statements run in.
//!
//! Two stacks per thread. Every frame has an identity, and leaving takes the
//! frame with that identity out, wherever it is: guards that are dropped out of
//! order, or a future that moves to another thread, leave nothing behind.

use std::{
    borrow::Cow,
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{fingerprint::hash_key, recorder::Entry, scope::REPETITIONS};

/// Different statements that are counted in one request; further ones are not
/// looked at for repetitions.
const STATEMENTS_PER_REQUEST: usize = 256;

static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);

fn next_identity() -> u64 {
    NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed)
}

/// A label that statements run under.
#[derive(Debug)]
pub(crate) struct LabelFrame {
    pub(crate) identity: u64,
    pub(crate) name: Cow<'static, str>,
    pub(crate) hash: u64,
    /// Statements recorded inside.
    pub(crate) statements: u64,
}

impl LabelFrame {
    pub(crate) fn new(name: Cow<'static, str>) -> Self {
        Self { identity: next_identity(), hash: hash_key(name.as_bytes()), name, statements: 0 }
    }
}

/// A request, and the statements that it has run.
#[derive(Debug)]
pub(crate) struct RequestFrame {
    pub(crate) identity: u64,
    pub(crate) name: Cow<'static, str>,
    statements: Vec<Repeated>,
}

/// A statement in one request.
#[derive(Debug)]
struct Repeated {
    entry: Arc<Entry>,
    calls: u64,
    seconds: f64,
    /// Hashes of the first different keys.
    keys: [u64; REPETITIONS],
    different: usize,
    /// Whether a call's key could not be told.
    is_key_unknown: bool,
}

impl RequestFrame {
    pub(crate) fn new(name: Cow<'static, str>) -> Self {
        Self { identity: next_identity(), name, statements: Vec::new() }
    }

    /// Counts one call; `key` is a hash of what the statement looked up, `None`
    /// when that is not known.
    pub(crate) fn count(&mut self, entry: &Arc<Entry>, key: Option<u64>, seconds: f64) {
        let known = self.statements.iter().rposition(|repeated| Arc::ptr_eq(&repeated.entry, entry));
        let repeated = match known {
            Some(index) => &mut self.statements[index],
            None if self.statements.len() < STATEMENTS_PER_REQUEST => {
                self.statements.push(Repeated {
                    entry: Arc::clone(entry),
                    calls: 0,
                    seconds: 0.0,
                    keys: [0; REPETITIONS],
                    different: 0,
                    is_key_unknown: false,
                });
                let last = self.statements.len() - 1;
                &mut self.statements[last]
            }
            None => return,
        };
        repeated.calls += 1;
        repeated.seconds += seconds;
        match key {
            None => repeated.is_key_unknown = true,
            Some(key) => {
                let different = repeated.different;
                if different < REPETITIONS && !repeated.keys[..different].contains(&key) {
                    repeated.keys[different] = key;
                    repeated.different += 1;
                }
            }
        }
    }

    /// Ends the request: what it repeated is added to the statements' statistics.
    pub(crate) fn fold(self) {
        for repeated in self.statements {
            let is_repeating = repeated.calls >= REPETITIONS as u64
                && (repeated.is_key_unknown || repeated.different >= REPETITIONS);
            repeated.entry.add_request(&self.name, repeated.calls, repeated.seconds, is_repeating);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) labels: Vec<LabelFrame>,
    pub(crate) requests: Vec<RequestFrame>,
}

thread_local! {
    static CONTEXT: RefCell<Context> = const { RefCell::new(Context { labels: Vec::new(), requests: Vec::new() }) };
}

/// Runs `work` with the thread's context; `None` while the thread is being torn
/// down or inside another `with`.
pub(crate) fn with<R>(work: impl FnOnce(&mut Context) -> R) -> Option<R> {
    CONTEXT
        .try_with(|context| context.try_borrow_mut().ok().map(|mut context| work(&mut context)))
        .ok()
        .flatten()
}

pub(crate) fn push_request(frame: RequestFrame) -> u64 {
    let identity = frame.identity;
    with(|context| context.requests.push(frame));
    identity
}

pub(crate) fn take_request(identity: u64) -> Option<RequestFrame> {
    with(|context| {
        let index = context.requests.iter().rposition(|frame| frame.identity == identity)?;
        Some(context.requests.remove(index))
    })
    .flatten()
}

pub(crate) fn push_label(frame: LabelFrame) -> u64 {
    let identity = frame.identity;
    with(|context| context.labels.push(frame));
    identity
}

/// Takes a label out; the statements inside it also ran inside the label around it.
pub(crate) fn take_label(identity: u64) -> Option<LabelFrame> {
    with(|context| {
        let index = context.labels.iter().rposition(|frame| frame.identity == identity)?;
        Some(context.labels.remove(index))
    })
    .flatten()
}

/// Adds statements to the innermost label.
pub(crate) fn add_statements(statements: u64) {
    with(|context| {
        if let Some(outer) = context.labels.last_mut() {
            outer.statements += statements;
        }
    });
}
