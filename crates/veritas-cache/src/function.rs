//! Cached functions: what `#[veritas::cached]` calls.
//!
//! The attribute writes a static [`Function`], a [`CallKey`] of the arguments, and one
//! [`call`] (or [`call_async`]) around the body. Everything else is here.
//!
//! Results are kept in the caches that [`install`] was given, which is what an engine
//! does when it starts. Before that, functions simply run, and each such call is
//! counted ([`functions`] tells).
//!
//! ```
//! use std::sync::Arc;
//! use veritas_cache::{CacheOptions, Caches, function};
//! use veritas_model::SystemClock;
//!
//! let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::new(SystemClock::new())));
//! function::install(Arc::clone(&caches));
//! // From here on, cached functions keep their results in `caches`.
//! # function::uninstall();
//! ```

mod call;
mod handles;
mod identity;
mod installed;
mod keep;
mod key;
mod shape;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_model::Bytes;

use crate::{HeapSize, NamespaceOptions};
use handles::Handles;
use identity::Identity;

pub use call::{call, call_async, call_refreshing, call_refreshing_async, returning};
pub use installed::{
    FunctionReading, FunctionState, Installed, MAX_FUNCTIONS, functions, install, uninstall,
};
pub use keep::{Call, Keep};
pub use key::CallKey;
pub use shape::{Fallible, FallibleOptional, Of, Optional, Plain, Shape, Shared, pick};

/// A cached function: a static beside its body.
#[derive(Debug)]
pub struct Function {
    /// The given name; without one it is named by its path.
    name: Option<&'static str>,
    file: &'static str,
    line: u32,
    options: Settings,
    /// Names an item in its body.
    item: Option<fn() -> &'static str>,
    identity: OnceLock<Identity>,
    handles: Handles,
    uncached: AtomicU64,
}

/// [`NamespaceOptions`] as a constant holds them: `None` is their default.
#[derive(Debug, Clone, Copy)]
struct Settings {
    ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
    stale: Option<Duration>,
    early_refresh: Option<f64>,
    jitter: Option<f64>,
    capacity: Option<Bytes>,
    max_value: Option<Bytes>,
    version: u32,
    dormant: bool,
}

impl Function {
    /// Describes a function by its place in the source, and its name if it was given one.
    pub const fn new(name: Option<&'static str>, file: &'static str, line: u32) -> Self {
        let options = Settings {
            ttl: None,
            negative_ttl: None,
            stale: None,
            early_refresh: None,
            jitter: None,
            capacity: None,
            max_value: None,
            version: 0,
            dormant: false,
        };
        Self {
            name,
            file,
            line,
            options,
            item: None,
            identity: OnceLock::new(),
            handles: Handles::new(),
            uncached: AtomicU64::new(0),
        }
    }

    /// Says what tells the type name of an item in the function's body. Without it, a method
    /// that a trait has for all types would keep one set of results for all of them.
    #[must_use]
    pub const fn declares(mut self, item: fn() -> &'static str) -> Self {
        self.item = Some(item);
        self
    }

    /// Sets how long a result lives ([`NamespaceOptions::ttl`]).
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Sets how long a `None` lives ([`NamespaceOptions::negative_ttl`]).
    #[must_use]
    pub const fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.options.negative_ttl = Some(ttl);
        self
    }

    /// Sets how long a result is served past its time ([`NamespaceOptions::stale`]).
    #[must_use]
    pub const fn stale(mut self, stale: Duration) -> Self {
        self.options.stale = Some(stale);
        self
    }

    /// Sets how eagerly results are refreshed ([`NamespaceOptions::early_refresh`]).
    #[must_use]
    pub const fn early_refresh(mut self, beta: f64) -> Self {
        self.options.early_refresh = Some(beta);
        self
    }

    /// Sets the share of jitter ([`NamespaceOptions::jitter`]).
    #[must_use]
    pub const fn jitter(mut self, share: f64) -> Self {
        self.options.jitter = Some(share);
        self
    }

    /// Sets how many bytes all results may take ([`NamespaceOptions::capacity`]).
    #[must_use]
    pub const fn capacity(mut self, bytes: u64) -> Self {
        self.options.capacity = Some(Bytes::new(bytes));
        self
    }

    /// Sets how heavy one result may be ([`NamespaceOptions::max_value`]).
    #[must_use]
    pub const fn max_value(mut self, bytes: u64) -> Self {
        self.options.max_value = Some(Bytes::new(bytes));
        self
    }

    /// Sets the version of what it returns: another one is another set of results.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.options.version = version;
        self
    }

    /// Lets it begin bypassed: it runs each time and is watched, until it is proposed
    /// to cache it and that is accepted ([`NamespaceOptions::start_bypassed`]).
    #[must_use]
    pub const fn dormant(mut self) -> Self {
        self.options.dormant = true;
        self
    }

    /// Begins the key of a call with `arguments` arguments. `here` is any closure of the
    /// function's body: the name of its type tells which function it is, of which types. Types
    /// with one name are taken for one: two closures that were made in one function, or
    /// the types of two versions of one crate.
    #[inline]
    pub fn key<H>(&'static self, _here: &H, arguments: usize) -> CallKey {
        let type_name = std::any::type_name::<H>();
        let generic = self.identity(type_name).is_generic;
        CallKey::of_call(self.options.version, arguments, generic.then_some(type_name))
    }

    /// Begins an explicit key of `parts` parts, as [`Self::key`] begins one of arguments.
    #[inline]
    pub fn explicit_key<H>(&'static self, here: &H, parts: usize) -> CallKey {
        let mut key = self.key(here, 1);
        key.open_parts(parts);
        key
    }

    /// Returns the name of its namespace, or `None` before its first call.
    pub fn name(&self) -> Option<&str> {
        self.identity.get().map(|identity| &*identity.name)
    }

    #[inline]
    fn identity(&'static self, type_name: &'static str) -> &'static Identity {
        self.identity.get_or_init(|| {
            let mut identity = Identity::of(self.name, type_name, self.item.map(|item| item()));
            identity.is_refused = !installed::register(self, &identity.name);
            identity
        })
    }

    /// Returns the options of its namespace.
    pub fn namespace_options(&self) -> NamespaceOptions {
        let defaults = NamespaceOptions::default();
        let Settings {
            ttl,
            negative_ttl,
            stale,
            early_refresh,
            jitter,
            capacity,
            max_value,
            version,
            dormant,
        } = self.options;
        NamespaceOptions {
            ttl,
            negative_ttl,
            stale: stale.unwrap_or(defaults.stale),
            early_refresh: early_refresh.unwrap_or(defaults.early_refresh),
            jitter: jitter.unwrap_or(defaults.jitter),
            capacity,
            max_value,
            schema: version,
            start_bypassed: dormant,
        }
    }

    /// Returns whether another function has its name; counts the call when so.
    #[inline]
    fn is_refused(&self) -> bool {
        let refused = self.identity.get().is_none_or(|identity| identity.is_refused);
        if refused {
            self.count_uncached();
        }
        refused
    }

    /// Counts a call whose result is kept nowhere.
    fn count_uncached(&self) {
        self.uncached.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a cached function may return, or the value inside of its `Result` or `Option`.
///
/// It is cloned out at each hit: put what is large behind an `Arc`.
pub trait Kept: Clone + Send + Sync + HeapSize + 'static {}

impl<V: Clone + Send + Sync + HeapSize + 'static> Kept for V {}
