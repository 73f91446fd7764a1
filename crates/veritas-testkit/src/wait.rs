//! Waiting for a condition with a deadline.

use std::time::Duration;

use veritas_model::{Clock, SystemClock};

/// How long [`wait_for`] rests between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What a condition may give: `bool`, `Option<T>` or `Result<T, E>`.
pub trait Answer {
    /// What is handed back once the condition holds.
    type Value;

    /// Returns the value if the condition holds.
    fn value(self) -> Option<Self::Value>;
}

impl Answer for bool {
    type Value = ();

    fn value(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Value = T;

    fn value(self) -> Self {
        self
    }
}

impl<T, E> Answer for Result<T, E> {
    type Value = T;

    fn value(self) -> Option<T> {
        self.ok()
    }
}

/// Asks `condition` again and again until it holds, and returns its value. Asks at
/// least once, and once more after the deadline, so that a busy machine does not
/// make a test fail whose condition does hold.
///
/// Wait on the value itself, not on an event that announces it.
///
/// # Panics
///
/// When the condition does not hold after `deadline`; the panic names the caller.
///
/// ```
/// use std::{sync::mpsc, time::Duration};
/// use veritas_testkit::wait_for;
///
/// let (sender, receiver) = mpsc::channel();
/// std::thread::spawn(move || sender.send(7));
/// assert_eq!(wait_for(Duration::from_secs(10), || receiver.try_recv()), 7);
/// ```
#[track_caller]
pub fn wait_for<C: Answer>(deadline: Duration, mut condition: impl FnMut() -> C) -> C::Value {
    let clock = SystemClock::new();
    let started_at = clock.monotonic();
    loop {
        let late = clock.monotonic().since(started_at) >= deadline;
        if let Some(value) = condition().value() {
            return value;
        }
        assert!(!late, "the condition did not hold within {deadline:?}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the wait that others use instead of sleeping")]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_comes_back_once_there_is_one() {
        let mut looks = 0;
        let value = wait_for(Duration::from_mins(1), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(value, 3);
    }

    #[test]
    fn a_condition_that_holds_at_once_is_asked_once() {
        let mut looks = 0;
        wait_for(Duration::ZERO, || {
            looks += 1;
            true
        });
        assert_eq!(looks, 1);
    }

    #[test]
    #[should_panic(expected = "the condition did not hold within 5ms")]
    fn a_condition_that_never_holds_fails_the_test() {
        wait_for(Duration::from_millis(5), || false);
    }
}
