//! What the load costs: the server's counters between readings, and around changes.

use std::time::Duration;

use veritas_database::server::{Engine, IndexReading, NotRead, ServerReading, ServerStatement};
use veritas_model::{
    Actuator as _, Bytes, ChangeKind, Clock as _, Fingerprint, Moments, Timestamp, WorkMetric,
};

use super::scene::{Scene, hasty};

impl Scene {
    /// Publishes a reading with these indexes and their scans; the ledger takes it in.
    pub(crate) fn read(&self, indexes: &[(&str, u64)]) {
        let mut reading = self.reading();
        reading.indexes = Ok(indexes.iter().map(|(name, scans)| index(name, *scans)).collect());
        self.target.latest.publish(reading);
        drop(self.actuator.work(&self.plan(&["a"])));
    }

    /// Publishes a reading of one statement: calls, seconds of each, pages of each.
    fn count(&self, calls: u32, pages: u64, reset_at: Option<Timestamp>) {
        let mut reading = self.reading();
        let mut seconds = Moments::default();
        (0..calls).for_each(|call| seconds.add(if call % 2 == 0 { 0.001 } else { 0.003 }));
        reading.statements_reset_at = reset_at;
        reading.statements = Ok(vec![ServerStatement {
            fingerprint: Fingerprint::of_normalized("q"),
            normalized: "q".to_owned(),
            text: "q".to_owned(),
            server_ids: vec![1],
            tables: vec!["t".to_owned()],
            writes: false,
            seconds,
            rows: 0,
            buffers_hit: pages,
            buffers_read: 0,
            temporary_written: 0,
            wal_bytes: None,
            planning_seconds: None,
        }]);
        self.target.latest.publish(reading);
    }

    fn reading(&self) -> ServerReading {
        let none = || NotRead::NotKept { reason: "not in this test".to_owned() };
        ServerReading {
            name: "main".to_owned(),
            engine: Engine::PostgreSql,
            version: "15".to_owned(),
            database: "test".to_owned(),
            read_at: self.clock.now(),
            took: Duration::ZERO,
            uptime: None,
            is_replica: false,
            statements: Err(none()),
            statements_reset_at: None,
            statements_evicted: None,
            activity: Err(none()),
            locks: Err(none()),
            tables: Err(none()),
            indexes: Err(none()),
            settings: Err(none()),
            replication: Err(none()),
            connections: Err(none()),
            extensions: Vec::new(),
            transaction_id_age: None,
        }
    }

    fn work(&self) -> Option<(u64, f64, f64)> {
        let work = self.actuator.work(&self.plan(&["a"]));
        work.first().map(|totals| {
            assert_eq!((work.len(), totals.metric), (1, WorkMetric::Buffers));
            assert_eq!(totals.steps.count, totals.seconds.count);
            (totals.steps.count, totals.steps.sum, totals.seconds.sum)
        })
    }

    fn second(&self) {
        self.clock.advance(Duration::from_secs(1));
    }
}

fn index(name: &str, scans: u64) -> IndexReading {
    IndexReading {
        schema: "public".to_owned(),
        table: "t".to_owned(),
        name: name.to_owned(),
        keys: Vec::new(),
        include: Vec::new(),
        predicate: None,
        method: "btree".to_owned(),
        definition: String::new(),
        size: Bytes::new(0),
        expected_size: None,
        scans: Some(scans),
        scanned_at: None,
        unique: false,
        constraint: None,
        protected: None,
        valid: true,
    }
}

#[test]
fn work_is_what_the_server_counted_since_we_looked() {
    let scene = Scene::new(hasty());
    assert_eq!(scene.work(), None, "nobody tells anything yet");
    scene.count(1_000, 100_000, None);
    assert_eq!(scene.work(), Some((0, 0.0, 0.0)), "what it cost before we looked may be years old");
    scene.second();
    scene.count(1_100, 101_000, None);
    let (calls, pages, seconds) = scene.work().unwrap();
    assert_eq!((calls, pages), (100, 1_000.0));
    assert!((seconds - 0.2).abs() < 1e-9, "{seconds}");
    // The same reading again adds nothing.
    assert_eq!(scene.work().unwrap().0, 100);
    let spread = scene.actuator.work(&scene.plan(&["a"]))[0].steps.variance().unwrap().sqrt();
    // Half the calls take three times as long as the others: half the mean either way.
    assert!((spread - 5.0).abs() < 0.1, "{spread}");
}

#[test]
fn counters_that_were_reset_are_counted_on() {
    let scene = Scene::new(hasty());
    scene.count(1_000, 100_000, None);
    assert!(scene.work().is_some());
    scene.second();
    scene.count(40, 400, Some(scene.clock.now()));
    assert_eq!(scene.work().unwrap().0, 40);
    scene.second();
    // Evicted and seen again: fewer calls than before, and nobody said a word.
    let reset = scene.target.latest.get("main").unwrap().reading.statements_reset_at;
    scene.count(10, 100, reset);
    let (calls, pages, _) = scene.work().unwrap();
    assert_eq!((calls, pages), (50, 500.0));
}

#[test]
fn what_was_counted_across_a_change_is_neither_before_nor_after() {
    let scene = Scene::new(hasty());
    scene.count(1_000, 100_000, None);
    assert!(scene.work().is_some());
    scene.second();
    let plan = scene.plan(&["a"]);
    scene.apply(ChangeKind::IndexCreate, &plan).unwrap();
    scene.second();
    scene.count(1_100, 101_000, None);
    assert_eq!(scene.work().unwrap().0, 0, "some of these calls were before it");
    scene.second();
    scene.count(1_200, 101_100, None);
    let (calls, pages, _) = scene.work().unwrap();
    assert_eq!((calls, pages), (100, 100.0));
}

#[test]
fn without_the_servers_counters_the_recorder_tells_and_the_source_stays() {
    let scene = Scene::new(hasty());
    let call = scene.recorder.statement("SELECT a FROM t WHERE b = 3");
    call.finish(1, None);
    let work = scene.actuator.work(&scene.plan(&["a"]));
    assert_eq!(work, [], "the server's first reading may come in a moment, and it has pages");
    scene.clock.advance(Duration::from_mins(1));
    let work = scene.actuator.work(&scene.plan(&["a"]));
    assert_eq!((work.len(), work[0].seconds.count, work[0].steps.count), (1, 1, 0));
    scene.count(1_000, 100_000, None);
    let work = scene.actuator.work(&scene.plan(&["a"]));
    assert_eq!(work[0].steps.count, 0, "two sources cannot be compared");
    let other = scene.actuator.work(&scene.plan(&["b"]));
    assert_eq!(other[0].metric, WorkMetric::Buffers, "another plan begins with what there is then");
}
