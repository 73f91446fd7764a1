//! Rewrites that are checked and measured on copies of real tables.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use veritas_database::{Recorder, RecorderOptions, Value, fingerprint::fingerprint};
use veritas_model::{
    Cause, Clock, Finding, FindingKind, Fingerprint, Impact, Subject, SystemClock, WorkMetric,
};
use veritas_postgres::{
    guard::Guard,
    plan::Relation,
    rewrites::{
        self, Declined, Options, Outcome,
        round::{Rewriter, RoundOptions},
    },
    scratch::{Scratch, ScratchLimits, ScratchPlace},
    session::{ConnectOptions, Session},
    target::PostgresTarget,
    trial::{self, Effort, Group},
    view::View,
};
use veritas_rewrite::{Rule, Schema, Usage};
use veritas_testkit::{Database, Postgres};

const OPTIONS: Options =
    Options { databases: 30, effort: Effort { pairs: 12, time: Duration::from_mins(2) }, smallest_gain: 0.1 };

struct Bench {
    scratch: Scratch,
    schema: Schema,
    clock: Arc<dyn Clock>,
    database: Database,
}

impl Bench {
    fn new() -> Self {
        let database = Postgres::start().database();
        database.psql(
            "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, kind char(3) NOT NULL DEFAULT 'abc');
             INSERT INTO customers SELECT n, 'name ' || n FROM generate_series(1, 2000) n;
             CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers (id),
                 placed timestamp NOT NULL, note text, code int);
             INSERT INTO orders SELECT n, 1 + n % 2000, timestamp '2024-01-01' + n * interval '1 hour',
                 'it''s ' || n, n / 2 FROM generate_series(1, 20000) n;
             CREATE INDEX by_time ON orders (placed, id); CREATE UNIQUE INDEX ON orders (code) WHERE code < 0;
             CREATE TABLE hidden (id int PRIMARY KEY); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; ANALYZE",
        );
        let options = ConnectOptions::new(database.url());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let relations = ["customers", "orders", "hidden"]
            .map(|name| Relation { schema: "public".to_owned(), name: name.to_owned() });
        let schema = rewrites::schema::read(&mut Session::connect(&options).unwrap(), &relations).unwrap();
        let limits = ScratchLimits::default();
        let copied = &relations[..2];
        let scratch =
            Scratch::create(&options, &ScratchPlace::SameServer, copied, &limits, Arc::clone(&clock))
                .unwrap();
        Self { scratch, schema, clock, database }
    }

    fn look(&mut self, sql: &str, vectors: &[Vec<Option<String>>]) -> Outcome {
        self.look_at(sql, vectors, false)
    }

    fn look_at(&mut self, sql: &str, vectors: &[Vec<Option<String>>], repeated: bool) -> Outcome {
        let (schema, usage) = (&self.schema, Usage { repeated, columns: None });
        rewrites::look(&mut self.scratch, sql, schema, &usage, vectors, &OPTIONS, &self.clock)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }
}

fn vectors(values: &[&str]) -> Vec<Vec<Option<String>>> {
    values.iter().map(|value| vec![Some((*value).to_owned())]).collect()
}

#[test]
fn the_schema_has_what_the_server_enforces_and_nothing_else() {
    let bench = Bench::new();
    let names: Vec<&str> = bench.schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["customers", "orders"], "row security hides rows");
    let orders = &bench.schema.tables[1];
    assert_eq!(orders.unique_keys, [["id"]], "a partial index is no key");
    assert_eq!(orders.foreign_keys[0].table, "customers");
    assert_eq!(
        (&*orders.foreign_keys[0].columns, &*orders.foreign_keys[0].referenced),
        (&["customer".to_owned()][..], &["id".to_owned()][..])
    );
    let nullable: Vec<bool> = orders.columns.iter().map(|column| column.nullable).collect();
    assert_eq!(nullable, [false, true, false, true, true]);
}

