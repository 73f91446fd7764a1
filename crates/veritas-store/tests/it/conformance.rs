//! What every control plane does, in memory and on the disk.

use std::{sync::Arc, time::Duration};

use veritas_model::{
    AlertRule, AlertStatus, ChangeId, ChangeState, Clock, Comparison, Fingerprint, Moments, ProposalState,
    Severity, Timestamp, WorkMetric, WorkTotals,
};
use veritas_store::{
    AuditEntry, ControlPlane, Limits, MemoryControlPlane, SqliteControlPlane, StoreError, control::ENGINE,
};
use veritas_testkit::{TempDir, VirtualClock, data_dir};

use crate::sample::{self, at};

/// A plane under test; `again` closes and opens it, which memory cannot.
struct Plane {
    control: Arc<dyn ControlPlane>,
    clock: VirtualClock,
    limits: Limits,
    directory: Option<TempDir>,
}

impl Plane {
    fn memory(limits: Limits) -> Self {
        let clock = VirtualClock::new();
        let control = Arc::new(MemoryControlPlane::with_limits(Arc::new(clock.clone()), limits));
        Self { control, clock, limits, directory: None }
    }

    fn sqlite(limits: Limits) -> Self {
        let clock = VirtualClock::new();
        let directory = data_dir();
        let control = Self::open(&directory, &clock, limits);
        Self { control, clock, limits, directory: Some(directory) }
    }

    fn open(directory: &TempDir, clock: &VirtualClock, limits: Limits) -> Arc<dyn ControlPlane> {
        let path = directory.path().join("control.sqlite");
        Arc::new(SqliteControlPlane::open_with_limits(&path, Arc::new(clock.clone()), limits).unwrap())
    }

    fn again(&mut self) {
        if let Some(directory) = &self.directory {
            self.control = Arc::new(MemoryControlPlane::new(Arc::new(self.clock.clone())));
            self.control = Self::open(directory, &self.clock, self.limits);
        }
    }
}

/// Runs a check on every plane.
fn on_each(limits: Limits, check: impl Fn(Plane)) {
    check(Plane::memory(limits));
    check(Plane::sqlite(limits));
}

fn on_both(check: impl Fn(Plane)) {
    on_each(Limits::default(), check);
}

#[test]
fn notes_are_replaced_bounded_and_outlast_a_restart() {
    on_each(Limits { notes: 2, ..Limits::default() }, |mut plane| {
        assert_eq!(plane.control.note("a").unwrap(), None);
        for (key, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
            plane.control.put_note(key, text).unwrap();
        }
        let one_more = plane.control.put_note("c", "4");
        assert!(
            matches!(one_more, Err(StoreError::LimitReached { what: "notes", limit: 2 })),
            "{one_more:?}"
        );
        let is_durable = plane.directory.is_some();
        plane.again();
        if is_durable {
            assert_eq!(plane.control.note("b").unwrap().as_deref(), Some("2"));
        }
        assert_eq!(plane.control.note("a").unwrap().as_deref(), Some("3"));
        assert_eq!(plane.control.note("c").unwrap(), None);
    });
}

