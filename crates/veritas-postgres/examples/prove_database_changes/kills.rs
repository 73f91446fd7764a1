//! A process of ours is killed at each step of a change; the next one finds what is left.

use std::{
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use veritas_model::{Actuator as _, ActuatorError, ChangeKind, Presence};
use veritas_statistics::Rng;
use veritas_testkit::{Database, Postgres, wait_for};

use crate::world::{actuator, hasty, patient, pause, plan, proven, session, target};

const CREATE: ChangeKind = ChangeKind::IndexCreate;
/// Kills at random moments of applying, and of taking back.
const RANDOM: u32 = 30;

/// What the child does, what holds it up, and what is there before.
struct Step {
    name: &'static str,
    act: &'static str,
    holder: &'static str,
    before: Before,
}

#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Index,
    Leftover,
}

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class";
const WRITER: &str = "BEGIN; UPDATE t SET b = 1 WHERE id = 1";
const EXCLUSIVE: &str = "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE";

const STEPS: [Step; 7] = [
    Step { name: "apply, before its first lock", act: "apply", holder: EXCLUSIVE, before: Before::Nothing },
    Step { name: "apply, waiting for writers", act: "apply", holder: WRITER, before: Before::Nothing },
    Step {
        name: "apply, built, waiting for old snapshots",
        act: "apply",
        holder: SNAPSHOT,
        before: Before::Nothing,
    },
    Step { name: "apply, dropping a leftover", act: "apply", holder: WRITER, before: Before::Leftover },
    Step { name: "revert, before its first lock", act: "revert", holder: EXCLUSIVE, before: Before::Index },
    Step { name: "revert, waiting for writers", act: "revert", holder: WRITER, before: Before::Index },
    Step { name: "revert of a leftover", act: "revert", holder: WRITER, before: Before::Leftover },
];

/// What a child process does.
pub(crate) fn child(what: &str, url: &str) -> ExitCode {
    let actuator = actuator(target(url), patient());
    let plan = plan("t", "a");
    let done = match what {
        "apply" => actuator.apply(&proven(&plan)),
        _ => actuator.revert(CREATE, &plan),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn prove() -> Result<String, String> {
    // What the dead process's session had done is in the log at once.
    let server = Postgres::start_alone("synchronous_commit = on");
    let mut kills = 0;
    for step in &STEPS {
        // Once taken back, once tried again.
        for again in [false, true] {
            let database = scene(&server, step.before, 5_000);
            let mut holder = session(&database.url());
            holder.batch(step.holder).map_err(|error| error.to_string())?;
            let mut child = spawn(step.act, &database.url())?;
            wait_for(Duration::from_mins(2), || waiting(&database));
            kill(&mut child)?;
            holder.batch("ROLLBACK").map_err(|error| error.to_string())?;
            kills += 1;
            finish(&database, again).map_err(|why| format!("{}: {why}", step.name))?;
        }
    }
    let mut rng = Rng::new(9);
    let (mut random, mut busy) = (0, 0);
    for number in 0..RANDOM {
        let (act, before) =
            if number % 3 == 2 { ("revert", Before::Index) } else { ("apply", Before::Nothing) };
        let database = scene(&server, before, 100_000);
        let mut child = spawn(act, &database.url())?;
        pause(Duration::from_millis(rng.below(250)));
        kill(&mut child)?;
        random += 1;
        busy += u32::from(is_at_work(&database));
        finish(&database, number % 2 == 0).map_err(|why| format!("random kill {number} of {act}: {why}"))?;
    }
    Ok(format!(
        "{kills} kills at {} steps of applying and taking back, {random} at random moments ({busy} of them while \
         the server was at work for it); \
         every time nothing was left, or exactly the index, and nobody was locked out",
        STEPS.len()
    ))
}

fn scene(server: &Postgres, before: Before, rows: u32) -> Database {
    let database = server.database();
    database.psql(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int);
         INSERT INTO t SELECT n, n % 997, 0 FROM generate_series(1, {rows}) n"
    ));
    let plan = plan("t", "a");
    if before != Before::Nothing {
        database.psql(&plan.forward.replace(" CONCURRENTLY", ""));
    }
    if before == Before::Leftover {
        let object = &plan.object;
        database
            .psql(&format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{object}'::regclass"));
    }
    database
}

fn spawn(act: &str, url: &str) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let child = Command::new(program).args(["child", act, url]).stderr(Stdio::null()).spawn();
    child.map_err(|error| error.to_string())
}

/// Ends the child as `kill -9` does.
fn kill(child: &mut Child) -> Result<(), String> {
    child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
}

/// Returns whether the dead process's session still runs a statement.
fn is_at_work(database: &Database) -> bool {
    database.psql(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'veritas' AND state = 'active' \
         AND datname = current_database()",
    ) != "0\n"
}

fn waiting(database: &Database) -> bool {
    database.psql(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'veritas' AND wait_event_type = 'Lock' \
         AND datname = current_database()",
    ) != "0\n"
}

/// Does what the next process does with a change that was interrupted: takes it back, or
/// tries it again. The dead process's session may still be at work: then it waits.
fn finish(database: &Database, again: bool) -> Result<(), String> {
    let actuator = actuator(target(&database.url()), hasty());
    let plan = plan("t", "a");
    wait_for(Duration::from_mins(2), || {
        let done = if again { actuator.apply(&proven(&plan)) } else { actuator.revert(CREATE, &plan) };
        match done {
            Err(ActuatorError::Busy { .. }) => None,
            done => Some(done),
        }
    })
    .map_err(|error| error.to_string())?;
    let expected = if again { Presence::Present } else { Presence::Absent };
    let presence = actuator.presence(CREATE, &plan).map_err(|error| error.to_string())?;
    let indexes = database.psql(
        "SELECT indexrelid::regclass || ' ' || (indisvalid AND indisready AND indislive) FROM pg_index \
         WHERE indrelid = 't'::regclass ORDER BY indexrelid",
    );
    let wanted =
        if again { format!("t_pkey true\n{} true\n", plan.object) } else { "t_pkey true\n".to_owned() };
    if presence != expected || indexes != wanted {
        return Err(format!("{presence:?}, and the indexes are {indexes:?}"));
    }
    wait_for(Duration::from_mins(1), || {
        database.psql(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
             WHERE l.locktype = 'advisory' AND d.datname = current_database()",
        ) == "0\n"
    });
    Ok(())
}
