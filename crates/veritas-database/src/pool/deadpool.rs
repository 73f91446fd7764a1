//! The gauge of a deadpool (deadpool-postgres and its kin).

use deadpool::managed::{Manager, Object, Pool};

use super::{PoolGauge, PoolReading};

impl<M, W> PoolGauge for Pool<M, W>
where
    M: Manager,
    W: From<Object<M>> + Send + Sync,
    Self: Send + Sync,
{
    fn read(&self) -> PoolReading {
        let status = self.status();
        // Those who wait are counted as available, below zero.
        let idle = status.available.min(status.size);
        PoolReading { active: (status.size - idle) as u64, idle: idle as u64, max: status.max_size as u64 }
    }
}
