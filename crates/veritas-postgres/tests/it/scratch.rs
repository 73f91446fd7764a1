//! Databases of our own: what they hold, what they leave out, and that they go.

use std::sync::Arc;

use veritas_model::{Bytes, SystemClock};
use veritas_postgres::{
    plan::Relation,
    scratch::{Scratch, ScratchError, ScratchLimits, ScratchPlace, sweep},
    session::{ConnectOptions, Session},
};
use veritas_testkit::{Database, Postgres};

const SHOP: &str = "
CREATE EXTENSION btree_gist;
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('new', 'it''s paid', 'sent');
CREATE DOMAIN shop.positive AS int NOT NULL CHECK (VALUE > 0);
CREATE FUNCTION shop.loud() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN RAISE EXCEPTION 'called'; END $$;
CREATE FUNCTION shop.shout(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t)';
CREATE FUNCTION shop.on_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trigger'; END $$;
CREATE TABLE shop.customers (id serial PRIMARY KEY, \"Name\" text COLLATE \"C\" UNIQUE, at timestamptz DEFAULT now());
CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int NOT NULL REFERENCES shop.customers,
    amount shop.positive,
    state shop.state DEFAULT 'new',
    states shop.state[],
    total numeric(12,2) GENERATED ALWAYS AS (amount * 2) STORED,
    note text DEFAULT shop.loud(),
    period tstzrange,
    gone int,
    CHECK (amount < 1000000),
    CHECK (shop.shout(note) <> 'X'),
    EXCLUDE USING gist (customer WITH =, period WITH &&)
);
ALTER TABLE shop.orders DROP COLUMN gone;
ALTER TABLE shop.orders ALTER COLUMN customer SET STATISTICS 500;
CREATE INDEX orders_state ON shop.orders (state) WHERE amount > 10;
CREATE INDEX orders_shout ON shop.orders (shop.shout(note));
CREATE STATISTICS shop.together (dependencies) ON customer, state FROM shop.orders;
INSERT INTO shop.customers (\"Name\") SELECT 'c' || n FROM generate_series(1, 500) n;
INSERT INTO shop.orders (customer, amount, states, note)
    SELECT 1 + n % 500, 1 + n, ARRAY['sent', 'new']::shop.state[], 'n' || n FROM generate_series(1, 20000) n;
CREATE TRIGGER before_write BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.on_write();
";

fn relation(schema: &str, name: &str) -> Relation {
    Relation { schema: schema.to_owned(), name: name.to_owned() }
}

fn scratches(database: &Database) -> String {
    database.psql("SELECT count(*) FROM pg_database WHERE datname LIKE 'veritas_scratch_%'")
}

fn copy(
    database: &Database,
    relations: &[Relation],
    limits: &ScratchLimits,
) -> Result<Scratch, ScratchError> {
    let options = ConnectOptions::new(database.url());
    Scratch::create(&options, &ScratchPlace::SameServer, relations, limits, Arc::new(SystemClock::new()))
}

fn text(session: &mut Session, sql: &str) -> String {
    let rows = session.simple(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = rows.into_iter().map(|row| {
        row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".into())).collect::<Vec<_>>().join("|")
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_copy_has_the_rows_types_constraints_and_indexes_and_no_triggers_and_goes() {
    let server = Postgres::start_alone("");
    let database = server.database();
    database.psql(SHOP);
    // Commits of these servers reach the log late; rows are visible to all once they did.
    database.psql("CHECKPOINT");
    database.psql("VACUUM ANALYZE");
    let tables = [relation("shop", "orders"), relation("shop", "customers")];
    let mut scratch =
        copy(&database, &tables, &ScratchLimits::default()).unwrap_or_else(|e| panic!("{}", e.words()));
    assert!(scratch.is_whole());
    assert_eq!(scratch.tables().iter().map(|table| table.rows).collect::<Vec<_>>(), [20_000, 500]);
    let out = scratch.tables()[0].left_out.join(", ");
    for part in ["the default of note", "the check orders_note_check", "orders_shout: 42883"] {
        assert!(out.contains(part), "{out}");
    }
    assert_eq!(scratch.tables()[0].left_out.len(), 3, "{out}");
    let digest = "SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM shop.orders o";
    let live = database.psql(digest);
    let session = scratch.session();
    assert_eq!(text(session, digest), live.trim());
    assert_eq!(
        text(
            session,
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'shop.orders'::regclass ORDER BY 1"
        ),
        "shop.orders_customer_period_excl\nshop.orders_pkey\nshop.orders_state"
    );
    assert_eq!(text(session, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"), "0");
    assert_ne!(text(session, "SELECT count(*) FROM pg_stats WHERE schemaname = 'shop'"), "0");
    assert_eq!(text(session, "SELECT count(*) FROM pg_statistic_ext"), "1");
    assert_eq!(
        text(session, "SELECT relallvisible = relpages FROM pg_class WHERE oid = 'shop.orders'::regclass"),
        "t"
    );
    // New rows get new numbers, and the trigger that would refuse them is not here.
    session.batch("INSERT INTO shop.orders (customer, amount) VALUES (1, 5)").unwrap();
    assert_eq!(text(session, "SELECT max(id) FROM shop.orders"), "20001");
    assert!(scratch.words().contains("shop.orders whole"), "{}", scratch.words());
    assert_eq!(scratches(&database), "1\n");
    drop(scratch);
    assert_eq!(scratches(&database), "0\n");
    // Nothing was written, and no transaction is left open.
    assert_eq!(
        database.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'veritas'"),
        "0\n"
    );
}

#[test]
fn what_does_not_fit_is_sampled_and_said() {
    let database = Postgres::start().database();
    database.psql(
        "CREATE TABLE big AS SELECT n, repeat('x', 200) AS text FROM generate_series(1, 60000) n; ANALYZE big;
         CREATE TABLE small AS SELECT n FROM generate_series(1, 100) n; ANALYZE small",
    );
    let limits = ScratchLimits { bytes: Bytes::new(3 << 20), ..ScratchLimits::default() };
    let tables = [relation("public", "big"), relation("public", "small")];
    let scratch = copy(&database, &tables, &limits).unwrap();
    let [big, small] = scratch.tables() else { panic!("two tables") };
    assert!(big.share > 0.1 && big.share < 0.3, "{}", big.share);
    assert!((3_000..27_000).contains(&big.rows), "{}", big.rows);
    assert_eq!((small.share, small.rows), (1.0, 100));
    assert!(!scratch.is_whole() && scratch.words().contains("a sample of"), "{}", scratch.words());
}

#[test]
fn a_copy_is_refused_where_it_is_not_allowed_or_cannot_be_right() {
    let database = Postgres::start().database();
    database.psql(
        "CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT * FROM t;
         CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TYPE pair AS (a int, b int); CREATE TABLE c (a pair)",
    );
    let options = ConnectOptions::new(database.url());
    let limits = ScratchLimits::default();
    let clock = Arc::new(SystemClock::new());
    let off = Scratch::create(&options, &ScratchPlace::Off, &[relation("public", "t")], &limits, clock);
    assert!(matches!(off, Err(ScratchError::Off)));
    for (name, reason) in [
        ("v", "it is a view"),
        ("p", "it is partitioned"),
        ("gone", "it is gone"),
        ("c", "neither an enumeration"),
    ] {
        let error = copy(&database, &[relation("public", name)], &limits).unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
    let free = ScratchLimits { free: Some(Bytes::new(1 << 20)), ..limits };
    assert!(matches!(copy(&database, &[relation("public", "t")], &free), Err(ScratchError::Space { .. })));
    // Rows that a policy hides are not missed silently.
    let name = database.name();
    database.psql(&format!(
        "CREATE ROLE {name}_owner LOGIN CREATEDB; CREATE TABLE hidden AS SELECT 1 AS a;
         ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; GRANT SELECT ON hidden TO {name}_owner"
    ));
    let as_role = |role: &str| ConnectOptions::new(database.url().replace("postgres@", &format!("{role}@")));
    let create = |options: &ConnectOptions| {
        let tables = [relation("public", "hidden")];
        let clock = Arc::new(SystemClock::new());
        Scratch::create(options, &ScratchPlace::SameServer, &tables, &ScratchLimits::default(), clock)
    };
    let error = create(&as_role(&format!("{name}_owner"))).unwrap_err();
    assert!(error.words().contains("42501"), "{}", error.words());
    database.psql(&format!("ALTER ROLE {name}_owner NOCREATEDB"));
    let error = create(&as_role(&format!("{name}_owner"))).unwrap_err();
    assert!(matches!(error, ScratchError::MayNotCreate { .. }), "{error}");
    assert_eq!(
        database.psql(&format!(
            "SELECT count(*) FROM pg_database WHERE datname LIKE 'veritas_scratch_%' \
             AND pg_get_userbyid(datdba) = '{name}_owner'"
        )),
        "0\n"
    );
}

#[test]
fn a_role_that_may_read_the_tables_and_create_databases_needs_no_more() {
    let database = Postgres::start().database();
    database.psql("CREATE TABLE t AS SELECT n AS a FROM generate_series(1, 100) n; CREATE INDEX i ON t (a)");
    let role = format!("{}_reader", database.name());
    database.psql(&format!("CREATE ROLE {role} LOGIN CREATEDB; GRANT SELECT ON t TO {role}"));
    let options = ConnectOptions::new(database.url().replace("postgres@", &format!("{role}@")));
    let tables = [relation("public", "t")];
    let (limits, clock) = (ScratchLimits::default(), Arc::new(SystemClock::new()));
    let mut scratch = Scratch::create(&options, &ScratchPlace::SameServer, &tables, &limits, clock)
        .unwrap_or_else(|error| panic!("{}", error.words()));
    assert_eq!(text(scratch.session(), "SELECT count(*), max(a) FROM t"), "100|100");
    assert!(scratch.tables()[0].left_out.is_empty());
}

#[test]
fn reading_the_live_server_keeps_to_its_pace_and_ends_in_time() {
    let database = Postgres::start().database();
    database.psql("CREATE TABLE t AS SELECT n AS a, repeat('x', 100) AS b FROM generate_series(1, 20000) n");
    // Some 2.6 MB at 100 bytes a second, and two seconds for all of it.
    let limits = ScratchLimits {
        bytes_per_second: Some(100),
        time: std::time::Duration::from_secs(2),
        ..ScratchLimits::default()
    };
    let error = copy(&database, &[relation("public", "t")], &limits).unwrap_err();
    assert!(matches!(error, ScratchError::TooSlow), "{}", error.words());
    let left = database.psql(&format!(
        "SELECT count(*) FROM pg_database WHERE datname LIKE 'veritas_scratch_%' AND shobj_description(oid, 'pg_database') \
         LIKE '%database {};%'",
        database.name()
    ));
    assert_eq!(left, "0\n");
}

#[test]
fn only_our_own_forgotten_databases_are_swept() {
    let server = Postgres::start_alone("");
    let database = server.database();
    database.psql("CREATE TABLE t AS SELECT 1 AS a");
    let alive = copy(&database, &[relation("public", "t")], &ScratchLimits::default()).unwrap();
    // Ours, killed before it was commented: a copy's number begins with the place of its lock.
    let place = database.psql("SELECT current_database()");
    let place = veritas_model::stable_hash(place.trim().as_bytes()) >> 32;
    database.psql(&format!("CREATE DATABASE veritas_scratch_{place:08x}000000aa"));
    for sql in [
        "CREATE DATABASE veritas_scratch_00000000000000dd", // being made, its lock is in another database
        "CREATE DATABASE veritas_scratch_mine",
        "CREATE DATABASE veritas_scratch_00000000000000bb",
        "COMMENT ON DATABASE veritas_scratch_00000000000000bb IS 'keep this'",
        "CREATE DATABASE veritas_scratch_00000000000000cc",
    ] {
        database.psql(sql);
    }
    // Somebody is in this one.
    let inside = ConnectOptions::new(database.url()).in_database("veritas_scratch_00000000000000cc").unwrap();
    let visitor = Session::connect(&inside).unwrap();
    let mut session = Session::connect_writing(&ConnectOptions::new(database.url())).unwrap();
    assert_eq!(sweep(&mut session).unwrap(), 1);
    let names =
        database.psql("SELECT datname FROM pg_database WHERE datname LIKE 'veritas_scratch_%' ORDER BY 1");
    assert!(!names.contains("00aa") && names.contains(alive.name()), "{names}");
    assert_eq!(names.lines().count(), 5, "{names}");
    drop(visitor);
}
