//! Futures: an asynchronous function's call is its future, poll by poll.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    Site,
    recorder::{AsyncCall, PollEnd},
};

pin_project! {
    /// A future whose call is timed: from its first poll until it is ready, and
    /// each poll by itself. Dropped between the two, it counts as cancelled; never
    /// polled, it counts as nothing.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Profiled<F: Future> {
        call: AsyncCall,
        failed: fn(&F::Output) -> bool,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Profiled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (future, failed) = (this.future, *this.failed);
        this.call.poll(
            || future.poll(context),
            |answer| match answer {
                Poll::Pending => PollEnd::Pending,
                Poll::Ready(output) => PollEnd::Ready { failed: failed(output) },
            },
        )
    }
}

/// Times a future as a call of `site`, with any executor.
///
/// Cost: a poll costs what a call of [`enter`](crate::enter) does.
///
/// ```
/// use veritas_profile::{Site, in_future};
///
/// async fn fetch(id: u64) -> u64 {
///     static SITE: Site = Site::new("fetch", module_path!(), file!(), line!());
///     in_future(&SITE, async move { id * 2 }).await
/// }
/// # let _ = fetch(1);
/// ```
pub fn in_future<F: Future>(site: &'static Site, future: F) -> Profiled<F> {
    Profiled { call: AsyncCall::new(site), failed: |_| false, future }
}

/// Times a future as a call of `site`, and counts the call as failed when
/// `failed` says so of its output.
pub fn run_future<F: Future>(site: &'static Site, future: F, failed: fn(&F::Output) -> bool) -> Profiled<F> {
    Profiled { call: AsyncCall::new(site), failed, future }
}
