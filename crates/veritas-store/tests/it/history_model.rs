//! The history against a plain list.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use proptest::prelude::*;
use veritas_model::{Bytes, Timestamp};
use veritas_store::{History, HistoryOptions, HistoryQuery, Point};
use veritas_testkit::data_dir;

/// A point of the model.
#[derive(Debug, Clone)]
struct Entry {
    at: i64,
    numbers: BTreeMap<String, u64>,
    texts: BTreeMap<String, String>,
}

impl Entry {
    fn of(point: &Point) -> Self {
        Self {
            at: point.at.nanos(),
            numbers: point.numbers().map(|(name, value)| (name.to_owned(), value.to_bits())).collect(),
            texts: point.texts().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
        }
    }

    fn key(&self) -> (i64, &BTreeMap<String, u64>, &BTreeMap<String, String>) {
        (self.at, &self.numbers, &self.texts)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append { later: i64, numbers: Vec<(u8, f64)>, texts: Vec<(u8, u8)>, times: u8 },
    Sync,
    Reopen { head_points: usize },
    Query(HistoryQuery),
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_i32..1000).prop_map(f64::from),
        2 => (0_i32..10_000).prop_map(|hundredths| f64::from(hundredths) / 100.0),
        1 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
    ]
}

fn query() -> impl Strategy<Value = HistoryQuery> {
    let bound = || proptest::option::of((-50_i64..500).prop_map(Timestamp::from_nanos));
    let step = proptest::option::of((0_u64..60).prop_map(Duration::from_nanos));
    let limit = prop_oneof![0_usize..20, Just(usize::MAX)];
    (bound(), bound(), step, limit).prop_map(|(from, to, step, limit)| HistoryQuery { from, to, step, limit })
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = proptest::collection::vec((0_u8..6, number()), 0..6);
    let texts = proptest::collection::vec((0_u8..3, 0_u8..4), 0..3);
    prop_oneof![
        6 => (-5_i64..20, numbers, texts, prop_oneof![4 => Just(1_u8), 1 => 1_u8..255])
            .prop_map(|(later, numbers, texts, times)| Step::Append { later, numbers, texts, times }),
        1 => Just(Step::Sync),
        1 => (1_usize..40).prop_map(|head_points| Step::Reopen { head_points }),
        3 => query().prop_map(Step::Query),
    ]
}

/// Answers a query the plain way.
fn expected(entries: &[Entry], query: &HistoryQuery) -> Vec<Entry> {
    let admitted = entries.iter().filter(|entry| {
        let at = Timestamp::from_nanos(entry.at);
        query.from.is_none_or(|from| from <= at) && query.to.is_none_or(|to| at <= to)
    });
    let mut kept: Vec<Entry> = Vec::new();
    let step = query.step.map_or(0, |step| i64::try_from(step.as_nanos()).unwrap());
    for entry in admitted {
        if step > 0 && kept.last().is_some_and(|last| last.at.div_euclid(step) == entry.at.div_euclid(step)) {
            kept.pop();
        }
        kept.push(entry.clone());
    }
    kept.split_off(kept.len().saturating_sub(query.limit))
}

fn ask(history: &History, query: &HistoryQuery) -> Vec<Entry> {
    history.query(query).unwrap().iter().map(Entry::of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_history_answers_as_a_list_does(steps in proptest::collection::vec(step(), 1..60)) {
        let directory = data_dir();
        // The smallest cap, so that segments fill up and are deleted on the way.
        let open = |head_points| {
            let options = HistoryOptions {
                max_bytes: Bytes::new(0),
                head_points: NonZeroUsize::new(head_points).unwrap(),
                sync_every: Duration::from_secs(5),
            };
            History::open(directory.path(), options, Arc::default()).unwrap()
        };
        let mut history = open(5);
        let mut entries: Vec<Entry> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Append { later, numbers, texts, times } => {
                    for time in 0..times {
                        now += later;
                        let numbers: Vec<_> = numbers
                            .iter()
                            .map(|(name, value)| (format!("n{name}"), value + f64::from(time)))
                            .collect();
                        let texts: Vec<_> =
                            texts.iter().map(|(name, text)| (format!("t{name}"), format!("v{text}"))).collect();
                        let given: Vec<_> = numbers.iter().map(|(name, value)| (&**name, *value)).collect();
                        let given_texts: Vec<_> = texts.iter().map(|(name, text)| (&**name, &**text)).collect();
                        history.append(Timestamp::from_nanos(now), &given, &given_texts).unwrap();
                        let mut values = BTreeMap::new();
                        for (name, value) in numbers.into_iter().filter(|(_, value)| !value.is_nan()) {
                            values.insert(name, value.to_bits());
                        }
                        entries.push(Entry { at: now, numbers: values, texts: texts.into_iter().collect() });
                    }
                }
                Step::Sync => history.sync(),
                Step::Reopen { head_points } => {
                    drop(history);
                    history = open(head_points);
                }
                Step::Query(query) => {
                    let everything = ask(&history, &HistoryQuery::newest(usize::MAX));
                    prop_assert!(everything.len() <= entries.len());
                    if history.statistics().segments_deleted == 0 && everything.len() < entries.len() {
                        // Deleted before the last restart: still a suffix.
                        prop_assert!(directory.path().join("00000000000000000001.wal").metadata().is_err());
                    }
                    entries.drain(..entries.len() - everything.len());
                    prop_assert_eq!(&everything, &entries);
                    prop_assert_eq!(ask(&history, &query), expected(&entries, &query));
                }
            }
        }
        prop_assert_eq!(history.statistics().truncated_bytes.get(), 0);
        prop_assert_eq!(history.statistics().segments_damaged, 0);
    }
}
