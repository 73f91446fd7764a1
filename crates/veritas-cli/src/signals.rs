//! Signals: what makes a server drain and stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
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

/// Returns what turns true on the first SIGTERM or Ctrl-C, for work that looks at it now and then.
pub(crate) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            if let Ok(requested) = stop_requested() {
                requested.await;
                told.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(stop)
}
