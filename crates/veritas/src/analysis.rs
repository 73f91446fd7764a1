//! Analysis: one turn of the optimizer's thread.

use std::sync::Arc;

use veritas_api::Sources;
use veritas_database::StatementSnapshot;
use veritas_model::{Condition, Finding, Proposal, Timestamp};

use crate::worker::Waker;

/// Looks at the recorded statements of one target and says what could change.
pub(crate) type Advisor =
    Box<dyn FnMut(&StatementSnapshot, Timestamp) -> Result<(Vec<Finding>, Vec<Proposal>), String> + Send>;

/// Turns what was recorded into findings and proposals, and lets the optimizer take a step.
/// What is proposed is proven by another thread, so that changes are watched meanwhile.
pub(crate) struct Analysis {
    sources: Arc<Sources>,
    advisors: Vec<Advisor>,
    prover: Waker,
    #[cfg(feature = "tracing")]
    visibility: crate::visibility::Watch,
}

impl Analysis {
    pub(crate) fn new(
        sources: Arc<Sources>,
        advisors: Vec<Advisor>,
        prover: Waker,
        #[cfg(feature = "tracing")] visibility: crate::visibility::Watch,
    ) -> Self {
        Self {
            sources,
            advisors,
            prover,
            #[cfg(feature = "tracing")]
            visibility,
        }
    }

    /// Looks for findings, then does one bounded unit of optimization, and asks for a proof.
    pub(crate) fn step(&mut self) {
        #[cfg(feature = "tracing")]
        self.visibility.look(&self.sources.database, &self.sources.health);
        let now = self.sources.clock.now();
        let statements = self.sources.database.snapshot();
        let mut findings = self.sources.database.findings(now);
        crate::batching::by_rule(&mut findings, &statements);
        let functions = veritas_profile::findings(now, &veritas_profile::profiles());
        self.sources.cache_advisor.observe_functions(&functions);
        findings.extend(functions);
        let caching = self.sources.cache_advisor.turn(now);
        findings.extend(caching.findings);
        let mut proposals = caching.proposals;
        let mut troubles = Vec::new();
        for advise in &mut self.advisors {
            match advise(&statements, now) {
                Ok((found, proposed)) => {
                    crate::batching::add(&mut findings, found);
                    proposals.extend(proposed);
                }
                Err(trouble) => troubles.push(trouble),
            }
        }
        self.report("advisor", &troubles);

        let mut troubles = Vec::new();
        if let Err(error) = self.sources.optimizer.observe(findings, proposals) {
            troubles.push(error.to_string());
        }
        if let Err(error) = self.sources.optimizer.step() {
            troubles.push(error.to_string());
        }
        // Not as `optimizer`: that part says itself when a change cannot be taken back.
        self.report("analysis", &troubles);
        self.prover.wake();
    }

    fn report(&self, component: &str, troubles: &[String]) {
        let condition =
            if troubles.is_empty() { Condition::Ready } else { Condition::Degraded(troubles.join("; ")) };
        self.sources.health.set(component, condition);
    }
}
