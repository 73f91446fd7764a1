//! Proposals whose gain is stated, not measured: from there on everything is the product's own.

use veritas::{
    model::{
        Alpha, ChangeKind, Interval, MeasuredGain, Proposal, ProposalId, ProposalRecord, ProposalState,
        WorkMetric,
    },
    postgres::actuator::IndexDefinition,
    store::ControlPlane,
};
use veritas_index_advisor::{IndexSpec, TableId};

use super::stage::{Failure, clock};

/// How far a planted proposal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Waits for its proof.
    Proposed,
    /// Waits for permission.
    Proven,
}

/// Returns the definition of an index on columns of a table.
pub(crate) fn definition(table: &str, columns: &[&str]) -> Result<IndexDefinition, Failure> {
    let spec = IndexSpec::on(TableId::new("public", table), columns.iter().copied());
    Ok(IndexDefinition::new(spec)?)
}

/// Writes a proposal of an index into the ledger, and returns its identity.
pub(crate) fn plant(
    control: &dyn ControlPlane,
    target: &str,
    table: &str,
    columns: &[&str],
    state: Planted,
) -> Result<ProposalId, Failure> {
    let plan = definition(table, columns)?.plan(target);
    let kind = ChangeKind::IndexCreate;
    let now = clock().now();
    let proposal = Proposal {
        id: Proposal::identity(kind, &plan),
        finding: None,
        kind,
        summary: format!("planted: index on {table} ({})", columns.join(", ")),
        plan,
        estimate: None,
        proposed_at: now,
    };
    let id = proposal.id.clone();
    let state = match state {
        Planted::Proposed => ProposalState::Proposed,
        Planted::Proven => {
            let gain = stated_gain();
            proposal.clone().prove(gain.clone(), Alpha::ONE_PERCENT)?;
            ProposalState::Proven(gain)
        }
    };
    control.put_proposal(&ProposalRecord { proposal, state, changed_at: now })?;
    Ok(id)
}

/// A gain that passes as proven.
fn stated_gain() -> MeasuredGain {
    let interval = Interval { low: 0.4, high: 0.6, confidence: 0.95 };
    MeasuredGain {
        metric: WorkMetric::Buffers,
        pairs: 40,
        before: 100.0,
        after: 50.0,
        gain: 0.5,
        gain_interval: interval,
        p_value: 1e-6,
        seconds_before: 0.001,
        seconds_after: 0.000_5,
        seconds_gain_interval: interval,
        bytes_read_before: None,
        bytes_read_after: None,
        write_slowdown: None,
        results_equal: true,
        method: "stated, not measured: it is planted".to_owned(),
    }
}
