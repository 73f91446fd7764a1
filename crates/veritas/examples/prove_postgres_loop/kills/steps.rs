//! Kills at steps at which the process is held by force.

use rusqlite::Connection;
use veritas::model::{ChangeKind, ChangeState, Proposal};
use veritas::store::ControlPlane as _;
use veritas_testkit::Postgres;

use super::{
    Begin, COLUMN, Failure, Figures, Holder, PATIENCE, Planted, ProposalState, Scene, TABLE, TARGET,
    catalogue, definition, wait,
};

/// A step, and how the process is led up to it.
struct Step {
    name: &'static str,
    before: Before,
    with_load: bool,
    lead: fn(&mut Scene) -> Result<Held, Failure>,
    /// What must be there in the end: the index, or nothing.
    index: bool,
}

/// What is there before.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Proposed,
    Proven,
    /// Proven, and an index of its name that cannot be used.
    Leftover,
}

/// What holds the process up; it is let go when this is dropped.
#[derive(Default)]
struct Held {
    server: Option<Holder>,
    ledger: Option<Connection>,
}

/// The lock that building and dropping beside the load begin with; the load does not need it.
const FIRST: &str = "BEGIN; LOCK TABLE k IN SHARE UPDATE EXCLUSIVE MODE";
const WRITER: &str = "BEGIN; UPDATE k SET b = b WHERE id = 1";
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM k";
/// Databases are made from it: nobody makes one meanwhile.
const TEMPLATE: &str = "BEGIN; COMMENT ON DATABASE template0 IS 'held by a proof'";

