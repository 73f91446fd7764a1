//! A session of somebody else that holds what others wait for.

use tokio::runtime::Runtime;
use tokio_postgres::Client;

use super::{load::connect, stage::Failure};

/// Holds what its statements took, until it is dropped.
pub(crate) struct Holder {
    runtime: Runtime,
    client: Client,
}

impl Holder {
    /// Runs statements in a session of its own, the first of which begins a transaction.
    pub(crate) fn hold(url: &str, sql: &str) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(async {
            let client = connect(url).await?;
            client.batch_execute(sql).await?;
            Ok::<Client, Failure>(client)
        })?;
        Ok(Self { runtime, client })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // A session that is lost holds nothing any more.
        self.runtime.block_on(self.client.batch_execute("ROLLBACK")).ok();
    }
}
