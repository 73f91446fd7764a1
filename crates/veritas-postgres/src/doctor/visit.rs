//! One visit of the doctor: a session, and what every question needs to know.

use std::{collections::BTreeMap, time::Duration};

use postgres_types::ToSql;
use veritas_model::{Bytes, Timestamp};

use super::{Check, Fault, Limits, Severity};
use crate::session::{ConnectOptions, Session};

/// A question and how it is asked.
pub(super) struct Examination {
    pub(super) check: Check,
    pub(super) run: fn(&mut Visit<'_>) -> Found,
}

impl Examination {
    pub(super) const fn new(
        code: &'static str,
        title: &'static str,
        run: fn(&mut Visit<'_>) -> Found,
    ) -> Self {
        Self { check: Check { code, title }, run }
    }
}

/// A fault, none, or why it could not be looked at.
pub(super) type Found = Result<Option<Fault>, String>;

/// Who we are, which server it is, and what is ours there.
const IDENTITY: &str = "SELECT current_user::text, r.rolsuper::text, \
     pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')::text, \
     pg_catalog.pg_is_in_recovery()::text, pg_catalog.current_database()::text, \
     pg_catalog.current_setting('server_version') \
     FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// Every setting that the role may see.
const SETTINGS: &str = "SELECT name, setting, unit, source, boot_val, pending_restart::text \
     FROM pg_catalog.pg_settings";

/// A setting of the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) source: String,
    pub(super) built_in: String,
    pub(super) waits_for_restart: bool,
}

/// The role that we are.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) is_superuser: bool,
    /// Whether it sees what other sessions do.
    pub(super) sees_sessions: bool,
}

/// A visit.
pub(super) struct Visit<'a> {
    session: Session,
    pub(super) limits: &'a Limits,
    /// The day, by our clock.
    pub(super) now: Timestamp,
    pub(super) role: Role,
    pub(super) is_replica: bool,
    pub(super) database: String,
    version: String,
    settings: BTreeMap<String, Setting>,
    /// The limits of a session that sets none, by setting; `None` until somebody asks.
    configured: Option<Result<BTreeMap<String, String>, String>>,
    options: ConnectOptions,
}

/// The answer to a question about many objects: the first column of the question counts
/// all, the second says what was seen of one, the others are named by who asks.
pub(super) struct Listed {
    pub(super) total: u64,
    pub(super) rows: Vec<Vec<String>>,
}

impl<'a> Visit<'a> {
    pub(super) fn begin(
        mut session: Session,
        options: &ConnectOptions,
        limits: &'a Limits,
        now: Timestamp,
    ) -> Result<Self, String> {
        let identity = texts(&mut session, IDENTITY, &[])?;
        let identity = identity.first().ok_or("the server does not know the role that it let in")?;
        let [name, superuser, sees, recovery, database, version] = &identity[..] else {
            return Err("the server's answer was not understood".to_owned());
        };
        let settings = texts(&mut session, SETTINGS, &[])?
            .into_iter()
            .filter_map(|row| {
                let [name, value, unit, source, built_in, waits] = <[String; 6]>::try_from(row).ok()?;
                let waits_for_restart = waits == "true";
                Some((name, Setting { value, unit, source, built_in, waits_for_restart }))
            })
            .collect();
        let is_superuser = superuser == "true";
        Ok(Self {
            session,
            limits,
            now,
            role: Role { name: name.clone(), is_superuser, sees_sessions: is_superuser || sees == "true" },
            is_replica: recovery == "true",
            database: database.clone(),
            version: version.clone(),
            settings,
            configured: None,
            options: options.clone(),
        })
    }

    /// Returns which server it is, for people.
    pub(super) fn server(&self) -> String {
        let kind = if self.is_replica { "replica" } else { "primary" };
        format!("PostgreSQL {}, {kind}", self.version)
    }

    /// Returns the version as the server says it.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Returns the major version.
    pub(super) fn major(&self) -> u32 {
        self.session.version() / 10_000
    }

    pub(super) fn examine(&mut self, examination: &Examination) -> Found {
        let found = (examination.run)(self)?;
        Ok(found.map(|fault| Fault { code: examination.check.code, ..fault }))
    }

