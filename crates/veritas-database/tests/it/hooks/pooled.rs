//! A pool of deadpool: its gauge, its meter, and its clients, which record.

use std::sync::Arc;

use deadpool_postgres::{GenericClient as _, Manager, Pool, Runtime};
use tokio_postgres::NoTls;
use veritas_database::{
    PoolReading, Recorder,
    postgres_client::{Prepared, Record as _},
};

use super::{database, recorded, recorder};

fn pool() -> (Pool, veritas_testkit::Database) {
    let database = database();
    let manager = Manager::new(database.url().parse().expect("the pool works"), NoTls);
    let pool = Pool::builder(manager).max_size(2).runtime(Runtime::Tokio1).build().expect("the pool works");
    (pool, database)
}

async fn name(recorder: &Recorder, pool: &Pool, id: i64) -> String {
    let mut client = recorder.pool("main").get(pool.get()).await.expect("the pool works");
    let sql = "SELECT name FROM users WHERE id = $1";
    let kept = Prepared::new(sql, client.prepare_cached(sql).await.expect("the pool works"));
    let transaction = client.transaction().await.expect("the pool works");
    let row = transaction.recorded(recorder).query_one(&kept, &[&id]).await.expect("the pool works");
    transaction.commit().await.expect("the pool works");
    row.get(0)
}

#[tokio::test]
async fn a_pool_is_read_measured_and_its_clients_record() {
    let (recorder, (pool, _database)) = (recorder(), pool());
    #[cfg(feature = "deadpool")]
    recorder.register_pool("main", Arc::new(pool.clone()));
    #[cfg(not(feature = "deadpool"))]
    recorder.register_pool("main", Arc::new(|| PoolReading { active: 0, idle: 1, max: 2 }));
    assert_eq!(name(&recorder, &pool, 3).await, "user 3");
    assert_eq!(name(&recorder, &pool, 4).await, "user 4");
    assert_eq!(recorded(&recorder, "select name").calls, 2);

    #[cfg(feature = "deadpool")]
    {
        let held = pool.get().await.unwrap();
        let reading = recorder.connections().unwrap().total;
        assert_eq!(reading, PoolReading { active: 1, idle: 0, max: 2 });
        // The client itself records too, without a meter.
        held.recorded(&recorder).query("SELECT age FROM users", &[]).await.unwrap();
    }
    let measured = &recorder.snapshot().pools[0];
    assert_eq!((measured.name.as_str(), measured.arrivals, measured.abandoned), ("main", 2, 0));
    assert_eq!((measured.held.count, measured.waits.count()), (2, 2));
    assert_eq!(measured.reading.map(|reading| reading.max), Some(2));
}

#[tokio::test]
async fn who_does_not_get_a_connection_is_counted() {
    let (recorder, (pool, _database)) = (recorder(), pool());
    let _first = recorder.pool("main").get(pool.get()).await.unwrap();
    let _second = recorder.pool("main").get(pool.get()).await.unwrap();
    let failed = recorder.pool("main").get(async { Err::<(), _>("timed out") }).await;
    assert!(failed.is_err());
    // A caller that goes away.
    drop(recorder.pool("main").get(pool.get()));
    let mut third = Box::pin(recorder.pool("main").get(pool.get()));
    let waker = std::task::Waker::noop();
    assert!(third.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(third);
    let measured = &recorder.pools()[0];
    assert_eq!((measured.arrivals, measured.abandoned, measured.held.count), (4, 2, 0));
}
