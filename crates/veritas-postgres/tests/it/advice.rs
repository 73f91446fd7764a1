//! Advice on a small schema like that of TPC-H, against what real indexes do.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use veritas_database::{
    Recorder, RecorderOptions,
    server::{LatestReadings, ServerReading},
};
use veritas_index_advisor::{IndexSpec, Question, TableId, WhatIf};
use veritas_model::{Bytes, ChangeKind, Clock, FindingKind, SystemClock};
use veritas_postgres::{
    actuator::{IndexDefinition, IndexRemoval},
    advice::{
        Advice, AdvisorOptions, PostgresAdvisor, WorkloadAdvice, WorkloadOptions, WorkloadStatement,
        advise_workload,
    },
    guard::Guard,
    plan::Plan,
    scratch::ScratchPlace,
    session::{ConnectOptions, Session, qualified},
    target::PostgresTarget,
    watch::Watch,
    what_if::{self, Asked, HypoPg, Method},
};
use veritas_testkit::{Database, Postgres, VirtualClock};

/// 20 000 orders of 2 000 customers, four lines each.
const SHOP: &str = "
CREATE TABLE customer (id int NOT NULL, name text NOT NULL, country text NOT NULL);
INSERT INTO customer SELECT n, 'customer ' || n, (ARRAY['de', 'fr', 'us', 'jp'])[1 + n % 4]
  FROM generate_series(1, 2000) n;
CREATE TABLE orders (id int NOT NULL, customer_id int NOT NULL, placed date NOT NULL, state text NOT NULL,
  note text NOT NULL);
INSERT INTO orders SELECT n, 1 + (n * 7) % 2000, date '2024-01-01' + (n * 13) % 700,
  CASE WHEN n % 50 = 0 THEN 'open' ELSE 'done' END, repeat('x', 60) FROM generate_series(1, 20000) n;
CREATE TABLE line (order_id int NOT NULL, part int NOT NULL, amount int NOT NULL, price numeric NOT NULL,
  note text NOT NULL);
INSERT INTO line SELECT n / 4, (n::bigint * 31) % 5000, n % 9, n % 977, repeat('y', 60)
  FROM generate_series(4, 80003) n;
";

const STATEMENTS: &[&str] = &[
    "SELECT count(*) FROM orders WHERE customer_id = 77",
    "SELECT o.id, sum(l.price) FROM orders o JOIN line l ON l.order_id = o.id \
     WHERE o.customer_id = 99 GROUP BY o.id",
    "SELECT sum(price * amount) FROM line WHERE part = 4711",
    "SELECT id, placed FROM orders WHERE state = 'open' ORDER BY placed DESC LIMIT 10",
    "SELECT c.name FROM customer c WHERE c.id = 3",
    "SELECT max(amount) FROM line",
];

fn shop() -> Database {
    let database = Postgres::start().database_with(SHOP);
    database.psql("VACUUM ANALYZE");
    database
}

fn connect(database: &Database) -> Session {
    Session::connect_writing(&ConnectOptions::new(database.url())).expect("the server is there")
}

fn workload() -> Vec<WorkloadStatement> {
    let statement = |sql: &&str| WorkloadStatement { sql: (*sql).to_owned(), calls: 1.0, mean_seconds: None };
    STATEMENTS.iter().map(statement).collect()
}

fn advised(database: &Database, statements: &[WorkloadStatement], how: &WorkloadOptions) -> WorkloadAdvice {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = ConnectOptions::new(database.url());
    advise_workload(&options, statements, how, &clock, &mut |_| ControlFlow::Continue(()))
        .expect("there is advice")
}

fn cost(session: &mut Session, sql: &str) -> f64 {
    let rows = session.simple(&format!("EXPLAIN (FORMAT JSON) {sql}")).expect("it can be planned");
    let lines: Vec<&str> = rows.iter().filter_map(|row| row[0].as_deref()).collect();
    Plan::parse(&lines.join("\n")).expect("it is a plan").cost()
}

/// Builds what is advised; returns the bytes, and what the statements cost then.
fn built(database: &Database, advice: &WorkloadAdvice) -> (u64, f64) {
    let mut session = connect(database);
    let mut bytes = 0;
    for index in &advice.chosen {
        let definition = IndexDefinition::new(index.spec.clone()).expect("it is one of ours");
        session.batch(&definition.create_alone()).expect("it can be built");
        let name = qualified(&index.spec.table.schema, &definition.name());
        let rows =
            session.query("SELECT pg_relation_size($1::text::regclass)", &[&name]).expect("it is there");
        bytes += u64::try_from(rows[0].get::<_, i64>(0)).expect("a size");
    }
    (bytes, STATEMENTS.iter().map(|sql| cost(&mut session, sql)).sum())
}

