//! Tries to escape from `EXPLAIN`, and looks whether anything came of it.

use std::{collections::BTreeMap, net::TcpListener};

use veritas_postgres::{
    guard::{Guard, Parameters},
    session::{ConnectOptions, Session},
};
use veritas_testkit::{Database, Postgres};

const SCENE: &str = include_str!("scene.sql");
const FOREIGN: &str = include_str!("foreign.sql");
const ESCAPES: &str = include_str!("escapes.txt");
const HIDDEN: &str = include_str!("hidden.txt");
const HARMLESS: &str = include_str!("harmless.txt");

/// What would show that something ran: the position of the log, the next transaction,
/// sequences, locks that no rollback gives back, and sessions other than those asking.
const STATE: &str = "SELECT concat_ws(' ', \
    pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot()), \
    (SELECT string_agg(concat(sequencename, last_value), ',' ORDER BY sequencename) FROM pg_sequences), \
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), \
    (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim'), \
    (SELECT count(*) FROM pg_largeobject_metadata), \
    (SELECT count(*) FROM pg_replication_slots), \
    pg_postmaster_start_time(), pg_conf_load_time())";

/// Every row of every catalogue that a statement could change, and of every table.
const CATALOGUES: &str = "SELECT md5(string_agg(md5(query_to_xml(format('SELECT * FROM %s', c.oid::regclass), \
    true, false, '')::text), '' ORDER BY c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'm') AND (n.nspname = 'public' AND c.relname NOT IN ('near') \
      OR c.relname IN ('pg_class', 'pg_proc', 'pg_type', \
      'pg_attribute', 'pg_authid', 'pg_database', 'pg_db_role_setting', 'pg_namespace', 'pg_trigger', 'pg_rewrite', \
      'pg_largeobject', 'pg_largeobject_metadata', 'pg_sequence', 'pg_extension', 'pg_index', 'pg_constraint'))";

/// A server of its own with all that statements could escape by.
pub(crate) struct World {
    database: Database,
    listener: TcpListener,
    witness: Session,
    _victim: Session,
}

/// What came of the statements.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) statements: usize,
    /// Refusals by kind.
    pub(crate) refused: BTreeMap<&'static str, usize>,
    /// Explained after all, and nothing came of it.
    pub(crate) explained: usize,
    /// Something was changed, called or reached.
    pub(crate) escaped: Vec<String>,
    /// Refused, or failed, that should have been explained.
    pub(crate) wrongly_refused: Vec<String>,
}

/// Superusers may do anything, so no right stands in for the guard.
fn options(database: &Database, more: &str) -> ConnectOptions {
    ConnectOptions::new(format!("{}{more}", database.url()))
}

impl World {
    pub(crate) fn new() -> Self {
        // What the server writes on its own account would look like an escape.
        let server = Postgres::start_alone(
            "wal_level = minimal\nmax_wal_senders = 0\ncheckpoint_timeout = 1h\nmax_wal_size = 1GB\n",
        );
        let database = server.database();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        for statement in
            [SCENE, &FOREIGN.replace("@PORT@", &port), "VACUUM (FREEZE, ANALYZE) t, u, months, m"]
        {
            let _out = database.psql(statement);
        }
        let _out = database.psql("VACUUM");
        let _out = database.psql("VACUUM FULL pg_largeobject");
        let witness = Session::connect(&options(&database, "")).unwrap();
        let mut victim = Session::connect(&options(&database, "")).unwrap();
        victim.batch("SET application_name = 'victim'").unwrap();
        Self { database, listener, witness, _victim: victim }
    }

    /// A world whose server counts statements, and keeps their texts without literals.
    pub(crate) fn counting() -> Database {
        let server = Postgres::start_alone("shared_preload_libraries = 'pg_stat_statements'");
        let database = server.database_with(SCENE);
        let _out = database.psql("CREATE EXTENSION pg_stat_statements");
        database
    }

    /// Opens a session in which statements are explained.
    pub(crate) fn session(&self, more: &str) -> Session {
        Session::connect(&options(&self.database, more)).unwrap()
    }

