//! What is known of tables, against what is in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use veritas_index_advisor::{DistinctSource, IndexSpec, Layout, Protection, TableFacts, TableId, size};
use veritas_postgres::{
    actuator::IndexDefinition,
    facts::{self, Facts, SampleOptions, ScanOptions},
    session::{ConnectOptions, Session},
};
use veritas_testkit::{Database, Postgres};

/// 40 000 orders of 10 000 customers in the order of their keys, 4 lines each; `mixed` has
/// as many values, scattered.
const ORDERS: &str = "
CREATE TABLE customer (id int PRIMARY KEY, mail text UNIQUE, note text);
INSERT INTO customer SELECT n, 'c' || n || '@example.org', CASE WHEN n % 4 = 0 THEN 'x' END
  FROM generate_series(1, 10000) n;
CREATE TABLE line (
  order_id bigint NOT NULL, customer_id int REFERENCES customer (id), mixed bigint NOT NULL,
  price numeric(10, 2), state text COLLATE \"C\", payload jsonb, at timestamptz);
INSERT INTO line SELECT n / 4, 1 + n / 16, (n::bigint * 40503) % 40000, n % 977, 'state ' || n % 5,
  '{}'::jsonb, timestamptz '2026-01-01' + n * interval '1 minute' FROM generate_series(0, 159999) n;
CREATE INDEX line_state ON line (state, at DESC) INCLUDE (price) WITH (fillfactor = 80);
CREATE INDEX line_lower ON line (lower(state)) WHERE price > 10;
CREATE INDEX line_customer ON line (customer_id);
ANALYZE;";

fn connect(database: &Database) -> Session {
    Session::connect(&ConnectOptions::new(database.url())).expect("the server is there")
}

fn id(name: &str) -> TableId {
    TableId::new("public", name)
}

fn read(session: &mut Session, names: &[&str]) -> Facts {
    let tables: Vec<TableId> = names.iter().map(|name| id(name)).collect();
    facts::read(session, &tables).expect("the catalogues are readable")
}

fn columns(table: &str, names: &[&str]) -> BTreeMap<TableId, BTreeSet<String>> {
    BTreeMap::from([(id(table), names.iter().map(|&name| name.to_owned()).collect())])
}

fn count(facts: &TableFacts, column: &str) -> f64 {
    facts.column(column).expect("the column is there").distinct.count
}

#[test]
fn catalogues_tell_rows_types_and_indexes() {
    let database = Postgres::start().database_with(ORDERS);
    let facts = read(&mut connect(&database), &["line", "customer", "nowhere"]);
    assert_eq!(facts.tables.len(), 2);
    let line = facts.table(&id("line")).expect("it exists");
    assert_eq!(line.rows, 160_000.0);
    let deduplicates: Vec<(&str, bool, bool)> = line
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.has_btree, column.deduplicates))
        .collect();
    assert_eq!(
        deduplicates,
        [
            ("order_id", true, true),
            ("customer_id", true, true),
            ("mixed", true, true),
            ("price", true, false),
            ("state", true, true),
            ("payload", true, false),
            ("at", true, true)
        ]
    );
    assert_eq!(line.column("at").expect("it is there").layout, Layout::Fixed { bytes: 8, align: 8 });
    assert_eq!(line.column("state").expect("it is there").layout, Layout::Variable { align: 4 });

    let shown: Vec<String> =
        line.existing.iter().map(|index| format!("{}: {}", index.name, index.spec)).collect();
    assert_eq!(
        shown,
        [
            "line_customer: public.line (customer_id)",
            "line_lower: public.line ((lower(state))) WHERE (price > (10)::numeric)",
            "line_state: public.line (state, at DESC) INCLUDE (price)"
        ]
    );
    assert_eq!(line.existing[2].spec.fillfactor, 80);
    assert!(line.existing.iter().all(|index| index.valid && index.bytes.is_some()));
    assert_eq!(line.existing[0].protections, [Protection::ForeignKey]);
    assert!(line.existing[1].protections.is_empty());
    let customer = facts.table(&id("customer")).expect("it exists");
    let protections: Vec<&[Protection]> =
        customer.existing.iter().map(|index| index.protections.as_slice()).collect();
    assert_eq!(
        protections,
        [
            &[Protection::Unique][..],
            &[Protection::PrimaryKey, Protection::Unique, Protection::ForeignKey][..]
        ]
    );
    assert_eq!(customer.column("id").expect("it is there").distinct.source, DistinctSource::Exact);
    assert!((customer.column("note").expect("it is there").null_share - 0.75).abs() < 0.02);
}

