//! Where the results of a function are kept: caches of one tier or of several.

use std::{future::Future, sync::Arc};

use super::{CallKey, Function, Kept};
use crate::{Cache, Caches, Loaded, TagVersion};

/// A call of a cached function.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The function.
    pub function: &'static Function,
    /// Its arguments.
    pub key: &'a CallKey,
    /// Whether the function always returns a value: then a body that was asked for is run,
    /// even if it is known that there is nothing.
    pub needs_value: bool,
}

/// Something that keeps results of type `V`: [`Caches`], or caches with a tier below.
///
/// `in = …` of the attribute takes anything that does, or a reference to it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot keep the results of a function",
    note = "`in = ...` takes `Caches`, caches with a tier below, or a reference to them"
)]
pub trait Keep<V> {
    /// Looks a call up, and runs the body when it is missing. The body is asked for its
    /// tags first, and then runs.
    ///
    /// # Errors
    ///
    /// The body's error, shared with those who waited for it.
    fn fetch<E: Send + Sync + 'static, L: FnOnce() -> Result<Option<V>, E>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, L),
    ) -> Result<Option<V>, Arc<E>>;

    /// Looks a call up, and runs the body when it is missing, without blocking.
    ///
    /// # Errors
    ///
    /// The body's error, shared with those who waited for it.
    fn fetch_async<E: Send + Sync + 'static, F: Future<Output = Result<Option<V>, E>>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, F),
    ) -> impl Future<Output = Result<Option<V>, Arc<E>>>;

    /// Looks a call up, as [`Self::fetch`] does, and runs the body in the background when
    /// what was found is due to be refreshed. Without a background: as [`Self::fetch`].
    ///
    /// # Errors
    ///
    /// The body's error, shared with those who waited for it.
    fn fetch_or_refresh<E, L>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, L) + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
        L: FnOnce() -> Result<Option<V>, E> + 'static,
    {
        self.fetch(call, body)
    }

    /// Looks a call up, as [`Self::fetch_or_refresh`] does, without blocking.
    ///
    /// # Errors
    ///
    /// The body's error, shared with those who waited for it.
    fn fetch_or_refresh_async<E, F>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, F) + Send + 'static,
    ) -> impl Future<Output = Result<Option<V>, Arc<E>>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        self.fetch_async(call, body)
    }
}

/// Opens a function's namespace. Cost: a lock, and a look at the names.
pub(super) fn open<V: Kept>(caches: &Caches, function: &Function) -> Cache<V> {
    caches.namespace_with(function.name().unwrap_or_default(), function.namespace_options())
}

/// Looks a call up in an opened namespace.
#[inline]
pub(super) fn fetch<V: Kept, E: Send + Sync + 'static, L: FnOnce() -> Result<Option<V>, E>>(
    cache: &Cache<V>,
    call: Call<'_>,
    body: impl FnOnce() -> (Vec<String>, L),
) -> Result<Option<V>, Arc<E>> {
    cache.fetch_needing(call.key, call.needs_value, || {
        let (tags, body) = body();
        body().map(|value| loaded(&tags, value))
    })
}

/// Looks a call up in an opened namespace, without blocking.
pub(super) async fn fetch_async<
    V: Kept,
    E: Send + Sync + 'static,
    F: Future<Output = Result<Option<V>, E>>,
>(
    cache: &Cache<V>,
    call: Call<'_>,
    body: impl FnOnce() -> (Vec<String>, F),
) -> Result<Option<V>, Arc<E>> {
    let fetching = cache.fetch_needing_async(call.key, call.needs_value, || {
        let (tags, body) = body();
        async move { body.await.map(|value| loaded(&tags, value)) }
    });
    fetching.await
}

