//! The disk, the server, and others of our kind.

use std::{
    fs, os::unix::fs::MetadataExt as _, path::Path, process::Command, sync::Barrier, thread, time::Duration,
};

use veritas_model::{Actuator as _, ActuatorError, ChangeKind};
use veritas_testkit::{Database, Postgres, wait_for};

use crate::world::{actuator, hasty, patient, plan, proven, session, target};

const CREATE: ChangeKind = ChangeKind::IndexCreate;
/// Appliers at once, and how often.
const APPLIERS: (usize, usize) = (6, 10);

fn scene(server: &Postgres, rows: u32) -> Database {
    let database = server.database();
    database.psql(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int);
         INSERT INTO t SELECT n, n, 0 FROM generate_series(1, {rows}) n"
    ));
    database
}

fn indexes(database: &Database) -> String {
    database.psql(
        "SELECT indexrelid::regclass || ' ' || indisvalid FROM pg_index WHERE indrelid = 't'::regclass \
         ORDER BY indexrelid",
    )
}

/// A file system of 3 MiB, and an index that does not fit.
pub(crate) fn full_disk() -> Result<String, String> {
    let server = Postgres::start_alone("");
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mounted = mount(directory.path());
    let outcome = build_on(&server, directory.path(), mounted);
    drop(server);
    if mounted {
        drop(Command::new("umount").arg(directory.path()).status());
    }
    outcome
}

fn mount(place: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(place);
    command.output().is_ok_and(|output| output.status.success())
}

fn build_on(server: &Postgres, place: &Path, mounted: bool) -> Result<String, String> {
    let database = scene(server, 300_000);
    let name = database.name().to_owned();
    if mounted {
        let owner = fs::metadata(server.socket_dir()).map_err(|error| error.to_string())?;
        let given = std::os::unix::fs::chown(place, Some(owner.uid()), Some(owner.gid()));
        given.map_err(|error| error.to_string())?;
        let parent = place.parent().map(fs::metadata);
        if parent.is_none_or(|parent| parent.is_ok_and(|parent| parent.mode() & 0o001 == 0)) {
            return Err("the server may not enter the folder of the small disk".to_owned());
        }
        database.psql(&format!("CREATE TABLESPACE tiny_{name} LOCATION '{}'", place.display()));
        database.psql(&format!("ALTER DATABASE {name} SET default_tablespace = 'tiny_{name}'"));
    } else {
        // Where nothing may be mounted, the limit of temporary files stands for the disk.
        database.psql(&format!("ALTER DATABASE {name} SET temp_file_limit = '1MB'"));
        database.psql(&format!("ALTER DATABASE {name} SET maintenance_work_mem = '1MB'"));
    }
    let actuator = actuator(target(&database.url()), hasty());
    let plan = plan("t", "a");
    let error = actuator.apply(&proven(&plan)).err().ok_or("the index fitted on the small disk")?;
    let left = indexes(&database);
    if !matches!(error, ActuatorError::Guard { .. }) || left != "t_pkey true\n" {
        return Err(format!("{error}; left: {left}"));
    }
    let how = if mounted { "a file system of 3 MiB" } else { "no right to mount; temp_file_limit = 1MB" };
    if mounted {
        database.psql(&format!("ALTER DATABASE {name} RESET default_tablespace"));
    } else {
        database.psql(&format!("ALTER DATABASE {name} RESET temp_file_limit"));
    }
    actuator.apply(&proven(&plan)).map_err(|error| format!("with room it still fails: {error}"))?;
    Ok(format!("{how}: {error}; nothing was left, and with room it is built"))
}

/// `kill -9` of the server while it builds.
pub(crate) fn killed_server() -> Result<String, String> {
    let server = Postgres::start_alone("synchronous_commit = on");
    let database = scene(&server, 20_000);
    let plan = plan("t", "a");
    let mut found = 0;
    for _ in 0..3 {
        let mut holder = session(&database.url());
        holder
            .batch("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
            .map_err(|error| error.to_string())?;
        let outcome = thread::scope(|scope| {
            let applying = scope.spawn(|| actuator(target(&database.url()), patient()).apply(&proven(&plan)));
            wait_for(Duration::from_mins(2), || {
                database.psql(
                    "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE '%old snapshots%'",
                ) == "1\n"
            });
            let killed = Command::new("kill").args(["-9", &server.process().to_string()]).status();
            server.kill();
            killed.map_err(|error| error.to_string())?;
            applying.join().map_err(|_| "the applier panicked".to_owned())
        })?;
        if outcome.is_ok() {
            return Err("an index was applied on a server that was killed".to_owned());
        }
        server.restart();
        let left = indexes(&database);
        found += u32::from(left.contains("false"));
        let actuator = actuator(target(&database.url()), hasty());
        actuator.apply(&proven(&plan)).map_err(|error| error.to_string())?;
        let made = indexes(&database);
        if made != format!("t_pkey true\n{} true\n", plan.object) {
            return Err(format!("after the restart the indexes are {made}"));
        }
        actuator.revert(CREATE, &plan).map_err(|error| error.to_string())?;
    }
    if found == 0 {
        return Err("no kill left an index that cannot be used: nothing was proven".to_owned());
    }
    Ok(format!("3 kills while it built; {found} left an index that cannot be used, and each was made anew"))
}

pub(crate) fn many_appliers() -> Result<String, String> {
    let server = Postgres::start_alone("");
    let database = scene(&server, 20_000);
    let plan = plan("t", "a");
    let (appliers, rounds) = APPLIERS;
    let (mut applied, mut busy) = (0, 0);
    for _ in 0..rounds {
        let barrier = Barrier::new(appliers);
        let outcomes: Vec<Result<(), ActuatorError>> = thread::scope(|scope| {
            let apply = || {
                let actuator = actuator(target(&database.url()), hasty());
                barrier.wait();
                actuator.apply(&proven(&plan))
            };
            let threads: Vec<_> = (0..appliers).map(|_| scope.spawn(apply)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        for outcome in outcomes {
            match outcome {
                Ok(()) => applied += 1,
                Err(ActuatorError::Busy { .. }) => busy += 1,
                Err(error) => return Err(error.to_string()),
            }
        }
        let made = indexes(&database);
        if made != format!("t_pkey true\n{} true\n", plan.object) {
            return Err(format!("the indexes are {made}"));
        }
        wait_for(Duration::from_mins(1), || {
            actuator(target(&database.url()), hasty()).revert(CREATE, &plan).is_ok()
        });
    }
    Ok(format!(
        "{rounds} rounds of {appliers}: {applied} applied or found it there, {busy} were told to wait, one index each time"
    ))
}
