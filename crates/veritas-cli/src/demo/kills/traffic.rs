//! What the service is asked while it lives: acts that write to the ledger, and looks
//! at what it shows of them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use veritas_statistics::Rng;

use super::{offers::OFFERED, witness::Witness};
use crate::client::Client;

/// Rules that fire and resolve with every change of their threshold.
const RULES: [(&str, &str); 3] = [
    ("kill_memory", "system.memory.percent"),
    ("kill_disk", "system.disk.percent"),
    ("kill_rss", "process.rss_bytes"),
];
/// Between two rounds of each kind of traffic.
const PAUSE: Duration = Duration::from_millis(15);

/// Starts asking; each task ends when the service does.
pub(super) fn start(address: SocketAddr, token: &str, witness: &Arc<Witness>, seed: u64) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let mut rng = Rng::new(seed);
    for kind in [Kind::Ledger, Kind::Alerts, Kind::Looks] {
        let (token, witness, mut rng) = (token.to_owned(), Arc::clone(witness), Rng::new(rng.next_u64()));
        tasks.spawn(async move {
            let Ok(mut client) = Client::connect(address, &token).await else { return };
            loop {
                let asked = match kind {
                    Kind::Ledger => change_the_ledger(&mut client, &witness, &mut rng).await,
                    Kind::Alerts => turn_the_rules(&mut client, &witness).await,
                    Kind::Looks => look(&mut client, &witness).await,
                };
                if let Err(error) = asked {
                    // A broken connection is the kill; an answer that is no success is not.
                    witness.refused(&error);
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    tasks
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Ledger,
    Alerts,
    Looks,
}

/// Approves, dismisses and takes back.
async fn change_the_ledger(client: &mut Client, witness: &Witness, rng: &mut Rng) -> anyhow::Result<()> {
    let list = client.get("/proposals?limit=100").await?;
    for proposal in array(&list["proposals"]) {
        witness.proposal(proposal);
        let is_offered = proposal["summary"].as_str().is_some_and(|text| text.starts_with(OFFERED));
        if !is_offered || proposal["state"] != "proven" {
            continue;
        }
        let id = word(&proposal["id"]);
        let die = rng.below(20);
        if die == 0 {
            if let Some(dismissed) =
                client.act(Method::POST, &format!("/proposals/{id}/dismiss"), None).await?
            {
                witness.acted("dismiss_proposal", &id);
                witness.proposal(&dismissed);
            }
        } else if die < 5
            && let Some(change) = client.act(Method::POST, &format!("/proposals/{id}/approve"), None).await?
        {
            witness.acted("approve_proposal", &id);
            witness.change(&change);
        }
    }
    let list = client.get("/changes?limit=200").await?;
    for change in array(&list["changes"]) {
        witness.change(change);
        let odds = match change["state"].as_str() {
            Some("verifying") => 40,
            Some("kept") => 20,
            _ => continue,
        };
        if rng.below(odds) == 0 {
            let id = word(&change["id"]);
            if let Some(change) = client.act(Method::POST, &format!("/changes/{id}/revert"), None).await? {
                witness.acted("revert_change", &id);
                witness.change(&change);
            }
        }
    }
    Ok(())
}

/// Makes every rule fire, then resolve.
async fn turn_the_rules(client: &mut Client, witness: &Witness) -> anyhow::Result<()> {
    for threshold in [-1.0, 1e15] {
        for (name, series) in RULES {
            let rule = json!({
                "series": series, "comparison": "above", "threshold": threshold,
                "hold_seconds": 0.0, "severity": "info", "title": "Kill proof",
            });
            witness.rule_asked(name, threshold);
            if client.act(Method::PUT, &format!("/alerts/rules/{name}"), Some(&rule)).await?.is_some() {
                witness.rule_acknowledged(name, threshold);
                witness.acted("put_alert_rule", name);
            }
        }
        // One tick of the sampler.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let history = client.get("/alerts/history?limit=100").await?;
        for transition in array(&history["transitions"]) {
            witness.transition(transition);
        }
    }
    Ok(())
}

/// Looks at the events of changes and at the audit log.
async fn look(client: &mut Client, witness: &Witness) -> anyhow::Result<()> {
    let list = client.get("/changes?limit=12").await?;
    for change in array(&list["changes"]) {
        let id = word(&change["id"]);
        let change = client.get(&format!("/changes/{id}")).await?;
        witness.change(&change["change"]);
        witness.events(&id, array(&change["events"]));
    }
    let audit = client.get("/audit?limit=100").await?;
    for entry in array(&audit["entries"]) {
        witness.audit(entry);
    }
    Ok(())
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
