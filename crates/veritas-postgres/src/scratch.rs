//! Databases of our own, with copies of the tables in question: proofs are run there, never on the live database.
//!
//! A [`Scratch`] is a database `veritas_scratch_…` on the same server or on another one.
//! It is off unless somebody allows it. The tables are read from the live server in one
//! read-only snapshot: their columns, types, constraints, indexes and statistics targets,
//! without triggers, rules, policies and users; and their rows, by `COPY`, whole while
//! they fit in the limit, else a sample of their pages. Then statistics are gathered.
//!
//! It is dropped when the value is dropped. What a killed process left behind is found
//! by its name, its comment, and an advisory lock that nobody holds any more, and is
//! dropped by [`sweep`].

mod copy;
mod home;
mod schema;
mod types;

use std::{sync::Arc, time::Duration};

use veritas_model::{Bytes, Clock, Monotonic};

pub(crate) use home::free_space;
pub use home::sweep;

use crate::{
    plan::Relation,
    session::{ConnectOptions, Session, SessionError},
};

/// Where proofs are run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ScratchPlace {
    /// Nowhere: proposals stay estimates.
    #[default]
    Off,
    /// Beside the database that is looked at. Its role needs the right to create databases.
    SameServer,
    /// On another server; the options name a database there to connect to first.
    Server(ConnectOptions),
}

/// How much is copied, and how fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchLimits {
    /// Bytes of tables that are copied at most; beyond, the large ones are sampled (2 GiB).
    pub bytes: Bytes,
    /// How long copying may take in all (10 minutes).
    pub time: Duration,
    /// Bytes a second that are read from the live server; `None`: as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// Space that may be used on the server of the copy; `None`: what the file system has
    /// free, where the server is on this machine and tells where its files are.
    pub free: Option<Bytes>,
}

impl Default for ScratchLimits {
    fn default() -> Self {
        Self { bytes: Bytes::new(2 << 30), time: Duration::from_mins(10), bytes_per_second: None, free: None }
    }
}

/// Why there is no copy. No variant holds a value of a table.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// Nobody allowed it.
    #[error("databases for proofs are switched off")]
    Off,
    /// The role may not create databases.
    #[error("the role may not create databases: ALTER ROLE {role} CREATEDB")]
    MayNotCreate {
        /// The role.
        role: String,
    },
    /// There is too little space.
    #[error("a copy takes up to {needed} bytes, and {free} are free")]
    Space {
        /// What it may take.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// A table cannot be copied.
    #[error("{relation} cannot be copied: {reason}")]
    Unsupported {
        /// The table.
        relation: String,
        /// What about it.
        reason: String,
    },
    /// The time was over.
    #[error("copying took longer than it may")]
    TooSlow,
    /// A server said no.
    #[error("failed to {step}")]
    Server {
        /// What was being done.
        step: &'static str,
        /// What the server said.
        source: SessionError,
    },
}

impl ScratchError {
    fn at(step: &'static str) -> impl Fn(SessionError) -> Self {
        move |source| match source {
            SessionError::TimedOut => Self::TooSlow,
            source => Self::Server { step, source },
        }
    }

    /// Says it with its cause, for operators.
    pub fn words(&self) -> String {
        match self {
            Self::Server { source, .. } => format!("{self}: {source}"),
            other => other.to_string(),
        }
    }
}

/// One table of a copy.
#[derive(Debug, Clone, PartialEq)]
pub struct CopiedTable {
    /// The table.
    pub relation: Relation,
    /// Its size on the live server, without indexes.
    pub size: Bytes,
    /// The share of its pages that was copied: 1 is all.
    pub share: f64,
    /// Rows copied.
    pub rows: u64,
    /// What it has on the live server and not here (`index x: function f does not exist`).
    pub left_out: Vec<String>,
}

/// A database of our own with copies of tables; dropped with the value.
#[derive(Debug)]
pub struct Scratch {
    session: Option<Session>,
    home: home::Home,
    tables: Vec<CopiedTable>,
    clock: Arc<dyn Clock>,
    took: Duration,
}

