//! Signals: what makes a server drain and stop.

use tokio::signal::unix::{SignalKind, signal};

/// Completes on the first SIGTERM or Ctrl-C.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub(crate) fn stop_requested() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
