//! The thread `veritas-redis`: it owns all connections of a tier and ends with its last handle.

use std::sync::Arc;

use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
};

use super::{
    Detour, Link, Node, Shared, Source,
    cluster::{Router, Table},
    work::Work,
};
use crate::{error::RedisError, options::Endpoint};

/// What the thread is to do.
pub(crate) enum Duty {
    /// One link.
    One(Arc<Node>, Box<Source>),
    /// A link for every node of a cluster.
    Cluster(Arc<Table>, Vec<Endpoint>),
}

/// Starts the thread. It ends when the other end of `works` is gone and what was
/// asked before is answered or out of time.
pub(crate) fn start(
    shared: Arc<Shared>,
    duty: Duty,
    works: mpsc::UnboundedReceiver<Work>,
) -> Result<Handle, RedisError> {
    let failed = |error: std::io::Error| RedisError::Thread { reason: error.to_string() };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let work = move || {
        runtime.block_on(async move {
            match duty {
                Duty::One(node, source) => Link::new(shared, node, *source, Detour::None, works).run().await,
                Duty::Cluster(table, seeds) => Router::new(shared, table, seeds, works).run().await,
            }
        });
        // A look-up of a name that hangs must not hold up the end.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("veritas-redis".into()).spawn(work).map_err(failed)?;
    Ok(handle)
}
