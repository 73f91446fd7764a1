//! The history over restarts, queries and its cap.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use veritas_model::{Bytes, Health, Timestamp};
use veritas_store::{History, HistoryOptions, HistoryQuery, Point};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(START + second * SECOND)
}

fn options(head_points: usize, max_bytes: u64) -> HistoryOptions {
    HistoryOptions {
        max_bytes: Bytes::new(max_bytes),
        head_points: NonZeroUsize::new(head_points).unwrap(),
        sync_every: Duration::from_secs(5),
    }
}

fn open(directory: &Path, head_points: usize, max_bytes: u64) -> History {
    History::open(directory, options(head_points, max_bytes), Arc::default()).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn fill(history: &History, seconds: std::ops::Range<i64>) {
    for second in seconds {
        let cpu = (second % 97) as f64 / 7.0;
        let status = if second % 10 < 5 { "running" } else { "sleeping" };
        let numbers = [("cpu", cpu), ("bytes", (second * 1500) as f64), ("constant", 4.25)];
        history.append(at(second), &numbers, &[("status", status)]).unwrap();
    }
}

#[track_caller]
fn check_seconds(points: &[Point], expected: impl IntoIterator<Item = i64>) {
    let seconds: Vec<_> = points.iter().map(|point| (point.at.nanos() - START) / SECOND).collect();
    assert_eq!(seconds, expected.into_iter().collect::<Vec<_>>());
    for point in points {
        let second = (point.at.nanos() - START) / SECOND;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let bytes = (second * 1500) as f64;
        assert_eq!(point.number("bytes"), Some(bytes));
        assert_eq!(point.text("status"), Some(if second % 10 < 5 { "running" } else { "sleeping" }));
    }
}

#[test]
fn points_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path(), 100, 1 << 20);
    fill(&history, 0..10);
    let before = history.query(&HistoryQuery::newest(100)).unwrap();
    drop(history);
    let history = open(directory.path(), 100, 1 << 20);
    assert_eq!(history.query(&HistoryQuery::newest(100)).unwrap(), before);
    fill(&history, 10..20);
    drop(history);
    let history = open(directory.path(), 100, 1 << 20);
    check_seconds(&history.query(&HistoryQuery::newest(100)).unwrap(), 0..20);
    check_seconds(&history.query(&HistoryQuery::newest(3)).unwrap(), 17..20);
    assert_eq!(history.statistics().segments, 2);
}

#[test]
fn what_is_older_than_the_memory_is_read_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path(), 10, 1 << 20);
    fill(&history, 0..50);
    drop(history);
    let history = open(directory.path(), 10, 1 << 20);
    fill(&history, 50..100);
    assert_eq!(history.len(), 10);
    check_seconds(&history.query(&HistoryQuery::newest(5)).unwrap(), 95..100);
    check_seconds(&history.query(&HistoryQuery::newest(30)).unwrap(), 70..100);
    check_seconds(&history.query(&HistoryQuery::newest(1000)).unwrap(), 0..100);
    let query = HistoryQuery { from: Some(at(45)), to: Some(at(54)), step: None, limit: 8 };
    check_seconds(&history.query(&query).unwrap(), 47..55);
}

#[test]
fn a_step_keeps_its_last_point() {
    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path(), 7, 1 << 20);
    fill(&history, 0..100);
    // START is a multiple of ten seconds.
    let query = HistoryQuery { step: Some(Duration::from_secs(10)), ..HistoryQuery::newest(100) };
    check_seconds(&history.query(&query).unwrap(), (0..10).map(|step| step * 10 + 9));
    check_seconds(&history.query(&HistoryQuery { limit: 2, ..query }).unwrap(), [89, 99]);
    check_seconds(&history.query(&HistoryQuery { to: Some(at(85)), limit: 2, ..query }).unwrap(), [79, 85]);
    let none = HistoryQuery { step: Some(Duration::ZERO), ..HistoryQuery::newest(3) };
    check_seconds(&history.query(&none).unwrap(), 97..100);
}