#[test]
fn what_is_stored_reads_back_also_after_a_restart() {
    on_both(|mut plane| {
        let findings = sample::findings();
        for finding in &findings {
            plane.control.put_finding(finding).unwrap();
        }
        let proposals = sample::proposals();
        for record in &proposals {
            plane.control.put_proposal(record).unwrap();
        }
        let mut change = sample::change(&proposals[1].proposal, 40);
        plane.control.begin_change(&change).unwrap();
        change.state = ChangeState::Kept;
        change.live = Some(sample::live_gain());
        change.settled_at = Some(at(60));
        change.applied_at = Some(at(50));
        plane.control.put_change(&change).unwrap();
        let transition = sample::transition("high_cpu", AlertStatus::Firing, 7);
        plane.control.record_transition(&transition).unwrap();
        let rule = sample::rule("high_cpu");
        plane.control.put_rule(&rule).unwrap();
        plane.control.revoke_token("token-1", at(1_000_000_000), "ann").unwrap();
        plane.control.append_audit(&sample::audit(3)).unwrap();
        for _ in 0..2 {
            let mut expected = findings.clone();
            expected.sort_by_key(|finding| std::cmp::Reverse(finding.seen_at));
            // Text, because NaN is not equal to itself.
            assert_eq!(format!("{:?}", plane.control.findings().unwrap()), format!("{expected:?}"));
            assert_eq!(plane.control.proposals().unwrap().len(), proposals.len());
            for record in &proposals {
                let stored = plane.control.proposal(&record.proposal.id).unwrap().unwrap();
                assert_eq!(stored.proposal, record.proposal);
                if record.proposal.id == change.proposal {
                    assert_eq!(
                        (stored.state, stored.changed_at),
                        (ProposalState::Applied, change.approved_at)
                    );
                } else {
                    assert_eq!(stored, *record);
                }
            }
            assert_eq!(plane.control.changes().unwrap(), std::slice::from_ref(&change));
            assert_eq!(plane.control.change(&change.id).unwrap(), Some(change.clone()));
            assert_eq!(plane.control.alert_history(10).unwrap(), std::slice::from_ref(&transition));
            assert_eq!(plane.control.open_alerts().unwrap(), std::slice::from_ref(&transition));
            assert_eq!(plane.control.rules().unwrap(), std::slice::from_ref(&rule));
            let tokens = plane.control.revoked_tokens().unwrap();
            assert_eq!((tokens.len(), &*tokens[0].jti, &*tokens[0].by), (1, "token-1", "ann"));
            assert_eq!(tokens[0].revoked_at, plane.clock.now());
            assert_eq!(plane.control.audit(10).unwrap(), [sample::audit(3)]);
            plane.again();
        }
    });
}

#[test]
fn putting_again_replaces() {
    on_both(|plane| {
        let mut finding = sample::findings().remove(0);
        // Its NaN is not equal to itself.
        finding.evidence.pop();
        plane.control.put_finding(&finding).unwrap();
        finding.seen_at = at(99);
        finding.recommendation = "another".into();
        plane.control.put_finding(&finding).unwrap();
        assert_eq!(plane.control.findings().unwrap(), [finding]);
        let mut record = sample::proposals().remove(0);
        plane.control.put_proposal(&record).unwrap();
        record.state = ProposalState::Dismissed;
        plane.control.put_proposal(&record).unwrap();
        assert_eq!(plane.control.proposals().unwrap(), [record]);
        let mut rule = sample::rule("a");
        plane.control.put_rule(&rule).unwrap();
        rule.threshold = 1.5;
        plane.control.put_rule(&rule).unwrap();
        assert_eq!(plane.control.rules().unwrap(), [rule]);
        plane.control.remove_rule("a").unwrap();
        plane.control.remove_rule("a").unwrap();
        assert_eq!(plane.control.rules().unwrap(), []);
    });
}

#[test]
fn lists_are_newest_first() {
    on_both(|plane| {
        let proposals = sample::proposals();
        for record in &proposals {
            plane.control.put_proposal(record).unwrap();
        }
        let times: Vec<_> = plane.control.proposals().unwrap();
        assert!(times.windows(2).all(|pair| pair[0].proposal.proposed_at >= pair[1].proposal.proposed_at));
        for (index, record) in proposals.iter().enumerate() {
            let second = [30, 10, 20][index % 3];
            plane.control.begin_change(&sample::change(&record.proposal, second)).unwrap();
        }
        let changes = plane.control.changes().unwrap();
        assert!(changes.windows(2).all(|pair| pair[0].approved_at >= pair[1].approved_at));
        for second in 0..5 {
            plane.control.record_transition(&sample::transition("r", AlertStatus::Firing, second)).unwrap();
            plane.control.append_audit(&sample::audit(second)).unwrap();
        }
        let history = plane.control.alert_history(2).unwrap();
        assert_eq!(history.iter().map(|transition| transition.at).collect::<Vec<_>>(), [at(4), at(3)]);
        let audit = plane.control.audit(2).unwrap();
        assert_eq!(audit.iter().map(|entry| entry.at).collect::<Vec<_>>(), [at(4), at(3)]);
        assert!(plane.control.alert_history(0).unwrap().is_empty());
    });
}

