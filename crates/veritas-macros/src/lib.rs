//! The attribute macros of Veritas.
//!
//! A macro here reads its arguments and writes one call into the `veritas`
//! crate; it holds no logic that could be a function. Use them through the
//! facade (`#[veritas::profile]`), which re-exports them; with `crate = …` they
//! work without it.

mod cached;
mod options;
mod profile;
mod query;

use proc_macro::TokenStream;

/// Profiles a function: every call is counted and timed.
///
/// The profile has the function's name, or the one given:
///
/// ```
/// # use veritas_macros::profile;
/// #[profile(crate = veritas_profile)]
/// fn process(content: &str) -> usize {
///     content.len()
/// }
///
/// #[profile(name = "content_processing", crate = veritas_profile)]
/// async fn process_later(content: String) -> usize {
///     content.len()
/// }
///
/// process("text");
/// assert_eq!(veritas_profile::profile("process").map(|profile| profile.calls), Some(1));
/// ```
///
/// # Options
///
/// - `#[profile("name")]` or `name = "name"`: the name of the profile.
/// - `arguments`: also tells how often the arguments repeat. Each must be `Hash`;
///   a method lists what its result depends on: `arguments(id, self.version)`.
/// - `crate = path`: where to find `veritas::profile`'s items, instead of there.
///
/// # What is counted
///
/// Functions, methods, `async fn`, generic and `unsafe` functions, functions that
/// return `impl Trait`. A panic is an error. So is an `Err` when the written return
/// type is called a `Result` (its name ends so) and names no `impl Trait`; such a
/// body runs in a closure, so `#[track_caller]` functions are spared that, and of
/// them only panics are errors. A `fn` that returns a future or an iterator is timed
/// until it has made it.
///
/// # Errors
///
/// A `const fn` cannot be profiled (it may run in the compiler), nor a function
/// without a body.
#[proc_macro_attribute]
pub fn profile(options: TokenStream, function: TokenStream) -> TokenStream {
    profile::expand(options.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Caches a function: a call that was made before, with equal arguments, is answered
/// from the cache.
///
/// ```
/// # use veritas_macros::cached;
/// # use std::sync::Arc;
/// # #[derive(Clone)] struct Unavailable;
/// #[cached(ttl = "5m", crate = veritas_cache)]
/// fn user_name(id: u64) -> Result<Arc<str>, Unavailable> {
///     // Ask the database.
///     Ok(Arc::from(format!("user {id}")))
/// }
///
/// #[cached(name = "profile", ttl = "1h", tags("user:{id}"), ignore(trace), crate = veritas_cache)]
/// async fn profile(id: u64, section: &str, trace: u64) -> Option<String> {
///     Some(format!("{section} of {id}"))
/// }
///
/// struct Shop { tenant: u32 }
///
/// impl Shop {
///     #[cached(key(self.tenant, item), crate = veritas_cache)]
///     fn price(&self, item: &str) -> u64 {
///         item.len() as u64
///     }
/// }
/// # use veritas_cache::{CacheOptions, Caches, function};
/// # use veritas_model::SystemClock;
/// # let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::new(SystemClock::new())));
///
/// // What an engine does when it starts; until then, functions simply run.
/// function::install(Arc::clone(&caches));
/// let shop = Shop { tenant: 1 };
/// assert_eq!(shop.price("apple"), shop.price("apple"));
/// assert_eq!(caches.statistics().hits, 1);
/// ```
///
/// # What is kept
///
/// What the function returns, in the namespace with its name. Of a `Result`, an `Ok`: an
/// `Err` goes to all who waited for the same call (so it is `Clone`, or an `Arc`), and the
/// next call tries again. Of an `Option`, a value; a `None` only with `negative_ttl`. Of a
/// `Result<Option<_>, _>` both rules hold. However many call at the same time with the same
/// arguments, the body runs once.
///
/// A result is cloned out, so what is large belongs behind an `Arc`. Its type tells its size
/// (`veritas_cache::HeapSize`) and owns what it holds: no borrowed results, no `impl Trait`.
///
/// # What is a call
///
/// Every argument counts, by its name and its typed value, and must therefore be a
/// `veritas_cache::KeyPart`. Of a generic function or method, the types count too. A method
/// says what of `self` matters. The encoded key is the same in every process and in Python.
///
/// # Options
///
/// - `"name"` or `name = "name"`: the namespace. Without it, the path of the function.
/// - `ttl = "5m"`: how long a result lives; units are `ms`, `s`, `m`, `h`, `d`. Without it, the caches' own.
/// - `negative_ttl = "10s"`: how long a `None` lives.
/// - `stale = "30s"`: how long a result is still served past its time, while one caller refreshes it.
/// - `refresh`: refreshes run in the background, so that nobody waits for them; the arguments
///   are owned. Of an `async fn`, on the runtime that the caches were given; without one, and
///   over Redis, one caller refreshes and waits.
/// - `early_refresh = 1.0`: how eagerly results are refreshed before their time; 0 is off.
/// - `jitter = 0.05`: by what share, at most, times are shortened, so that results do not die together.
/// - `capacity = "16 MiB"`, `max_value = "64 KiB"`: of all results together, and of one.
/// - `version = 2`: of what the function returns. Another version is another set of results.
/// - `key(expression, …)`: what the result depends on, instead of the arguments.
/// - `ignore(argument, …)`: arguments that it does not depend on: a connection, a request.
/// - `tags("user:{id}", …)`: under which results are invalidated together, as `format!` writes them.
/// - `in = expression`: the caches, instead of the installed ones; anything that implements
///   `veritas_cache::function::Keep`. Opening the namespace then takes a lock at each call.
/// - `dormant`: begins bypassed. The function runs each time, and is watched, until caching it
///   is proposed and accepted.
/// - `crate = path`: where to find `veritas::cache`'s items, instead of there.
///
/// # Together with `#[profile]`
///
/// Both orders work. `#[profile]` above `#[cached]` counts the times that the body runs;
/// `#[cached]` above `#[profile]` makes it count every call, hits too.
///
/// # Errors
///
/// A `const fn`, a function without a body, and one that returns nothing cannot be cached.
#[proc_macro_attribute]
pub fn cached(options: TokenStream, function: TokenStream) -> TokenStream {
    cached::expand(options.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Labels a function that queries a database: what it runs counts under its name.
///
/// ```
/// # use veritas_macros::query;
/// # use veritas_database::{Recorder, RecorderOptions};
/// # use std::sync::Arc;
/// #[query("user_names", crate = veritas_database)]
/// fn names(recorder: &Recorder) -> u64 {
///     // Stands for the driver's call.
///     recorder.statement("SELECT name FROM users").finish(3, None);
///     3
/// }
///
/// # let recorder = Recorder::new(RecorderOptions::default(), Arc::new(veritas_model::SystemClock::new()));
/// names(&recorder);
/// assert_eq!(recorder.snapshot().calls_by_name(), [("user_names".to_owned(), 1)]);
/// ```
///
/// Everything that the function runs has the label: in the functions that it calls, and in an
/// `async fn` on whatever threads poll it. An inner label wins over an outer one. What is
/// spawned as a task of its own is outside. A statement whose source does not tell where it
/// came from (sqlx, diesel, sea-orm) came from this function, file and line.
///
/// Nothing is recorded here: connect a source of statements (`veritas::database` names them).
///
/// # Options
///
/// - `#[query("name")]` or `name = "name"`: the label. Without it, the function's name.
/// - `crate = path`: where to find `veritas::database`'s items, instead of there.
///
/// # Errors
///
/// A `const fn` runs no queries, nor does a function without a body. A name is not empty.
#[proc_macro_attribute]
pub fn query(options: TokenStream, function: TokenStream) -> TokenStream {
    query::expand(options.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
