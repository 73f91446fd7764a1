//! Bulk: how many points are being read and written into answers at once.
//!
//! One answer of ten thousand points is some megabytes. Rates bound how often it
//! is asked for, not how many answers are held for clients that read slowly.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Code, Problem};

/// Points at once: of the largest answers five.
const POINTS: usize = 50_000;
/// How long a request waits for its points.
const PATIENCE: Duration = Duration::from_secs(5);
/// The client takes this much before it is given more.
const CHUNK: usize = 64 * 1024;

/// The points that may be in work at once.
#[derive(Debug)]
pub(crate) struct Bulk(Arc<Semaphore>);

/// Points that are in work until this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved(#[expect(dead_code, reason = "is held")] OwnedSemaphorePermit);

impl Bulk {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(POINTS)))
    }

    /// Waits for room for `points`, and refuses when there is none in time.
    pub(crate) async fn reserve(&self, points: usize) -> Result<Reserved, Problem> {
        let points = u32::try_from(points.clamp(1, POINTS)).unwrap_or(u32::MAX);
        match tokio::time::timeout(PATIENCE, self.0.clone().acquire_many_owned(points)).await {
            Ok(Ok(permit)) => Ok(Reserved(permit)),
            Ok(Err(_)) | Err(_) => {
                Err(Problem::new(Code::Overloaded, "too many points are being asked for at once")
                    .retry_after(Duration::from_secs(1)))
            }
        }
    }
}

/// Builds a body that holds its reservation until the client has taken the last of it.
pub(crate) fn body(text: Vec<u8>, reserved: Reserved) -> Body {
    Body::new(Chunks { rest: text.into(), _reserved: reserved })
}

struct Chunks {
    rest: Bytes,
    _reserved: Reserved,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(CHUNK);
        let chunk = self.rest.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_yet_counts_and_what_is_dropped_does_not() {
        let bulk = Bulk::new();
        let text = vec![b'x'; 3 * CHUNK + 1];
        let unread = body(text.clone(), bulk.reserve(POINTS).await.unwrap());
        assert_eq!(bulk.reserve(1).await.unwrap_err().code(), Code::Overloaded);
        assert_eq!(axum::body::to_bytes(unread, usize::MAX).await.unwrap(), text);
        drop(bulk.reserve(usize::MAX).await.unwrap());
        assert!(bulk.reserve(0).await.is_ok());
    }
}