#[test]
fn a_table_that_is_read_whole_is_counted_exactly() {
    let database = Postgres::start().database_with(ORDERS);
    let mut session = connect(&database);
    let mut facts = read(&mut session, &["line"]);
    let options = SampleOptions { pages: 100_000, rows: 1_000_000, seed: 1 };
    let wanted = ["order_id", "mixed", "customer_id", "price", "state"];
    facts.sample(&mut session, &columns("line", &wanted), &options).expect("the table is readable");
    facts.count_tuples(&[IndexSpec::on(id("line"), ["state", "customer_id"])]);
    let line = &facts.tables[0];
    let counts: Vec<f64> = wanted.iter().map(|column| count(line, column)).collect();
    assert_eq!(counts, [40_000.0, 40_000.0, 10_000.0, 977.0, 5.0]);
    let truth = database.psql("SELECT count(*) FROM (SELECT DISTINCT state, customer_id FROM line) d");
    let counted = line.distinct_set(&["state", "customer_id"]).expect("it was counted");
    assert_eq!(counted.count, truth.trim().parse::<f64>().expect("a number"));
    assert_eq!(counted.source, DistinctSource::Exact);
}

#[test]
fn some_pages_tell_sorted_and_scattered_values_alike() {
    let database = Postgres::start().database_with(ORDERS);
    let mut session = connect(&database);
    let mut facts = read(&mut session, &["line"]);
    let pages = facts.tables[0].pages;
    let options = SampleOptions { pages: 300, rows: 1_000_000, seed: 7 };
    assert!(pages > 1_500.0, "{pages}");
    facts
        .sample(&mut session, &columns("line", &["order_id", "mixed", "state"]), &options)
        .expect("the table is readable");
    for column in ["order_id", "mixed"] {
        let found = facts.tables[0].column(column).expect("it is there").distinct;
        assert!((found.count / 40_000.0 - 1.0).abs() < 0.08, "{column}: {found:?}");
        let (low, high) = found.bounds(160_000.0);
        assert!(low <= 40_000.0 && 40_000.0 <= high, "{column}: {found:?}");
    }
    assert_eq!(count(&facts.tables[0], "state"), 5.0);
    let widths = facts.tables[0].column("state").and_then(|column| column.widths.clone());
    assert_eq!(widths, Some(vec![(8, 1.0)])); // seven letters and a header of one byte
}

#[test]
fn a_role_that_may_not_read_a_table_keeps_what_the_catalogues_say() {
    let database = Postgres::start().database_with(ORDERS);
    database.psql("CREATE ROLE nobody_facts LOGIN");
    let url = database.url().replace("postgres@", "nobody_facts@");
    let mut session = Session::connect(&ConnectOptions::new(url)).expect("the role may connect");
    let mut facts = read(&mut session, &["line"]);
    facts
        .sample(&mut session, &columns("line", &["order_id"]), &SampleOptions::default())
        .expect("the session is not lost");
    let line = &facts.tables[0];
    assert_eq!(line.rows, 160_000.0);
    assert_eq!(count(line, "order_id"), 200.0); // pg_stats hides what the role may not read
    assert_eq!(facts.notes.len(), 2, "{:?}", facts.notes);
    assert!(facts.notes[1].contains("42501"), "{:?}", facts.notes);
    database.psql("DROP OWNED BY nobody_facts; DROP ROLE nobody_facts");
}