#[test]
fn the_cap_holds_and_the_oldest_go_first() {
    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path(), 10, 64 << 10);
    let mut largest = 0;
    for round in 0..200 {
        fill(&history, round * 100..(round + 1) * 100);
        let files = std::fs::read_dir(directory.path()).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(history.statistics().bytes.get(), bytes);
        largest = largest.max(bytes);
    }
    assert!(largest <= 64 << 10, "{largest}");
    assert!(history.statistics().segments_deleted > 0);
    let points = history.query(&HistoryQuery::newest(usize::MAX)).unwrap();
    assert!(points.len() > 1000, "{}", points.len());
    let first = (points[0].at.nanos() - START) / SECOND;
    check_seconds(&points, first..20_000);
}

#[test]
fn a_series_may_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path(), 10, 1 << 20);
    history.append(at(0), &[("a", 1.0)], &[]).unwrap();
    history.append(at(1), &[("b", 2.0), ("a", f64::NAN)], &[("t", "x")]).unwrap();
    history.append(at(2), &[("a", 0.0)], &[("t", "")]).unwrap();
    history.append(at(3), &[], &[]).unwrap();
    let check = |history: &History| {
        let points = history.query(&HistoryQuery::newest(9)).unwrap();
        let shown: Vec<_> = points.iter().map(|point| point.names().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(shown, ["a", "b t", "a t", ""]);
        assert_eq!((points[1].number("a"), points[1].number("b")), (None, Some(2.0)));
        assert_eq!((points[2].number("a"), points[2].text("t")), (Some(0.0), Some("")));
    };
    check(&history);
    drop(history);
    check(&open(directory.path(), 10, 1 << 20));
    check(&open(directory.path(), 1, 1 << 20));
}

#[test]
fn a_clock_that_jumps_back_keeps_the_order_of_arrival() {
    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path(), 2, 1 << 20);
    fill(&history, 10..15);
    fill(&history, 3..6);
    for history in [history, open(directory.path(), 2, 1 << 20)] {
        let query = HistoryQuery::newest(100);
        check_seconds(&history.query(&query).unwrap(), [10, 11, 12, 13, 14, 3, 4, 5]);
        let query = HistoryQuery { from: Some(at(5)), to: Some(at(12)), ..query };
        check_seconds(&history.query(&query).unwrap(), [10, 11, 12, 5]);
    }
}

#[test]
fn a_segment_of_another_release_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path(), 10, 1 << 20), 0..5);
    let path = directory.path().join("00000000000000000001.wal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    let checksum = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let error =
        History::open(directory.path(), options(10, 1 << 20), Arc::new(Health::default())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the history segment {path:?} has format 9, this release knows format 1")
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn too_many_series_are_dropped_and_counted() {
    let history = History::in_memory(NonZeroUsize::new(4).unwrap());
    let names: Vec<_> = (0..4100).map(|index| format!("series.{index}")).collect();
    let numbers: Vec<_> = names.iter().map(|name| (&**name, 1.0)).collect();
    history.append(at(0), &numbers, &[]).unwrap();
    history.append(at(1), &[(&*"n".repeat(257), 1.0)], &[("text", &*"é".repeat(1000))]).unwrap();
    assert_eq!(history.statistics().values_dropped, 5);
    let points = history.query(&HistoryQuery::newest(2)).unwrap();
    assert_eq!(points[0].names().count(), 4096);
    assert_eq!(points[1].text("text").map(str::len), Some(1024));
}

#[test]
fn an_answer_has_no_holes_while_segments_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path(), 50, 64 << 10);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) || answers == 0 {
                        let points = history.query(&HistoryQuery::newest(usize::MAX)).unwrap();
                        if let Some(first) = points.first() {
                            let first = (first.at.nanos() - START) / SECOND;
                            let count = i64::try_from(points.len()).unwrap();
                            check_seconds(&points, first..first + count);
                            answers += 1;
                        }
                    }
                    answers
                })
            })
            .collect();
        for round in 0..100 {
            fill(&history, round * 100..(round + 1) * 100);
            history.sync_if_due();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert!(history.statistics().segments_deleted > 0);
    assert_eq!(history.statistics().segments_damaged, 0);
}
