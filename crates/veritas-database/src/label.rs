//! Labels without a recorder at hand: what `#[veritas::query]` is made of.
//!
//! The statements inside count under the label's name, in whichever recorder they are
//! recorded; those whose source does not tell where they came from (sqlx outside of a span,
//! diesel, sea-orm) came from the labelled function. A label in which nothing is recorded
//! counts nothing. To count those too, use [`crate::Recorder::query`].
//!
//! ```
//! use std::sync::Arc;
//! use veritas_database::{Recorder, RecorderOptions, label};
//! use veritas_model::SystemClock;
//!
//! static NAMES: label::Site = label::Site::new("user_names", file!(), line!());
//! let recorder = Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new()));
//! {
//!     let _label = label::enter(&NAMES);
//!     recorder.statement("SELECT name FROM users").finish(3, None);
//! }
//! assert_eq!(recorder.snapshot().calls_by_name(), [("user_names".to_owned(), 1)]);
//! ```

use std::{borrow::Cow, marker::PhantomData, pin::pin, task::Poll};

use crate::{
    CallSite,
    context::{self, LabelFrame},
};

/// A labelled function: its label, and where it is.
#[derive(Debug)]
pub struct Site {
    name: &'static str,
    place: CallSite<'static>,
}

impl Site {
    /// Describes a function.
    pub const fn new(name: &'static str, file: &'static str, line: u32) -> Self {
        Self { name, place: CallSite { file, line } }
    }

    fn frame(&self) -> LabelFrame {
        LabelFrame::new(Cow::Borrowed(self.name), self.place)
    }
}

/// Enters a label on this thread until the guard is dropped. For synchronous code;
/// a future is wrapped with [`in_future`]. Cost: about 20 ns.
pub fn enter(site: &'static Site) -> LabelGuard {
    LabelGuard { identity: context::push_label(site.frame()), on_this_thread: PhantomData }
}

/// Leaves the label when it is dropped.
#[derive(Debug)]
#[must_use = "the label ends when the guard is dropped"]
pub struct LabelGuard {
    identity: u64,
    on_this_thread: PhantomData<*const ()>,
}

impl Drop for LabelGuard {
    fn drop(&mut self) {
        if let Some(frame) = context::take_label(self.identity) {
            context::add_statements(frame.statements);
        }
    }
}

/// Runs a future under a label, on whatever threads poll it.
pub async fn in_future<F: Future>(site: &'static Site, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut waiting = Waiting { frame: Some(site.frame()) };
    std::future::poll_fn(|cx| {
        let Some(frame) = waiting.frame.take() else { return Poll::Pending };
        let _entered = Entered { identity: context::push_label(frame), waiting: &mut waiting };
        future.as_mut().poll(cx)
    })
    .await
}

/// The label of a future that is not being polled.
struct Waiting {
    frame: Option<LabelFrame>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            context::add_statements(frame.statements);
        }
    }
}

/// The label of a future that is being polled; a panic ends it too.
struct Entered<'a> {
    identity: u64,
    waiting: &'a mut Waiting,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.waiting.frame = context::take_label(self.identity);
    }
}
