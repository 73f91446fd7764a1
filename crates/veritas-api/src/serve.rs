//! The accept loop: connections bounded in number, header size and patience.
//!
//! axum's own server exposes neither header time-outs nor a bound on its
//! graceful shutdown (a single open stream keeps it alive for ever), so this is
//! ours, on hyper-util. Requests that hyper itself refuses never reach the
//! router: a malformed request line or header is a bare `400`, too many or too
//! large headers a bare `431`, a target beyond hyper's buffer a bare `414`.

mod patience;

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tower::Service;

use patience::Impatient;

/// The bounds on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Time for the head of a request, and for a kept-alive connection to ask again.
    pub header_time: Duration,
    /// Largest head of a request in bytes (at least 8192).
    pub header_bytes: usize,
    /// Most headers of a request.
    pub headers: usize,
    /// Time in which a client must take something of its answer.
    pub write_time: Duration,
    /// Time that open requests and streams have to end at shutdown.
    pub drain_time: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections: 1_024,
            header_time: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            headers: 64,
            write_time: Duration::from_secs(20),
            drain_time: Duration::from_secs(5),
        }
    }
}

/// Why the server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// How the server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    Whole,
    /// This many were cut when the drain time was over.
    Cut(usize),
}

/// A listening server that answers nobody yet.
#[derive(Debug)]
pub struct Bound {
    /// The address, with the port that port 0 became.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// Listens on `address`; port 0 picks a free one.
///
/// # Errors
///
/// [`ListenError`] says which address and why.
pub async fn bind(address: SocketAddr) -> Result<Bound, ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { address, listener })
}

impl Bound {
    /// Answers until `shutdown` is ready, then drains for a bounded time and
    /// cuts what is left.
    pub async fn serve(
        self,
        router: Router,
        options: ServeOptions,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Drained {
        let slots = Arc::new(Semaphore::new(options.connections));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = async {
                // First a slot, then a connection: what waits, waits in the kernel's queue.
                let slot = slots.clone().acquire_owned().await;
                (slot, self.listener.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                (slot, accepted) = accepted => match accepted {
                    Ok((stream, peer)) => {
                        let connection = connection(stream, peer, router.clone(), &options);
                        let connection = graceful.watch(connection);
                        connections.spawn(async move {
                            // A client that goes away is nobody's fault.
                            if let Err(error) = connection.await {
                                tracing::debug!(%error, "a connection broke");
                            }
                            drop(slot);
                        });
                    }
                    Err(error) => pause_after(&error).await,
                },
            }
        }
        drop(self.listener);
        let drained = tokio::time::timeout(options.drain_time, graceful.shutdown()).await.is_ok();
        while connections.try_join_next().is_some() {}
        let cut = if drained { 0 } else { connections.len() };
        connections.shutdown().await;
        if cut == 0 { Drained::Whole } else { Drained::Cut(cut) }
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    options: &ServeOptions,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectInfo(peer));
        let answer = router.call(Request::from_parts(parts, Body::new(body)));
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_time)
        .max_buf_size(options.header_bytes.max(8192))
        .max_headers(options.headers)
        .serve_connection(TokioIo::new(Impatient::new(stream, options.write_time)), service)
}

/// After an error of one connection goes on at once; after one of the process
/// (no file descriptors left) waits, for there is nothing else to do.
async fn pause_after(error: &io::Error) {
    let of_the_connection = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::Interrupted,
    ];
    if !of_the_connection.contains(&error.kind()) {
        tracing::warn!(%error, "failed to accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
