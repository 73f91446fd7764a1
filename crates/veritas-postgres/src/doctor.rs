//! What is wrong with a server, and how to mend it: for `veritas doctor`.
//!
//! [`examine`] connects, asks the catalogue some sixty questions, and says for each
//! whether it found a fault, found none, or could not ask and why. It reads only, needs
//! no extension and no superuser, and ends within its deadline whatever the server does.
//! Sizes are taken from the catalogue (`relpages`), since asking for the size of a file
//! would wait behind whoever holds the table.
//!
//! It does not judge single statements: that is what plans are for.

mod catalogue;
mod connection;
mod counters;
mod durability;
mod indexes;
mod keys;
mod limits;
mod maintenance;
mod releases;
mod replication;
mod rights;
mod sessions;
mod settings;
mod statements;
mod tables;
mod visit;

use std::sync::Arc;

use veritas_model::Clock;

pub use limits::{Limits, Storage};
pub use veritas_database::server::{Check, Diagnosis, Fault, Severity};
use visit::{Examination, Visit};

use crate::session::{ConnectOptions, Session};

/// Returns every question that is asked of a server that lets us in.
pub fn checks() -> impl Iterator<Item = Check> {
    examinations().map(|examination| examination.check)
}

fn examinations() -> impl Iterator<Item = &'static Examination> {
    [
        rights::EXAMINATIONS,
        durability::EXAMINATIONS,
        sessions::EXAMINATIONS,
        replication::EXAMINATIONS,
        statements::EXAMINATIONS,
        settings::EXAMINATIONS,
        maintenance::EXAMINATIONS,
        keys::EXAMINATIONS,
        indexes::EXAMINATIONS,
        tables::EXAMINATIONS,
        counters::EXAMINATIONS,
    ]
    .into_iter()
    .flatten()
}

/// Examines the server of `options`. Blocks for [`Limits::deadline`] at most, and as
/// long as one statement may take. Past the deadline what is left counts as not checked.
///
/// `clock` tells the day, by which releases end, and how long it took.
pub fn examine(options: &ConnectOptions, limits: &Limits, clock: &Arc<dyn Clock>) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let started = clock.monotonic();
    let session = match Session::connect(options) {
        Ok(session) => session,
        Err(error) => {
            diagnosis.faults.push(connection::judge(&error, options));
            diagnosis.not_checked = checks().map(|check| (check, "not connected".to_owned())).collect();
            return diagnosis;
        }
    };
    let mut visit = match Visit::begin(session, options, limits, clock.now()) {
        Ok(visit) => visit,
        Err(reason) => {
            diagnosis.faults.push(connection::silent(&reason));
            diagnosis.not_checked = checks().map(|check| (check, reason.clone())).collect();
            return diagnosis;
        }
    };
    diagnosis.server = Some(visit.server());
    diagnosis.role = Some(visit.role.name.clone());
    for examination in examinations() {
        let check = examination.check;
        if clock.monotonic().since(started) > limits.deadline {
            diagnosis.not_checked.push((check, "no time left".to_owned()));
            continue;
        }
        match visit.examine(examination) {
            Ok(None) => diagnosis.passed.push(check),
            Ok(Some(fault)) => diagnosis.faults.push(fault),
            Err(reason) => diagnosis.not_checked.push((check, reason)),
        }
    }
    diagnosis.faults.sort_by_key(|fault| std::cmp::Reverse(fault.severity)); // stable
    diagnosis
}
