//! kill -9 at random moments: what was acknowledged is there afterwards.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    num::NonZeroUsize,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use veritas_model::{AlertStatus, Bytes, ChangeState, ProposalState, Timestamp};
use veritas_store::{ControlPlane, DataDir, History, HistoryOptions, HistoryQuery, SqliteControlPlane};
use veritas_testkit::{VirtualClock, data_dir};

use crate::sample;

/// The data directory and the first number, handed to the child.
const DIRECTORY: &str = "VERITAS_STORE_KILL_DIRECTORY";
const START: &str = "VERITAS_STORE_KILL_START";
const ROUNDS: u32 = 20;

struct Stores {
    _owned: DataDir,
    control: SqliteControlPlane,
    history: History,
}

fn open(path: &Path) -> Stores {
    let owned = DataDir::open(path).unwrap();
    let control = SqliteControlPlane::open(&owned.control_path(), Arc::new(VirtualClock::new())).unwrap();
    let options = HistoryOptions {
        // Small segments, so that some kills meet a new one.
        max_bytes: Bytes::new(256 << 10),
        head_points: NonZeroUsize::new(100).unwrap(),
        sync_every: Duration::from_secs(5),
    };
    let history = History::open(&owned.history_path(), options, Arc::default()).unwrap();
    Stores { _owned: owned, control, history }
}

/// Writes and acknowledges until it is killed. Each number: a proposal, a
/// change from beginning to end, an alert, and many points.
fn write(path: &Path, start: i64) {
    let stores = open(path);
    let mut out = std::io::stdout().lock();
    // Ends the line that the test harness has begun.
    let mut say =
        |what: &str, number: i64| writeln!(out, "\nack {what} {number}").and_then(|()| out.flush()).unwrap();
    for number in start.. {
        let record = sample::proposal(&format!("t{number}"), number);
        stores.control.put_proposal(&record).unwrap();
        let mut change = sample::change(&record.proposal, number);
        stores.control.begin_change(&change).unwrap();
        say("begun", number);
        for state in [ChangeState::Verifying, ChangeState::Kept] {
            change.state = state;
            stores.control.put_change(&change).unwrap();
            say(state.as_str(), number);
        }
        let status = [AlertStatus::Pending, AlertStatus::Firing, AlertStatus::Resolved];
        let status = status[usize::try_from(number % 3).unwrap()];
        stores.control.record_transition(&sample::transition("rule", status, number)).unwrap();
        say("alert", number);
        for tick in number * 20..(number + 1) * 20 {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let numbers = [("tick", tick as f64), ("third", tick as f64 / 3.0)];
            stores.history.append(Timestamp::from_nanos(tick), &numbers, &[]).unwrap();
            say("point", tick);
        }
    }
}

#[test]
#[ignore = "the other side of `what_was_acknowledged_survives_kill_9`, which runs it"]
fn the_process_that_is_killed() {
    let directory = std::env::var_os(DIRECTORY).expect("it is run by the test that kills it");
    let start = std::env::var_os(START).and_then(|start| start.into_string().ok()).unwrap();
    write(Path::new(&directory), start.parse().unwrap());
}

/// Runs the child, kills it after some acknowledgements, and returns all of them.
fn run_and_kill(directory: &Path, start: i64, acknowledgements: u32) -> Vec<(String, i64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::the_process_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .envs([(DIRECTORY, directory.as_os_str().to_owned()), (START, OsString::from(start.to_string()))])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        // The last line may be torn too.
        if let (Some("ack"), Some(what), Some(number), None) =
            (words.next(), words.next(), words.next(), words.next())
        {
            heard.extend(number.parse().ok().map(|number| (what.to_owned(), number)));
        }
        if heard.len() == acknowledgements as usize {
            // SIGKILL. The child has gone on meanwhile and is somewhere else;
            // what it says until it is dead is read as well.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(heard.len() >= acknowledgements as usize, "the child ended on its own");
    heard
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let directory = data_dir();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut acknowledged: BTreeSet<(String, i64)> = BTreeSet::new();
    for round in 0..ROUNDS {
        let start =
            acknowledged.iter().map(|(what, number)| if what == "point" { number / 20 } else { *number });
        // The number after the last may be there without having been acknowledged.
        let start = start.max().map_or(0, |last| last + 2);
        let heard = run_and_kill(directory.path(), start, 1 + random.next_u32() % 150);
        // The torn last line can cut digits off a number.
        let torn = heard.len() - 1;
        acknowledged.extend(heard.into_iter().take(torn));

        let stores = open(directory.path());
        let points = stores.history.query(&HistoryQuery::newest(usize::MAX)).unwrap();
        let ticks: BTreeSet<_> = points.iter().map(|point| point.at.nanos()).collect();
        let alerts = stores.control.alert_history(usize::MAX).unwrap();
        let alerts: BTreeSet<_> = alerts.into_iter().map(|alert| alert.at).collect();
        for (what, number) in &acknowledged {
            if what == "point" {
                assert!(ticks.contains(number), "point {number} of round {round}");
                continue;
            }
            if what == "alert" {
                assert!(alerts.contains(&sample::at(*number)), "alert {number} of round {round}");
                continue;
            }
            let proposal = sample::proposal(&format!("t{number}"), *number).proposal;
            let change = stores.control.change(&sample::change(&proposal, *number).id).unwrap().unwrap();
            let events = stores.control.change_events(&change.id).unwrap();
            let state =
                if what == "begun" { ChangeState::Applying } else { ChangeState::parse(what).unwrap() };
            assert!(events.iter().any(|event| event.state == state), "{what} {number} of round {round}");
        }
        // Nothing is half done either.
        for change in stores.control.changes().unwrap() {
            let proposal = stores.control.proposal(&change.proposal).unwrap().unwrap();
            assert_eq!(proposal.state, ProposalState::Applied);
            let events = stores.control.change_events(&change.id).unwrap();
            assert_eq!(events.last().map(|event| event.state), Some(change.state));
        }
        for point in &points {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let tick = point.at.nanos() as f64;
            assert_eq!((point.number("tick"), point.number("third")), (Some(tick), Some(tick / 3.0)));
        }
        assert_eq!(stores.history.statistics().segments_damaged, 0);
    }
    assert!(acknowledged.len() > 500, "{}", acknowledged.len());
}