impl Scratch {
    /// Copies tables of the database that `source` connects to. Blocks for up to
    /// [`ScratchLimits::time`]; sweeps what killed processes left behind first.
    ///
    /// # Errors
    ///
    /// [`ScratchError`]. Nothing is left then, unless the server is gone: then the next
    /// sweep drops it.
    pub fn create(
        source: &ConnectOptions,
        place: &ScratchPlace,
        relations: &[Relation],
        limits: &ScratchLimits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ScratchError> {
        let host = match place {
            ScratchPlace::Off => return Err(ScratchError::Off),
            ScratchPlace::SameServer => source,
            ScratchPlace::Server(options) => options,
        };
        let started = clock.monotonic();
        let end = started.plus(limits.time);
        let mut live = copy::reader(source, limits)?;
        let plan = schema::read(&mut live, relations)?;
        let shares = copy::shares(&plan.tables, limits.bytes);
        let mut home = home::Home::open(host, limits)?;
        home.check_space(&plan, &shares, limits)?;
        let session = home.create(&plan.locale, &clock, limits)?;
        // From here on the database goes with the value.
        let mut scratch =
            Self { session: Some(session), home, tables: Vec::new(), clock, took: Duration::ZERO };
        scratch.fill(&mut live, &plan, &shares, limits, end)?;
        scratch.took = scratch.clock.monotonic().since(started);
        Ok(scratch)
    }

    fn fill(
        &mut self,
        live: &mut Session,
        plan: &schema::Blueprint,
        shares: &[f64],
        limits: &ScratchLimits,
        end: Monotonic,
    ) -> Result<(), ScratchError> {
        let clock = Arc::clone(&self.clock);
        let session = self.session();
        types::create(session, &plan.extensions, &plan.types)?;
        let mut tables = Vec::new();
        for (table, share) in plan.tables.iter().zip(shares) {
            session.batch(&format!("BEGIN; {}", table.create)).map_err(ScratchError::at("create a table"))?;
            let rows = copy::table(live, session, table, *share, limits, clock.as_ref(), end)?;
            session.batch("COMMIT").map_err(ScratchError::at("keep a table"))?;
            tables.push(CopiedTable {
                relation: table.relation.clone(),
                size: table.size,
                share: *share,
                rows,
                left_out: table.left_out.clone(),
            });
        }
        // The snapshot of the live server is not held any longer than it is needed.
        live.batch("ROLLBACK").map_err(ScratchError::at("end the snapshot"))?;
        for is_last in [false, true] {
            for (table, copied) in plan.tables.iter().zip(&mut tables) {
                for part in table.parts.iter().filter(|part| part.is_last == is_last) {
                    let left = end.since(clock.monotonic());
                    if left.is_zero() {
                        return Err(ScratchError::TooSlow);
                    }
                    match session.within(left).batch(&part.sql) {
                        Ok(()) => {}
                        Err(SessionError::TimedOut | SessionError::Lost) => {
                            return Err(ScratchError::TooSlow);
                        }
                        Err(error) => {
                            let code = error.code().unwrap_or("refused");
                            copied.left_out.push(format!("{}: {code}", part.name));
                        }
                    }
                }
            }
        }
        session.within(limits.time);
        session.batch("ANALYZE").map_err(ScratchError::at("gather statistics"))?;
        session.batch(&plan.settings).map_err(ScratchError::at("take over settings"))?;
        self.tables = tables;
        Ok(())
    }

    /// Returns the session, connected to the copy, with the live server's settings of the
    /// planner and its search path. It may do what it likes there.
    ///
    /// # Panics
    ///
    /// Never: there is one until the value is dropped.
    #[expect(clippy::expect_used, reason = "there is a session until the value is dropped")]
    pub fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("it has a session until it is dropped")
    }

    /// Returns the tables and how much of each was copied.
    pub fn tables(&self) -> &[CopiedTable] {
        &self.tables
    }

    /// Returns the database's name.
    pub fn name(&self) -> &str {
        self.home.name()
    }

    /// Returns whether every table was copied whole.
    pub fn is_whole(&self) -> bool {
        self.tables.iter().all(|table| table.share >= 1.0)
    }

    /// Says what the copy is, for people.
    pub fn words(&self) -> String {
        let tables: Vec<String> = self
            .tables
            .iter()
            .map(|table| {
                let Relation { schema, name } = &table.relation;
                let mebibytes = table.size.mebibytes();
                let mut words = if table.share >= 1.0 {
                    format!("{schema}.{name} whole, {mebibytes:.1} MiB")
                } else {
                    format!("a sample of {:.1} % of {schema}.{name}, {mebibytes:.1} MiB", table.share * 100.0)
                };
                if !table.left_out.is_empty() {
                    words.extend([format!(", without {}", table.left_out.join(", "))]);
                }
                words
            })
            .collect();
        format!("a copy made in {:.1} s of {}", self.took.as_secs_f64(), tables.join("; "))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.session.take());
        self.home.remove();
    }
}
