//! The context of a thread: the labels and requests that statements run in.
//!
//! Two stacks per thread. Every frame has an identity, and leaving takes the
//! frame with that identity out, wherever it is: guards that are dropped out of
//! order, or a future that moves to another thread, leave nothing behind.

mod request;

use std::{
    borrow::Cow,
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{fingerprint::hash_key, recorder::CallSite};

pub(crate) use request::{Repetition, RequestFrame};

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
    /// Where the label is, for statements that do not tell where they came from.
    pub(crate) site: CallSite<'static>,
    /// Statements recorded inside.
    pub(crate) statements: u64,
}

impl LabelFrame {
    pub(crate) fn new(name: Cow<'static, str>, site: CallSite<'static>) -> Self {
        Self { identity: next_identity(), hash: hash_key(name.as_bytes()), name, site, statements: 0 }
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
