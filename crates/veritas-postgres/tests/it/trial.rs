//! Trials on copies: what pairs of executions show, and that nothing stays of them.

use std::{sync::Arc, time::Duration};

use veritas_database::Value;
use veritas_model::{Clock, SystemClock, WorkMetric};
use veritas_postgres::{
    guard::{Explainable, Guard},
    plan::Relation,
    scratch::{Scratch, ScratchLimits, ScratchPlace},
    session::{ConnectOptions, Session},
    trial::{self, Effort, Side, Source, of_calls, sampled},
};
use veritas_statistics::Rng;
use veritas_testkit::{Database, Postgres};

struct Bench {
    live: Session,
    scratch: Scratch,
    clock: Arc<dyn Clock>,
    _database: Database,
}

impl Bench {
    fn new() -> Self {
        let database = Postgres::start().database();
        database.psql(
            "CREATE TABLE orders (id int PRIMARY KEY, customer int, total float8, note text);
             INSERT INTO orders SELECT n, n % 500, n * 0.1, 'note ' || n FROM generate_series(1, 20000) n;
             CREATE INDEX by_customer ON orders (customer); ANALYZE orders",
        );
        let options = ConnectOptions::new(database.url());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let orders = Relation { schema: "public".to_owned(), name: "orders".to_owned() };
        let place = ScratchPlace::SameServer;
        let limits = ScratchLimits::default();
        let scratch = Scratch::create(&options, &place, &[orders], &limits, Arc::clone(&clock)).unwrap();
        Self { live: Session::connect(&options).unwrap(), scratch, clock, _database: database }
    }

    fn checked(&mut self, sql: &str) -> Explainable {
        Guard::new(&mut self.live).check(sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"))
    }

    fn texts(&mut self, sql: &str) -> String {
        self.scratch.session().simple(sql).unwrap()[0][0].clone().unwrap()
    }
}

const EFFORT: Effort = Effort { pairs: 16, time: Duration::from_mins(2) };

#[test]
fn an_index_is_worth_the_pages_that_it_saves_and_stays_after_the_trial() {
    let mut bench = Bench::new();
    let statement = bench.checked("SELECT * FROM orders WHERE customer = $1");
    let kept: Vec<Vec<Value>> = (0..9).map(|customer| vec![Value::Integer(customer)]).collect();
    let vectors = of_calls(&kept, statement.parameters());
    let side = |without| Side { statement: &statement, without };
    let (without, with) = (side(Some(("public", "by_customer"))), side(None));
    let clock = Arc::clone(&bench.clock);
    let pairs =
        trial::run(&mut bench.scratch, without, with, &vectors, EFFORT, &clock, &mut Rng::new(1)).unwrap();
    assert_eq!((pairs.count(), pairs.failed, pairs.differing), (16, 0, 0), "{pairs:?}");
    let measured = pairs.measured(1, |_| String::new()).unwrap();
    assert_eq!(measured.metric, WorkMetric::Buffers);
    // 40 rows on 40 pages, of some 130 pages.
    assert!(measured.gain > 0.5 && measured.p_value < 0.01, "{measured:?}");
    assert!(measured.results_equal);
    assert_eq!(bench.texts("SELECT count(*) FROM pg_indexes WHERE indexname = 'by_customer'"), "1");
}

#[test]
fn writes_are_tried_and_rolled_back() {
    let mut bench = Bench::new();
    let statement = bench.checked("INSERT INTO orders (id, customer, total, note) VALUES ($1, $2, $3, $4)");
    let vectors: Vec<_> = (0..8)
        .map(|n| [(30_000 + n).to_string(), n.to_string(), "1.5".into(), "x".into()].map(Some).to_vec())
        .collect();
    let side = |without| Side { statement: &statement, without };
    let (without, with) = (side(Some(("public", "by_customer"))), side(None));
    let clock = Arc::clone(&bench.clock);
    let pairs =
        trial::run(&mut bench.scratch, without, with, &vectors, EFFORT, &clock, &mut Rng::new(1)).unwrap();
    assert_eq!((pairs.count(), pairs.failed), (16, 0), "{pairs:?}");
    assert!(pairs.pages(1).unwrap().share < -0.1, "an index more costs pages: {pairs:?}");
    assert_eq!(bench.texts("SELECT count(*) FROM orders"), "20000");
}

#[test]
fn two_ways_to_ask_are_compared_by_their_rows_and_pages() {
    let mut bench = Bench::new();
    let before = bench.checked("SELECT id FROM orders WHERE customer + 0 = $1");
    let clock = Arc::clone(&bench.clock);
    let vectors: Vec<_> = (0..10).map(|n| vec![Some(n.to_string())]).collect();
    for (after, equal) in [
        ("SELECT id FROM orders WHERE customer = $1", true),
        ("SELECT id FROM orders WHERE customer = $1 ORDER BY id DESC", true),
        ("SELECT DISTINCT customer FROM orders WHERE customer = $1", false),
        (
            "SELECT id FROM orders WHERE customer = $1 UNION ALL SELECT id FROM orders WHERE id = 1 AND customer = $1",
            false,
        ),
    ] {
        let after = bench.checked(after);
        let measured = trial::compare(&mut bench.scratch, &before, &after, &vectors, EFFORT, &clock).unwrap();
        assert_eq!(measured.results_equal, equal, "{}", after.sql());
        assert!(measured.gain > 0.3 && measured.pairs == 16, "{measured:?}");
        assert!(measured.method.contains("public.orders whole"), "{}", measured.method);
    }
    // Sums taken in another order differ in their last digits only.
    let (one, other) = (
        "SELECT sum(total) FROM orders",
        "SELECT sum(total) FROM (SELECT total FROM orders ORDER BY note) o",
    );
    let (one, other) = (bench.checked(one), bench.checked(other));
    let measured = trial::compare(&mut bench.scratch, &one, &other, &[Vec::new()], EFFORT, &clock).unwrap();
    assert!(measured.results_equal);
}

#[test]
fn a_statement_that_always_fails_is_no_proof() {
    let mut bench = Bench::new();
    let statement = bench.checked("SELECT 1 / (customer - customer) FROM orders WHERE id = $1");
    let clock = Arc::clone(&bench.clock);
    let vectors = [vec![Some("1".to_owned())]];
    let side = Side { statement: &statement, without: None };
    let pairs =
        trial::run(&mut bench.scratch, side, side, &vectors, EFFORT, &clock, &mut Rng::new(1)).unwrap();
    assert_eq!((pairs.count(), pairs.failure.as_deref()), (0, Some("22012")));
    assert!(pairs.failed > 0 && pairs.measured(1, |_| String::new()).is_none());
}

#[test]
fn values_are_drawn_from_the_rows_of_the_copy() {
    let mut bench = Bench::new();
    let sql = "SELECT * FROM orders WHERE customer = $1 AND id = $2 LIMIT $3";
    let drawn = sampled(bench.scratch.session(), sql, 3, Vec::new(), 25).unwrap();
    assert_eq!((drawn.values.len(), drawn.source), (16, Source::Columns));
    for vector in &drawn.values {
        let number = |at: usize| vector[at].as_ref().unwrap().parse::<i32>().unwrap();
        assert_eq!((number(0), number(2)), (number(1) % 500, 25), "both from one row");
    }
    let real = vec![vec![Some("1".to_owned()), Some("2".to_owned()), Some("3".to_owned())]];
    let both = sampled(bench.scratch.session(), sql, 3, real, 25).unwrap();
    assert_eq!((both.values.len(), both.source), (16, Source::Both(1)));
    assert!(!format!("{both:?}").contains("Some"), "values are never shown");
}
