//! One step after the other: the order in which things are done.

use veritas_model::{Change, ChangeState, Condition, Mode, ProposalRecord, ProposalState};
use veritas_store::control::ENGINE;

use super::{AUTOMATIC, Optimizer, Working, failed, is_open, locked, overlap, proposal_record};
use crate::{Act, ApproveError, OptimizeError, RecoveryReport, StepReport, baseline::Ring};

impl Optimizer {
    /// Proposals whose load is read before a change is made of them. The newest ones.
    const MOST_RINGS: usize = 64;

    /// Finds what the last process left unfinished. A change that was being applied is
    /// taken back, one that was being taken back is taken back again, one that was
    /// watched is watched on. Call it once at the start, after registering the actuators.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read or written. A target that does not let us
    /// is no error: it is in the report, and [`Self::step`] goes on trying.
    pub fn recover(&self) -> Result<RecoveryReport, OptimizeError> {
        let mut working = locked(&self.working);
        let mut report = RecoveryReport::default();
        for change in self.control.changes().map_err(failed("read the ledger"))? {
            match change.state {
                ChangeState::Applying if !locked(&self.ledger).contains_key(&change.id) => {
                    self.take_back_interrupted(&change, &mut working)?;
                    report.interrupted.push(change.id);
                }
                ChangeState::Reverting => {
                    self.run_inverse(&change, &mut working)?;
                    report.reverting.push(change.id);
                }
                ChangeState::Verifying => report.verifying.push(change.id),
                _ => {}
            }
        }
        self.resume_watches(&mut working)?;
        for id in report.interrupted.iter().chain(&report.reverting) {
            let change = self.control.change(id).map_err(failed("read the change"))?;
            if change.is_some_and(|change| !change.state.is_settled()) {
                report.unfinished.push(id.clone());
            }
        }
        self.show_health();
        Ok(report)
    }

    /// Does what is due, at most one act of an actuator among it: looks at the load after
    /// changes, and then takes something back, or applies something. Blocks as long as that
    /// act does. Of two callers one waits; neither waits for a [proof](Self::prove).
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read or written. Call it again: it goes on from
    /// what is journaled.
    pub fn step(&self) -> Result<StepReport, OptimizeError> {
        let mut working = locked(&self.working);
        let mut acts = Vec::new();
        self.settle_proposals()?;
        let records = self.control.proposals().map_err(failed("read the proposals"))?;
        self.read_load(&records, &mut working);
        self.resume_watches(&mut working)?;
        self.watch_load(&mut working, &mut acts)?;
        let changes = self.control.changes().map_err(failed("read the ledger"))?;
        let done = self.revert_one(&changes, &mut working, &mut acts)?
            || self.apply_one(&changes, &mut working, &mut acts)?;
        if !done {
            self.begin_automatically(&records, &changes, &working, &mut acts)?;
        }
        self.show_health();
        Ok(StepReport { acts })
    }

    /// Reads the load in the scope of open proposals, and of those that are about to be
    /// applied, to have something to compare with.
    fn read_load(&self, records: &[ProposalRecord], working: &mut Working) {
        let now = self.clock.monotonic();
        let waiting: Vec<_> =
            locked(&self.ledger).values().map(|permit| permit.proven.proposal().id.clone()).collect();
        let open: Vec<_> = records
            .iter()
            .filter(|record| is_open(record) || waiting.contains(&record.proposal.id))
            .take(Self::MOST_RINGS)
            .collect();
        working.rings.retain(|id, _| open.iter().any(|record| record.proposal.id == *id));
        for record in open {
            let proposal = &record.proposal;
            let ring = working
                .rings
                .entry(proposal.id.clone())
                .or_insert_with(|| Ring::new(self.options.baseline_window));
            if ring.is_due(now)
                && let Ok(actuator) = self.actuator(proposal.kind, &proposal.plan)
            {
                ring.push(now, actuator.work(&proposal.plan));
            }
        }
    }

