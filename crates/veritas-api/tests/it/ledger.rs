//! Findings, proposals, changes, rules, tokens: what operators and admins do.

use http::Method;
use serde_json::json;
use veritas_api::auth::Role;
use veritas_model::{Change, ChangeState};

use crate::{
    client::{call, call_json, get},
    world::World,
};

#[tokio::test]
async fn a_proposal_becomes_a_change_only_with_permission() {
    let world = World::busy();
    let router = world.router();
    let operator = world.token_of("olga", Role::Operator);
    let record = world.proven("new");
    let path = format!("/proposals/{}", record.proposal.id);

    let forbidden = call(&router, Method::POST, &format!("{path}/approve"), &operator).await;
    assert_eq!(forbidden.problem(409), "mode_forbids");
    assert_eq!(get(&router, &path, &operator).await.json()["state"], "proven");

    world.permit_changes();
    let approved = call(&router, Method::POST, &format!("{path}/approve"), &operator).await;
    assert_eq!(approved.status, 202, "{}", approved.text);
    assert_eq!(approved.json()["approved_by"], "olga");
    let change = approved.json()["id"].as_str().unwrap().to_owned();

    let again = call(&router, Method::POST, &format!("{path}/approve"), &operator).await;
    assert_eq!(again.problem(409), "state_conflict");
    let dismissed = call(&router, Method::POST, &format!("{path}/dismiss"), &operator).await;
    assert_eq!(dismissed.problem(409), "state_conflict");

    let entry = get(&router, &format!("/changes/{change}"), &operator).await.json();
    assert_eq!(entry["change"]["state"], "applying");
    assert_eq!(entry["events"][0]["by"], "olga");
    // It still waits to be applied: the permission is withdrawn, once.
    let early = call(&router, Method::POST, &format!("/changes/{change}/revert"), &operator).await;
    assert_eq!(early.status, 202, "{}", early.text);
    let withdrawn = early.json();
    assert_eq!(withdrawn["state"], "reverted");
    assert!(withdrawn["reason"].as_str().unwrap().starts_with("withdrawn by olga before it was applied"));
    let late = call(&router, Method::POST, &format!("/changes/{change}/revert"), &operator).await;
    assert_eq!(late.problem(409), "state_conflict");

    let audit = world.sources.control.audit(1000).unwrap();
    let outcomes: Vec<_> = audit
        .iter()
        .rev()
        .filter(|entry| entry.action == "approve_proposal")
        .map(|entry| (entry.subject.as_str(), entry.outcome.as_str()))
        .collect();
    let expected = ["requested", "mode_forbids", "requested", "ok", "requested", "state_conflict"]
        .map(|end| ("olga", end));
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn a_kept_change_can_be_taken_back() {
    let world = World::busy();
    let router = world.router();
    let operator = world.token_of("olga", Role::Operator);
    let changes = get(&router, "/changes", &operator).await.json();
    assert_eq!((&changes["total"], &changes["changes"][0]["state"]), (&1.into(), &"kept".into()));
    let id = changes["changes"][0]["id"].as_str().unwrap();
    let reverted = call(&router, Method::POST, &format!("/changes/{id}/revert"), &operator).await;
    assert_eq!(reverted.status, 202, "{}", reverted.text);
    assert_eq!(reverted.json()["state"], "reverting");
    assert!(reverted.json()["reason"].as_str().unwrap().contains("olga"));

    let mut change = world.sources.control.changes().unwrap().remove(0);
    change = Change { state: ChangeState::Reverted, ..change };
    world.sources.control.put_change(&change).unwrap();
    let over = call(&router, Method::POST, &format!("/changes/{id}/revert"), &operator).await;
    assert_eq!(over.problem(409), "state_conflict");
}

#[tokio::test]
async fn a_dismissed_proposal_stays_dismissed() {
    let world = World::busy();
    world.permit_changes();
    let router = world.router();
    let operator = world.token(Role::Operator);
    let path = format!("/proposals/{}", world.proven("unwanted").proposal.id);
    let dismissed = call(&router, Method::POST, &format!("{path}/dismiss"), &operator).await;
    assert_eq!((dismissed.status.as_u16(), &dismissed.json()["state"]), (202, &"dismissed".into()));
    let approved = call(&router, Method::POST, &format!("{path}/approve"), &operator).await;
    assert_eq!(approved.problem(409), "state_conflict");
}

#[tokio::test]
async fn a_finding_carries_its_evidence_and_its_proposal() {
    let world = World::busy();
    let router = world.router();
    let viewer = world.token(Role::Viewer);
    let findings = get(&router, "/findings", &viewer).await.json();
    let finding = &findings["findings"][0];
    assert_eq!(finding["subject"]["type"], "statement");
    assert_eq!(finding["cause"], json!({"type": "unbounded_result", "rows_per_call": 5000.0}));
    assert_eq!(finding["evidence"][0]["provenance"], "measured");
    assert_eq!(finding["callers"][0], json!({"file": "src/content.rs", "line": 12}));
    let one = get(&router, &format!("/findings/{}", finding["id"].as_str().unwrap()), &viewer).await;
    assert_eq!(&one.json(), finding);
    let proposal =
        get(&router, &format!("/proposals/{}", finding["proposal_id"].as_str().unwrap()), &viewer).await;
    assert_eq!(proposal.json()["finding_id"], finding["id"]);
    assert_eq!(proposal.json()["proof"]["pairs"], 40);
}

#[tokio::test]
async fn a_rule_is_put_listed_and_removed() {
    let world = World::busy();
    let router = world.router();
    let admin = world.token(Role::Admin);
    let rule = json!({"series": "system.load.1m", "comparison": "below", "threshold": 1.0, "hysteresis": 0.5,
        "hold_seconds": 2.5, "keep_firing_seconds": 60, "severity": "critical", "title": "Idle"});
    let put = call_json(&router, Method::PUT, "/alerts/rules/idle", &admin, &rule).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let stored = world.sources.alerts.rules().into_iter().find(|rule| rule.name == "idle").unwrap();
    assert_eq!((stored.threshold, stored.clear), (1.0, Some(1.5)));
    let rules = get(&router, "/alerts/rules", &admin).await.json();
    let names: Vec<_> = rules["rules"].as_array().unwrap().iter().map(|rule| &rule["name"]).collect();
    assert_eq!(names, ["high_cpu", "high_disk", "high_memory", "idle"]);
    assert_eq!(rules["rules"][3]["hysteresis"], 0.5);
    assert_eq!(call(&router, Method::DELETE, "/alerts/rules/idle", &admin).await.status, 200);
    let again = call(&router, Method::DELETE, "/alerts/rules/idle", &admin).await;
    assert_eq!(again.problem(404), "rule_unknown");
    let odd = json!({"series": "no.such", "comparison": "above", "threshold": 1, "hold_seconds": 0,
        "severity": "info", "title": "Odd"});
    let odd = call_json(&router, Method::PUT, "/alerts/rules/odd", &admin, &odd).await.json();
    assert_eq!(odd["warnings"].as_array().unwrap().len(), 1);
    let history = get(&router, "/alerts/history", &admin).await.json();
    assert_eq!(history["transitions"][0]["status"], "firing");
}

#[tokio::test]
async fn a_date_that_is_past_does_not_let_a_revoked_token_back_in() {
    let world = World::busy();
    let router = world.router();
    let admin = world.token(Role::Admin);
    let life = std::time::Duration::from_hours(1);
    let victim = world.keys.issue("eve", Role::Operator, life, &world.clock).unwrap();
    let early = (veritas_model::Clock::now(&world.clock).seconds() - 1.0).max(0.0);
    for (jti, expires_at) in [(victim.jti.as_str(), 0.0), (&victim.jti, early), ("another", 0.0)] {
        let body = json!({"jti": jti, "expires_at": expires_at});
        let revoked = call_json(&router, Method::POST, "/tokens/revoke", &admin, &body).await;
        assert_eq!(revoked.status, 200, "{}", revoked.text);
        // Longer ago than any store keeps what is over.
        world.clock.advance(std::time::Duration::from_mins(5));
        assert_eq!(get(&router, "/cache/stats", &victim.token).await.problem(401), "token_revoked");
    }
}

#[tokio::test]
async fn a_revoked_token_is_not_accepted_any_more() {
    let world = World::busy();
    let router = world.router();
    let admin = world.token(Role::Admin);
    let victim = world.keys.issue("eve", Role::Operator, std::time::Duration::from_hours(1), &world.clock);
    let victim = victim.unwrap();
    assert_eq!(get(&router, "/cache/stats", &victim.token).await.status, 200);
    let revoked =
        call_json(&router, Method::POST, "/tokens/revoke", &admin, &json!({"jti": victim.jti})).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(get(&router, "/cache/stats", &victim.token).await.problem(401), "token_revoked");
    for bad in [
        json!({}),
        json!({"jti": ""}),
        json!({"jti": "a b"}),
        json!({"jti": 7}),
        json!({"jti": "x", "expires_at": -1}),
        json!({"jti": "x".repeat(256)}),
    ] {
        let answer = call_json(&router, Method::POST, "/tokens/revoke", &admin, &bad).await;
        assert_eq!(answer.problem(422), "body_invalid", "{bad}");
    }
    let audit = get(&router, "/audit?limit=2", &admin).await.json();
    assert_eq!(audit["entries"][0]["outcome"], "ok");
    assert_eq!(audit["entries"][0]["object"], victim.jti.as_str());
    assert_eq!(audit["entries"][1]["outcome"], "requested");
}