    pub(crate) fn state(&mut self) -> String {
        self.witness.simple(STATE).unwrap().concat().into_iter().flatten().collect()
    }

    /// Hashes catalogues and tables, in a session of its own: reading the tables calls what they bring along.
    pub(crate) fn catalogues(&self) -> String {
        self.session("").simple(CATALOGUES).unwrap().concat().into_iter().flatten().collect()
    }

    /// Whether somebody knocked at the other server.
    pub(crate) fn is_reached(&self) -> bool {
        self.listener.accept().is_ok()
    }

    /// Whether a file was left where escapes put theirs.
    pub(crate) fn has_file(&self) -> bool {
        self.directory().join("escaped").exists()
    }

    fn directory(&self) -> std::path::PathBuf {
        self.database.server().socket_dir().to_path_buf()
    }

    fn written(&self, line: &str) -> String {
        let port = self.listener.local_addr().unwrap().port().to_string();
        line.replace("@PORT@", &port).replace("@DIR@", &self.directory().to_string_lossy())
    }

    /// The statements that try to escape, and those that are too long for a line.
    pub(crate) fn escapes(&self) -> Vec<String> {
        let mut escapes: Vec<String> = lines(ESCAPES).map(|line| self.written(&line)).collect();
        let deep = |open: &str, inner: &str, close: &str, times: usize| {
            format!("SELECT {}{inner}{}", open.repeat(times), close.repeat(times))
        };
        escapes.extend([
            format!("SELECT 1 /*{}*/, evil()", "x".repeat(1_000_000)),
            format!("SELECT '{}', evil()", "x".repeat(1_000_000)),
            format!("SELECT {}evil()", "1, ".repeat(300_000)),
            format!("SELECT 1{}", " + 1".repeat(250_000)),
            format!("SELECT evil(){}", " OR true".repeat(100_000)),
            deep("(", "evil()", ")", 20),
            deep("(", "evil()", ")", 100_000),
            deep("(SELECT ", "evil()", ")", 10_000),
            deep("NOT ", "evil_b(1)", "", 100_000),
            deep("- ", "evil()", "", 100_000),
            deep("ARRAY[", "evil()", "]", 10_000),
            deep("CASE WHEN true THEN ", "evil()", " END", 20_000),
            format!("SELECT 1 {}", "UNION SELECT evil() ".repeat(12_000)),
            format!("SELECT * FROM t{}", " JOIN t USING (id)".repeat(13_000)),
            format!("{}SELECT evil()", "/*".repeat(100_000)),
            format!("SELECT {}evil(){}", "/*".repeat(1_000), "*/".repeat(1_000)),
            format!("SELECT evil(){}", ";".repeat(100_000)),
            format!("SELECT {}", "$$".repeat(131_071)),
            format!("SELECT {}", "$a".repeat(131_071)),
            format!("SELECT {}", "'".repeat(200_001)),
            format!("SELECT \"{}\"()", "e".repeat(200_000)),
            format!("SELECT * FROM t WHERE a IN ({}evil())", "1,".repeat(100_000)),
            "SELECT evil()\0".to_owned(),
            "SELECT 1\0; DELETE FROM t".to_owned(),
            "\u{feff}SELECT evil()".to_owned(),
            "SELECT\u{a0}evil()".to_owned(),
            "SELECT\u{2003}evil()".to_owned(),
            "SELECT evil\u{200b}()".to_owned(),
            "SELECT 1 -- \u{2028} evil()\n, evil()".to_owned(),
        ]);
        escapes
    }