#[test]
fn names_with_quotes_and_odd_types_are_no_trouble() {
    let database = Postgres::start().database();
    database.psql(
        "CREATE SCHEMA \"Odd\"; CREATE TYPE mood AS ENUM ('a', 'b'); CREATE DOMAIN mail AS varchar(99);
         CREATE TABLE \"Odd\".\"t\"\"x\" (\"select\" mood, m mail, a int[], r int4range, p point, j json,
           b bit(3), u uuid, i inet, t tsvector, c \"char\", x xml);
         INSERT INTO \"Odd\".\"t\"\"x\" SELECT 'a', 'm' || n, ARRAY[n], int4range(n, n + 1), '(1,2)', '{}',
           B'101', gen_random_uuid(), '10.0.0.1', 'x', 'c', '<a/>' FROM generate_series(1, 500) n;
         ANALYZE",
    );
    let table = TableId::new("Odd", "t\"x");
    let mut session = connect(&database);
    let mut facts = facts::read(&mut session, std::slice::from_ref(&table)).expect("it is readable");
    let names: BTreeSet<String> = facts.tables[0].columns.iter().map(|column| column.name.clone()).collect();
    let options = SampleOptions::default();
    facts.sample(&mut session, &BTreeMap::from([(table, names)]), &options).expect("it is readable");
    assert_eq!(facts.notes, Vec::<String>::new());
    // Every kind of value can be hashed, alone and in pairs.
    let (tables, every) = (facts.tables[0].clone(), ScanOptions { doubt: -1.0, ..ScanOptions::default() });
    let with_btree: Vec<&str> =
        tables.columns.iter().filter(|column| column.has_btree).map(|column| column.name.as_str()).collect();
    let specs: Vec<IndexSpec> = with_btree
        .iter()
        .map(|name| IndexSpec::on(tables.table.clone(), [*name]))
        .chain(with_btree.windows(2).map(|pair| IndexSpec::on(tables.table.clone(), [pair[0], pair[1]])))
        .collect();
    for few in specs.chunks(4) {
        facts.scan(&mut session, few, &every).expect("it is readable");
    }
    assert_eq!(facts.notes, Vec::<String>::new());
    assert_eq!(facts.tables[0].distinct_set(&["m", "a"]).map(|pair| pair.count), Some(500.0));
    let of = |name: &str| facts.tables[0].column(name).expect("it is there").clone();
    for (name, has_btree, deduplicates, distinct) in [
        ("select", true, true, 1.0),
        ("m", true, true, 500.0),
        ("a", true, false, 500.0),
        ("u", true, true, 500.0),
        ("b", true, true, 1.0),
        ("i", true, true, 1.0),
        ("p", false, false, 0.0),
        ("j", false, false, 0.0),
    ] {
        let column = of(name);
        assert_eq!((column.has_btree, column.deduplicates), (has_btree, deduplicates), "{name}");
        if has_btree {
            assert_eq!(column.distinct.count, distinct, "{name}");
        }
    }
}

/// 300 000 visits whose guests come back the oftener the lower their number is; short names
/// are more frequent than long ones; two visits in a row are of one room.
const VISITS: &str = "
CREATE TABLE visit (guest int NOT NULL, name text NOT NULL, room int NOT NULL, kind text, at timestamptz);
INSERT INTO visit
SELECT guest, repeat('x', 3 + guest % 9 * (guest / 30000)) || guest, n / 2, (ARRAY['day', NULL, 'night'])[1 + n % 3],
  CASE WHEN n % 3 > 0 THEN timestamptz '2026-01-01' + (n::bigint * 7919 % 90000) * interval '1 minute' END
FROM (SELECT n, (300000 * power((n::bigint * 48271 % 299993) / 299993.0, 4))::int AS guest
      FROM generate_series(1, 300000) n) drawn;
ANALYZE visit;";

