//! The caches of the process that functions use when they name no others, and the
//! list of the functions that were called.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Function, Keep, Kept,
    keep::{self, Call, open},
};
use crate::{Cache, Caches, NamespaceOptions};

/// How many functions the process knows; those called beyond that run uncached, and are counted.
pub const MAX_FUNCTIONS: usize = 4096;

/// Goes up with each change of what is installed; 0 is nothing, ever.
static GENERATION: AtomicU64 = AtomicU64::new(0);

static INSTALLED: RwLock<Option<Arc<Caches>>> = RwLock::new(None);

/// Each with its name, since a function learns its own only after it was added.
static FUNCTIONS: Mutex<Vec<(Box<str>, &'static Function)>> = Mutex::new(Vec::new());

/// Makes these the caches of all functions that name no others; returns the ones from before.
///
/// An engine does this once. A function remembers what it opened: when caches are
/// replaced, the earlier ones are used no longer, but what they hold stays in memory
/// until the process ends, unless it is cleared.
pub fn install(caches: Arc<Caches>) -> Option<Arc<Caches>> {
    replace(Some(caches))
}

/// Lets functions run uncached again; returns the caches that they used.
pub fn uninstall() -> Option<Arc<Caches>> {
    replace(None)
}

fn replace(caches: Option<Arc<Caches>>) -> Option<Arc<Caches>> {
    let mut installed = INSTALLED.write().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *installed, caches);
    GENERATION.fetch_add(1, Ordering::Release);
    before
}

/// Returns the installed caches and their generation.
fn installed() -> Option<(Arc<Caches>, u64)> {
    let installed = INSTALLED.read().unwrap_or_else(PoisonError::into_inner);
    installed.as_ref().map(|caches| (Arc::clone(caches), GENERATION.load(Ordering::Relaxed)))
}

/// The caches that are installed when a call begins.
#[derive(Debug, Clone, Copy)]
pub struct Installed;

/// Where a call looks.
enum Place<V: 'static> {
    Known(&'static Cache<V>),
    Opened(Cache<V>),
    Nowhere,
}

impl Installed {
    #[inline]
    fn place<V: Kept>(function: &'static Function) -> Place<V> {
        let generation = GENERATION.load(Ordering::Acquire);
        if let Some(cache) = function.handles.known::<V>(generation) {
            return Place::Known(cache);
        }
        // Read together, so that no namespace is remembered under the wrong generation.
        let Some((caches, generation)) = installed() else { return Place::Nowhere };
        match function.handles.find(generation, || open(&caches, function)) {
            Some(cache) => Place::Known(cache),
            None => Place::Opened(open(&caches, function)),
        }
    }
}

impl<V: Kept> Keep<V> for Installed {
    #[inline]
    fn fetch<E: Send + Sync + 'static, L: FnOnce() -> Result<Option<V>, E>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, L),
    ) -> Result<Option<V>, Arc<E>> {
        match Self::place::<V>(call.function) {
            Place::Known(cache) => keep::fetch(cache, call, body),
            Place::Opened(cache) => keep::fetch(&cache, call, body),
            Place::Nowhere => {
                call.function.count_uncached();
                (body().1)().map_err(Arc::new)
            }
        }
    }

    async fn fetch_async<E: Send + Sync + 'static, F: Future<Output = Result<Option<V>, E>>>(
        &self,
        call: Call<'_>,
        body: impl FnOnce() -> (Vec<String>, F),
    ) -> Result<Option<V>, Arc<E>> {
        match Self::place::<V>(call.function) {
            Place::Known(cache) => keep::fetch_async(cache, call, body).await,
            Place::Opened(cache) => keep::fetch_async(&cache, call, body).await,
            Place::Nowhere => {
                call.function.count_uncached();
                body().1.await.map_err(Arc::new)
            }
        }
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
        match Self::place::<V>(call.function) {
            Place::Known(cache) => keep::fetch_or_refresh(cache, call, body),
            Place::Opened(cache) => keep::fetch_or_refresh(&cache, call, body),
            Place::Nowhere => self.fetch(call, body),
        }
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
        match Self::place::<V>(call.function) {
            Place::Known(cache) => keep::fetch_or_refresh_async(cache, call, body).await,
            Place::Opened(cache) => keep::fetch_or_refresh_async(&cache, call, body).await,
            Place::Nowhere => self.fetch_async(call, body).await,
        }
    }
}

/// Adds a function at its first call; returns whether it may keep results.
///
/// Two functions whose paths are one (inner functions of one function, say) would take
/// each other's results for their own, so the second of them may not. Who gives two
/// functions one name means it: one asynchronous and one not, that return the same.
pub(super) fn register(function: &'static Function, name: &str) -> bool {
    let mut functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if functions.len() >= MAX_FUNCTIONS {
        return false;
    }
    let is_meant = |other: &Function| function.name.is_some() && other.name.is_some();
    let is_free = functions.iter().all(|(other_name, other)| **other_name != *name || is_meant(other));
    functions.push((name.into(), function));
    is_free
}

/// What is known of a cached function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionReading {
    /// The name of its namespace.
    pub name: String,
    /// Where it stands.
    pub file: &'static str,
    /// The line of its name.
    pub line: u32,
    /// The options that it gives its namespace.
    pub options: NamespaceOptions,
    /// Whether its results are kept.
    pub state: FunctionState,
    /// Calls that ran without a look-up, since nothing was installed or the name was taken.
    pub uncached_calls: u64,
}

/// Whether a function's results are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionState {
    /// They are, in the installed caches or where `in = …` says.
    Cached,
    /// Nothing is installed.
    NotInstalled,
    /// Another function has the same path and no name was given: give it one.
    NameTaken,
}

/// Returns the functions that were called, in the order of their first calls.
pub fn functions() -> Vec<FunctionReading> {
    let is_installed = installed().is_some();
    let functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let readings = functions.iter().filter_map(|(name, function)| {
        let identity = function.identity.get()?;
        let state = match (identity.is_refused, is_installed) {
            (true, _) => FunctionState::NameTaken,
            (false, true) => FunctionState::Cached,
            (false, false) => FunctionState::NotInstalled,
        };
        Some(FunctionReading {
            name: name.to_string(),
            file: function.file,
            line: function.line,
            options: function.namespace_options(),
            state,
            uncached_calls: function.uncached.load(Ordering::Relaxed),
        })
    });
    readings.collect()
}
