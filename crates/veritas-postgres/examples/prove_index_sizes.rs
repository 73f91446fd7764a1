//! Proof of the size model: predicted bytes against those of real indexes.
//!
//! TPC-H (scale factor 1) and a schema as web applications have it: text, uuid, jsonb,
//! timestamps, columns of mostly NULL, skewed and correlated columns. Every prediction
//! rests on what the advisor would know: catalogues, statistics, some pages, and where those
//! leave the size open, one scan of the table. Fails when the median error is above 3 % or
//! the largest above 10 %, when there are fewer than 60 indexes, or when more than one in
//! twenty is outside of its bounds.
//!
//! What pages alone tell, without scans, is shown beside it: that is what a table too large
//! to be read gets.
//!
//! `cargo xtask prove index_sizes [URL]`; a URL names a database that holds TPC-H already
//! (tables of the web application are made in it, and dropped).

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints figures and stops when something fails"
)]

#[path = "prove_tpch/data.rs"]
#[expect(dead_code, reason = "the statements are not needed here")]
mod data;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use veritas_index_advisor::{IndexSpec, Key, SizeEstimate, TableId, size};
use veritas_model::{Clock, SystemClock};
use veritas_postgres::{
    actuator::IndexDefinition,
    facts::{self, Facts, SampleOptions, ScanOptions},
    session::{ConnectOptions, Session, qualified},
};

/// Largest median and largest single error.
const LIMITS: (f64, f64) = (0.03, 0.10);
/// Fewest indexes, and the largest share of them outside of their bounds.
const FEWEST: usize = 60;
const MOST_OUTSIDE: f64 = 0.05;

/// A web application's tables.
const APPLICATION: &str = "
CREATE SCHEMA webapp;
CREATE TABLE webapp.users (
  id uuid PRIMARY KEY, email text NOT NULL, name text, country varchar(2) NOT NULL, plan text,
  created_at timestamptz NOT NULL, deleted_at timestamptz, referrer uuid, settings jsonb, age smallint,
  score double precision, verified boolean NOT NULL);
INSERT INTO webapp.users
SELECT md5(n::text)::uuid, 'user' || n || '@' || (ARRAY['example.org', 'mail.example.com', 'x.de'])[1 + n % 3],
       'Name ' || md5((n / 3)::text), (ARRAY['de', 'fr', 'us', 'us', 'us', 'gb', 'jp'])[1 + (n::bigint * 7919) % 7],
       CASE WHEN n % 10 = 0 THEN 'pro' WHEN n % 97 = 0 THEN 'enterprise' ELSE 'free' END,
       timestamptz '2024-01-01' + n * interval '90 seconds',
       CASE WHEN n % 20 = 0 THEN timestamptz '2025-01-01' + n * interval '7 seconds' END,
       CASE WHEN n % 3 = 0 THEN md5((n % 5000)::text)::uuid END,
       jsonb_build_object('theme', n % 4, 'beta', n % 2 = 0), (18 + n % 60)::smallint, random(), n % 3 > 0
FROM generate_series(1, 300000) n;
CREATE TABLE webapp.posts (
  id bigint GENERATED ALWAYS AS IDENTITY, author uuid NOT NULL, slug text NOT NULL, title text NOT NULL,
  status text NOT NULL, published_at timestamptz, views integer NOT NULL, tags text[], amount numeric(12, 2));
INSERT INTO webapp.posts (author, slug, title, status, published_at, views, tags, amount)
SELECT md5((1 + floor(300000 * power(random(), 3)))::text)::uuid, 'post-' || n || '-' || left(md5(n::text), n % 20),
       repeat('word ', 1 + n % 12) || n, (ARRAY['draft', 'published', 'published', 'published', 'archived'])[1 + n % 5],
       CASE WHEN n % 5 > 0 THEN timestamptz '2024-01-01' + (n / 4) * interval '1 minute' END,
       floor(exp(random() * 10))::int, ARRAY['tag' || n % 50], (n % 100000) / 100.0
FROM generate_series(1, 600000) n;
CREATE TABLE webapp.events (
  id bigint NOT NULL, session uuid NOT NULL, user_id uuid, kind text NOT NULL, at timestamptz NOT NULL,
  country char(2), payload jsonb, day date NOT NULL, amount numeric, hour smallint NOT NULL);
INSERT INTO webapp.events
SELECT n, md5((n / 12)::text)::uuid, CASE WHEN n % 4 > 0 THEN md5((n / 40)::text)::uuid END,
       (ARRAY['click', 'view', 'view', 'view', 'purchase', 'scroll'])[1 + (n * 31) % 6],
       timestamptz '2026-01-01' + n * interval '2 seconds', (ARRAY['de', 'fr', NULL, 'us'])[1 + n % 4],
       jsonb_build_object('n', n % 1000), date '2026-01-01' + (n / 43200), (n % 7919)::numeric / 10,
       ((n / 1800) % 24)::smallint
FROM generate_series(1, 1500000) n;
VACUUM ANALYZE;";

