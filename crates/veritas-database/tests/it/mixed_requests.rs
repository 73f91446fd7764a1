//! Made-up requests: planted repetitions among what only looks like them. Everything planted is
//! found, with its line, and nothing else.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use veritas_database::{CallSite, Execution, Recorder, RecorderOptions, Value, scope};
use veritas_model::{FindingKind, Subject, Timestamp};
use veritas_testkit::VirtualClock;

use crate::recorder_with;

/// What a part of a request does, and what must be found of it.
#[derive(Debug, Clone, Copy)]
enum Part {
    NPlusOne { keys: u8 },
    Redundant { times: u8 },
    RowByRow { rows: u8, verb: u8 },
    FewLookUps { keys: u8 },
    Batches { lists: u8 },
    Pages { pages: u8, by_offset: bool },
    Attempts { times: u8 },
    Numbers { times: u8 },
    Queue { times: u8 },
    FewWrites { rows: u8 },
    OwnTransactions { rows: u8 },
    Polling { times: u8 },
    Different { statements: u8 },
}

/// One statement of a part.
#[derive(Debug, Clone)]
struct Step {
    sql: String,
    key: Option<i64>,
    error: bool,
    /// Milliseconds that pass before it.
    after: u64,
}

fn parts() -> impl Strategy<Value = Part> {
    prop_oneof![
        (5..30_u8).prop_map(|keys| Part::NPlusOne { keys }),
        (2..9_u8).prop_map(|times| Part::Redundant { times }),
        (10..40_u8, 0..3_u8).prop_map(|(rows, verb)| Part::RowByRow { rows, verb }),
        (1..5_u8).prop_map(|keys| Part::FewLookUps { keys }),
        (1..20_u8).prop_map(|lists| Part::Batches { lists }),
        (1..20_u8, any::<bool>()).prop_map(|(pages, by_offset)| Part::Pages { pages, by_offset }),
        (1..20_u8).prop_map(|times| Part::Attempts { times }),
        (1..20_u8).prop_map(|times| Part::Numbers { times }),
        (1..20_u8).prop_map(|times| Part::Queue { times }),
        (1..10_u8).prop_map(|rows| Part::FewWrites { rows }),
        (1..30_u8).prop_map(|rows| Part::OwnTransactions { rows }),
        (1..20_u8).prop_map(|times| Part::Polling { times }),
        (1..12_u8).prop_map(|statements| Part::Different { statements }),
    ]
}

impl Part {
    /// What must be found; `None` of what is in order.
    const fn expected(self) -> Option<FindingKind> {
        match self {
            Self::NPlusOne { .. } => Some(FindingKind::NPlusOne),
            Self::Redundant { .. } => Some(FindingKind::RedundantStatement),
            Self::RowByRow { .. } => Some(FindingKind::ChattyLoop),
            _ => None,
        }
    }

    /// Whether it may run at the same time as others, as parts of one request that are awaited
    /// together do.
    const fn is_parallel(self) -> bool {
        matches!(
            self,
            Self::NPlusOne { .. }
                | Self::Redundant { .. }
                | Self::FewLookUps { .. }
                | Self::Batches { .. }
                | Self::Pages { .. }
                | Self::Attempts { .. }
        )
    }

