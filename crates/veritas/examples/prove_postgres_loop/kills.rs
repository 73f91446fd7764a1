//! `kill -9` of an application that embeds the engine, at each step of a change; the next one settles what is left.

#[path = "kills/random.rs"]
mod random;
#[path = "kills/steps.rs"]
mod steps;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use veritas::{
    Engine,
    model::{Change, ChangeState, ProposalId, ProposalState},
    store::{ControlPlane, DataDir, SqliteControlPlane},
};
use veritas_testkit::{Database, Postgres, TempDir, data_dir};

use super::{
    catalogue,
    holder::Holder,
    load::{Load, Statement},
    planted::{Planted, definition, plant},
    stage::{APPROVER, Failure, Windows, clock, database, engine, pause, server, unsettled, wait},
    world::Draw::{Below, From},
};

/// How much is proven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Steps, of those that there are.
    pub(crate) steps: usize,
    /// Kills at random moments.
    pub(crate) random: usize,
    pub(crate) seed: u64,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Kills at held steps, by what the ledger and the catalogue said in the end.
    pub(crate) steps: Vec<(String, String)>,
    /// States of changes that random kills met.
    pub(crate) met: Vec<String>,
    /// What was not as it must be.
    pub(crate) wrong: Vec<String>,
}

impl Figures {
    /// Says all of it.
    pub(crate) fn report(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for met in &self.met {
            *counts.entry(met).or_default() += 1;
        }
        let met: Vec<String> = counts.iter().map(|(met, count)| format!("{met}: {count}")).collect();
        let mut lines = vec![format!(
            "{} kills at held steps, {} at random moments ({}); not as it must be afterwards: {}",
            self.steps.len(),
            self.met.len(),
            met.join(", "),
            self.wrong.len()
        )];
        lines.extend(self.steps.iter().map(|(step, fate)| format!("  {step}: {fate}")));
        lines.extend(self.wrong.iter().map(|wrong| format!("  WRONG: {wrong}")));
        lines.join("\n")
    }
}

/// Begins the command line of the process that is killed; its orders are added.
pub(crate) type Begin<'a> = &'a dyn Fn() -> Result<Command, Failure>;

/// The name of the database in the ledger.
const TARGET: &str = "main";
/// The table, and the column that the index is on.
const TABLE: &str = "k";
const COLUMN: &str = "a";
/// Everything quick: a life is short.
const WINDOWS: Windows =
    Windows { baseline: Duration::from_secs(2), watch: Duration::from_secs(2), looks: 4 };
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);
const ROWS: i64 = 10_000;

const SCHEMA: &str = "
    CREATE TABLE k (id bigint PRIMARY KEY, a int NOT NULL, b int NOT NULL, filler text NOT NULL);
    INSERT INTO k SELECT n, n * 7919 % 1000, 0, repeat('f', 60) FROM generate_series(1, 10000) n;
    CREATE TABLE m (id bigint PRIMARY KEY, a int NOT NULL, b int NOT NULL, filler text NOT NULL);
    INSERT INTO m SELECT n, n * 7919 % 1000, 0, repeat('f', 60) FROM generate_series(1, 10000) n;";

/// Kills at each step, and at random moments.
pub(crate) fn prove(extent: Extent, begin: Begin<'_>, say: &dyn Fn(&str)) -> Result<Figures, Failure> {
    // What a dead process's session has done is there for the next one at once.
    let server = server("synchronous_commit = on\n");
    let mut figures = Figures::default();
    steps::kill(&server, extent.steps, begin, &mut figures, say)?;
    random::kill(&server, extent, begin, &mut figures, say)?;
    Ok(figures)
}

