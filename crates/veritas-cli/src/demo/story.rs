//! The story that the demo tells: found, proven, applied, kept; and one taken back.

use std::time::Duration;

use anyhow::{Context, bail};
use veritas::{
    Engine,
    model::{
        Change, ChangeState, Finding, FindingKind, Monotonic, Proposal, ProposalId, ProposalRecord,
        ProposalState,
    },
};

use super::{
    load::{Load, Mix},
    narrator::Narrator,
};

/// Who approves in the demo, as the ledger names it.
const APPROVER: &str = "demo";
/// The flaws that are planted; each must be found.
const PLANTED: [FindingKind; 4] = [
    FindingKind::MissingIndex,
    FindingKind::NPlusOne,
    FindingKind::UnboundedResult,
    FindingKind::RepeatedComputation,
];

/// The namespace of the function whose cache only watches at first.
const CACHED: &str = "content_verification";

/// The statement that the first index helps.
const SLOW: &str = "user_content_query";
/// Its calls before the index is applied: more than verification asks for.
const COMPARABLE: u64 = 40;

/// How long each chapter may take before the demo says that it failed.
const TO_FIND: Duration = Duration::from_secs(90);
const TO_PROVE: Duration = Duration::from_mins(1);
/// Longer than the watch's own patience with a load that hardly runs.
const TO_SETTLE: Duration = Duration::from_secs(90);

/// What happened.
#[derive(Debug)]
pub(super) struct Story {
    /// Everything that was found.
    pub(super) findings: Vec<Finding>,
    /// Seconds from the start of the load to the first finding.
    pub(super) first_finding_seconds: f64,
    /// The index that was proven, applied and kept.
    pub(super) kept: Change,
    /// The cache that was proven on its recorded look-ups, started and kept.
    pub(super) cached: Change,
    /// The change that was proven under reads, and taken back when the load turned.
    pub(super) reverted: Change,
}

/// Tells the story on a running engine and load.
pub(super) async fn tell(engine: &Engine, load: &Load, narrator: &Narrator) -> anyhow::Result<Story> {
    let teller = Teller { engine, narrator };
    let started = teller.now();

    let first = teller.first_finding(started).await?;
    let findings = teller.planted_findings().await?;
    narrator.findings(&findings);

    let good = teller.proposal_on("content").await?;
    let good = teller.proven(&good.id).await?;
    narrator.proof(&good);
    // With fewer calls before the change, the live load could never be compared with them.
    teller
        .wait("enough calls to compare with", TO_FIND, || {
            let calls = engine.database().snapshot().calls_by_name();
            Ok(calls.into_iter().find(|(name, calls)| name == SLOW && *calls >= COMPARABLE))
        })
        .await?;
    let index = teller.approve(&good.proposal)?;
    narrator.say("approved; applying it and watching the live load");
    // Meanwhile: the two are watched by different figures.
    let worthwhile = teller.proposal_on(CACHED).await?;
    let worthwhile = teller.proven(&worthwhile.id).await?;
    narrator.proof(&worthwhile);
    let cache = teller.approve(&worthwhile.proposal)?;
    narrator.say("approved; starting the cache and watching its look-ups");
    let kept = teller.kept(&index).await?;
    let cached = teller.kept(&cache).await?;

    narrator.say("next: an index that the reads like, just before an import makes the load write-heavy");
    let reverted = harmful(&teller, load).await?;
    narrator.settled(&reverted);
    // The findings as they stand at the end of the load.
    let findings = engine.optimizer().findings()?;
    Ok(Story { findings, first_finding_seconds: first, kept, cached, reverted })
}

/// Tells only the chapter of the planted harmful change; returns it once it is taken back.
pub(super) async fn tell_harmful(
    engine: &Engine,
    load: &Load,
    narrator: &Narrator,
) -> anyhow::Result<Change> {
    harmful(&Teller { engine, narrator }, load).await
}

