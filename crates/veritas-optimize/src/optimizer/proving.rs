//! From a finding to a proof.

use std::time::Duration;

use veritas_model::{ActuatorError, Finding, Proposal, ProposalRecord, ProposalState};

use super::{Optimizer, failed, locked, proposal_record};
use crate::{Act, OptimizeError, StepReport};

impl Optimizer {
    /// A finding that is seen again is written again after this time, unless something
    /// about it is new: a write is a write to the disk.
    const SEEN_AGAIN: Duration = Duration::from_mins(1);

    /// Takes in what the analyses found and propose. What is known already keeps its
    /// identity and its time; a proposal that was not proven is measured again after
    /// `prove_again_after`, unless a change was made of it before.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read or written.
    pub fn observe(&self, findings: Vec<Finding>, proposals: Vec<Proposal>) -> Result<(), OptimizeError> {
        self.observe_findings(findings)?;
        let _ledger = locked(&self.ledger);
        let now = self.clock.now();
        for proposal in proposals {
            let known = self.control.proposal(&proposal.id).map_err(failed("read the proposal"))?;
            let wanted = match &known {
                None => true,
                Some(ProposalRecord { state: ProposalState::NotProven(_), changed_at, .. })
                    if now.since(*changed_at) >= self.options.prove_again_after =>
                {
                    let changes = self.control.changes().map_err(failed("read the ledger"))?;
                    !changes.iter().any(|change| change.proposal == proposal.id)
                }
                Some(_) => false,
            };
            if wanted {
                let record = proposal_record(proposal, ProposalState::Proposed, self.clock.as_ref());
                self.control.put_proposal(&record).map_err(failed("store the proposal"))?;
            }
        }
        Ok(())
    }

    fn observe_findings(&self, findings: Vec<Finding>) -> Result<(), OptimizeError> {
        if findings.is_empty() {
            return Ok(());
        }
        let known = self.control.findings().map_err(failed("read the findings"))?;
        for mut finding in findings {
            if let Some(known) = known.iter().find(|known| known.id == finding.id) {
                finding.found_at = known.found_at;
                let is_news =
                    finding.impact != known.impact || finding.recommendation != known.recommendation;
                if !is_news && finding.seen_at.since(known.seen_at) < Self::SEEN_AGAIN {
                    continue;
                }
            }
            self.control.put_finding(&finding).map_err(failed("store the finding"))?;
        }
        Ok(())
    }

    /// Measures one proposal, the oldest that waits. That the measurement fails is no
    /// verdict; after many tries it is one. Blocks as long as the measurement does, and
    /// may be called from another thread than [`Self::step`], so that changes are watched
    /// meanwhile. Of two callers one waits.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read or written. Call it again: what was not
    /// written is measured anew.
    pub fn prove(&self) -> Result<StepReport, OptimizeError> {
        let _proving = locked(&self.proving);
        let mut acts = Vec::new();
        let records = self.control.proposals().map_err(failed("read the proposals"))?;
        let waiting = records.into_iter().rev().find(|record| {
            record.state == ProposalState::Proposed && self.is_due(record.proposal.id.as_str())
        });
        if let Some(ProposalRecord { proposal, .. }) = waiting {
            self.measure(&proposal, &mut acts)?;
        }
        Ok(StepReport { acts })
    }

    fn measure(&self, proposal: &Proposal, acts: &mut Vec<Act>) -> Result<(), OptimizeError> {
        let subject = proposal.id.as_str();
        let measured =
            self.actuator(proposal.kind, &proposal.plan).and_then(|actuator| actuator.measure(proposal));
        let state = match measured {
            Ok(gain) => {
                self.succeeded(subject);
                match proposal.clone().prove(gain.clone(), self.options.proof_alpha) {
                    Ok(_) => ProposalState::Proven(gain),
                    Err(why) => ProposalState::NotProven(why.to_string()),
                }
            }
            Err(error) => {
                let attempts = self.trouble(subject, "measure", &error);
                acts.push(Act::Failed(subject.to_owned()));
                let is_switched_off = matches!(error, ActuatorError::SwitchedOff { .. });
                if is_switched_off || attempts < self.options.most_attempts {
                    return Ok(());
                }
                self.succeeded(subject);
                ProposalState::not_measured(error)
            }
        };
        let _ledger = locked(&self.ledger);
        let current = self.control.proposal(&proposal.id).map_err(failed("read the proposal"))?;
        if current.is_some_and(|record| record.state == ProposalState::Proposed) {
            acts.push(match state {
                ProposalState::Proven(_) => Act::Proved(proposal.id.clone()),
                _ => Act::NotProved(proposal.id.clone()),
            });
            tracing::info!(proposal = subject, state = state.as_str(), "a proposal was measured");
            let record = proposal_record(proposal.clone(), state, self.clock.as_ref());
            self.control.put_proposal(&record).map_err(failed("store the proof"))?;
        }
        Ok(())
    }
}