const STEPS: &[Step] = &[
    Step {
        name: "apply: the index is built, the ledger was not told",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            let holder = applying(scene, SNAPSHOT)?;
            let ledger = lock_ledger(scene)?;
            drop(holder);
            exists(scene, true)?;
            Ok(Held { ledger: Some(ledger), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "revert: waits for writers",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            let holder = reverting(scene, WRITER)?;
            Ok(Held { server: Some(holder), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "proof: the copy's database is being made",
        before: Before::Proposed,
        with_load: true,
        lead: |scene| {
            let holder = Holder::hold(&scene.database.url(), TEMPLATE)?;
            scene.waits("CREATE DATABASE")?;
            Ok(Held { server: Some(holder), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "apply: before its first lock",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            let holder = applying(scene, FIRST)?;
            Ok(Held { server: Some(holder), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "apply: waits for writers",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            let holder = applying(scene, WRITER)?;
            Ok(Held { server: Some(holder), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "apply: built, waits for old snapshots",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            let holder = applying(scene, SNAPSHOT)?;
            Ok(Held { server: Some(holder), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "apply: drops what was left",
        before: Before::Leftover,
        with_load: true,
        lead: |scene| {
            let holder = applying(scene, WRITER)?;
            Ok(Held { server: Some(holder), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "proof: the copy is being filled",
        before: Before::Proposed,
        with_load: true,
        lead: |scene| {
            let template = Holder::hold(&scene.database.url(), TEMPLATE)?;
            scene.waits("CREATE DATABASE")?;
            drop(template);
            let is_made = || Ok((catalogue::copies(&scene.database) > 0).then_some(()));
            wait("the copy", PATIENCE, is_made)?;
            Ok(Held::default())
        },
        index: false,
    },
    Step {
        name: "proof: pairs are being run",
        before: Before::Proposed,
        with_load: true,
        lead: |scene| {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'veritas%' AND query LIKE '%EXPLAIN%'";
            let is_running = || Ok((scene.database.psql(sql) != "0\n").then_some(()));
            wait("pairs to be run", PATIENCE, is_running)?;
            Ok(Held::default())
        },
        index: false,
    },
    Step {
        name: "proven, and nobody was asked",
        before: Before::Proposed,
        with_load: true,
        lead: |scene| {
            wait("a proof", PATIENCE, || {
                let proposals = scene.control.proposals()?;
                let is_proven = |state: &ProposalState| matches!(state, ProposalState::Proven(_));
                Ok(proposals.iter().any(|record| is_proven(&record.state)).then_some(()))
            })?;
            Ok(Held::default())
        },
        index: false,
    },
    Step {
        name: "permitted, waits for its load",
        before: Before::Proven,
        with_load: false,
        lead: |scene| {
            approve(scene)?;
            wait("it to wait", PATIENCE, || {
                Ok(scene.changes()?.iter().any(|change| change.reason.contains("waits")).then_some(()))
            })?;
            Ok(Held::default())
        },
        index: false,
    },
    Step {
        name: "applied, the load is watched",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            scene.is_loaded()?;
            approve(scene)?;
            scene.reaches(ChangeState::Verifying)?;
            Ok(Held::default())
        },
        index: true,
    },
    Step {
        name: "kept",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            kept(scene)?;
            Ok(Held::default())
        },
        index: true,
    },
    Step {
        name: "revert: before its first lock",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            let holder = reverting(scene, FIRST)?;
            Ok(Held { server: Some(holder), ..Held::default() })
        },
        index: false,
    },
    Step {
        name: "revert: the index is gone, the ledger was not told",
        before: Before::Proven,
        with_load: true,
        lead: |scene| {
            let holder = reverting(scene, WRITER)?;
            let ledger = lock_ledger(scene)?;
            drop(holder);
            exists(scene, false)?;
            Ok(Held { ledger: Some(ledger), ..Held::default() })
        },
        index: false,
    },
];

/// Kills at the first `steps` steps, twice each: what holds the process up is let go before
/// the next one starts, so that the server ends what the dead one had begun, or only after
/// that has recovered.
pub(super) fn kill(
    server: &Postgres,
    steps: usize,
    begin: Begin<'_>,
    figures: &mut Figures,
    say: &dyn Fn(&str),
) -> Result<(), Failure> {
    for step in STEPS.iter().take(steps) {
        for late in [false, true] {
            let name = format!("{}, let go {}", step.name, if late { "late" } else { "soon" });
            let mut scene = Scene::build(server)?;
            let outcome = one(&mut scene, step, late, begin).map_err(|error| format!("{name}: {error}"))?;
            say(&format!("{name}: {outcome:?}"));
            match outcome {
                Ok(fate) => figures.steps.push((name, fate)),
                Err(wrong) => figures.wrong.push(format!("{name}: {wrong}")),
            }
        }
    }
    Ok(())
}

fn one(
    scene: &mut Scene,
    step: &Step,
    late: bool,
    begin: Begin<'_>,
) -> Result<Result<String, String>, Failure> {
    let planted = if step.before == Before::Proposed { Planted::Proposed } else { Planted::Proven };
    scene.plant(planted)?;
    if step.before == Before::Leftover {
        let definition = definition(TABLE, &[COLUMN])?;
        let name = definition.name();
        scene.database.psql(&format!(
            "{}; UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass",
            definition.create_alone()
        ));
    }
    scene.start(begin, step.with_load)?;
    let held = (step.lead)(scene)?;
    scene.kill()?;
    let Held { server, ledger } = held;
    // The ledger is not held from the one that comes after: it could not even start.
    drop(ledger);
    let server = server.filter(|_| late);
    let (changes, mut wrong) = scene.settle(|| drop(server))?;
    let kept = changes.iter().any(|change| change.state == ChangeState::Kept);
    if kept != step.index {
        wrong.push(format!("the index is {}", if kept { "there" } else { "gone" }));
    }
    let states: Vec<&str> = changes.iter().map(|change| change.state.as_str()).collect();
    let fate = if states.is_empty() { "no change was begun".to_owned() } else { states.join(", ") };
    Ok(if wrong.is_empty() { Ok(fate) } else { Err(format!("{fate}: {}", wrong.join("; "))) })
}

fn approve(scene: &mut Scene) -> Result<(), Failure> {
    let plan = definition(TABLE, &[COLUMN])?.plan(TARGET);
    scene.order(Proposal::identity(ChangeKind::IndexCreate, &plan).as_str())
}

/// Permits the change while something holds it up.
fn applying(scene: &mut Scene, hold: &str) -> Result<Holder, Failure> {
    scene.is_loaded()?;
    let holder = Holder::hold(&scene.database.url(), hold)?;
    approve(scene)?;
    scene.applier_waits()?;
    Ok(holder)
}

fn kept(scene: &mut Scene) -> Result<(), Failure> {
    scene.is_loaded()?;
    approve(scene)?;
    scene.reaches(ChangeState::Kept)
}

/// Has the kept change taken back while something holds that up.
fn reverting(scene: &mut Scene, hold: &str) -> Result<Holder, Failure> {
    kept(scene)?;
    let holder = Holder::hold(&scene.database.url(), hold)?;
    scene.order("revert")?;
    scene.applier_waits()?;
    Ok(holder)
}

/// Keeps everybody from writing to the ledger.
fn lock_ledger(scene: &Scene) -> Result<Connection, Failure> {
    let connection = Connection::open(&scene.control_path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Ok(connection)
}

/// Waits until there is an index that can be used, or none.
fn exists(scene: &Scene, expected: bool) -> Result<(), Failure> {
    let name = definition(TABLE, &[COLUMN])?.name();
    let sql = format!(
        "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         WHERE c.relname = '{name}' AND i.indisvalid"
    );
    let wanted = if expected { "1\n" } else { "0\n" };
    wait("the server", PATIENCE, || Ok((scene.database.psql(&sql) == wanted).then_some(())))
}
