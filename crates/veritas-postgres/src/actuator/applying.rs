//! Creating and dropping beside the running load, and what to do when that fails halfway.

use std::{sync::mpsc, thread, time::Duration};

use veritas_index_advisor::{ExistingIndex, TableId};
use veritas_model::{ActuatorError, Presence};

use super::{
    ActuatorOptions, IndexDefinition, IndexRemoval,
    definition::drop_statement,
    live::{APPLIER_LOCK, Found, Live, busy, guard, look, refused, said},
    rails,
};
use crate::{
    facts,
    session::{Session, SessionError},
    target::PostgresTarget,
};

/// How often the progress of building is asked for.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// How far the server is.
const PROGRESS: &str = "
SELECT p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total, p.lockers_done, p.lockers_total
FROM pg_catalog.pg_stat_progress_create_index p WHERE p.datname = pg_catalog.current_database() LIMIT 1";

/// Whether somebody builds an index just now.
const BUILDING: &str = "
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
    WHERE p.datid IS NULL OR p.datname = pg_catalog.current_database())";

/// Whether a session that holds the lock of appliers is running a statement on an index of this
/// name: a process of ours that was killed has gone, and the server ends what it began. Where
/// the statement may not be seen, it may be that one.
const AT_WORK: &str = "
SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    AND (l.classid::int8 << 32) | l.objid::int8 = $1 AND a.state IS DISTINCT FROM 'idle'
    AND COALESCE(pg_catalog.strpos(a.query, $2::text) > 0 OR a.query = '<insufficient privilege>', true))";

/// Creates an index of ours.
pub(super) fn create(
    target: &PostgresTarget,
    definition: &IndexDefinition,
    options: &ActuatorOptions,
) -> Result<(), ActuatorError> {
    let (table, name) = (&definition.spec().table, definition.name());
    let mut live = Live::lock(target, options)?;
    if let Some(found) = live.look(&table.schema, &name)? {
        check_ours(&found, table, &name)?;
        if found.valid {
            return Ok(());
        }
        // What an interrupted build left behind is in the way, and costs every write.
        tracing::info!(index = name, "an index that was not finished is dropped");
        live.run(&definition.drop())
            .map_err(|error| why(target, "drop what was left of it", &error, options))?;
    }
    let state = rails::check_load(&mut live, options)?;
    rails::check_space(&mut live, &state, definition, options)?;
    let mut attempts = options.attempts.max(1);
    loop {
        attempts -= 1;
        let built = watched(target, || live.run(&definition.create()));
        let Err(error) = built else { break };
        let left = clean_up(live, table, &name, options);
        let mut failure = why(target, "create the index", &error, options);
        match left {
            Ok(again) if attempts > 0 && is_contention(&error) => {
                live = again;
                continue;
            }
            Ok(_) => {}
            Err(left) => failure = and_left(failure, &left),
        }
        return Err(failure);
    }
    match live.look(&table.schema, &name)? {
        Some(found) if found.valid => Ok(()),
        _ => {
            let failure = ActuatorError::Target {
                step: "create the index",
                target: target.name.clone(),
                reason: "the server says that it did, and there is no index that can be used".to_owned(),
            };
            Err(clean_up(live, table, &name, options)
                .err()
                .map_or(failure.clone(), |left| and_left(failure, &left)))
        }
    }
}

/// Drops an index of ours.
pub(super) fn drop_ours(
    target: &PostgresTarget,
    definition: &IndexDefinition,
    options: &ActuatorOptions,
) -> Result<(), ActuatorError> {
    let (table, name) = (&definition.spec().table, definition.name());
    let mut live = Live::lock(target, options)?;
    let Some(found) = live.look(&table.schema, &name)? else { return Ok(()) };
    check_ours(&found, table, &name)?;
    patiently(&mut live, &definition.drop(), "drop the index", options)
}

/// Drops an index of the application, after looking once more whether that is safe.
pub(super) fn remove(
    target: &PostgresTarget,
    removal: &IndexRemoval,
    options: &ActuatorOptions,
    unseen_for: impl FnOnce(&Found) -> Duration,
) -> Result<(), ActuatorError> {
    let mut live = Live::lock(target, options)?;
    let Some(found) = live.look(removal.schema(), removal.name())? else { return Ok(()) };
    check_droppable(&mut live, removal, &found)?;
    if !found.valid && is_being_built(&mut live)? {
        return Err(busy(target, "somebody is building an index"));
    }
    if found.valid {
        let state = rails::check_load(&mut live, options)?;
        let is_covered = covering(&mut live, removal, &found)?.is_some();
        if !is_covered {
            if state.replicas > 0 {
                return Err(guard("it has replicas, and whether they use the index is not known here"));
            }
            let unseen = unseen_for(&found);
            if unseen < options.disuse {
                return Err(guard(format!(
                    "it was seen without a scan for {:.1} h, and {:.1} h are asked for",
                    unseen.as_secs_f64() / 3_600.0,
                    options.disuse.as_secs_f64() / 3_600.0
                )));
            }
        }
    }
    patiently(&mut live, &removal.drop(), "drop the index", options)
}