#[test]
fn a_function_of_a_time_becomes_a_range_that_reads_a_hundredth() {
    let mut bench = Bench::new();
    let days: Vec<String> = (1..=9).map(|day| format!("2024-02-0{day}")).collect();
    let days: Vec<&str> = days.iter().map(String::as_str).collect();
    let outcome = bench
        .look("SELECT id, note FROM orders WHERE date(placed) = $1 AND note <> 'it''s 5'", &vectors(&days));
    assert_eq!(outcome.offers.len(), 1, "{outcome:?}");
    let offer = &outcome.offers[0];
    assert_eq!((offer.rewrite.rule, offer.gain.metric), (Rule::FunctionToRange, WorkMetric::Buffers));
    assert!(offer.gain.gain > 0.9 && offer.gain.results_equal && offer.databases > 20, "{offer:?}");

    let subject = Subject::Statement {
        name: "orders_of_day".to_owned(),
        fingerprint: Fingerprint::of_normalized("x"),
        normalized: "x".to_owned(),
    };
    let now = bench.clock.now();
    let finding = rewrites::finding(subject, offer, Impact::High, now, now);
    let Cause::Rewritable { rewritten, condition, checked, .. } = &finding.cause else {
        panic!("{finding:?}");
    };
    assert!(rewritten.contains("placed") && !rewritten.contains("it"), "no literal: {rewritten}");
    assert!(condition.as_ref().is_some_and(|condition| condition.contains("infinite")), "{condition:?}");
    assert!(checked.contains("random databases"), "{checked}");
}

#[test]
fn a_deep_page_is_measured_from_the_key_before_it() {
    let mut bench = Bench::new();
    let sql = "SELECT id, placed FROM orders ORDER BY placed, id LIMIT 10 OFFSET $1";
    let outcome = bench.look(sql, &vectors(&["15000", "20"]));
    let offer = outcome.offers.iter().find(|offer| offer.rewrite.rule == Rule::OffsetToKeyset);
    let offer = offer.unwrap_or_else(|| panic!("{outcome:?}"));
    assert!(offer.gain.gain > 0.9 && offer.gain.results_equal, "{offer:?}");
    let written_out = bench.look(&sql.replace("$1", "15000"), &[]);
    assert!(
        written_out.offers.iter().any(|offer| offer.rewrite.rule == Rule::OffsetToKeyset),
        "{written_out:?}"
    );
}

#[test]
fn a_schema_that_promises_too_much_is_found_out_on_the_copy() {
    let mut bench = Bench::new();
    // Each code is there twice.
    bench.schema.tables[1].unique_keys.push(vec!["code".to_owned()]);
    bench.schema.tables[1].columns[4].nullable = false;
    let outcome = bench.look("SELECT DISTINCT code FROM orders", &[]);
    assert_eq!(outcome.declined, [(Rule::UnneededDistinct, Declined::RowsDiffer)]);
    assert!(outcome.offers.is_empty());
}

#[test]
fn the_copies_are_where_they_were_after_random_databases_stood_in_their_place() {
    let mut bench = Bench::new();
    let outcome =
        bench.look("SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer WHERE o.code < 50", &[]);
    assert!(!outcome.offers.is_empty() || !outcome.declined.is_empty());
    let count = "SELECT count(*) FROM public.orders UNION ALL SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'veritas%'";
    let rows = bench.scratch.session().simple(count).unwrap();
    assert_eq!(rows, [[Some("20000".to_owned())], [Some("0".to_owned())]]);
    assert_eq!(bench.database.psql("SELECT count(*) FROM orders"), "20000\n");
}

/// The outcome of the batch of a statement; of other rules nothing is asked.
fn of_batch(outcome: &Outcome) -> Result<&rewrites::Offer, &Declined> {
    let offer = outcome.offers.iter().find(|offer| offer.rewrite.rule == Rule::SingleToBatch);
    let declined = outcome.declined.iter().find(|(rule, _)| *rule == Rule::SingleToBatch);
    match (offer, declined) {
        (Some(offer), _) => Ok(offer),
        (None, Some((_, declined))) => Err(declined),
        (None, None) => panic!("no batch was looked at: {outcome:?}"),
    }
}

#[test]
fn a_statement_for_each_key_is_compared_with_one_for_all() {
    let mut bench = Bench::new();
    let keys = vectors(&["17", "18", "19", "20", "21"]);
    // Nothing serves the key: each single statement reads the table.
    let outcome = bench.look_at("SELECT note, placed FROM orders WHERE customer = $1", &keys, true);
    let offer = of_batch(&outcome).unwrap_or_else(|declined| panic!("{declined}"));
    assert_eq!(offer.gain.metric, WorkMetric::Buffers);
    assert!(offer.gain.gain > 0.5 && offer.gain.results_equal && offer.rows > 0, "{offer:?}");
    assert!(offer.rewrite.sql.contains("= ANY(CAST($1 AS INTEGER[]))"), "{}", offer.rewrite.sql);
    assert!(offer.gain.method.contains("3 single statements and one batch"), "{}", offer.gain.method);
    // One that nobody repeats has no batch.
    let once = bench.look("SELECT note, placed FROM orders WHERE customer = $1", &keys);
    assert!(once.offers.iter().all(|offer| offer.rewrite.rule != Rule::SingleToBatch), "{once:?}");
    // Without two keys there is no pair.
    let outcome = bench.look_at("SELECT note FROM orders WHERE customer = $1", &keys[..1], true);
    assert!(matches!(of_batch(&outcome), Err(Declined::NotMeasured { .. })), "{outcome:?}");
    // Where an index serves the key the pages are about the same; what is left is the time.
    let outcome = bench.look_at("SELECT name FROM customers WHERE id = $1", &keys, true);
    assert!(matches!(of_batch(&outcome), Ok(_) | Err(Declined::TooLittle)), "{outcome:?}");
}

