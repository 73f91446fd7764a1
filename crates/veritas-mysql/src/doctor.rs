//! What is wrong with a server, and how to mend it: for `veritas doctor`.
//!
//! [`examine`] connects, takes one [reading](crate::view), asks the catalogue four questions
//! more, and says of each check whether it found a fault, found none, or could not ask and
//! why. It reads only, and needs no right but to see the database; what is forbidden is
//! said with the right that would help.

mod checks;
mod connection;

use std::sync::Arc;

use veritas_database::server::{Check, Diagnosis, Engine, Fault};
use veritas_model::Clock;

use self::checks::{CHECKS, Visit};
use crate::{
    findings::{FindingOptions, settings},
    session::{ConnectOptions, Session},
    view,
};

/// Returns everything that is asked of a server that lets us in.
pub fn checks() -> impl Iterator<Item = Check> {
    let of_settings = settings::CODES.iter().map(|(code, title)| Check { code, title });
    CHECKS.iter().map(|(check, _)| *check).chain(of_settings)
}

/// Examines the server of `options`. Blocks for about fifteen seconds at most.
pub fn examine(options: &ConnectOptions, limits: &FindingOptions, clock: &Arc<dyn Clock>) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let mut session = match Session::connect(options) {
        Ok(session) => session,
        Err(error) => {
            diagnosis.faults.push(connection::judge(&error));
            diagnosis.not_checked = checks().map(|check| (check, "not connected".to_owned())).collect();
            return diagnosis;
        }
    };
    let kind = if session.engine() == Engine::MySql { "MySQL" } else { "MariaDB" };
    let whole = view::read("doctor", options, clock);
    let role = if whole.reading.is_replica { "replica" } else { "primary" };
    diagnosis.server = Some(format!("{kind} {}, {role}", session.version()));
    let user = session.query("SELECT CURRENT_USER()").ok();
    diagnosis.role = user.and_then(|rows| rows.into_iter().next()?.pop()?);
    let mut visit = Visit { session: &mut session, whole: &whole, limits };
    for (check, examine) in CHECKS {
        match examine(&mut visit) {
            Ok(None) => diagnosis.passed.push(*check),
            Ok(Some(found)) => diagnosis.faults.push(Fault {
                code: check.code,
                severity: found.severity,
                title: found.title.to_owned(),
                detail: found.detail.to_owned(),
                fix: found.fix,
                evidence: found.evidence,
            }),
            Err(reason) => diagnosis.not_checked.push((*check, reason)),
        }
    }
    settings(&mut diagnosis, &whole);
    diagnosis.faults.sort_by_key(|fault| std::cmp::Reverse(fault.severity)); // stable
    diagnosis
}

fn settings(diagnosis: &mut Diagnosis, whole: &view::MySqlReading) {
    let judged = settings::judge(whole);
    for (code, title) in settings::CODES {
        let check = Check { code, title };
        let found = judged.iter().find(|judged| judged.code == code);
        match (found, &whole.reading.settings) {
            (Some(judged), _) => diagnosis.faults.push(Fault {
                code,
                severity: judged.severity,
                title: format!("Not so: {title}"),
                detail: judged.detail.clone(),
                fix: judged.fix.clone(),
                evidence: Vec::new(),
            }),
            (None, Err(why)) => diagnosis.not_checked.push((check, why.to_string())),
            (None, Ok(_)) => diagnosis.passed.push(check),
        }
    }
}