/// Makes an index of the application again that was dropped.
pub(super) fn restore(
    target: &PostgresTarget,
    removal: &IndexRemoval,
    options: &ActuatorOptions,
) -> Result<(), ActuatorError> {
    let mut live = Live::lock(target, options)?;
    if let Some(found) = live.look(removal.schema(), removal.name())? {
        if !found.is_index {
            return Err(refused(format!("another object has the name {}", removal.name())));
        }
        if found.valid {
            return Ok(());
        }
        live.run(&removal.drop())
            .map_err(|error| why(target, "drop what was left of it", &error, options))?;
    }
    let built = watched(target, || live.run(&removal.create()));
    built.map_err(|error| why(target, "make the index again", &error, options))?;
    match live.look(removal.schema(), removal.name())? {
        Some(found) if found.valid => Ok(()),
        _ => Err(said(target, "make the index again", &SessionError::Lost)),
    }
}

/// Tells whether an index can be found. It is neither there nor gone while a session of a process
/// that was killed still works on it: it may make the index, or drop it, in the next moment.
pub(super) fn presence(
    target: &PostgresTarget,
    schema: &str,
    name: &str,
    of: impl FnOnce(Option<&Found>) -> bool,
) -> Result<Presence, ActuatorError> {
    let looked = target.connect().and_then(|mut session| {
        // In this order: who ends in between has done it before the index is looked for.
        let rows = session.query(AT_WORK, &[&APPLIER_LOCK, &name])?;
        let is_at_work = rows.first().is_some_and(|row| row.get(0));
        Ok((is_at_work, look(&mut session, schema, name)?))
    });
    let (is_at_work, found) = looked.map_err(|error| said(target, "look for the index", &error))?;
    if of(found.as_ref()) {
        Ok(Presence::Present)
    } else if is_at_work {
        Err(busy(target, "another process of ours is at work on the index"))
    } else {
        Ok(Presence::Absent)
    }
}

/// Refuses what has the name of an index of ours and is something else.
fn check_ours(found: &Found, table: &TableId, name: &str) -> Result<(), ActuatorError> {
    let is_ours = found.is_index
        && found.schema.as_deref() == Some(table.schema.as_str())
        && found.table.as_deref() == Some(table.name.as_str());
    if is_ours { Ok(()) } else { Err(refused(format!("another object has the name {name}"))) }
}

/// Refuses to drop what is more than a plain index, or another one than was proposed.
fn check_droppable(live: &mut Live<'_>, removal: &IndexRemoval, found: &Found) -> Result<(), ActuatorError> {
    if found.definition.as_deref() != Some(removal.definition()) {
        return Err(refused("the index is not the one that the plan would make again"));
    }
    if found.has_more {
        return Err(refused(
            "the index has a tablespace, a comment or targets of statistics that its definition does not tell",
        ));
    }
    let Some(existing) =
        existing(live, removal, found)?.into_iter().find(|index| index.name == removal.name())
    else {
        return Err(refused("the index is gone"));
    };
    if existing.is_protected() {
        let reasons: Vec<String> = existing.protections.iter().map(|reason| format!("{reason:?}")).collect();
        return Err(refused(format!("the index is protected: {}", reasons.join(", "))));
    }
    Ok(())
}