    /// Begins a change of a proven proposal whose kind is in automatic mode. Only of one
    /// that no change was made of before: what was taken back once, or could not be
    /// applied, is for an operator to decide. Waits until the load was seen for as long
    /// as the baseline's window, so that there is something to compare with.
    fn begin_automatically(
        &self,
        records: &[ProposalRecord],
        changes: &[Change],
        working: &Working,
        acts: &mut Vec<Act>,
    ) -> Result<(), OptimizeError> {
        let now = self.clock.monotonic();
        let candidate = records.iter().rev().find(|record| {
            let proposal = &record.proposal;
            matches!(record.state, ProposalState::Proven(_))
                && self.mode(proposal.kind) == Mode::Automatic
                && working.rings.get(&proposal.id).is_some_and(|ring| ring.is_full(now))
                && !changes.iter().any(|change| change.proposal == proposal.id)
                && !changes
                    .iter()
                    .filter(|change| !change.state.is_settled())
                    .any(|change| overlap((change.kind, &change.plan), (proposal.kind, &proposal.plan)))
        });
        let Some(record) = candidate else { return Ok(()) };
        match self.begin(&record.proposal.id, AUTOMATIC, "proven, and its kind is in automatic mode") {
            Ok(change) => acts.push(Act::Began(change.id)),
            Err(ApproveError::Store { source }) => return Err(failed("journal the change")(source)),
            // Someone was faster, or it was dismissed or switched off meanwhile.
            Err(_) => {}
        }
        Ok(())
    }

    /// Gives the proposals of changes that ended a state that says how.
    fn settle_proposals(&self) -> Result<(), OptimizeError> {
        let _ledger = locked(&self.ledger);
        let records = self.control.proposals().map_err(failed("read the proposals"))?;
        if !records.iter().any(|record| record.state == ProposalState::Applied) {
            return Ok(());
        }
        let changes = self.control.changes().map_err(failed("read the ledger"))?;
        for record in records.into_iter().filter(|record| record.state == ProposalState::Applied) {
            // Newest first: the first one is the last one made.
            let Some(change) = changes.iter().find(|change| change.proposal == record.proposal.id) else {
                continue;
            };
            if let Some(state) = self.state_after(change)? {
                let record = proposal_record(record.proposal, state, self.clock.as_ref());
                self.control.put_proposal(&record).map_err(failed("store the proposal"))?;
            }
        }
        Ok(())
    }

    /// Returns the state of a proposal whose change ended without being kept.
    fn state_after(&self, change: &Change) -> Result<Option<ProposalState>, OptimizeError> {
        let proven = || ProposalState::Proven(change.predicted.clone());
        Ok(match change.state {
            ChangeState::Failed => Some(proven()),
            ChangeState::Reverted => {
                let events = self.control.change_events(&change.id).map_err(failed("read the journal"))?;
                let taken_back = events.iter().rev().find(|event| event.state == ChangeState::Reverting);
                let by_operator = taken_back.is_some_and(|event| event.by != ENGINE);
                let watched = change.applied_at.is_some();
                Some(if by_operator {
                    ProposalState::Dismissed
                } else if watched {
                    ProposalState::NotProven(change.reason.clone())
                } else {
                    proven()
                })
            }
            ChangeState::Applying | ChangeState::Verifying | ChangeState::Kept | ChangeState::Reverting => {
                None
            }
        })
    }

    fn show_health(&self) {
        let Some(health) = &self.health else { return };
        let stuck = self.troubles().into_iter().find(|trouble| trouble.step == "revert");
        let condition = stuck.map_or(Condition::Ready, |trouble| {
            Condition::Degraded(format!(
                "{} cannot be taken back after {} tries: {}",
                trouble.subject, trouble.attempts, trouble.error
            ))
        });
        health.set("optimizer", condition);
    }
}
