//! `veritas doctor URL`: the faults of one server, each with its fix.

use std::{fmt::Write as _, path::Path, sync::Arc};

use serde_json::{Value, json};
use veritas::{
    database::server::{Diagnosis, Severity},
    model::{Clock, SystemClock},
    mysql, postgres,
};

use crate::{failure::Failure, reference::print};

/// Runs `veritas doctor URL`. Fails when something critical is found.
pub(crate) fn run(url: &str, password_file: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let diagnosis = examine(url, password_file)?;
    if as_json {
        print(format!("{}\n", serde_json::to_string_pretty(&to_json(&diagnosis))?).as_bytes())?;
    } else {
        print(render(&diagnosis).as_bytes())?;
    }
    let critical = diagnosis.faults.iter().filter(|fault| fault.severity == Severity::Critical).count();
    if critical > 0 {
        return Err(Failure::new(
            Failure::GENERAL,
            anyhow::anyhow!("{critical} of {} faults are critical", diagnosis.faults.len()),
            "each fault above names its fix",
        ));
    }
    Ok(())
}

/// Asks the doctor for the kind of server that the address names.
fn examine(url: &str, password_file: Option<&Path>) -> Result<Diagnosis, Failure> {
    let password_file = password_file.map(Path::to_path_buf);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match url.split_once("://").map_or("", |(scheme, _)| scheme) {
        "postgresql" | "postgres" => {
            let mut options = postgres::session::ConnectOptions::new(url);
            options.password_file = password_file;
            Ok(postgres::doctor::examine(&options, &postgres::doctor::Limits::default(), &clock))
        }
        "mysql" | "mariadb" => {
            let mut options = mysql::session::ConnectOptions::new(url);
            options.password_file = password_file;
            Ok(mysql::doctor::examine(&options, &mysql::findings::FindingOptions::default(), &clock))
        }
        other => Err(Failure::new(
            Failure::USAGE,
            anyhow::anyhow!("{other:?} is not a server that the doctor knows"),
            "give postgresql://USER@HOST:PORT/DATABASE, mysql://… or mariadb://…; a Redis server is given with --redis",
        )),
    }
}

fn to_json(diagnosis: &Diagnosis) -> Value {
    let faults = diagnosis.faults.iter().map(|fault| {
        json!({
            "code": fault.code,
            "severity": fault.severity.as_str(),
            "title": fault.title,
            "detail": fault.detail,
            "fix": fault.fix,
            "evidence": fault.evidence,
        })
    });
    let passed = diagnosis.passed.iter().map(|check| json!({ "code": check.code, "title": check.title }));
    let not_checked = diagnosis
        .not_checked
        .iter()
        .map(|(check, reason)| json!({ "code": check.code, "title": check.title, "reason": reason }));
    json!({
        "server": diagnosis.server,
        "role": diagnosis.role,
        "faults": faults.collect::<Vec<_>>(),
        "passed": passed.collect::<Vec<_>>(),
        "not_checked": not_checked.collect::<Vec<_>>(),
    })
}

fn render(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    if let (Some(server), Some(role)) = (&diagnosis.server, &diagnosis.role) {
        line(&mut text, 0, &format!("{server}, as {role}"));
        line(&mut text, 0, "");
    }
    for fault in &diagnosis.faults {
        line(&mut text, 0, &format!("{:<8} {} ({})", fault.severity, fault.title, fault.code));
        line(&mut text, 9, &fault.detail);
        for seen in &fault.evidence {
            line(&mut text, 9, &format!("- {seen}"));
        }
        let mut fix = fault.fix.lines();
        line(&mut text, 9, &format!("fix: {}", fix.next().unwrap_or_default()));
        for rest in fix {
            line(&mut text, 14, rest);
        }
        line(&mut text, 0, "");
    }
    if !diagnosis.not_checked.is_empty() {
        line(&mut text, 0, "not looked at:");
        for (check, reason) in &diagnosis.not_checked {
            line(&mut text, 2, &format!("{}: {reason}", check.code));
        }
        line(&mut text, 0, "");
    }
    let (faults, passed) = (diagnosis.faults.len(), diagnosis.passed.len());
    line(&mut text, 0, &format!("{faults} faults, {passed} checks passed"));
    text
}

/// Writes a line, indented; writing to a text does not fail.
fn line(text: &mut String, indent: usize, what: &str) {
    let indent = if what.is_empty() { 0 } else { indent };
    writeln!(text, "{:indent$}{what}", "").ok();
}
