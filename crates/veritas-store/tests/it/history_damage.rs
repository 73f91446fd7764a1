//! The history over torn, flipped and missing bytes.

use std::{collections::HashMap, fs, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use veritas_model::{Bytes, Timestamp};
use veritas_store::{History, HistoryOptions, HistoryQuery, Point};
use veritas_testkit::data_dir;

const SECOND: i64 = 1_000_000_000;

fn open(directory: &Path, head_points: usize) -> History {
    let options = HistoryOptions {
        max_bytes: Bytes::new(1 << 20),
        head_points: NonZeroUsize::new(head_points).unwrap(),
        sync_every: Duration::from_secs(5),
    };
    History::open(directory, options, Arc::default()).unwrap()
}

fn all(history: &History) -> Vec<Point> {
    history.query(&HistoryQuery::newest(usize::MAX)).unwrap()
}

/// Fills a directory with one small segment, and returns its bytes and its points.
fn segment(start: i64) -> (Vec<u8>, Vec<Point>) {
    let directory = data_dir();
    let history = open(directory.path(), 100);
    for second in start..start + 6 {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let third = second as f64 / 3.0;
        let numbers = [("load", third), ("count", 7.0), ("percent", 12.34), ("late", third)];
        let numbers = if second < start + 3 { &numbers[..3] } else { &numbers[..] };
        let status = if second % 2 == 0 { "running" } else { "sleeping" };
        history.append(Timestamp::from_nanos(second * SECOND + 1), numbers, &[("status", status)]).unwrap();
    }
    let points = all(&history);
    (fs::read(directory.path().join("00000000000000000001.wal")).unwrap(), points)
}

const FIRST: &str = "00000000000000000001.wal";
const SECOND_FILE: &str = "00000000000000000002.wal";

/// Returns where each point of a segment ends.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut start = 24;
    while start < bytes.len() {
        let length = u32::from_le_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
        let is_point = matches!(bytes[start + 8], 2 | 3);
        start += 8 + length;
        if is_point {
            ends.push(start);
        }
    }
    ends
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_the_torn_point() {
    let (bytes, points) = segment(0);
    let ends = ends(&bytes);
    assert_eq!(ends.len(), points.len());
    for length in 0..=bytes.len() {
        let directory = data_dir();
        fs::write(directory.path().join(FIRST), &bytes[..length]).unwrap();
        let history = open(directory.path(), 100);
        let whole = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(all(&history), points[..whole], "cut at {length}");
        let left = fs::metadata(directory.path().join(FIRST)).unwrap().len();
        let statistics = history.statistics();
        if length < 24 {
            // Not even a header: nothing of ours is known to be in it.
            assert_eq!((left, statistics.segments_damaged), (length as u64, 1));
        } else {
            assert_eq!(left + statistics.truncated_bytes.get(), length as u64);
            assert_eq!(statistics.segments_damaged, 0);
        }
        let at = Timestamp::from_nanos(99 * SECOND);
        history.append(at, &[("load", 0.5)], &[]).unwrap();
        drop(history);
        let again = all(&open(directory.path(), 100));
        assert_eq!(again[..whole], points[..whole]);
        assert_eq!((again.len(), again[whole].at, again[whole].number("load")), (whole + 1, at, Some(0.5)));
    }
}

#[test]
fn a_flipped_bit_never_makes_a_wrong_point() {
    let (bytes, points) = segment(0);
    let (mut second, _) = segment(100);
    let newer = {
        // The same segment as number two: its header names its number.
        second[12] = 2;
        let checksum = crc32fast::hash(&second[..20]);
        second[20..24].copy_from_slice(&checksum.to_le_bytes());
        ends(&second).len()
    };
    let ends = ends(&bytes);
    let directory = data_dir();
    let path = directory.path().join(FIRST);
    // Every bit of the header and of the first frames, one of every further byte.
    for flipped in (0..bytes.len() * 8).filter(|bit| bit / 8 < 48 || bit % 8 == bit / 8 % 8) {
        let mut damaged = bytes.clone();
        damaged[flipped / 8] ^= 1 << (flipped % 8);
        let whole = if flipped / 8 < 24 { 0 } else { ends.iter().filter(|end| **end <= flipped / 8).count() };
        // As the newest segment.
        fs::write(&path, &damaged).unwrap();
        let history = open(directory.path(), 100);
        assert_eq!(all(&history), points[..whole], "bit {flipped}");
        drop(history);
        // As an older one: the newer one is whole, the damaged one stays as it is.
        fs::write(&path, &damaged).unwrap();
        fs::write(directory.path().join(SECOND_FILE), &second).unwrap();
        for head_points in [1, 100] {
            let history = open(directory.path(), head_points);
            let found = all(&history);
            assert_eq!(found.len(), whole + newer, "bit {flipped}");
            assert_eq!(found[..whole], points[..whole]);
            assert_eq!(history.statistics().segments_damaged, 1, "bit {flipped} {head_points}");
            all(&history);
            assert_eq!(history.statistics().segments_damaged, 1, "damage is counted once");
        }
        assert_eq!(fs::read(&path).unwrap(), damaged, "what is damaged is not touched");
        fs::remove_file(directory.path().join(SECOND_FILE)).unwrap();
    }
}

/// What a fuzzer would call: any frames behind a sound header, each with a sound checksum.
fn fuzz_frames(payloads: &[Vec<u8>]) {
    let directory = data_dir();
    let (bytes, _) = segment(0);
    let mut file = bytes[..24].to_vec();
    for payload in payloads {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let checksum = crc32fast::hash(&[&length, &**payload].concat());
        file.extend_from_slice(&length);
        file.extend_from_slice(&checksum.to_le_bytes());
        file.extend_from_slice(payload);
    }
    fs::write(directory.path().join(FIRST), &file).unwrap();
    let history = open(directory.path(), 10);
    for point in all(&history) {
        let values: HashMap<_, _> = point.numbers().collect();
        assert!(values.values().all(|value| !value.is_nan()));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(100))]

    #[test]
    fn sound_frames_that_make_no_sense_are_refused(
        payloads in proptest::collection::vec(
            (1_u8..6, proptest::collection::vec(0_u8..16, 0..40)), 0..8),
    ) {
        let payloads: Vec<_> =
            payloads.into_iter().map(|(kind, rest)| [vec![kind], rest].concat()).collect();
        fuzz_frames(&payloads);
    }
}