/// Indexes of TPC-H: table, keys (`-` descends), columns that are carried.
const TPCH: &[(&str, &str, &str)] = &[
    ("lineitem", "l_orderkey", ""),
    ("lineitem", "l_partkey", ""),
    ("lineitem", "l_suppkey", ""),
    ("lineitem", "l_shipdate", ""),
    ("lineitem", "l_quantity", ""),
    ("lineitem", "l_shipmode", ""),
    ("lineitem", "l_returnflag", ""),
    ("lineitem", "l_extendedprice", ""),
    ("lineitem", "l_comment", ""),
    ("lineitem", "l_shipmode l_partkey", ""),
    ("lineitem", "l_partkey l_suppkey", ""),
    ("lineitem", "l_orderkey l_suppkey", ""),
    ("lineitem", "l_orderkey l_linenumber", ""),
    ("lineitem", "l_suppkey l_shipdate", ""),
    ("lineitem", "l_shipinstruct l_shipmode", ""),
    ("lineitem", "l_shipdate l_discount", ""),
    ("lineitem", "l_orderkey", "l_suppkey"),
    ("lineitem", "l_partkey", "l_quantity l_extendedprice"),
    ("lineitem", "l_orderkey", "l_receiptdate l_commitdate"),
    ("lineitem", "l_receiptdate l_shipmode", ""),
    ("orders", "o_orderkey", ""),
    ("orders", "o_custkey", ""),
    ("orders", "o_orderdate", ""),
    ("orders", "o_orderpriority", ""),
    ("orders", "o_clerk", ""),
    ("orders", "o_comment", ""),
    ("orders", "o_custkey o_orderdate", ""),
    ("orders", "-o_orderdate o_custkey", ""),
    ("orders", "o_orderdate", "o_custkey o_orderkey"),
    ("orders", "o_orderstatus o_orderkey", ""),
    ("customer", "c_custkey", ""),
    ("customer", "c_name", ""),
    ("customer", "c_mktsegment c_custkey", ""),
    ("customer", "c_nationkey", ""),
    ("customer", "c_phone", ""),
    ("part", "p_type p_partkey", ""),
    ("part", "p_name", ""),
    ("part", "p_brand p_container", ""),
    ("part", "p_size", ""),
    ("partsupp", "ps_partkey", ""),
    ("partsupp", "ps_suppkey ps_partkey", ""),
    ("partsupp", "ps_supplycost", ""),
    ("partsupp", "ps_partkey", "ps_supplycost"),
];

/// Indexes of the web application.
const WEBAPP: &[(&str, &str, &str)] = &[
    ("users", "id", ""),
    ("users", "email", ""),
    ("users", "name", ""),
    ("users", "country", ""),
    ("users", "plan", ""),
    ("users", "created_at", ""),
    ("users", "deleted_at", ""),
    ("users", "referrer", ""),
    ("users", "settings", ""),
    ("users", "age", ""),
    ("users", "score", ""),
    ("users", "country created_at", ""),
    ("users", "verified country", ""),
    ("posts", "author", ""),
    ("posts", "slug", ""),
    ("posts", "title", ""),
    ("posts", "status", ""),
    ("posts", "published_at", ""),
    ("posts", "-published_at id", ""),
    ("posts", "views", ""),
    ("posts", "amount", ""),
    ("posts", "author -published_at", ""),
    ("posts", "status published_at", ""),
    ("posts", "author", "title"),
    ("posts", "tags", ""),
    ("events", "id", ""),
    ("events", "session", ""),
    ("events", "user_id", ""),
    ("events", "kind", ""),
    ("events", "at", ""),
    ("events", "country", ""),
    ("events", "day", ""),
    ("events", "day kind", ""),
    ("events", "user_id at", ""),
    ("events", "user_id kind", ""),
    ("events", "session kind", ""),
    ("events", "payload", ""),
    ("events", "amount", ""),
    ("events", "kind country hour", ""),
    ("events", "session", "kind at"),
];

fn spec(schema: &str, (table, keys, include): (&str, &str, &str)) -> IndexSpec {
    let keys = keys.split(' ').map(|key| match key.strip_prefix('-') {
        Some(name) => Key::column(name).descending(),
        None => Key::column(key),
    });
    IndexSpec::btree(TableId::new(schema, table), keys.collect())
        .including(include.split(' ').filter(|column| !column.is_empty()))
}

/// What the predictions of one way are worth.
#[derive(Default)]
struct Outcome {
    errors: Vec<(f64, String)>,
    outside: usize,
    widths: f64,
}

impl Outcome {
    /// Takes a prediction, and returns its error and bounds as shares of the real size.
    fn take(&mut self, spec: &IndexSpec, size: SizeEstimate, real: u64) -> (f64, f64, f64, bool) {
        #[expect(clippy::cast_precision_loss, reason = "an index has less than 2^53 bytes")]
        let ratio = |bytes: u64| bytes as f64 / real as f64 - 1.0;
        let (low, error, high) = (ratio(size.low.get()), ratio(size.mean.get()), ratio(size.high.get()));
        let is_inside = (size.low.get()..=size.high.get()).contains(&real);
        self.outside += usize::from(!is_inside);
        self.widths += high - low;
        self.errors.push((error.abs(), spec.to_string()));
        (error, low, high, is_inside)
    }