    /// Its statements, on a table of its own.
    fn steps(self, table: usize) -> Vec<Step> {
        let step = |sql: String, key: Option<i64>| Step { sql, key, error: false, after: 0 };
        let each = |times: u8, sql: &str| -> Vec<Step> {
            (0..times).map(|key| step(sql.replace("{t}", &format!("t{table}")), Some(key.into()))).collect()
        };
        let same = |times: u8, sql: &str| -> Vec<Step> {
            (0..times).map(|_| step(sql.replace("{t}", &format!("t{table}")), Some(7))).collect()
        };
        match self {
            Self::NPlusOne { keys } | Self::FewLookUps { keys } => {
                each(keys, "select a from {t} where id = $1")
            }
            Self::Redundant { times } => same(times, "select count(*) from {t} where owner = $1"),
            Self::RowByRow { rows, verb } => each(rows, Self::write(verb)),
            Self::FewWrites { rows } => each(rows, Self::write(0)),
            Self::Batches { lists } => each(lists, "select a from {t} where id = any($1)"),
            Self::Pages { pages, by_offset: true } => {
                each(pages, "select a from {t} where owner = 3 order by id limit 20 offset $1")
            }
            Self::Pages { pages, by_offset: false } => {
                each(pages, "select a from {t} where owner = 3 and id > $1 order by id limit 20")
            }
            Self::Attempts { times } => {
                let mut steps = same(times, "select a from {t} where id = $1 and b = 1");
                let last = steps.len() - 1;
                steps[..last].iter_mut().for_each(|step| step.error = true);
                steps
            }
            Self::Numbers { times } => same(times, "select nextval('{t}_ids'), $1"),
            Self::Queue { times } => {
                same(times, "select id from {t} where state = $1 limit 1 for update skip locked")
            }
            Self::OwnTransactions { rows } => each(rows, Self::write(1))
                .into_iter()
                .flat_map(|write| [step("begin".to_owned(), None), write, step("commit".to_owned(), None)])
                .collect(),
            Self::Polling { times } => {
                let mut steps = same(times, "select state from {t} where id = $1");
                for step in &mut steps {
                    step.after = 250;
                }
                steps
            }
            Self::Different { statements } => {
                (0..statements).map(|column| step(format!("select c{column} from t{table}"), None)).collect()
            }
        }
    }

    const fn write(verb: u8) -> &'static str {
        match verb {
            0 => "insert into {t} (a) values ($1)",
            1 => "update {t} set a = 1 where id = $1",
            _ => "delete from {t} where id = $1",
        }
    }
}

/// Puts the statements of parallel parts between each other, and those of the others after them.
fn schedule(parts: &[Part], order: &[u8]) -> Vec<(u32, Step)> {
    let mut parallel: Vec<_> = Vec::new();
    let mut rest = Vec::new();
    for (table, part) in parts.iter().enumerate() {
        let line = u32::try_from(table).unwrap_or(0) + 1;
        let steps = part.steps(table).into_iter().map(move |step| (line, step));
        if part.is_parallel() {
            parallel.push(steps.collect::<Vec<_>>().into_iter());
        } else {
            rest.extend(steps);
        }
    }
    let mut scheduled = Vec::new();
    let mut turns = order.iter().cycle();
    while !parallel.is_empty() {
        let turn = usize::from(*turns.next().unwrap_or(&0)) % parallel.len();
        match parallel[turn].next() {
            Some(step) => scheduled.push(step),
            None => drop(parallel.remove(turn)),
        }
    }
    scheduled.extend(rest);
    scheduled
}

fn run(recorder: &Recorder, clock: &VirtualClock, scheduled: &[(u32, Step)]) {
    for (line, step) in scheduled {
        clock.advance(Duration::from_millis(step.after));
        let parameters: Vec<Value> = step.key.into_iter().map(Value::from).collect();
        recorder.record(&Execution {
            parameters: &parameters,
            error: step.error,
            rows_returned: 1,
            caller: Some(CallSite { file: "src/page.rs", line: *line }),
            ..Execution::new(&step.sql, Duration::from_micros(200))
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_planted_is_found_with_its_line_and_nothing_else_is(
        parts in prop::collection::vec(parts(), 1..9),
        order in prop::collection::vec(any::<u8>(), 1..40),
        requests in 3..6_u8,
    ) {
        let (recorder, clock) = recorder_with(RecorderOptions::default());
        let scheduled = schedule(&parts, &order);
        let different: BTreeSet<_> = scheduled.iter().map(|(_, step)| &step.sql).collect();
        prop_assume!(different.len() < 50);
        for _ in 0..requests {
            let _scope = scope::enter("/page");
            run(&recorder, &clock, &scheduled);
        }
        let mut found: Vec<_> = recorder
            .findings(Timestamp::default())
            .into_iter()
            .map(|finding| (finding.callers[0].line, finding.kind, matches!(finding.subject, Subject::Statement { .. })))
            .collect();
        found.sort_unstable();
        let planted: Vec<_> = parts
            .iter()
            .zip(1_u32..)
            .filter_map(|(part, line)| Some((line, part.expected()?, true)))
            .collect();
        prop_assert_eq!(found, planted, "{:?}", parts);
    }
}
