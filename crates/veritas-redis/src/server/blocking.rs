//! Running a bounded conversation from anywhere: on a thread of its own with a small runtime.

use std::{io, thread};

/// Runs `conversation`, which must end by itself, and waits for it. Works in and
/// outside of any runtime; costs a thread.
pub(super) fn run<T: Send>(conversation: impl Future<Output = T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let running = thread::Builder::new().name("veritas-redis-view".into()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let outcome = runtime.block_on(conversation);
            // A name that is still being resolved is not waited for.
            runtime.shutdown_background();
            Ok(outcome)
        })?;
        running.join().unwrap_or_else(|_| Err(io::Error::other("the conversation with the server broke off")))
    })
}
