//! Cached functions over two tiers: `#[cached(in = tiered)]`.

use std::{future::Future, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use veritas_cache::function::{Call, Keep, Kept};

use super::{TieredCaches, TieredOptions, load::shared};
use crate::{frame::tag_hash, wait::block_on};

/// Results are kept in the process and in Redis, and loaded once for all processes. A
/// namespace has the options of its function, and otherwise [`TieredOptions::default`].
///
/// A function that is not `async` blocks its thread while Redis is asked (at most the
/// deadline) or another process loads. What is due to be refreshed is refreshed by one
/// caller of one process, who waits for it.
impl<V: Kept + Serialize + DeserializeOwned> Keep<V> for TieredCaches {
    fn fetch<E: Send + Sync + 'static, L: FnOnce() -> Result<Option<V>, E>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, L),
    ) -> Result<Option<V>, Arc<E>> {
        block_on(self.fetch_async(call, || {
            let (tags, body) = body();
            (tags, async { body() })
        }))
    }

    async fn fetch_async<E: Send + Sync + 'static, F: Future<Output = Result<Option<V>, E>>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, F),
    ) -> Result<Option<V>, Arc<E>> {
        let Call { function, key, needs_value } = call;
        let options = TieredOptions { namespace: function.namespace_options(), ..TieredOptions::default() };
        let cache = self.namespace::<V>(function.name().unwrap_or_default(), options);
        let fetching = cache.local.fetch_async(key, || {
            let (tags, body) = body();
            let tags: Vec<u64> = tags.iter().map(|tag| tag_hash(tag)).collect();
            let (cache, located) = (&cache, cache.locate(key));
            async move {
                let body = async { body.await.map_err(Arc::new) };
                cache.load(located, &tags, needs_value, || body).await
            }
        });
        shared(fetching.await)
    }
}