    /// Asks; every column must be text.
    pub(super) fn ask(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Vec<String>>, String> {
        texts(&mut self.session, sql, parameters)
    }

    /// Asks for many objects.
    pub(super) fn list(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Listed, String> {
        let rows = self.ask(sql, parameters)?;
        let total = rows.first().and_then(|row| row.first()?.parse().ok()).unwrap_or(0);
        Ok(Listed { total, rows })
    }

    /// Asks for one row of numbers; what is not there is `None`.
    pub(super) fn numbers(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Option<f64>>, String> {
        let rows = self.ask(sql, parameters)?;
        let row = rows.first().ok_or("the server keeps no such figures")?;
        Ok(row.iter().map(|text| text.parse().ok()).collect())
    }

    /// Asks for one number by a statement whose only variable part the server has quoted.
    pub(super) fn number_of(&mut self, sql: &str) -> Result<f64, String> {
        let rows = texts(&mut self.session, sql, &[])?;
        let number = rows.first().and_then(|row| row.first()?.parse().ok());
        number.ok_or_else(|| "the server keeps no such figure".to_owned())
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// Returns a setting, or why it is not known.
    pub(super) fn setting(&self, name: &str) -> Result<&Setting, String> {
        self.settings.get(name).ok_or_else(|| format!("the role may not see the setting {name}"))
    }

    /// Returns a limit as a session of the role has it that sets none itself: ours does.
    pub(super) fn configured(&mut self, name: &str) -> Result<&str, String> {
        let options = &self.options;
        let known = self.configured.get_or_insert_with(|| configured(options)).as_ref();
        known
            .map_err(String::clone)?
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| format!("{name} is not known"))
    }

    /// Returns whether a setting is on.
    pub(super) fn is_on(&self, name: &str) -> Result<bool, String> {
        Ok(self.setting(name)?.value == "on")
    }

    /// Returns a setting that is a number, in the unit of the server.
    pub(super) fn number(&self, name: &str) -> Result<f64, String> {
        let setting = self.setting(name)?;
        setting.value.parse().map_err(|_| format!("the setting {name} is no number"))
    }

    /// Returns a setting that is a size.
    pub(super) fn size(&self, name: &str) -> Result<Bytes, String> {
        let setting = self.setting(name)?;
        let unit: u64 = match setting.unit.as_str() {
            "B" => 1,
            "kB" => 1 << 10,
            "8kB" => 8 << 10,
            "MB" => 1 << 20,
            _ => return Err(format!("the unit of the setting {name} is not known")),
        };
        let count: u64 = setting.value.parse().map_err(|_| format!("the setting {name} is no size"))?;
        Ok(Bytes::new(count.saturating_mul(unit)))
    }

    /// Returns an error unless other sessions are seen.
    pub(super) fn must_see_sessions(&self) -> Result<(), String> {
        if self.role.sees_sessions {
            return Ok(());
        }
        Err(format!(
            "the role does not see other sessions: GRANT pg_read_all_stats TO {}",
            crate::session::ident(&self.role.name)
        ))
    }

    /// Returns how many objects a fault names, as a parameter.
    pub(super) fn objects(&self) -> i64 {
        i64::from(self.limits.objects)
    }
}

impl Listed {
    /// Makes a fault of it, where there is something: `title` is given the count.
    pub(super) fn fault(
        &self,
        severity: Severity,
        title: &str,
        detail: &str,
        fix: impl Fn(&[String]) -> String,
    ) -> Option<Fault> {
        if self.rows.is_empty() {
            return None;
        }
        let mut fixes: Vec<String> =
            self.rows.iter().map(|row| fix(row.get(2..).unwrap_or_default())).collect();
        fixes.retain(|fix| !fix.is_empty());
        fixes.dedup();
        let evidence = self.rows.iter().filter_map(|row| row.get(1).cloned()).collect();
        let title = format!("{title}: {}", self.total);
        Some(Fault::new(severity, &title, detail, fixes.join("\n")).seen(evidence))
    }
}

/// Seconds as a parameter.
pub(super) const fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Bytes as a parameter.
pub(super) fn count(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

/// The limits of a session, as the server says them.
const CONFIGURED: &str = "SELECT name, setting FROM pg_catalog.pg_settings \
     WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout')";

/// Asks a session that sets no limits for the limits that it has.
fn configured(options: &ConnectOptions) -> Result<BTreeMap<String, String>, String> {
    let options = ConnectOptions {
        statement_timeout: ConnectOptions::AS_CONFIGURED,
        lock_timeout: ConnectOptions::AS_CONFIGURED,
        idle_in_transaction_timeout: ConnectOptions::AS_CONFIGURED,
        ..options.clone()
    };
    let mut session = Session::connect(&options).map_err(|error| error.to_string())?;
    session.within(options.connect_timeout);
    let rows = texts(&mut session, CONFIGURED, &[])?;
    Ok(rows
        .into_iter()
        .filter_map(|row| <[String; 2]>::try_from(row).ok().map(|[name, value]| (name, value)))
        .collect())
}

fn texts(
    session: &mut Session,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Vec<String>>, String> {
    let rows = session.query(sql, parameters).map_err(|error| error.to_string())?;
    let row = |row: &tokio_postgres::Row| -> Result<Vec<String>, tokio_postgres::Error> {
        (0..row.len())
            .map(|column| Ok(row.try_get::<_, Option<String>>(column)?.unwrap_or_default()))
            .collect()
    };
    rows.iter()
        .map(row)
        .collect::<Result<_, _>>()
        .map_err(|_| "the server's answer was not understood".to_owned())
}
