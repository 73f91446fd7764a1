//! Where a copy lives: a database of ours, how it is made, recognized and dropped.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_model::{Clock, stable_hash};

use super::{ScratchError, ScratchLimits, schema::Blueprint};
use crate::session::{ConnectOptions, Session, SessionError, ident};

/// What the names of our databases begin with; 16 hexadecimal digits follow.
const PREFIX: &str = "veritas_scratch_";
/// How long creating or dropping a database may take.
const LONGEST: Duration = Duration::from_mins(1);
/// How much room is left on the disk besides what is needed.
const SPARE: u64 = 64 << 20;

/// The databases that may be ours, with their comments, and who is in them.
const CANDIDATES: &str = "
SELECT d.datname, pg_catalog.shobj_description(d.oid, 'pg_database'),
    EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid),
    pg_catalog.current_database()
FROM pg_catalog.pg_database d
WHERE d.datname LIKE 'veritas\\_scratch\\_%' AND pg_catalog.pg_get_userbyid(d.datdba) = current_user
ORDER BY 1 LIMIT 100";
/// Whoever holds the lock owns the database of that number.
const OWN: &str = "SELECT pg_catalog.pg_try_advisory_lock($1)";
/// Gives it back.
const DISOWN: &str = "SELECT pg_catalog.pg_advisory_unlock($1)";
/// Where the files are, for those who may know; and who we are, and may we create databases.
const SERVER: &str = "
SELECT CASE WHEN pg_catalog.pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')
        THEN pg_catalog.current_setting('data_directory', true) END,
    r.rolcreatedb OR r.rolsuper, pg_catalog.quote_ident(r.rolname), pg_catalog.current_database()
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A database of ours, or the place for one.
#[derive(Debug)]
pub(super) struct Home {
    options: ConnectOptions,
    /// Holds the lock that says that the database has an owner.
    maintenance: Session,
    data_directory: Option<String>,
    /// The database that the lock is taken in.
    locked_in: String,
    /// Empty until it exists.
    name: String,
}

impl Home {
    /// Connects to the server, and sweeps it.
    pub(super) fn open(options: &ConnectOptions, limits: &ScratchLimits) -> Result<Self, ScratchError> {
        let options = ConnectOptions { statement_timeout: limits.time.max(LONGEST), ..options.clone() };
        let mut maintenance = Session::connect_writing(&options)
            .map_err(ScratchError::at("connect to the server of the copy"))?;
        maintenance.within(LONGEST);
        let rows = maintenance.query(SERVER, &[]).map_err(ScratchError::at("ask the server of the copy"))?;
        let row = rows.first().ok_or(ScratchError::Off)?;
        if !row.get::<_, bool>(1) {
            return Err(ScratchError::MayNotCreate { role: row.get(2) });
        }
        let (data_directory, locked_in) = (row.get(0), row.get(3));
        sweep(&mut maintenance).map_err(ScratchError::at("sweep"))?;
        Ok(Self { options, maintenance, data_directory, locked_in, name: String::new() })
    }

    /// Refuses a copy that does not fit on the disk.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of disks stay below 2^53"
    )]
    pub(super) fn check_space(
        &self,
        plan: &Blueprint,
        shares: &[f64],
        limits: &ScratchLimits,
    ) -> Result<(), ScratchError> {
        let on_disk = || free_space(&self.options, self.data_directory.as_deref());
        let Some(free) = limits.free.map(veritas_model::Bytes::get).or_else(on_disk) else { return Ok(()) };
        let rows: f64 =
            plan.tables.iter().zip(shares).map(|(table, share)| table.on_disk as f64 * share).sum();
        // Tables, indexes, one index more, and the log of writing all that.
        let needed = (rows * 2.5) as u64 + SPARE;
        if needed > free {
            return Err(ScratchError::Space { needed, free });
        }
        Ok(())
    }

    /// Creates the database and connects to it.
    pub(super) fn create(
        &mut self,
        locale: &str,
        clock: &Arc<dyn Clock>,
        limits: &ScratchLimits,
    ) -> Result<Session, ScratchError> {
        let at = ScratchError::at("create the database of the copy");
        // Different in each process and for each copy; a clash is an error, not a mix-up.
        let seed = format!(
            "{} {} {} {:?}",
            clock.now().nanos(),
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed),
            std::thread::current().id(),
        );
        let id = place_of(&self.locked_in) | (stable_hash(seed.as_bytes()) & u64::from(u32::MAX));
        // The lock comes first: from the moment that the database exists, it has an owner.
        let owned = self.maintenance.query(OWN, &[&lock_key(id)]).map_err(&at)?;
        if !owned.first().is_some_and(|row| row.get(0)) {
            return Err(at(SessionError::LockNotAvailable));
        }
        let name = name_of(id);
        self.maintenance
            .batch(&format!("CREATE DATABASE {} TEMPLATE template0 {locale}", ident(&name)))
            .map_err(&at)?;
        self.name.clone_from(&name);
        let made = self
            .maintenance
            .batch(&format!("COMMENT ON DATABASE {} IS '{}'", ident(&name), comment(&self.locked_in)))
            .and_then(|()| self.options.in_database(&name))
            .and_then(|options| {
                Session::connect_writing(&ConnectOptions {
                    lock_timeout: Duration::ZERO,
                    idle_in_transaction_timeout: Duration::ZERO,
                    ..options
                })
            });
        match made {
            Ok(mut session) => {
                session.within(limits.time);
                Ok(session)
            }
            Err(error) => {
                self.remove();
                Err(at(error))
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Drops the database; what cannot be dropped now is swept later.
    pub(super) fn remove(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(&self.name));
        if self.maintenance.is_lost() {
            match Session::connect_writing(&self.options) {
                Ok(session) => self.maintenance = session,
                Err(error) => {
                    tracing::warn!(database = self.name, %error, "a database of ours is left to the next sweep");
                    return;
                }
            }
        }
        if let Err(error) = self.maintenance.within(LONGEST).batch(&sql) {
            tracing::warn!(database = self.name, %error, "a database of ours is left to the next sweep");
        }
        self.name.clear();
    }
}

