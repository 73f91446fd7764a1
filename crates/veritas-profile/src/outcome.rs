//! Outcomes: whether a returned value is an error, decided by its type.

/// Asks a value of any type whether it is an error.
///
/// A method of the type itself goes before one of a trait: so a `Result` answers
/// for itself, and everything else, with [`Neutral`] in scope, answers no.
#[derive(Debug)]
pub struct Probe<'a, T>(pub &'a T);

impl<T, E> Probe<'_, Result<T, E>> {
    /// Returns whether it is an `Err`.
    pub const fn is_failure(&self) -> bool {
        self.0.is_err()
    }
}

/// What is no `Result` is no error.
pub trait Neutral {
    /// Returns `false`.
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T> Neutral for Probe<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_err_is_a_failure() {
        assert!(Probe(&Err::<u8, _>("no")).is_failure());
        assert!(!Probe(&Ok::<_, u8>(1)).is_failure());
        assert!(!Probe(&None::<u8>).is_failure());
    }
}