#[test]
fn a_workload_gets_cheaper_within_its_budget_and_real_indexes_agree() {
    let database = shop();
    database.extension("hypopg");
    let budget = Bytes::new(2_500_000);
    let advice = advised(&database, &workload(), &WorkloadOptions::within(budget));
    assert_eq!(advice.what_if, Method::HypoPg);
    assert_eq!(advice.skipped, []);
    assert!(advice.cost_after < 0.6 * advice.cost_before, "{advice:#?}");
    assert!(advice.gap.is_some_and(|gap| gap < 0.05), "{advice:#?}");
    let (bytes, real) = built(&database, &advice);
    assert!(bytes <= budget.get(), "{bytes}: {advice:#?}");
    assert!((real / advice.cost_after - 1.0).abs() < 0.03, "{real}: {advice:#?}");
    assert!(advice.chosen.iter().all(|index| !index.statements.is_empty() && index.gain > 0.0));
}

#[test]
fn what_may_not_be_planned_is_left_out_with_its_reason_and_without_its_literals() {
    let database = shop();
    database.extension("hypopg");
    let mut statements = workload();
    for sql in ["DO $$ BEGIN END $$", "SELECT nextval('secret-77')", "SELECT 'secret-77' FROM nowhere"] {
        statements.push(WorkloadStatement { sql: sql.to_owned(), calls: 1e6, mean_seconds: None });
    }
    let advice = advised(&database, &statements, &WorkloadOptions::within(Bytes::new(2_500_000)));
    assert_eq!(advice.skipped.len(), 3, "{:?}", advice.skipped);
    assert!(!format!("{:?}", advice.skipped).contains("secret-77"), "{:?}", advice.skipped);
    assert!(!advice.chosen.is_empty());
}

#[test]
fn a_sampled_copy_finds_nearly_what_hypothetical_indexes_do() {
    let database = shop();
    let how = WorkloadOptions {
        scratch: ScratchPlace::SameServer,
        max_plans: 100,
        ..WorkloadOptions::within(Bytes::new(2_500_000))
    };
    let sampled = advised(&database, &workload(), &how);
    assert_eq!(sampled.what_if, Method::Sampled);
    assert!(sampled.what_if_reason.contains("hypopg is not installed"), "{}", sampled.what_if_reason);
    let other = shop();
    other.extension("hypopg");
    let asked = advised(&other, &workload(), &how);
    let (before, by_sample, by_planner) =
        (asked.cost_before, built(&database, &sampled).1, built(&other, &asked).1);
    let benefit = (before - by_sample) / (before - by_planner);
    assert!(benefit >= 0.95, "{benefit}: {sampled:#?} {asked:#?}");
}

#[test]
fn without_hypopg_and_without_a_place_for_a_copy_there_is_no_what_if() {
    let database = shop();
    let mut session = connect(&database);
    let refused = what_if::open(&mut session, &[], &[], || Err("switched off".to_owned()));
    let said = refused.expect_err("there is none").to_string();
    assert!(said.contains("CREATE EXTENSION hypopg") && said.contains("switched off"), "{said}");
}

#[test]
fn hypothetical_indexes_answer_as_asked_and_leave_nothing_behind() {
    let database = shop();
    database.extension("hypopg");
    let mut session = connect(&database);
    let statement = Guard::new(&mut session).check(STATEMENTS[0]).expect("it is harmless");
    let asked = [Asked { statement, values: None }];
    // Somebody forgot one in this very session.
    session
        .simple("SELECT * FROM hypopg_create_index('CREATE INDEX ON orders (customer_id)')")
        .expect("it is made");
    let useful = IndexSpec::on(TableId::new("public", "orders"), ["customer_id"]);
    let useless = IndexSpec::on(TableId::new("public", "orders"), ["note"]);
    let mut planner = HypoPg::open(&mut session, &asked).expect("hypopg is there");
    let mut ask = |indexes: &[&IndexSpec]| {
        planner.plan(&Question { statement: 0, indexes, hidden: &[] }).expect("it is planned")
    };
    let before = ask(&[]);
    let with = ask(&[&useless, &useful]);
    assert_eq!(with.used, Some(vec![1]));
    assert!(with.cost < 0.2 * before.cost, "{with:?} {before:?}");
    assert_eq!(ask(&[&useless]).cost, before.cost);
    assert_eq!(ask(&[&useful]).cost, with.cost);
    assert_eq!(ask(&[]).cost, before.cost);
    drop(planner);
    let left = session.query("SELECT count(*) FROM hypopg()", &[]).expect("it answers");
    assert_eq!(left[0].get::<_, i64>(0), 0);
}

/// An engine's view of a server that counts its statements.
struct Scene {
    clock: Arc<VirtualClock>,
    latest: Arc<LatestReadings>,
    watch: Watch,
    advisor: PostgresAdvisor,
    recorder: Recorder,
}