/// Tells whether an index is being built: it cannot be used yet, and is nobody's leftover.
fn is_being_built(live: &mut Live<'_>) -> Result<bool, ActuatorError> {
    let target = live.target;
    let rows = live.session.query(BUILDING, &[]);
    let rows = rows.map_err(|error| said(target, "ask whether an index is being built", &error))?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

fn existing(
    live: &mut Live<'_>,
    removal: &IndexRemoval,
    found: &Found,
) -> Result<Vec<ExistingIndex>, ActuatorError> {
    let (Some(schema), Some(table)) = (&found.schema, &found.table) else {
        return Err(refused(format!("{} is not an index", removal.name())));
    };
    let table = TableId::new(schema, table);
    let facts = facts::read(&mut live.session, std::slice::from_ref(&table));
    let facts::FactsError::Catalogue(error) = match facts {
        Ok(facts) => return Ok(facts.tables.into_iter().flat_map(|table| table.existing).collect()),
        Err(error) => error,
    };
    Err(said(live.target, "read the indexes of the table", &error))
}

/// Returns the index that does all that this one does, where there is one: the same
/// method and condition, keys that begin with its keys, and the columns that it carries.
fn covering(
    live: &mut Live<'_>,
    removal: &IndexRemoval,
    found: &Found,
) -> Result<Option<String>, ActuatorError> {
    let all = existing(live, removal, found)?;
    let Some(this) = all.iter().find(|index| index.name == removal.name()) else { return Ok(None) };
    let covers = |other: &&ExistingIndex| {
        let (this, that) = (&this.spec, &other.spec);
        let keys =
            that.keys.len() >= this.keys.len() && this.keys.iter().zip(&that.keys).all(|(a, b)| a == b);
        other.name != removal.name()
            && other.valid
            && that.method == this.method
            && that.predicate == this.predicate
            && keys
            && this.include.iter().all(|name| that.columns().any(|other| other == name))
    };
    Ok(all.iter().find(covers).map(|index| index.name.clone()))
}

/// Runs a statement of ours, again while it gets no lock.
fn patiently(
    live: &mut Live<'_>,
    sql: &str,
    step: &'static str,
    options: &ActuatorOptions,
) -> Result<(), ActuatorError> {
    let mut attempts = options.attempts.max(1);
    loop {
        attempts -= 1;
        match live.run(sql) {
            Ok(()) => return Ok(()),
            Err(error) if attempts > 0 && is_contention(&error) => {}
            Err(error) => return Err(why(live.target, step, &error, options)),
        }
    }
}

/// Drops what a failed build left, on a session that works, and returns that. An error
/// says what is left.
fn clean_up<'a>(
    live: Live<'a>,
    table: &TableId,
    name: &str,
    options: &ActuatorOptions,
) -> Result<Live<'a>, String> {
    let target = live.target;
    let mut live = if live.session.is_lost() {
        drop(live);
        Live::lock(target, options)
            .map_err(|error| format!("whether something is left is not known: {error}"))?
    } else {
        live
    };
    match live.look(&table.schema, name).map_err(|error| error.to_string())? {
        Some(found) if !found.valid => {
            let dropped =
                patiently(&mut live, &drop_statement(&table.schema, name), "drop what was left", options);
            dropped.map_err(|error| format!("an index that cannot be used is left, {name}: {error}"))?;
        }
        _ => {}
    }
    Ok(live)
}

fn and_left(failure: ActuatorError, left: &str) -> ActuatorError {
    match failure {
        ActuatorError::Busy { target, reason } => {
            ActuatorError::Target { step: "create the index", target, reason: format!("{reason}; {left}") }
        }
        ActuatorError::Guard { reason } => ActuatorError::Guard { reason: format!("{reason}; {left}") },
        ActuatorError::Target { step, target, reason } => {
            ActuatorError::Target { step, target, reason: format!("{reason}; {left}") }
        }
        other => other,
    }
}

/// A lock, a deadlock, or an object in use: later it may be free.
fn is_contention(error: &SessionError) -> bool {
    matches!(error, SessionError::LockNotAvailable)
        || matches!(error.code(), Some("55P03" | "40P01" | "55006"))
}

fn why(
    target: &PostgresTarget,
    step: &'static str,
    error: &SessionError,
    options: &ActuatorOptions,
) -> ActuatorError {
    match error.code() {
        _ if is_contention(error) => {
            let wait = options.lock_wait.as_secs_f64();
            busy(
                target,
                format!("{step}: no lock on the table within {wait:.1} s, {} times", options.attempts.max(1)),
            )
        }
        Some("53100") => guard(format!("{step}: the server's disk is full")),
        Some("53400") => guard(format!("{step}: a limit of the server was reached (53400)")),
        // The server's limit, ours, or somebody who cancelled it.
        _ if matches!(error, SessionError::TimedOut) => {
            let longest = options.longest_build.as_secs_f64();
            guard(format!("{step}: it was cancelled, or took longer than {longest:.0} s"))
        }
        _ => said(target, step, error),
    }
}

/// Builds, and writes to the log from a second session how far it is.
fn watched<T>(target: &PostgresTarget, build: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (done, ended) = mpsc::channel::<()>();
        let follow = move || {
            let mut session = None;
            while ended.recv_timeout(PROGRESS_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                if session.as_ref().is_none_or(Session::is_lost) {
                    session = target.connect().ok();
                }
                let Some(rows) = session.as_mut().and_then(|session| session.query(PROGRESS, &[]).ok())
                else {
                    continue;
                };
                if let Some(row) = rows.first() {
                    tracing::debug!(
                        phase = row.get::<_, Option<String>>(0),
                        blocks_done = row.get::<_, Option<i64>>(1),
                        blocks_total = row.get::<_, Option<i64>>(2),
                        rows_done = row.get::<_, Option<i64>>(3),
                        rows_total = row.get::<_, Option<i64>>(4),
                        waited_for = row.get::<_, Option<i64>>(5),
                        waiting_for = row.get::<_, Option<i64>>(6),
                        "an index is being built"
                    );
                }
            }
        };
        // Without the thread the index is built all the same, only nobody hears how far it is.
        let _follower = thread::Builder::new().name("veritas-progress".into()).spawn_scoped(scope, follow);
        let outcome = build();
        drop(done);
        outcome
    })
}
