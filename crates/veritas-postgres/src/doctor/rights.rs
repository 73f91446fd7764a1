//! Whom we are: too much, or too little.

use super::{
    Fault, Severity,
    releases::{Support, support},
    visit::{Examination, Found, Visit},
};
use crate::session::ident;

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("version_ended", "the version is still mended", version),
    Examination::new("superuser", "the role is no superuser", superuser),
    Examination::new("sees_no_sessions", "the role sees the statistics", sees),
    Examination::new("md5_passwords", "passwords are kept by SCRAM", md5),
    Examination::new("public_schema", "not everybody may create objects", public),
];

fn version(visit: &mut Visit<'_>) -> Found {
    let major = visit.major();
    let (severity, title) = match support(major, visit.now) {
        Support::Supported => return Ok(None),
        Support::Unknown => return Err(format!("version {major} is newer than what is known here")),
        Support::Ends => (Severity::Note, "The version gets no more corrections within half a year"),
        Support::Ended => (Severity::Warning, "The version gets no more corrections"),
    };
    let detail = "Holes and errors that are found now are mended in newer versions only.";
    let fault = Fault::new(severity, title, detail, "upgrade by pg_upgrade, or by logical replication");
    Ok(Some(fault.seen(vec![format!("version {}", visit.version())])))
}

#[expect(clippy::unnecessary_wraps, reason = "every examination has the same form")]
fn superuser(visit: &mut Visit<'_>) -> Found {
    if !visit.role.is_superuser {
        return Ok(None);
    }
    let detail = "No right is ever refused to it. Looking at a server needs three rights, not all.";
    let fix = "make a role of its own with what veritas db grants prints";
    let fault = Fault::new(Severity::Warning, "We are logged in as a superuser", detail, fix);
    Ok(Some(fault.seen(vec![format!("role {}", visit.role.name)])))
}

#[expect(clippy::unnecessary_wraps, reason = "every examination has the same form")]
fn sees(visit: &mut Visit<'_>) -> Found {
    if visit.role.sees_sessions {
        return Ok(None);
    }
    let detail = "Of other roles' sessions and statements it sees that they are there, and not what they do.";
    let fix = format!("GRANT pg_read_all_stats TO {}", ident(&visit.role.name));
    let fault = Fault::new(Severity::Note, "The role does not see what others do", detail, fix);
    Ok(Some(fault.seen(vec![format!("role {}", visit.role.name)])))
}

fn md5(visit: &mut Visit<'_>) -> Found {
    if visit.setting("password_encryption")?.value == "scram-sha-256" {
        return Ok(None);
    }
    let detail =
        "Who copies the table of roles can log in with what is in it: MD5 hashes are as good as passwords.";
    let fix = "ALTER SYSTEM SET password_encryption = 'scram-sha-256'; SELECT pg_reload_conf(); \
               then set every password anew";
    Ok(Some(Fault::new(Severity::Warning, "New passwords are kept as MD5", detail, fix)))
}

/// Whether everybody may create objects in the schema `public`, where there is one.
const PUBLIC: &str = "SELECT pg_catalog.has_schema_privilege('public', n.oid, 'CREATE')::text \
     FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'";

fn public(visit: &mut Visit<'_>) -> Found {
    let rows = visit.ask(PUBLIC, &[])?;
    if rows.first().and_then(|row| row.first()).is_none_or(|answer| answer != "true") {
        return Ok(None);
    }
    let detail =
        "Any role can put functions and operators where others' statements find them (CVE-2018-1058).";
    let fix = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    Ok(Some(Fault::new(Severity::Warning, "Everybody may create objects in the schema public", detail, fix)))
}