impl Scene {
    fn new(database: &Database) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let latest = Arc::new(LatestReadings::default());
        let target = PostgresTarget::new("main", ConnectOptions::new(database.url()), clock.clone());
        let target = Arc::new(target.publishing_to(Arc::clone(&latest)));
        Self {
            watch: Watch::new(Arc::clone(&target), Arc::clone(&latest)),
            advisor: PostgresAdvisor::new(target, AdvisorOptions::default()),
            recorder: Recorder::new(RecorderOptions::default(), clock.clone()),
            clock,
            latest,
        }
    }

    fn read(&mut self, later: Duration) {
        self.clock.advance(later);
        let _condition = self.watch.tick();
    }

    fn turn(&mut self, later: Duration) -> Advice {
        self.read(later);
        let reading: Arc<ServerReading> = self.latest.get("main").expect("it was read").reading;
        self.advisor.advise(&reading, &self.recorder.snapshot(), self.clock.now())
    }
}

#[test]
fn a_turn_proposes_what_the_servers_statements_want_and_the_same_each_time() {
    let database = shop();
    database.extension("hypopg").extension("pg_stat_statements");
    let mut scene = Scene::new(&database);
    let run = || {
        for customer in 1..40 {
            database.psql(&format!("SELECT count(*) FROM orders WHERE customer_id = {customer}"));
        }
    };
    run();
    let _first = scene.turn(Duration::from_mins(1));
    run();
    let advice = scene.turn(Duration::from_mins(1));
    let creates: Vec<_> =
        advice.proposals.iter().filter(|proposal| proposal.kind == ChangeKind::IndexCreate).collect();
    assert_eq!(creates.len(), 1, "{advice:#?}");
    assert!(creates[0].plan.forward.contains("(\"customer_id\")"), "{advice:#?}");
    assert!(IndexDefinition::of_plan(&creates[0].plan).is_ok());
    let estimate = creates[0].estimate.as_ref().expect("the planner was asked");
    assert!(estimate.after < 0.2 * estimate.before && estimate.bytes > Some(0), "{estimate:?}");
    let finding = advice.findings.iter().find(|finding| finding.kind == FindingKind::MissingIndex);
    assert_eq!(finding.map(|finding| &finding.id), creates[0].finding.as_ref());
    run();
    let again = scene.turn(Duration::from_mins(1));
    let identities =
        |advice: &Advice| advice.proposals.iter().map(|known| known.id.clone()).collect::<Vec<_>>();
    assert_eq!(identities(&again), identities(&advice));
}

#[test]
fn a_statement_that_ends_once_in_a_window_is_looked_at() {
    let database = shop();
    database.extension("hypopg").extension("pg_stat_statements");
    let mut scene = Scene::new(&database);
    // As one that takes longer than a window does.
    let run = || database.psql("SELECT count(*) FROM orders WHERE customer_id = 7");
    let kinds = |advice: &Advice| advice.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();
    run();
    let once = scene.turn(Duration::from_mins(1));
    assert!(!kinds(&once).contains(&FindingKind::MissingIndex), "one call is an accident: {once:#?}");
    run();
    let twice = scene.turn(Duration::from_mins(1));
    assert!(kinds(&twice).contains(&FindingKind::MissingIndex), "{twice:#?}");
}

#[test]
fn what_was_called_between_two_turns_is_looked_at_whatever_was_read_meanwhile() {
    let database = shop();
    database.extension("hypopg").extension("pg_stat_statements");
    let mut scene = Scene::new(&database);
    let other = || database.psql("SELECT count(*) FROM customer");
    other();
    other();
    let _first = scene.turn(Duration::from_mins(1));
    for _call in 0..2 {
        database.psql("SELECT count(*) FROM orders WHERE customer_id = 7");
    }
    // The turn that would have looked at it was not over yet.
    scene.read(Duration::from_secs(10));
    other();
    let second = scene.turn(Duration::from_secs(10));
    assert!(second.findings.iter().any(|finding| finding.kind == FindingKind::MissingIndex), "{second:#?}");
}

#[test]
fn duplicates_go_at_once_unused_ones_after_a_week_and_constraints_never() {
    let database = shop();
    database.psql(
        "ALTER TABLE customer ADD PRIMARY KEY (id);
         CREATE INDEX orders_state ON orders (state); CREATE INDEX orders_state_again ON orders (state);
         CREATE INDEX line_part ON line (part); CREATE UNIQUE INDEX customer_name ON customer (name)",
    );
    let mut scene = Scene::new(&database);
    let dropped = |advice: &Advice| {
        let drops = advice.proposals.iter().filter(|proposal| proposal.kind == ChangeKind::IndexDrop);
        let mut names: Vec<String> = drops.map(|proposal| proposal.plan.object.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(dropped(&scene.turn(Duration::from_secs(1))), ["public.orders_state_again"]);
    let week = scene.turn(Duration::from_hours(24 * 8));
    assert_eq!(dropped(&week), ["public.line_part", "public.orders_state", "public.orders_state_again"]);
    for proposal in week.proposals.iter().filter(|proposal| proposal.kind == ChangeKind::IndexDrop) {
        assert!(IndexRemoval::of_plan(&proposal.plan).is_ok(), "{proposal:?}");
    }
}
