//! Calls: a look-up, and the body when there is nothing.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Call, CallKey, Function, Keep, Of, Shape};

/// Calls a cached function: looks the call up in `keep`, and runs the body when it is
/// not there. The body brings its tags along.
///
/// An `Err` is kept nowhere; it is cloned for those who waited for the same call.
#[inline]
pub fn call<S, R, K, L>(
    keep: &K,
    function: &'static Function,
    key: &CallKey,
    _shape: S,
    body: impl FnOnce() -> (Vec<String>, L),
) -> R
where
    S: Shape<R>,
    K: Keep<S::Value> + ?Sized,
    L: FnOnce() -> R,
{
    let mut body = Some(body);
    if !function.is_refused() {
        let own = &mut body;
        let fetched = keep.fetch(Call { function, key, needs_value: S::NEEDS_VALUE }, || {
            let (tags, body) = taken(own)();
            (tags, move || S::split(body()))
        });
        if let Some(returned) = S::join(fetched) {
            return returned;
        }
    }
    (taken(&mut body)().1)()
}

/// Calls a cached async function, as [`call`] does. The future is `Send` when the body's is.
pub async fn call_async<S, R, K, F>(
    keep: &K,
    function: &'static Function,
    key: &CallKey,
    _shape: S,
    body: impl FnOnce() -> (Vec<String>, F),
) -> R
where
    S: Shape<R>,
    K: Keep<S::Value> + ?Sized,
    F: Future<Output = R>,
{
    let mut body = Some(body);
    if !function.is_refused() {
        let own = &mut body;
        let fetching = keep.fetch_async(Call { function, key, needs_value: S::NEEDS_VALUE }, || {
            let (tags, body) = taken(own)();
            (tags, async move { S::split(body.await) })
        });
        if let Some(returned) = S::join(fetching.await) {
            return returned;
        }
    }
    taken(&mut body)().1.await
}

/// Calls a cached function, as [`call`] does; a result that is due to be refreshed is
/// returned as it is, and the body runs in the background.
pub fn call_refreshing<S, R, K, L, B>(
    keep: &K,
    function: &'static Function,
    key: &CallKey,
    _shape: S,
    body: B,
) -> R
where
    S: Shape<R>,
    K: Keep<S::Value> + ?Sized,
    L: FnOnce() -> R + 'static,
    B: FnOnce() -> (Vec<String>, L) + Send + 'static,
{
    let shared = Arc::new(Mutex::new(Some(body)));
    if !function.is_refused() {
        let own = Arc::clone(&shared);
        let fetched = keep.fetch_or_refresh(Call { function, key, needs_value: S::NEEDS_VALUE }, move || {
            let (tags, body) = taken_shared(&own)();
            (tags, move || S::split(body()))
        });
        if let Some(returned) = S::join(fetched) {
            return returned;
        }
    }
    (taken_shared(&shared)().1)()
}

/// Calls a cached async function, as [`call_refreshing`] does.
pub async fn call_refreshing_async<S, R, K, F, B>(
    keep: &K,
    function: &'static Function,
    key: &CallKey,
    _shape: S,
    body: B,
) -> R
where
    S: Shape<R>,
    K: Keep<S::Value> + ?Sized,
    F: Future<Output = R> + Send + 'static,
    B: FnOnce() -> (Vec<String>, F) + Send + 'static,
{
    let shared = Arc::new(Mutex::new(Some(body)));
    if !function.is_refused() {
        let own = Arc::clone(&shared);
        let fetching =
            keep.fetch_or_refresh_async(Call { function, key, needs_value: S::NEEDS_VALUE }, move || {
                let (tags, body) = taken_shared(&own)();
                (tags, async move { S::split(body.await) })
            });
        if let Some(returned) = S::join(fetching.await) {
            return returned;
        }
    }
    let body = taken_shared(&shared);
    body().1.await
}

/// Says what an `async` block returns.
pub fn returning<R, F: Future<Output = R>>(_output: &Of<R>, future: F) -> F {
    future
}

/// Takes the body: a call runs it once. A look-up that answers nothing to a function that
/// returns something has not run it.
fn taken<B>(body: &mut Option<B>) -> B {
    body.take().unwrap_or_else(|| unreachable!("a body runs once"))
}

fn taken_shared<B>(body: &Mutex<Option<B>>) -> B {
    taken(&mut body.lock().unwrap_or_else(PoisonError::into_inner))
}