/// What the process that is killed does: it embeds the engine, runs a load, and obeys.
/// Ends when its orders end.
pub(crate) fn child(directory: &str, url: &str, with_load: bool) -> Result<(), Failure> {
    let (orders, given) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if orders.send(line).is_err() {
                return;
            }
        }
    });
    let engine = engine(directory.as_ref(), &[(TARGET.to_owned(), url.to_owned())], WINDOWS)?;
    let _load = with_load.then(|| Load::start(url, &statements(), Arc::clone(engine.database()), 1));
    let mut approves_all = false;
    loop {
        match given.recv_timeout(Duration::from_millis(20)) {
            Ok(order) if order == "approve all" => approves_all = true,
            Ok(order) if order == "revert" => take_back(&engine)?,
            Ok(id) => {
                let _permitted =
                    engine.optimizer().approve(&ProposalId::parse(&id).ok_or("no order")?, APPROVER)?;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if approves_all {
            for record in engine.optimizer().proposals()? {
                if matches!(record.state, ProposalState::Proven(_)) {
                    let _permitted = engine.optimizer().approve(&record.proposal.id, APPROVER)?;
                }
            }
        }
    }
}

/// Takes back what is kept.
fn take_back(engine: &Engine) -> Result<(), Failure> {
    for change in engine.optimizer().changes()? {
        if change.state == ChangeState::Kept {
            engine.optimizer().revert(&change.id, APPROVER, "")?;
        }
    }
    Ok(())
}

/// What the application runs.
fn statements() -> Vec<Statement> {
    let of_table = |table: &str| {
        let read = Statement {
            name: format!("{table}_read"),
            sql: format!("SELECT id, b FROM {table} WHERE a = $1"),
            draws: vec![Below(1_000)],
            rate: 3,
            is_read: true,
        };
        let write = Statement {
            name: format!("{table}_write"),
            sql: format!("UPDATE {table} SET b = b + 1 WHERE id = $1"),
            // The first row belongs to those who hold a step.
            draws: vec![From(2, ROWS - 1)],
            rate: 2,
            is_read: false,
        };
        [read, write]
    };
    [of_table("k"), of_table("m")].concat()
}

/// A database, a ledger, and the process that is killed.
struct Scene {
    database: Database,
    directory: TempDir,
    control: SqliteControlPlane,
    control_path: PathBuf,
    child: Option<Child>,
}

impl Scene {
    fn build(server: &Postgres) -> Result<Self, Failure> {
        let database = database(server, SCHEMA);
        let directory = data_dir();
        let control_path = DataDir::open(directory.path())?.control_path();
        let control = SqliteControlPlane::open(&control_path, clock())?;
        Ok(Self { database, directory, control, control_path, child: None })
    }

    fn plant(&self, state: Planted) -> Result<(), Failure> {
        plant(&self.control, TARGET, TABLE, &[COLUMN], state).map(drop)
    }

    /// Starts the process.
    fn start(&mut self, begin: Begin<'_>, with_load: bool) -> Result<(), Failure> {
        let mut command = begin()?;
        command
            .arg(self.directory.path())
            .arg(self.database.url())
            .arg(if with_load { "load" } else { "idle" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Gives the process an order.
    fn order(&mut self, what: &str) -> Result<(), Failure> {
        let input =
            self.child.as_mut().and_then(|child| child.stdin.as_mut()).ok_or("there is no process")?;
        writeln!(input, "{what}")?;
        Ok(input.flush()?)
    }

    /// Ends the process as `kill -9` does.
    fn kill(&mut self) -> Result<(), Failure> {
        let mut child = self.child.take().ok_or("there is no process")?;
        if let Some(ended) = child.try_wait()? {
            return Err(format!("the process had ended by itself: {ended}").into());
        }
        child.kill()?;
        let _status = child.wait()?;
        Ok(())
    }

    /// Returns the changes as the ledger has them.
    fn changes(&self) -> Result<Vec<Change>, Failure> {
        Ok(self.control.changes()?)
    }

    /// Waits until the ledger has a change in this state.
    fn reaches(&self, state: ChangeState) -> Result<(), Failure> {
        wait(state.as_str(), PATIENCE, || {
            Ok(self.changes()?.iter().any(|change| change.state == state).then_some(()))
        })
    }

    /// Waits until a session of ours waits for a lock with a statement that begins so.
    fn waits(&self, statement: &str) -> Result<(), Failure> {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'veritas' \
             AND wait_event_type = 'Lock' AND query LIKE '{statement}%'"
        );
        wait(statement, PATIENCE, || Ok((self.database.psql(&sql) != "0\n").then_some(())))
    }

    /// Waits until the session of ours that changes indexes waits for a lock.
    fn applier_waits(&self) -> Result<(), Failure> {
        let sql = "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid) \
             WHERE a.application_name = 'veritas' AND a.wait_event_type = 'Lock' AND l.locktype = 'advisory'";
        wait("an applier that waits", PATIENCE, || Ok((self.database.psql(sql) != "0\n").then_some(())))
    }

    /// Waits until the load was read for as long as it is compared with.
    fn is_loaded(&self) -> Result<(), Failure> {
        let sql =
            "SELECT coalesce(max(calls), 0) FROM pg_stat_statements WHERE query LIKE 'SELECT id, b FROM k%'";
        let calls = || -> Result<u64, Failure> { Ok(self.database.psql(sql).trim().parse()?) };
        let clock = clock();
        let since = clock.monotonic();
        wait("the load", PATIENCE, || {
            let is_seen = clock.monotonic().since(since) > WINDOWS.baseline + Duration::from_secs(1);
            Ok((is_seen && calls()? >= 100).then_some(()))
        })
    }

    /// Starts the next engine on the same ledger, with a load, and lets it settle everything;
    /// `meanwhile` happens once it has recovered. Returns what the ledger says then, and what
    /// is not as it says.
    fn settle(&self, meanwhile: impl FnOnce()) -> Result<(Vec<Change>, Vec<String>), Failure> {
        let url = self.database.url();
        let engine = engine(self.directory.path(), &[(TARGET.to_owned(), url.clone())], WINDOWS)?;
        meanwhile();
        let load = Load::start(&url, &statements(), Arc::clone(engine.database()), 2);
        wait("all changes to be settled", PATIENCE, || Ok(unsettled(&engine)?.is_empty().then_some(())))?;
        // Copies that the dead process left go with the next proof, or at the next sweep.
        let swept = wait("the copies to be gone", PATIENCE, || {
            let proposals = engine.optimizer().proposals()?;
            let is_proving = proposals.iter().any(|record| record.state == ProposalState::Proposed);
            Ok((!is_proving && catalogue::copies(&self.database) == 0).then_some(()))
        });
        load.end()?;
        drop(engine);
        let changes = self.changes()?;
        let mut wrong = catalogue::wrong(&self.database, &changes)?;
        wrong.extend(swept.err().map(|error| error.to_string()));
        Ok((changes, wrong))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}
