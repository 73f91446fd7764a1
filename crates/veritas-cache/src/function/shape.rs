//! Shapes of return types: what of a returned value is kept.

use std::{convert::Infallible, marker::PhantomData, sync::Arc};

/// What of a return type `R` is kept, and what is shared without being kept.
pub trait Shape<R> {
    /// What is kept.
    type Value;
    /// What goes to those who waited, and nowhere else.
    type Error: Shared;
    /// Whether it cannot say that there is nothing.
    const NEEDS_VALUE: bool;

    /// Takes what was returned apart.
    ///
    /// # Errors
    ///
    /// The error that was returned.
    fn split(returned: R) -> Result<Option<Self::Value>, Self::Error>;

    /// Puts it together again. `None`: the answer is that there is nothing, which another
    /// function with the same name may return and this one may not.
    fn join(fetched: Result<Option<Self::Value>, Arc<Self::Error>>) -> Option<R>;
}

/// An error that those who waited for a failed call get too.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` cannot be shared with those who waited for the same call",
    label = "must be `Clone + Send + Sync + 'static`",
    note = "derive `Clone`, or return `Result<_, Arc<{Self}>>`"
)]
pub trait Shared: Send + Sync + Sized + 'static {
    /// Takes the error for one of those who share it.
    fn take(shared: Arc<Self>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: Clone + Send + Sync + 'static> Shared for E {
    fn take(shared: Arc<Self>) -> Self {
        Arc::unwrap_or_clone(shared)
    }
}

/// `V`: always kept.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

/// `Option<V>`: a value is kept; a `None` only with a `negative_ttl`.
#[derive(Debug, Clone, Copy)]
pub struct Optional;

/// `Result<V, E>`: a value is kept, an error is shared.
#[derive(Debug, Clone, Copy)]
pub struct Fallible;

/// `Result<Option<V>, E>`: both of these.
#[derive(Debug, Clone, Copy)]
pub struct FallibleOptional;

impl<V> Shape<V> for Plain {
    type Value = V;
    type Error = Infallible;
    const NEEDS_VALUE: bool = true;

    fn split(returned: V) -> Result<Option<V>, Infallible> {
        Ok(Some(returned))
    }

    fn join(fetched: Result<Option<V>, Arc<Infallible>>) -> Option<V> {
        match fetched {
            Ok(value) => value,
            Err(impossible) => match *impossible {},
        }
    }
}

impl<V> Shape<Option<V>> for Optional {
    type Value = V;
    type Error = Infallible;
    const NEEDS_VALUE: bool = false;

    fn split(returned: Option<V>) -> Result<Option<V>, Infallible> {
        Ok(returned)
    }

    fn join(fetched: Result<Option<V>, Arc<Infallible>>) -> Option<Option<V>> {
        match fetched {
            Ok(value) => Some(value),
            Err(impossible) => match *impossible {},
        }
    }
}

impl<V, E: Shared> Shape<Result<V, E>> for Fallible {
    type Value = V;
    type Error = E;
    const NEEDS_VALUE: bool = true;

    fn split(returned: Result<V, E>) -> Result<Option<V>, E> {
        returned.map(Some)
    }

    fn join(fetched: Result<Option<V>, Arc<E>>) -> Option<Result<V, E>> {
        match fetched {
            Ok(value) => value.map(Ok),
            Err(error) => Some(Err(E::take(error))),
        }
    }
}

impl<V, E: Shared> Shape<Result<Option<V>, E>> for FallibleOptional {
    type Value = V;
    type Error = E;
    const NEEDS_VALUE: bool = false;

    fn split(returned: Result<Option<V>, E>) -> Result<Option<V>, E> {
        returned
    }

    fn join(fetched: Result<Option<V>, Arc<E>>) -> Option<Result<Option<V>, E>> {
        Some(fetched.map_err(E::take))
    }
}

/// A return type, to be asked for its shape: `(&&&Of::<R>::new()).shape()`.
///
/// The compiler takes the first of the traits in [`pick`] that fits with the fewest
/// references taken away, so that an alias of `Result` is one and `QueryResult` is not.
#[derive(Debug)]
pub struct Of<R>(PhantomData<fn() -> R>);

impl<R> Of<R> {
    /// Names the return type.
    #[expect(clippy::new_without_default, reason = "it is written by the attribute only")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The traits that find the shape of a return type.
pub mod pick {
    use super::{Fallible, FallibleOptional, Of, Optional, Plain};

    /// First: `Result<Option<V>, E>`.
    pub trait IsFallibleOptional {
        /// Returns the shape.
        fn shape(&self) -> FallibleOptional {
            FallibleOptional
        }
    }

    /// Second: any other `Result`.
    pub trait IsFallible {
        /// Returns the shape.
        fn shape(&self) -> Fallible {
            Fallible
        }
    }

    /// Second: `Option`.
    pub trait IsOptional {
        /// Returns the shape.
        fn shape(&self) -> Optional {
            Optional
        }
    }

    /// Last: whatever is neither.
    pub trait IsPlain {
        /// Returns the shape.
        fn shape(&self) -> Plain {
            Plain
        }
    }

    impl<V, E> IsFallibleOptional for &&Of<Result<Option<V>, E>> {}
    impl<V, E> IsFallible for &Of<Result<V, E>> {}
    impl<V> IsOptional for &Of<Option<V>> {}
    impl<R> IsPlain for Of<R> {}
}