    /// Prints the figures; returns whether the model holds.
    fn print(&mut self, name: &str) -> bool {
        self.errors.sort_by(|left, right| left.0.total_cmp(&right.0));
        let count = self.errors.len();
        let (median, (largest, which)) = (self.errors[count / 2].0, self.errors.last().unwrap());
        #[expect(clippy::cast_precision_loss, reason = "there are a hundred indexes")]
        let (all, outside) = (count as f64, self.outside as f64);
        println!(
            "{name}: {count} indexes, median error {:.2} %, largest {:.2} % of {which}; {} outside of low..high, which is {:.2} % of the size wide on the average",
            100.0 * median,
            100.0 * largest,
            self.outside,
            100.0 * self.widths / all
        );
        median <= LIMITS.0 && *largest <= LIMITS.1 && count >= FEWEST && outside <= MOST_OUTSIDE * all
    }
}

/// Reads what is known of the tables; returns how long that took.
fn read(session: &mut Session, specs: &[IndexSpec], scan: &ScanOptions) -> (Facts, Duration) {
    let clock = SystemClock::new();
    let begun = clock.monotonic();
    let tables: BTreeSet<TableId> = specs.iter().map(|spec| spec.table.clone()).collect();
    let tables: Vec<TableId> = tables.into_iter().collect();
    let mut facts = facts::read(session, &tables).unwrap();
    let mut columns: BTreeMap<TableId, BTreeSet<String>> = BTreeMap::new();
    for spec in specs {
        columns.entry(spec.table.clone()).or_default().extend(spec.columns().map(str::to_owned));
    }
    facts.sample(session, &columns, &SampleOptions::default()).unwrap();
    facts.count_tuples(specs);
    facts.scan(session, specs, scan).unwrap();
    assert!(facts.notes.is_empty(), "{:?}", facts.notes);
    (facts, clock.monotonic().since(begun))
}

fn main() {
    let argument = std::env::args().nth(1);
    let tpch = data::Tpch::open(argument.as_deref(), "1");
    let mut options = ConnectOptions::new(&tpch.url);
    options.statement_timeout = Duration::from_mins(10);
    let mut session = Session::connect_writing(&options).unwrap();
    session.within(Duration::from_mins(10));
    session.batch("DROP SCHEMA IF EXISTS webapp CASCADE").unwrap();
    session.batch("SELECT setseed(0.5)").unwrap();
    for statement in
        APPLICATION.split(";\n").chain(["VACUUM ANALYZE webapp.users, webapp.posts, webapp.events"])
    {
        session.batch(statement.trim_end_matches(';')).unwrap();
    }
    let specs: Vec<IndexSpec> = TPCH
        .iter()
        .map(|index| spec("public", *index))
        .chain(WEBAPP.iter().map(|index| spec("webapp", *index)))
        .collect();
    let never = ScanOptions { pages: 0, ..ScanOptions::default() };
    let (by_pages, seconds_by_pages) = read(&mut session, &specs, &never);
    let (facts, seconds) = read(&mut session, &specs, &ScanOptions::default());

    println!("{:64} {:>12} {:>12} {:>8} {:>8} {:>8}", "index", "predicted", "real", "error", "low", "high");
    let (mut outcome, mut outcome_by_pages) = (Outcome::default(), Outcome::default());
    for spec in &specs {
        let definition = IndexDefinition::new(spec.clone()).unwrap();
        session.batch(&definition.create_alone()).unwrap();
        let name = qualified(&spec.table.schema, &definition.name());
        let rows = session.query("SELECT pg_relation_size($1::text::regclass)", &[&name]).unwrap();
        let real = u64::try_from(rows[0].get::<_, i64>(0)).unwrap();
        session.batch(&format!("DROP INDEX {name}")).unwrap();
        let of = |facts: &Facts| size::bytes(spec, facts.table(&spec.table).unwrap()).unwrap();
        let _shown = outcome_by_pages.take(spec, of(&by_pages), real);
        let size = of(&facts);
        let (error, low, high, is_inside) = outcome.take(spec, size, real);
        println!(
            "{:64} {:>12} {real:>12} {:>7.2}% {:>7.2}% {:>7.2}%{}",
            spec.to_string(),
            size.mean.get(),
            100.0 * error,
            100.0 * low,
            100.0 * high,
            if is_inside { "" } else { "  outside of its bounds" }
        );
    }
    session.batch("DROP SCHEMA webapp CASCADE").unwrap();
    println!();
    let _holds = outcome_by_pages.print("pages alone");
    let holds = outcome.print("pages, and scans where they leave the size open");
    println!(
        "facts were read in {:.1} s by pages alone, in {:.1} s with scans; at most {:.0} % and {:.0} % are allowed, of {FEWEST} indexes at least",
        seconds_by_pages.as_secs_f64(),
        seconds.as_secs_f64(),
        100.0 * LIMITS.0,
        100.0 * LIMITS.1
    );
    assert!(holds, "the size model does not hold");
}