#[test]
fn a_batch_that_returns_other_rows_is_found_out() {
    let mut bench = Bench::new();
    let checked = |bench: &mut Bench, sql: &str| Guard::new(bench.scratch.session()).check(sql).unwrap();
    let single = checked(&mut bench, "SELECT note FROM orders WHERE customer = $1");
    let right =
        checked(&mut bench, "SELECT note, customer FROM orders WHERE customer = ANY(CAST($1 AS int[]))");
    let wrong =
        checked(&mut bench, "SELECT note, customer FROM orders WHERE customer >= ANY(CAST($1 AS int[]))");
    let single_values = vectors(&["17", "18"]);
    let group = || Group { single: single_values.clone(), batch: vec![Some("{17,18}".to_owned())] };
    let mut equal = |batch| {
        let effort = Effort { pairs: 4, time: Duration::from_mins(1) };
        trial::batch(&mut bench.scratch, &single, batch, &[group()], effort, &bench.clock)
            .unwrap()
            .results_equal
    };
    assert!(equal(&right));
    assert!(!equal(&wrong));
}

#[test]
fn a_round_looks_at_one_statement_a_turn_and_remembers() {
    let bench = Bench::new();
    let options = ConnectOptions::new(bench.database.url());
    let target = Arc::new(PostgresTarget::new("shop", options.clone(), Arc::clone(&bench.clock)));
    let recorder = Recorder::new(RecorderOptions::default(), Arc::clone(&bench.clock));
    let (of_day, by_customer) = (
        "SELECT id, note FROM orders WHERE date(placed) = $1 AND note <> 'it''s 5'",
        "SELECT note, placed FROM orders WHERE customer = $1",
    );
    for day in 1..=9 {
        let values = [Value::Text(format!("2024-02-0{day}"))];
        recorder.statement(of_day).parameters(&values).finish(24, None);
        let values = [Value::Integer(4_000 + day)];
        recorder.statement(by_customer).parameters(&values).finish(10, None);
    }
    let repeated = BTreeSet::from([fingerprint(by_customer)]);
    let look = RoundOptions { look: OPTIONS, ..RoundOptions::at(ScratchPlace::SameServer) };
    let mut rewriter = Rewriter::new(Arc::clone(&target), look);
    let mut turn = || -> Vec<Finding> {
        let view = View::of(&target);
        let reading = view.read(&mut Session::connect(&options).unwrap());
        rewriter.round(&reading, &recorder.snapshot(), &repeated, bench.clock.now())
    };
    let first = turn();
    let [batch] = &first[..] else { panic!("one statement a turn: {first:#?}") };
    assert_eq!(batch.kind, FindingKind::NPlusOne);
    assert!(batch.recommendation.contains("= ANY(CAST($1 AS INTEGER[]))"), "{}", batch.recommendation);
    let second = turn();
    let kinds: Vec<FindingKind> = second.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::NPlusOne, FindingKind::Rewrite]);
    let rewrite = &second[1];
    let named = |name: &str| rewrite.evidence.iter().find(|seen| seen.name == name).map(|seen| seen.value);
    assert!(named("databases_fuzzed") > Some(20.0) && named("rows_compared") > Some(0.0), "{rewrite:?}");
    assert!(named("measured_gain") > Some(0.9), "{rewrite:?}");
    let shown = format!("{second:?}");
    assert!(!shown.contains("it's") && !shown.contains("2024-02") && !shown.contains("4001"), "{shown}");
    // A third turn looks at nothing, or it would miss the column: it says what is known.
    bench.database.psql("ALTER TABLE orders RENAME COLUMN customer TO buyer");
    assert_eq!(turn().len(), 2);
    // Another index is another state: all is looked at anew.
    bench.database.psql("CREATE INDEX by_buyer ON orders (buyer)");
    let kinds: Vec<FindingKind> = turn().iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Rewrite]);
}