/// What pages cannot tell of [`VISITS`]: keys, as indexes.
fn doubtful() -> Vec<IndexSpec> {
    let keys: [&[&str]; 7] =
        [&["guest"], &["name"], &["room"], &["at"], &["kind", "guest"], &["at", "kind"], &["kind", "at"]];
    keys.iter().map(|key| IndexSpec::on(id("visit"), key.iter().copied())).collect()
}

/// Reads a few pages of `visit`.
fn read_visits(session: &mut Session) -> Facts {
    let mut facts = read(session, &["visit"]);
    let options = SampleOptions { pages: 60, ..SampleOptions::default() };
    let wanted = columns("visit", &["guest", "name", "room", "kind", "at"]);
    facts.sample(session, &wanted, &options).expect("the table is readable");
    facts.count_tuples(&doubtful());
    facts
}

#[test]
fn a_scan_counts_what_pages_cannot_tell_and_sizes_are_those_of_real_indexes() {
    let database = Postgres::start().database_with(VISITS);
    let mut patient = ConnectOptions::new(database.url());
    patient.statement_timeout = Duration::from_mins(2);
    let mut session = Session::connect(&patient).expect("the server is there");
    let mut facts = read_visits(&mut session);
    facts.scan(&mut session, &doubtful(), &ScanOptions::default()).expect("the table is readable");
    assert_eq!(facts.notes, Vec::<String>::new());
    let visit = &facts.tables[0];
    let found = visit.column("guest").expect("it is there").distinct;
    let truth: f64 =
        database.psql("SELECT count(DISTINCT guest) FROM visit").trim().parse().expect("a number");
    let (low, high) = found.bounds(300_000.0);
    assert!(matches!(found.source, DistinctSource::Sketch { error } if error < 0.01), "{found:?}");
    assert!(low <= truth && truth <= high, "{found:?} of {truth}");
    for spec in doubtful() {
        let size = size::bytes(&spec, visit).expect("its columns are known");
        let definition = IndexDefinition::new(spec.clone()).expect("it can be written");
        database.psql(&definition.create_alone());
        let real = format!("SELECT pg_relation_size('public.{}')", definition.name());
        let real: u64 = database.psql(&real).trim().parse().expect("a number");
        assert!((size.low.get()..=size.high.get()).contains(&real), "{spec}: {size:?} is really {real}");
        assert!(size.mean.get().abs_diff(real) * 20 < real, "{spec}: {size:?} is really {real}");
    }
}

#[test]
fn a_table_that_is_too_large_for_a_scan_keeps_its_estimates_and_says_so() {
    let database = Postgres::start().database_with(VISITS);
    let mut session = connect(&database);
    let mut facts = read_visits(&mut session);
    let before = facts.tables.clone();
    let small = ScanOptions { pages: 100, ..ScanOptions::default() };
    facts.scan(&mut session, &doubtful(), &small).expect("nothing is asked");
    assert_eq!(facts.tables, before);
    assert!(facts.notes.len() == 1 && facts.notes[0].contains("at most 100 are read"), "{:?}", facts.notes);
    // Whoever wants no scans is not told of each table.
    let never = ScanOptions { pages: 0, ..small };
    facts.scan(&mut session, &doubtful(), &never).expect("nothing is asked");
    assert_eq!((facts.tables, facts.notes.len()), (before, 1));
}

#[test]
fn a_scan_that_takes_too_long_leaves_what_was_known() {
    let database = Postgres::start().database_with(VISITS);
    let mut session = connect(&database);
    let mut facts = read_visits(&mut session);
    let before = facts.tables.clone();
    session.batch("SET statement_timeout = 1").expect("it may be set");
    let scanned = facts.scan(&mut session, &doubtful(), &ScanOptions::default());
    scanned.expect("the session is not lost");
    assert_eq!(facts.tables, before);
    assert!(facts.notes[0].contains("was not read to count its keys"), "{:?}", facts.notes);
}