    /// Tries to escape with each of `statements`.
    pub(crate) fn attack(&mut self, statements: &[String], more: &str) -> Tally {
        let mut tally = Tally { statements: statements.len(), ..Tally::default() };
        let mut session = self.session(more);
        // A session's first look at a catalogue may clean pages of it.
        let _first = Guard::new(&mut session).check("SELECT * FROM t JOIN u ON true");
        let mut before = self.state();
        for statement in statements {
            if session.is_lost() {
                session = self.session(more);
            }
            match Guard::new(&mut session).check(statement) {
                Err(refusal) => *tally.refused.entry(refusal.as_str()).or_default() += 1,
                Ok(explainable) => {
                    tally.explained += 1;
                    let _planned = explainable.explain(&mut session, Parameters::Unknown);
                }
            }
            let after = self.state();
            if after != before || self.is_reached() || self.has_file() {
                let shown: String = statement.chars().take(100).collect();
                tally.escaped.push(format!("{shown}: {before} -> {after}"));
                session = self.session(more);
                before = self.state();
            }
        }
        tally
    }

    /// Explains each of the harmless statements.
    pub(crate) fn explain_harmless(&self) -> Tally {
        let mut tally = Tally::default();
        let mut session = self.session("");
        for statement in lines(HARMLESS) {
            tally.statements += 1;
            match Guard::new(&mut session).check(&statement) {
                Err(refusal) => {
                    *tally.refused.entry(refusal.as_str()).or_default() += 1;
                    tally.wrongly_refused.push(format!("{statement}: {refusal}"));
                }
                Ok(explainable) => match explainable.explain(&mut session, Parameters::Unknown) {
                    Ok(_) => tally.explained += 1,
                    Err(error) => tally.wrongly_refused.push(format!("{statement}: {error:?}")),
                },
            }
        }
        tally
    }

    /// Sends escapes without a guard, each in a session of its own: how many were sent, and
    /// how many leave a trace. What hangs, ends servers or needs a second server is left out.
    pub(crate) fn control(&mut self) -> (usize, usize) {
        const LEFT_OUT: [&str; 12] = [
            "dblink",
            "far",
            "hang",
            "sleep",
            "terminate",
            "promote",
            "backup",
            "(repeat",
            "repeat('x'",
            "pad('x'",
            "factorial",
            "array_fill",
        ];
        let (mut sent, mut traces) = (0, 0);
        for line in lines(ESCAPES).filter(|line| !LEFT_OUT.iter().any(|word| line.contains(word))) {
            let statement = self.written(&line);
            let quick = ConnectOptions {
                statement_timeout: std::time::Duration::from_millis(500),
                ..options(&self.database, "")
            };
            let mut session = Session::connect_writing(&quick).unwrap();
            let before = self.state();
            let _answer = session.simple(&format!("EXPLAIN {statement}"));
            sent += 1;
            traces += usize::from(self.state() != before || self.has_file());
            drop(session);
            // A lock goes with its session; only then may the next be looked at.
            let free = |rows: Vec<Vec<Option<String>>>| rows == [[Some("0".to_owned())]];
            while !free(self.witness.simple(HELD).unwrap()) {
                let _ended = self.witness.simple(END_HOLDERS).unwrap();
            }
        }
        (sent, traces)
    }

    pub(crate) fn harmless() -> Vec<String> {
        lines(HARMLESS).collect()
    }

    pub(crate) fn hidden() -> Vec<String> {
        lines(HIDDEN).collect()
    }
}

/// How many locks are held that only the end of a session gives back.
const HELD: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";

/// Ends the sessions that hold them: they are over, and their server processes are not yet.
const END_HOLDERS: &str = "SELECT pg_terminate_backend(pid, 1000) FROM pg_locks WHERE locktype = 'advisory'";

/// The search path that puts somebody's schema before the server's own.
pub(crate) const HIDDEN_PATH: &str = "?options=-c%20search_path%3Dhidden%2Cpg_catalog%2Cpublic";

fn lines(text: &'static str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let mut decoded = String::with_capacity(line.len());
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match (letter, letter == '\\') {
                (_, true) => match letters.next() {
                    Some('n') => decoded.push('\n'),
                    Some('r') => decoded.push('\r'),
                    Some('t') => decoded.push('\t'),
                    Some(other) => decoded.push(other),
                    None => {}
                },
                (other, false) => decoded.push(other),
            }
        }
        decoded
    })
}
