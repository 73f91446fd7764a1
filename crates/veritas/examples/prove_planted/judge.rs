//! What was found against what is true.

use std::collections::{BTreeMap, BTreeSet};

use veritas::{
    database::StatementSnapshot,
    model::{Cause, Finding, FindingKind, Fingerprint, Subject},
};

use crate::{
    case::{Case, Truth},
    objects::{INDEXES, Object, SESSIONS, TABLES},
};

/// Settings that the server of this proof has, and nobody should have.
const SETTINGS: &[&str] =
    &["fsync", "full_page_writes", "autovacuum", "synchronous_commit", "track_io_timing"];

/// The verdict on all findings.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Planted defects, and those of them that were found.
    pub(crate) defects: BTreeMap<String, bool>,
    /// Decoys, and those of them of which nothing was said.
    pub(crate) decoys: BTreeMap<String, bool>,
    /// Findings that are true.
    pub(crate) right: usize,
    /// Findings that are not: what they are about, and their kind.
    pub(crate) wrong: BTreeSet<(String, &'static str)>,
}

impl Judgement {
    /// Returns the share of the findings that are true.
    pub(crate) fn precision(&self) -> f64 {
        share(self.right, self.right + self.wrong.len())
    }

    /// Returns the share of the defects that were found.
    pub(crate) fn recall(&self) -> f64 {
        share(self.defects.values().filter(|found| **found).count(), self.defects.len())
    }

    fn say(&mut self, about: &str, kind: FindingKind, must: &[FindingKind], may: &[FindingKind]) {
        if must.contains(&kind) {
            let _new = self.defects.insert(about.to_owned(), true);
            self.right += 1;
        } else if may.contains(&kind) {
            self.right += 1;
        } else {
            if let Some(silent) = self.decoys.get_mut(about) {
                *silent = false;
            }
            let _new = self.wrong.insert((about.to_owned(), kind.as_str()));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "some hundred findings")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Judges the findings by the truth about each case.
pub(crate) fn judge(findings: &[Finding], cases: &[&Case], recorded: &StatementSnapshot) -> Judgement {
    let mut judgement = Judgement::default();
    for case in cases {
        let name = case.name.to_owned();
        let _new = match case.truth {
            Truth::Defect(..) => judgement.defects.insert(name, false),
            Truth::Decoy(_) => judgement.decoys.insert(name, true),
        };
    }
    for object in INDEXES.iter().chain(TABLES) {
        let name = object.name.to_owned();
        let _new = if object.must.is_empty() {
            judgement.decoys.insert(name, true)
        } else {
            judgement.defects.insert(name, false)
        };
    }
    for (kind, _) in SESSIONS {
        let _new = judgement.defects.insert(kind.as_str().to_owned(), false);
    }
    let mut names = BTreeMap::<Fingerprint, BTreeSet<&str>>::new();
    for statement in &recorded.statements {
        let _new = names.entry(statement.fingerprint).or_default().insert(&statement.name);
    }
    for finding in findings {
        one(finding, cases, &names, &mut judgement);
    }
    judgement
}

fn one(
    finding: &Finding,
    cases: &[&Case],
    names: &BTreeMap<Fingerprint, BTreeSet<&str>>,
    judgement: &mut Judgement,
) {
    let kind = finding.kind;
    if let Some((_, part)) = SESSIONS.iter().find(|(planted, _)| *planted == kind) {
        match &finding.subject {
            Subject::Server { part: Some(found), .. } if found.starts_with(part) => {
                judgement.say(kind.as_str(), kind, &[kind], &[]);
            }
            // On a busy machine a statement of the load takes as long.
            Subject::Server { part: Some(found), .. }
                if kind == FindingKind::LongTransaction && found.starts_with("session shop of ") =>
            {
                judgement.right += 1;
            }
            other => judgement.say(&format!("{other:?}"), kind, &[], &[]),
        }
        return;
    }
    if let Cause::RepeatedStatement { request, .. } = &finding.cause
        && let Some(case) = cases.iter().find(|case| case.name == request)
    {
        of_case(case, kind, judgement);
        return;
    }
    match (&finding.subject, &finding.cause) {
        (_, Cause::Index { index, .. }) => of_object(INDEXES, index, kind, judgement),
        (Subject::Statement { fingerprint, normalized, .. }, _) => {
            let of_statement = names.get(fingerprint).into_iter().flatten();
            let mut found = of_statement.filter_map(|name| cases.iter().find(|case| case.name == *name));
            match found.next() {
                Some(case) => of_case(case, kind, judgement),
                None => judgement.say(normalized, kind, &[], &[]),
            }
        }
        (Subject::Function { name }, _) => match cases.iter().find(|case| case.name == name) {
            Some(case) => of_case(case, kind, judgement),
            None => judgement.say(name, kind, &[], &[]),
        },
        (Subject::Server { part, name }, _) => {
            let part = part.as_deref().unwrap_or(name);
            let part = part.strip_prefix("setting ").unwrap_or(part);
            if kind == FindingKind::ServerSetting && SETTINGS.contains(&part) {
                judgement.right += 1;
            } else {
                of_object(TABLES, part.rsplit('.').next().unwrap_or(part), kind, judgement);
            }
        }
        (Subject::Cache { namespace, .. }, _) => judgement.say(namespace, kind, &[], &[]),
    }
}

fn of_case(case: &Case, kind: FindingKind, judgement: &mut Judgement) {
    match case.truth {
        Truth::Defect(must, may) => judgement.say(case.name, kind, must, may),
        Truth::Decoy(may) => judgement.say(case.name, kind, &[], may),
    }
}

fn of_object(objects: &[Object], name: &str, kind: FindingKind, judgement: &mut Judgement) {
    match objects.iter().find(|object| object.name == name) {
        Some(object) => judgement.say(object.name, kind, object.must, object.may),
        None => judgement.say(name, kind, &[], &[]),
    }
}
