//! `SQLite` targets: an advisor for each, one actuator for all.

use std::sync::Arc;

use veritas_database::{
    Recorder,
    sqlite::{IndexActuator, IndexAdvisor, SqliteTarget},
};
use veritas_model::{Clock, Condition, Health};
use veritas_optimize::Optimizer;

use crate::{analysis::Advisor, builder::Target, storage::Storage};

/// Opens the targets, registers their actuator, and returns their advisors. A
/// target that cannot be opened is degraded in `health` (`target:NAME`).
pub(crate) fn register(
    targets: &[Target],
    recorder: &Arc<Recorder>,
    optimizer: &Optimizer,
    storage: &Storage,
    clock: &Arc<dyn Clock>,
    health: &Health,
) -> Vec<Advisor> {
    let mut opened = Vec::with_capacity(targets.len());
    for target in targets {
        let component = format!("target:{}", target.name);
        match SqliteTarget::open(&target.name, &target.path, Arc::clone(clock)) {
            Ok(target) => {
                health.set(&component, Condition::Ready);
                opened.push(Arc::new(target));
            }
            Err(error) => {
                tracing::warn!(target = target.name, %error, "a target is not advised on");
                health.set(&component, Condition::Degraded(error.to_string()));
            }
        }
    }
    if opened.is_empty() {
        return Vec::new();
    }
    let actuator = storage.scratch().map_err(|error| error.to_string()).and_then(|place| {
        IndexActuator::new(opened.iter().cloned(), Arc::clone(recorder), place)
            .map_err(|error| error.to_string())
    });
    match actuator {
        Ok(actuator) => optimizer.register(Arc::new(actuator)),
        Err(error) => {
            tracing::warn!(error, "proposals are not proven");
            health.set("proofs", Condition::Degraded(error));
        }
    }
    opened.into_iter().map(advisor).collect()
}

fn advisor(target: Arc<SqliteTarget>) -> Advisor {
    let name = target.name().to_owned();
    let advisor = IndexAdvisor::new(target);
    Box::new(move |snapshot, now| {
        let advice = advisor.advise(snapshot, now);
        for skipped in &advice.skipped {
            tracing::debug!(target = name, statement = skipped.name, reason = skipped.reason, "left alone");
        }
        match advice.failure {
            Some(failure) => Err(format!("{name}: {failure}")),
            None => Ok((advice.findings, advice.proposals)),
        }
    })
}
