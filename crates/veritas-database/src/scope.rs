//! Request scopes: in whose name statements run.
//!
//! A request (or job) that runs the same statement again and again is an N+1.
//! A scope counts per statement; when it ends, the counts are added to the
//! statistics of the recorder that recorded the statements. No runtime is
//! needed: the scope of a future is put into the thread for the time of each
//! poll and taken out again.
//!
//! A scope follows the future, not what it spawns: wrap spawned work in a scope
//! of its own. Statements that a driver runs on a thread of its own (sqlx on
//! SQLite) are not seen by scopes; with the `tracing` layer their root span is
//! the request.
//!
//! ```
//! use std::sync::Arc;
//! use veritas_database::{Recorder, RecorderOptions, scope};
//!
//! let recorder = Recorder::new(RecorderOptions::default(), Arc::new(veritas_model::SystemClock::new()));
//! for _ in 0..3 {
//!     let _request = scope::enter("/posts");
//!     for post in 0..8_i64 {
//!         let key = [post.into()];
//!         let call = recorder.statement("SELECT name FROM authors WHERE id = ?").parameters(&key);
//!         call.finish(1, None);
//!     }
//! }
//! let findings = recorder.findings(veritas_model::Timestamp::default());
//! assert_eq!(findings[0].kind, veritas_model::FindingKind::NPlusOne);
//! ```

use std::{
    borrow::Cow,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use crate::context::{self, RequestFrame};

/// Calls of one statement, with different keys, that make a request a repeating one.
pub const REPETITIONS: usize = 5;

/// Writes by one statement, in one transaction and with different values, that make a request
/// one that writes row by row. More than of reads: a few rows are often written one by one on purpose.
pub const WRITE_REPETITIONS: usize = 10;

/// Enters a scope on this thread until the guard is dropped. For synchronous
/// code; a future is wrapped with [`in_future`].
pub fn enter(name: impl Into<Cow<'static, str>>) -> ScopeGuard {
    ScopeGuard {
        identity: context::push_request(RequestFrame::new(name.into())),
        on_this_thread: PhantomData,
    }
}

/// Leaves the scope when it is dropped.
#[derive(Debug)]
#[must_use = "the scope ends when the guard is dropped"]
pub struct ScopeGuard {
    identity: u64,
    on_this_thread: PhantomData<*const ()>,
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        if let Some(frame) = context::take_request(self.identity) {
            frame.fold();
        }
    }
}

/// Wraps a future, so that the statements it runs are counted in one scope,
/// whatever thread polls it. The scope ends with the future, finished or
/// dropped. Cost: one allocation (the future is boxed).
pub fn in_future<F: Future>(name: impl Into<Cow<'static, str>>, future: F) -> Scoped<F> {
    Scoped { frame: Some(RequestFrame::new(name.into())), future: Some(Box::pin(future)) }
}

/// A future inside a scope; see [`in_future`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Scoped<F> {
    frame: Option<RequestFrame>,
    future: Option<Pin<Box<F>>>,
}

/// Puts a frame into the thread, and back into its slot when dropped (a panic
/// inside a poll included).
struct Entered<'a> {
    identity: u64,
    slot: &'a mut Option<RequestFrame>,
}

impl<'a> Entered<'a> {
    fn new(slot: &'a mut Option<RequestFrame>) -> Option<Self> {
        let frame = slot.take()?;
        Some(Self { identity: context::push_request(frame), slot })
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        *self.slot = context::take_request(self.identity);
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Pending };
        let entered = Entered::new(&mut this.frame);
        let polled = future.as_mut().poll(cx);
        drop(entered);
        if polled.is_ready() {
            this.end();
        }
        polled
    }
}

impl<F> Scoped<F> {
    /// Drops the future inside its scope, then ends the scope.
    fn end(&mut self) {
        let entered = Entered::new(&mut self.frame);
        self.future = None;
        drop(entered);
        if let Some(frame) = self.frame.take() {
            frame.fold();
        }
    }
}

impl<F> Drop for Scoped<F> {
    fn drop(&mut self) {
        self.end();
    }
}