#[test]
fn every_step_of_a_change_is_journaled_once() {
    on_both(|mut plane| {
        let record = sample::proposals().remove(1);
        plane.control.put_proposal(&record).unwrap();
        let mut change = sample::change(&record.proposal, 1);
        plane.control.begin_change(&change).unwrap();
        plane.clock.advance(Duration::from_secs(1));
        change.state = ChangeState::Verifying;
        plane.control.put_change(&change).unwrap();
        change.applied_at = Some(at(5));
        plane.control.put_change(&change).unwrap();
        plane.clock.advance(Duration::from_secs(1));
        change.state = ChangeState::Reverting;
        change.reason = "asked for".into();
        plane.control.put_change_by(&change, "bob").unwrap();
        change.state = ChangeState::Reverted;
        plane.control.put_change(&change).unwrap();
        plane.again();
        let events = plane.control.change_events(&change.id).unwrap();
        let shown: Vec<_> = events
            .iter()
            .map(|event| format!("{} {} {}", event.state.as_str(), event.reason, event.by))
            .collect();
        let engine = |state: &str, reason: &str| format!("{state} {reason} {ENGINE}");
        let expected = [
            "applying approved ann".to_owned(),
            engine("verifying", "approved"),
            "reverting asked for bob".to_owned(),
            engine("reverted", "asked for"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(events[2].at.since(events[1].at), Duration::from_secs(1));
        assert_eq!(events[3].at, plane.clock.now());
    });
}

#[track_caller]
fn check_conflict(result: Result<(), StoreError>, words: &str) {
    match result {
        Err(StoreError::Conflict { reason }) => assert!(reason.contains(words), "{reason}"),
        other => panic!("expected a conflict, got {other:?}"),
    }
}

#[test]
fn a_proposal_has_one_change_in_force() {
    on_both(|plane| {
        let proposals = sample::proposals();
        let record = &proposals[1];
        let mut first = sample::change(&record.proposal, 1);
        let unknown = plane.control.begin_change(&first);
        assert!(matches!(unknown, Err(StoreError::NotFound { what: "proposal", .. })));
        plane.control.put_proposal(record).unwrap();
        plane.control.begin_change(&first).unwrap();
        check_conflict(plane.control.begin_change(&first), "exists already");
        let second = sample::change(&record.proposal, 2);
        check_conflict(plane.control.begin_change(&second), "the applying change");
        check_conflict(plane.control.put_change(&second), "the applying change");
        first.state = ChangeState::Kept;
        plane.control.put_change(&first).unwrap();
        check_conflict(plane.control.begin_change(&second), "the kept change");
        first.state = ChangeState::Reverted;
        plane.control.put_change(&first).unwrap();
        plane.control.begin_change(&second).unwrap();
        first.state = ChangeState::Reverting;
        check_conflict(plane.control.put_change(&first), "the applying change");
        assert_eq!(plane.control.changes().unwrap().len(), 2);
        assert_eq!(plane.control.change(&first.id).unwrap().unwrap().state, ChangeState::Reverted);
    });
}

#[test]
fn a_refused_change_leaves_nothing() {
    on_both(|plane| {
        let mut record = sample::proposals().remove(1);
        record.state = ProposalState::Dismissed;
        plane.control.put_proposal(&record).unwrap();
        let mut change = sample::change(&record.proposal, 1);
        check_conflict(plane.control.begin_change(&change), "dismissed");
        record.state = ProposalState::Proposed;
        plane.control.put_proposal(&record).unwrap();
        change.state = ChangeState::Kept;
        check_conflict(plane.control.begin_change(&change), "cannot begin as kept");
        assert_eq!(plane.control.changes().unwrap(), []);
        assert_eq!(plane.control.change_events(&change.id).unwrap(), []);
        assert_eq!(plane.control.proposals().unwrap(), [record]);
    });
}

#[test]
fn of_two_approvals_at_once_one_wins() {
    on_both(|plane| {
        let record = sample::proposals().remove(1);
        plane.control.put_proposal(&record).unwrap();
        let wins: usize = std::thread::scope(|scope| {
            let attempts: Vec<_> = (0..8)
                .map(|second| {
                    let change = sample::change(&record.proposal, second);
                    let control = &plane.control;
                    scope.spawn(move || match control.begin_change(&change) {
                        Ok(()) => 1,
                        Err(StoreError::Conflict { .. }) => 0,
                        Err(other) => panic!("{other}"),
                    })
                })
                .collect();
            attempts.into_iter().map(|attempt| attempt.join().unwrap()).sum()
        });
        assert_eq!(wins, 1);
        assert_eq!(plane.control.changes().unwrap().len(), 1);
    });
}

#[test]
fn a_baseline_belongs_to_a_change() {
    on_both(|mut plane| {
        let id = ChangeId::derive(&["nothing"]);
        assert!(matches!(plane.control.put_baseline(&id, &[]), Err(StoreError::NotFound { .. })));
        let record = sample::proposals().remove(1);
        plane.control.put_proposal(&record).unwrap();
        let change = sample::change(&record.proposal, 1);
        plane.control.begin_change(&change).unwrap();
        assert_eq!(plane.control.baseline(&change.id).unwrap(), None);
        plane.control.put_baseline(&change.id, &[]).unwrap();
        assert_eq!(plane.control.baseline(&change.id).unwrap(), Some(vec![]));
        let work = WorkTotals {
            fingerprint: Fingerprint::from_u64(u64::MAX),
            name: "list".into(),
            metric: WorkMetric::Misses,
            steps: Moments { count: u64::MAX, sum: 0.1 + 0.2, sum_of_squares: 1e300 },
            seconds: Moments::default(),
        };
        plane.control.put_baseline(&change.id, std::slice::from_ref(&work)).unwrap();
        plane.again();
        assert_eq!(plane.control.baseline(&change.id).unwrap(), Some(vec![work]));
    });
}

#[test]
fn the_open_alerts_are_the_latest_of_each_rule() {
    on_both(|mut plane| {
        let put = |plane: &Plane, rule: &str, status, second| {
            plane.control.record_transition(&sample::transition(rule, status, second)).unwrap();
        };
        put(&plane, "b", AlertStatus::Pending, 1);
        put(&plane, "b", AlertStatus::Firing, 2);
        put(&plane, "a", AlertStatus::Pending, 3);
        put(&plane, "c", AlertStatus::Firing, 4);
        put(&plane, "c", AlertStatus::Resolved, 5);
        plane.again();
        let open = plane.control.open_alerts().unwrap();
        let open: Vec<_> = open.iter().map(|alert| (&*alert.rule, alert.status)).collect();
        assert_eq!(open, [("a", AlertStatus::Pending), ("b", AlertStatus::Firing)]);
        plane.control.forget_pending("a").unwrap();
        plane.control.forget_pending("b").unwrap();
        plane.control.forget_pending("nothing").unwrap();
        plane.again();
        assert_eq!(plane.control.open_alerts().unwrap().len(), 1);
        let history = plane.control.alert_history(10).unwrap();
        assert_eq!(history.iter().map(|alert| alert.at).collect::<Vec<_>>(), [at(5), at(4), at(2), at(1)]);
    });
}

#[test]
fn a_revoked_token_is_kept_until_nobody_accepts_it() {
    let limits = Limits { revoked_tokens: 2, ..Limits::default() };
    on_each(limits, |plane| {
        let now = plane.clock.now();
        plane.control.revoke_token("a", now.plus(Duration::from_mins(1)), "ann").unwrap();
        plane.control.revoke_token("b", now.plus(Duration::from_hours(1)), "ann").unwrap();
        plane.control.revoke_token("b", now.plus(Duration::from_hours(9)), "bob").unwrap();
        plane.control.revoke_token("b", now.plus(Duration::from_mins(1)), "bob").unwrap();
        let full = plane.control.revoke_token("c", now.plus(Duration::from_hours(1)), "ann");
        assert!(matches!(full, Err(StoreError::LimitReached { what: "revoked tokens", limit: 2 })));
        assert_eq!(plane.control.revoked_tokens().unwrap().len(), 2);
        plane.clock.advance(Duration::from_mins(4));
        plane.control.revoke_token("c", now.plus(Duration::from_hours(1)), "ann").unwrap();
        let tokens = plane.control.revoked_tokens().unwrap();
        assert_eq!(tokens.iter().map(|token| &*token.jti).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(tokens[0].expires_at, now.plus(Duration::from_hours(9)), "the latest date counts");
        assert_eq!(tokens[0].by, "ann", "who was first");
    });
}

#[test]
fn tables_are_bounded_and_what_is_needed_stays() {
    let limits = Limits {
        findings: 2,
        proposals: 3,
        changes: 2,
        change_events: 4,
        alert_transitions: 3,
        audit: 2,
        rules: 1,
        revoked_tokens: 1,
        notes: 3,
    };
    on_each(limits, |plane| {
        let control = &plane.control;
        let mut findings = sample::findings();
        findings.sort_by_key(|finding| finding.seen_at);
        for finding in &findings {
            control.put_finding(finding).unwrap();
        }
        let kept = control.findings().unwrap();
        let newest: Vec<_> = findings.iter().rev().take(2).map(|finding| finding.id.clone()).collect();
        assert_eq!(kept.into_iter().map(|finding| finding.id).collect::<Vec<_>>(), newest);

        for second in 0..5 {
            control.append_audit(&sample::audit(second)).unwrap();
            control.record_transition(&sample::transition("r", AlertStatus::Firing, second)).unwrap();
        }
        control.record_transition(&sample::transition("old", AlertStatus::Firing, 0)).unwrap();
        for second in 5..9 {
            control.record_transition(&sample::transition("r", AlertStatus::Firing, second)).unwrap();
        }
        assert_eq!(control.audit(9).unwrap().len(), 2);
        assert_eq!(control.alert_history(9).unwrap().len(), 3);
        assert_eq!(control.open_alerts().unwrap().len(), 2);

        control.put_rule(&sample::rule("a")).unwrap();
        control.put_rule(&sample::rule("a")).unwrap();
        assert!(matches!(control.put_rule(&sample::rule("b")), Err(StoreError::LimitReached { .. })));

        // One change in force, three that ended: two stay, the one in force among them.
        let proposals: Vec<_> =
            (0..6).map(|number| sample::proposal(&format!("t{number}"), number)).collect();
        let mut in_force = sample::change(&proposals[0].proposal, 0);
        control.put_proposal(&proposals[0]).unwrap();
        control.begin_change(&in_force).unwrap();
        control.put_baseline(&in_force.id, &[]).unwrap();
        let mut ended = Vec::new();
        for (second, record) in (1..4).zip(&proposals[1..]) {
            control.put_proposal(record).unwrap();
            let mut change = sample::change(&record.proposal, second);
            control.begin_change(&change).unwrap();
            control.put_baseline(&change.id, &[]).unwrap();
            change.state = ChangeState::Failed;
            control.put_change(&change).unwrap();
            ended.push(change.id);
        }
        let changes: Vec<_> = control.changes().unwrap().into_iter().map(|change| change.id).collect();
        assert_eq!(changes, [ended[2].clone(), in_force.id.clone()]);
        assert_eq!(control.baseline(&ended[0]).unwrap(), None);
        assert!(control.change_events(&ended[0]).unwrap().is_empty());
        assert!(control.baseline(&in_force.id).unwrap().is_some());

        // Events of the change in force all stay, though they are the oldest and too many.
        for number in 0..6 {
            in_force.reason = format!("reason {number}");
            control.put_change(&in_force).unwrap();
        }
        assert_eq!(control.change_events(&in_force.id).unwrap().len(), 7);
        assert!(control.change_events(&ended[2]).unwrap().is_empty());
        in_force.state = ChangeState::Kept;
        control.put_change(&in_force).unwrap();
        let events = control.change_events(&in_force.id).unwrap();
        assert_eq!(events.len(), 4);
        assert_eq!(events[3].state, ChangeState::Kept);

        // Proposals with a change stay; of the others the oldest go.
        for record in &proposals[3..] {
            control.put_proposal(record).unwrap();
        }
        let ids: Vec<_> = control.proposals().unwrap().into_iter().map(|record| record.proposal.id).collect();
        let expected = [5, 3, 0].map(|index: usize| proposals[index].proposal.id.clone());
        assert_eq!(ids, expected);
    });
}

#[test]
fn strange_text_and_times_read_back() {
    on_both(|mut plane| {
        let entry = AuditEntry {
            at: Timestamp::from_nanos(i64::MIN),
            subject: "'; DROP TABLE audit; --".into(),
            action: "\u{0}\u{1f}\"\\".into(),
            object: "é🦀".into(),
            outcome: String::new(),
        };
        plane.control.append_audit(&entry).unwrap();
        let rule = AlertRule {
            name: "'\"\u{0}".into(),
            series: String::new(),
            comparison: Comparison::Below,
            threshold: f64::NEG_INFINITY,
            clear: Some(-0.0),
            hold: Duration::MAX,
            keep_firing_for: Duration::ZERO,
            severity: Severity::Critical,
            title: "\n".into(),
        };
        plane.control.put_rule(&rule).unwrap();
        plane.again();
        assert_eq!(plane.control.audit(1).unwrap(), [entry]);
        assert_eq!(plane.control.rules().unwrap(), [rule]);
    });
}
