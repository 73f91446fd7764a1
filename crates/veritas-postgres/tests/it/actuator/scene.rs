//! A database with a table, and an actuator for it.

use std::{sync::Arc, time::Duration};

use veritas_database::{Recorder, RecorderOptions};
use veritas_index_advisor::{IndexSpec, TableId};
use veritas_model::{
    Actuator as _, ActuatorError, Alpha, ChangeKind, Clock, Interval, MeasuredGain, Plan, Proposal, Proven,
    Timestamp, WorkMetric,
};
use veritas_postgres::{
    actuator::{ActuatorOptions, IndexDefinition, PostgresActuator},
    session::{ConnectOptions, Session},
    target::PostgresTarget,
};
use veritas_testkit::{Database, Postgres, VirtualClock};

/// Gives up soon.
pub(crate) fn hasty() -> ActuatorOptions {
    ActuatorOptions { lock_wait: Duration::from_millis(200), attempts: 2, ..ActuatorOptions::default() }
}

pub(crate) struct Scene {
    pub(crate) database: Database,
    pub(crate) clock: VirtualClock,
    pub(crate) target: Arc<PostgresTarget>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) actuator: PostgresActuator,
}

impl Scene {
    pub(crate) fn new(options: ActuatorOptions) -> Self {
        Self::on(&Postgres::start(), options)
    }

    pub(crate) fn on(server: &Postgres, options: ActuatorOptions) -> Self {
        let database = server.database();
        database.psql(
            "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text);
             INSERT INTO t SELECT n, n % 1000, n % 7, 'c' || n FROM generate_series(1, 5000) n; ANALYZE t",
        );
        let clock = VirtualClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let target =
            Arc::new(PostgresTarget::new("main", ConnectOptions::new(database.url()), Arc::clone(&shared)));
        let recorder = Arc::new(Recorder::new(RecorderOptions::default(), shared));
        let actuator = PostgresActuator::new([Arc::clone(&target)], Arc::clone(&recorder), options);
        Self { database, clock, target, recorder, actuator }
    }

    /// The actuator of another process.
    pub(crate) fn another_actuator(&self) -> PostgresActuator {
        PostgresActuator::new([Arc::clone(&self.target)], Arc::clone(&self.recorder), hasty())
    }

    /// An actuator whose target is the same database on another server.
    pub(crate) fn moved_to(&self, server: &Postgres) -> PostgresActuator {
        let options = ConnectOptions::new(self.database.on(server).url());
        let target = PostgresTarget::new("main", options, Arc::new(self.clock.clone()));
        PostgresActuator::new([Arc::new(target)], Arc::clone(&self.recorder), hasty())
    }

    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.database.psql(sql)
    }

    pub(crate) fn session(&self) -> Session {
        Session::connect_writing(&ConnectOptions::new(self.url())).unwrap()
    }

    pub(crate) fn plan(&self, columns: &[&str]) -> Plan {
        let spec = IndexSpec::on(TableId::new("public", "t"), columns.iter().copied());
        IndexDefinition::new(spec).unwrap().plan(&self.target.name)
    }

    pub(crate) fn apply(&self, kind: ChangeKind, plan: &Plan) -> Result<(), ActuatorError> {
        self.actuator.apply(&proven(kind, plan))
    }

    /// The indexes of the table, with whether they can be used.
    pub(crate) fn indexes(&self) -> String {
        self.psql(
            "SELECT indexrelid::regclass || CASE WHEN indisvalid THEN ' valid' ELSE ' INVALID' END \
             FROM pg_index WHERE indrelid = 't'::regclass ORDER BY indexrelid",
        )
    }

    #[track_caller]
    pub(crate) fn check_nobody_is_locked_out(&self) {
        assert_eq!(
            self.psql(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
             WHERE l.locktype = 'advisory' AND d.datname = current_database()"
            ),
            "0\n"
        );
    }
}

pub(crate) fn proven(kind: ChangeKind, plan: &Plan) -> Proven {
    let interval = Interval { low: 0.7, high: 0.9, confidence: 0.95 };
    let gain = MeasuredGain {
        metric: WorkMetric::Buffers,
        pairs: 40,
        before: 1_000.0,
        after: 200.0,
        gain: 0.8,
        gain_interval: interval,
        p_value: 1e-6,
        seconds_before: 0.1,
        seconds_after: 0.02,
        seconds_gain_interval: interval,
        bytes_read_before: None,
        bytes_read_after: None,
        write_slowdown: None,
        results_equal: true,
        method: "test".to_owned(),
    };
    let proposal = Proposal {
        id: Proposal::identity(kind, plan),
        finding: None,
        kind,
        summary: String::new(),
        plan: plan.clone(),
        estimate: None,
        proposed_at: Timestamp::default(),
    };
    proposal.prove(gain, Alpha::ONE_PERCENT).unwrap()
}