/// Looks a call up in an opened namespace, and refreshes it in the background.
pub(super) fn fetch_or_refresh<V: Kept, E: Send + Sync + 'static, L: FnOnce() -> Result<Option<V>, E>>(
    cache: &Cache<V>,
    call: Call<'_>,
    body: impl FnOnce() -> (Vec<String>, L) + Send + 'static,
) -> Result<Option<V>, Arc<E>> {
    cache.fetch_needing_or_refresh(call.key, call.needs_value, || {
        let (tags, body) = body();
        body().map(|value| loaded(&tags, value))
    })
}

/// Looks a call up in an opened namespace, and refreshes it in the background, without blocking.
pub(super) async fn fetch_or_refresh_async<V, E, F>(
    cache: &Cache<V>,
    call: Call<'_>,
    body: impl FnOnce() -> (Vec<String>, F) + Send + 'static,
) -> Result<Option<V>, Arc<E>>
where
    V: Kept,
    E: Send + Sync + 'static,
    F: Future<Output = Result<Option<V>, E>> + Send + 'static,
{
    let fetching = cache.fetch_needing_or_refresh_async(call.key, call.needs_value, || {
        let (tags, body) = body();
        async move { body.await.map(|value| loaded(&tags, value)) }
    });
    fetching.await
}

fn loaded<V>(tags: &[String], value: Option<V>) -> Loaded<V> {
    let mut loaded = Loaded::from(value);
    loaded.tags = tags.iter().map(|tag| TagVersion::of(tag)).collect();
    loaded
}

impl<V: Kept> Keep<V> for Caches {
    fn fetch<E: Send + Sync + 'static, L: FnOnce() -> Result<Option<V>, E>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, L),
    ) -> Result<Option<V>, Arc<E>> {
        fetch(&open(self, call.function), call, body)
    }

    async fn fetch_async<E: Send + Sync + 'static, F: Future<Output = Result<Option<V>, E>>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, F),
    ) -> Result<Option<V>, Arc<E>> {
        fetch_async(&open(self, call.function), call, body).await
    }

    fn fetch_or_refresh<E, L>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, L) + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
        L: FnOnce() -> Result<Option<V>, E> + 'static,
    {
        fetch_or_refresh(&open(self, call.function), call, body)
    }

    async fn fetch_or_refresh_async<E, F>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, F) + Send + 'static,
    ) -> Result<Option<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        fetch_or_refresh_async(&open(self, call.function), call, body).await
    }
}

macro_rules! pointers {
    ($($kind:ty),*) => {$(
        impl<V, T: Keep<V> + ?Sized> Keep<V> for $kind {
            fn fetch<E: Send + Sync + 'static, L: FnOnce() -> Result<Option<V>, E>>(
                &self,
                call: Call<'_>,
                body: impl FnOnce() -> (Vec<String>, L),
            ) -> Result<Option<V>, Arc<E>> {
                (**self).fetch(call, body)
            }

            fn fetch_async<E: Send + Sync + 'static, F: Future<Output = Result<Option<V>, E>>>(
                &self,
                call: Call<'_>,
                body: impl FnOnce() -> (Vec<String>, F),
            ) -> impl Future<Output = Result<Option<V>, Arc<E>>> {
                (**self).fetch_async(call, body)
            }

            fn fetch_or_refresh<E, L>(
                &self,
                call: Call<'_>,
                body: impl FnOnce() -> (Vec<String>, L) + Send + 'static,
            ) -> Result<Option<V>, Arc<E>>
            where
                E: Send + Sync + 'static,
                L: FnOnce() -> Result<Option<V>, E> + 'static,
            {
                (**self).fetch_or_refresh(call, body)
            }

            fn fetch_or_refresh_async<E, F>(
                &self,
                call: Call<'_>,
                body: impl FnOnce() -> (Vec<String>, F) + Send + 'static,
            ) -> impl Future<Output = Result<Option<V>, Arc<E>>>
            where
                E: Send + Sync + 'static,
                F: Future<Output = Result<Option<V>, E>> + Send + 'static,
            {
                (**self).fetch_or_refresh_async(call, body)
            }
        }
    )*};
}

pointers!(&T, Arc<T>);