/// Applies the planted harmful change and waits until it is taken back.
async fn harmful(teller: &Teller<'_>, load: &Load) -> anyhow::Result<Change> {
    let bad = teller.proposal_on("verifications").await?;
    let bad = teller.proven(&bad.id).await?;
    teller.narrator.proof(&bad);
    let change = teller.approve(&bad.proposal)?;
    teller
        .wait("the index to be applied", TO_SETTLE, || {
            Ok(teller.change(&change)?.filter(|change| change.applied_at.is_some()))
        })
        .await?;
    load.set_mix(Mix::WRITES);
    teller.narrator.say("applied; the load has turned write-heavy");
    let settled = teller
        .wait("the harmful index to be taken back", TO_SETTLE, || {
            Ok(teller.change(&change)?.filter(|change| change.state == ChangeState::Reverted))
        })
        .await;
    load.set_mix(Mix::READS);
    settled
}

/// Tells whether a name in a scope, with or without its schema, is a table's.
fn is_table(in_scope: &str, table: &str) -> bool {
    in_scope.rsplit('.').next() == Some(table)
}

struct Teller<'a> {
    engine: &'a Engine,
    narrator: &'a Narrator,
}

impl Teller<'_> {
    fn now(&self) -> Monotonic {
        self.engine.sources().clock.monotonic()
    }

    /// Asks `look` again and again until it has something, for at most `patience`.
    async fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
        let started = self.now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if self.now().since(started) > patience {
                let degraded: Vec<_> = self.engine.health().components();
                bail!("gave up waiting for {what} after {} s; health: {degraded:?}", patience.as_secs());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn first_finding(&self, started: Monotonic) -> anyhow::Result<f64> {
        let first =
            self.wait("a first finding", TO_FIND, || Ok(self.engine.optimizer().findings()?.pop())).await?;
        let seconds = self.now().since(started).as_secs_f64();
        self.narrator.say(&format!(
            "first finding after {seconds:.1} s of load: {} in {}",
            first.kind.as_str(),
            first.subject.name()
        ));
        Ok(seconds)
    }

    async fn planted_findings(&self) -> anyhow::Result<Vec<Finding>> {
        self.wait("all four planted flaws to be found", TO_FIND, || {
            let findings = self.engine.optimizer().findings()?;
            let all = PLANTED.iter().all(|kind| findings.iter().any(|finding| finding.kind == *kind));
            Ok(all.then_some(findings))
        })
        .await
    }

    /// Waits for a proposal whose scope is `table`.
    async fn proposal_on(&self, table: &str) -> anyhow::Result<Proposal> {
        self.wait(&format!("a proposal on {table}"), TO_FIND, || {
            let proposals = self.engine.optimizer().proposals()?;
            let of_table = proposals
                .into_iter()
                .map(|record| record.proposal)
                .find(|proposal| proposal.plan.scope.iter().any(|in_scope| is_table(in_scope, table)));
            Ok(of_table)
        })
        .await
    }

    async fn proven(&self, id: &ProposalId) -> anyhow::Result<ProposalRecord> {
        let record = self
            .wait("a proof", TO_PROVE, || {
                let proposals = self.engine.optimizer().proposals()?;
                let record = proposals.into_iter().find(|record| record.proposal.id == *id);
                Ok(record.filter(|record| record.state != ProposalState::Proposed))
            })
            .await?;
        if let ProposalState::NotProven(reason) = &record.state {
            bail!("{} was not proven: {reason}", record.proposal.summary);
        }
        Ok(record)
    }

    fn approve(&self, proposal: &Proposal) -> anyhow::Result<Change> {
        let change = self
            .engine
            .optimizer()
            .approve(&proposal.id, APPROVER)
            .with_context(|| format!("failed to approve {}", proposal.summary))?;
        self.engine.analyze_now();
        Ok(change)
    }

    fn change(&self, of: &Change) -> anyhow::Result<Option<Change>> {
        Ok(self.engine.optimizer().changes()?.into_iter().find(|change| change.id == of.id))
    }

    /// Waits until the live load has confirmed a change.
    async fn kept(&self, change: &Change) -> anyhow::Result<Change> {
        let settled = self
            .wait("the live load to be verified", TO_SETTLE, || {
                Ok(self.change(change)?.filter(|change| change.state.is_settled()))
            })
            .await?;
        if settled.state != ChangeState::Kept {
            let state = settled.state.as_str();
            bail!("{} was to be kept, and is {state}: {}", settled.summary, settled.reason);
        }
        self.narrator.settled(&settled);
        Ok(settled)
    }
}