/// Drops the databases that killed processes of ours left on a server, and returns how
/// many. Ours are those with our kind of name that belong to our role, carry our comment
/// (or none yet), have nobody in them, and whose owner's lock is free.
///
/// # Errors
///
/// When the server cannot be asked. What cannot be dropped is left to the next sweep.
pub fn sweep(maintenance: &mut Session) -> Result<u32, SessionError> {
    let mut dropped = 0;
    for row in maintenance.query(CANDIDATES, &[])? {
        let (name, said, inhabited): (String, Option<String>, bool) = (row.get(0), row.get(1), row.get(2));
        let (Some(id), false) = (id_of(&name), inhabited) else { continue };
        // The locks of another database are not seen from here: neither those that a comment
        // names, nor those of a copy that is being made and has none yet.
        let here: String = row.get(3);
        let is_from_here = match said {
            Some(said) => said == comment(&here),
            None => id & !u64::from(u32::MAX) == place_of(&here),
        };
        if !is_from_here {
            continue;
        }
        let owned = maintenance.query(OWN, &[&lock_key(id)])?;
        if !owned.first().is_some_and(|row| row.get(0)) {
            continue;
        }
        match maintenance.batch(&format!("DROP DATABASE IF EXISTS {}", ident(&name))) {
            Ok(()) => {
                tracing::info!(database = name, "a database of ours was left behind, and is dropped");
                dropped += 1;
            }
            Err(error) => tracing::warn!(database = name, %error, "a database of ours cannot be dropped"),
        }
        drop(maintenance.query(DISOWN, &[&lock_key(id)])?);
    }
    Ok(dropped)
}

/// Returns the bytes that are free where the files of a server on this machine are.
pub(crate) fn free_space(options: &ConnectOptions, data_directory: Option<&str>) -> Option<u64> {
    let address = options.address().ok()?;
    let is_here =
        ["/", "localhost:", "127.0.0.1:", "[::1]:", "::1:"].iter().any(|here| address.starts_with(here));
    let directory = Path::new(data_directory.filter(|_| is_here)?);
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn name_of(id: u64) -> String {
    format!("{PREFIX}{id:016x}")
}

fn id_of(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
    (name_of(id) == name).then_some(id)
}

/// The first half of the numbers of copies that are owned through locks in a database.
fn place_of(locked_in: &str) -> u64 {
    stable_hash(locked_in.as_bytes()) & !u64::from(u32::MAX)
}

const fn lock_key(id: u64) -> i64 {
    id.cast_signed()
}

fn comment(locked_in: &str) -> String {
    format!(
        "Made by veritas to prove proposals; owned through a lock in the database {}; dropped after the proof.",
        locked_in.replace('\'', "")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_kind_are_ours() {
        assert_eq!(id_of(&name_of(0xabc)), Some(0xabc));
        for name in ["veritas_scratch_", "veritas_scratch_abc", "veritas_scratch_000000000000000G", "veritas"]
        {
            assert_eq!(id_of(name), None, "{name}");
        }
        assert_eq!(id_of("veritas_scratch_0000000000000ABC"), None, "we write lower case");
    }
}
