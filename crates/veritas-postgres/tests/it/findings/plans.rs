//! Findings of plans that a real server makes.

use std::collections::BTreeSet;

use veritas_database::fingerprint;
use veritas_index_advisor::TableId;
use veritas_model::{Bytes, FindingKind, Subject, Timestamp};
use veritas_postgres::{
    facts,
    findings::{Measured, PlanContext, of_plan},
    guard::{Guard, Parameters},
    plan::Plan,
    session::{ConnectOptions, Session},
};
use veritas_testkit::Postgres;

const SCENE: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL, login varchar(40), city text, region int,
        code bigint, created timestamptz NOT NULL, born date, active bool, notes text);
    INSERT INTO customers SELECT g, 'user' || g || '@example.org', 'login' || g, 'city' || g % 400, g % 500, g,
        timestamptz '2024-01-01' + g * interval '7 minutes', date '1950-01-01' + g % 20000, g % 2 = 0, NULL
        FROM generate_series(1, 20000) g;
    CREATE INDEX ON customers (login);
    CREATE INDEX ON customers (code);
    CREATE INDEX ON customers (created);
    CREATE INDEX ON customers (lower(city));
    CREATE INDEX ON customers (region);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text, total numeric,
        placed timestamp NOT NULL, rank int, parent int);
    INSERT INTO orders SELECT g, g % 20000 + 1, CASE WHEN g % 10 = 0 THEN 'open' ELSE 'done' END, g,
        timestamp '2024-01-01' + g * interval '3 minutes', (g * 7919) % 40000, CASE WHEN g % 3 = 0 THEN g END
        FROM generate_series(1, 40000) g;
    CREATE INDEX ON orders (customer_id);
    CREATE INDEX ON orders (placed);
    CREATE TABLE kinds (id int PRIMARY KEY, name text);
    INSERT INTO kinds SELECT g, 'kind' || g FROM generate_series(1, 100) g;
    CREATE TABLE articles (id int PRIMARY KEY, title text, body text);
    ALTER TABLE articles ALTER body SET STORAGE PLAIN;
    INSERT INTO articles SELECT g, 'title' || g, repeat(md5(g::text), 60) FROM generate_series(1, 3000) g;
    ANALYZE";

/// A statement, what its calls cost, and the kinds that must be found: all, and no other.
struct Case(&'static str, Measured, &'static [FindingKind]);

fn unmeasured(sql: &'static str, kinds: &'static [FindingKind]) -> Case {
    Case(sql, Measured::default(), kinds)
}

fn returning(rows: f64) -> Measured {
    Measured { calls: Some(100), rows_per_call: Some(rows), ..Measured::default() }
}

fn spilling(pages: f64) -> Measured {
    Measured { temporary_per_call: Some(pages), ..Measured::default() }
}

fn planted() -> Vec<Case> {
    use FindingKind::{
        HashSpill, ImplicitCast, Misestimate, MissingIndex, NonSargable, NotIn, OffsetPagination, SortSpill,
        WideSelect,
    };
    vec![
        unmeasured("SELECT id FROM customers WHERE email = 'user7@example.org'", &[MissingIndex]),
        unmeasured("SELECT id FROM customers WHERE city = 'city7'", &[MissingIndex]),
        unmeasured("SELECT id FROM customers WHERE city = 'city7' AND active", &[MissingIndex]),
        unmeasured("SELECT count(*) FROM customers WHERE born = '1960-01-01'", &[MissingIndex]),
        unmeasured("SELECT id FROM orders WHERE rank = 7", &[MissingIndex]),
        unmeasured("SELECT id FROM orders WHERE rank BETWEEN 7 AND 20", &[MissingIndex]),
        unmeasured("SELECT id FROM orders WHERE rank IN (7, 8, 9)", &[MissingIndex]),
        unmeasured("SELECT sum(total) FROM orders WHERE parent = 300", &[MissingIndex]),
        unmeasured("DELETE FROM orders WHERE rank = 7", &[MissingIndex]),
        unmeasured("UPDATE orders SET status = 'x' WHERE parent = 300", &[MissingIndex]),
        unmeasured("SELECT id FROM orders WHERE rank = $1", &[MissingIndex]),
        unmeasured(
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.email = 'user7@example.org'",
            &[MissingIndex],
        ),
        unmeasured("SELECT id FROM orders ORDER BY rank LIMIT 10", &[MissingIndex]),
        unmeasured("SELECT id FROM orders ORDER BY total DESC, id LIMIT 20", &[MissingIndex]),
        unmeasured("SELECT id, email FROM customers ORDER BY email LIMIT 5", &[MissingIndex]),
        unmeasured("SELECT id FROM customers WHERE lower(email) = 'user7@example.org'", &[NonSargable]),
        unmeasured(
            "SELECT id FROM customers WHERE date_trunc('day', created) = '2024-02-01'",
            &[NonSargable],
        ),
        unmeasured("SELECT id FROM customers WHERE extract(year FROM born) = 1960", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE code + 1 = 8", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE upper(login) = 'LOGIN7'", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE email LIKE '%7777@example.org'", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE login LIKE '%in7777'", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE email ILIKE '%user7777@%'", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE created::date = '2024-02-01'", &[NonSargable]),
        unmeasured("SELECT id FROM orders WHERE placed::date = '2024-02-01'", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE id::text = '7'", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE email = 'user7@example.org' OR code = 7", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE coalesce(region, 0) = 7", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE abs(code) = 7", &[NonSargable]),
        unmeasured("SELECT id FROM customers WHERE code = 7.0", &[ImplicitCast]),
        unmeasured("SELECT id FROM customers WHERE id = 7.5", &[ImplicitCast]),
        unmeasured("SELECT id FROM orders WHERE customer_id = 7.0", &[ImplicitCast]),
        unmeasured("SELECT id FROM orders ORDER BY id OFFSET 20000 LIMIT 10", &[OffsetPagination]),
        unmeasured("SELECT id FROM customers ORDER BY id LIMIT $1 OFFSET $2", &[OffsetPagination]),
        unmeasured("SELECT id FROM orders ORDER BY placed LIMIT 10 OFFSET 30000", &[OffsetPagination]),
        Case("SELECT * FROM articles", returning(3000.0), &[WideSelect]),
        Case("SELECT a.* FROM articles a WHERE a.id < 500", returning(499.0), &[WideSelect]),
        Case(
            "SELECT a.*, k.name FROM articles a JOIN kinds k ON k.id = a.id",
            returning(100.0),
            &[WideSelect],
        ),
        unmeasured("SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)", &[NotIn]),
        unmeasured("SELECT id FROM kinds WHERE id NOT IN (SELECT parent FROM orders)", &[NotIn]),
        Case("SELECT id, email, notes FROM customers ORDER BY notes, email", spilling(500.0), &[SortSpill]),
        Case("SELECT * FROM orders ORDER BY rank", spilling(900.0), &[SortSpill]),
        Case("SELECT rank, count(*), max(status) FROM orders GROUP BY rank", spilling(300.0), &[HashSpill]),
        Case(
            "SELECT id FROM orders WHERE status = 'open' AND rank % 2 = 0 AND rank % 3 = 0",
            returning(4000.0),
            &[Misestimate],
        ),
        Case(
            "SELECT id FROM customers WHERE lower(login) LIKE 'login%'",
            returning(20_000.0),
            &[Misestimate],
        ),
        Case("SELECT id FROM customers WHERE active AND id % 2 = 0", returning(10_000.0), &[Misestimate]),
    ]
}

fn decoys() -> Vec<Case> {
    let none = |sql| unmeasured(sql, &[]);
    vec![
        none("SELECT id FROM customers WHERE id = 7"),
        none("SELECT id FROM customers WHERE login = 'login7'"),
        none("SELECT id FROM customers WHERE code = 7"),
        none("SELECT id FROM customers WHERE code = 7 AND active"),
        none("SELECT id FROM customers WHERE lower(city) = 'city7'"),
        none("SELECT id FROM customers WHERE created >= '2024-02-01' AND created < '2024-02-02'"),
        none("SELECT id FROM customers WHERE code IN (7, 8)"),
        none("SELECT id FROM customers WHERE region = 7 OR code = 7"),
        none("SELECT id FROM customers WHERE active"),
        none("SELECT id FROM customers WHERE NOT active"),
        none("SELECT id FROM orders WHERE status = 'done'"),
        none("SELECT id FROM orders WHERE status <> 'open'"),
        none("SELECT count(*) FROM orders"),
        none("SELECT status, count(*) FROM orders GROUP BY status"),
        none("SELECT id FROM orders WHERE rank > 100"),
        none("SELECT id FROM kinds WHERE name = 'kind7'"),
        none("SELECT id FROM kinds WHERE lower(name) = 'kind7'"),
        none("SELECT id FROM kinds WHERE name LIKE '%7'"),
        none("SELECT id FROM kinds WHERE id::text = '7'"),
        none("SELECT id FROM kinds WHERE id = 7.0"),
        none("SELECT id FROM kinds ORDER BY name LIMIT 5"),
        none("SELECT id FROM kinds ORDER BY id LIMIT 5 OFFSET 50"),
        none("SELECT id FROM kinds WHERE id NOT IN (SELECT id FROM kinds)"),
        none("SELECT id FROM orders WHERE id NOT IN (SELECT id FROM kinds)"),
        none("SELECT id FROM orders WHERE id NOT IN (1, 2, 3)"),
        none("SELECT id FROM orders o WHERE NOT EXISTS (SELECT FROM customers c WHERE c.id = o.customer_id)"),
        none("SELECT id FROM orders ORDER BY id LIMIT 10"),
        none("SELECT id FROM orders ORDER BY placed DESC LIMIT 10"),
        none("SELECT id FROM orders WHERE placed > '2024-02-01' ORDER BY placed LIMIT 10"),
        none("SELECT id FROM orders WHERE id > 20000 ORDER BY id LIMIT 10"),
        none("SELECT id FROM orders WHERE status = 'done' LIMIT 10"),
        none("SELECT customer_id, count(*) FROM orders GROUP BY customer_id ORDER BY 2 DESC LIMIT 10"),
        none("SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id"),
        none("SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.login = 'login7'"),
        none("SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.code = $1"),
        none("SELECT id FROM customers WHERE login = $1"),
        none("SELECT id FROM customers WHERE login::text = 'login7'"),
        none("SELECT id FROM customers WHERE id = 7::smallint"),
        none("SELECT id FROM customers WHERE code = 7::int"),
        none("INSERT INTO kinds VALUES (1000, 'x')"),
        none("UPDATE customers SET city = 'x' WHERE id = 7"),
        none("DELETE FROM orders WHERE customer_id = 7"),
        none("UPDATE orders SET status = 'x'"),
        none("SELECT 1"),
        none("SELECT max(id) FROM orders"),
        none("SELECT * FROM orders WHERE id = 7"),
        Case("SELECT * FROM orders WHERE id < 500", returning(499.0), &[]),
        Case("SELECT * FROM articles WHERE id = 7", returning(1.0), &[]),
        Case("SELECT id, title FROM articles", returning(3000.0), &[]),
        Case("SELECT count(*) FROM (SELECT * FROM articles) a", returning(1.0), &[]),
        Case("SELECT * FROM orders ORDER BY rank", Measured::default(), &[]),
        Case("SELECT * FROM kinds ORDER BY name", spilling(2.0), &[]),
        Case("SELECT rank, count(*) FROM orders GROUP BY rank", Measured::default(), &[]),
        Case("SELECT id FROM orders WHERE status = 'open'", returning(4000.0), &[]),
        Case("SELECT id FROM orders WHERE customer_id = 7", returning(2.0), &[]),
        Case("SELECT id FROM customers WHERE code = $1", returning(1.0), &[]),
        Case(
            "SELECT id FROM customers ORDER BY id LIMIT $1 OFFSET $2",
            Measured { largest_offset: Some(40), ..Measured::default() },
            &[],
        ),
        Case("SELECT id AS offset_id FROM kinds LIMIT 10", Measured::default(), &[]),
        Case("SELECT id FROM orders LIMIT 10", returning(10.0), &[]),
    ]
}

/// Returns what is wrong with the findings of these cases.
fn wrong(session: &mut Session, cases: impl IntoIterator<Item = Case>) -> Vec<String> {
    session.batch("SET max_parallel_workers_per_gather = 0").unwrap();
    let mut wrong = Vec::new();
    for Case(sql, measured, expected) in cases {
        let explainable = Guard::new(session).check(sql).unwrap();
        let plan = explainable.explain(session, Parameters::Unknown).unwrap();
        let tables: Vec<TableId> = plan
            .relations()
            .into_iter()
            .map(|relation| TableId::new(&*relation.schema, &*relation.name))
            .collect();
        let facts = facts::read(session, &tables).unwrap().tables;
        let statement = fingerprint::statement(sql);
        let subject = Subject::Statement {
            name: "it".to_owned(),
            fingerprint: statement.fingerprint,
            normalized: statement.text.to_string(),
        };
        let found = of_plan(&PlanContext {
            subject: &subject,
            plan: &plan,
            measured,
            facts: &facts,
            tables: &[],
            work_mem: Some(Bytes::new(1024 * 1024)),
            hash_memory: Some(1.0),
            now: Timestamp::default(),
        });
        let kinds: BTreeSet<FindingKind> = found.iter().map(|finding| finding.kind).collect();
        if kinds != expected.iter().copied().collect() {
            wrong.push(format!(
                "{sql}\n  expected {expected:?}, found {kinds:?}\n{}",
                plan.text_without_literals()
            ));
        }
        check_no_literal(&format!("{found:?}"), sql);
    }
    wrong
}

#[test]
fn planted_defects_of_plans_are_found_and_decoys_are_not() {
    let database = Postgres::start().database_with(SCENE);
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    let wrong = wrong(&mut session, planted().into_iter().chain(decoys()));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_index_that_is_read_from_end_to_end_serves_no_predicate() {
    let database = Postgres::start().database_with(SCENE);
    // Where every row is visible to all, the server reads the index instead of the table.
    database.psql("VACUUM customers");
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    session.batch("SET random_page_cost = 1.1").unwrap();
    let whole = "SELECT count(*) FROM customers WHERE date_trunc('day', created) = timestamptz '2024-02-01'";
    let range = "SELECT count(*) FROM customers WHERE created >= '2024-02-01' AND created < '2024-02-02'";
    let groups =
        "SELECT date_trunc('day', created), count(*) FROM customers WHERE created < '2024-02-01' GROUP BY 1";
    let plan =
        Guard::new(&mut session).check(whole).unwrap().explain(&mut session, Parameters::Unknown).unwrap();
    assert!(plan.text_without_literals().contains("Index Only Scan"), "{}", plan.text_without_literals());
    let cases = [
        unmeasured(whole, &[FindingKind::NonSargable]),
        unmeasured(range, &[]),
        Case(groups, returning(31.0), &[]),
    ];
    let wrong = wrong(&mut session, cases);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_list_that_does_not_fit_into_memory_is_read_again_for_each_row() {
    let database = Postgres::start().database_with(SCENE);
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    session.batch("SET work_mem = '64kB'").unwrap();
    let sql = "SELECT id FROM customers WHERE id > $1 AND id NOT IN (SELECT rank FROM orders) LIMIT 10";
    let plan =
        Guard::new(&mut session).check(sql).unwrap().explain(&mut session, Parameters::Unknown).unwrap();
    let text = plan.text_without_literals();
    assert!(text.contains("NOT (SubPlan"), "{text}");
    let short = "SELECT id FROM customers WHERE id > $1 AND id NOT IN (SELECT id FROM kinds) LIMIT 10";
    let cases = [unmeasured(sql, &[FindingKind::NotIn]), unmeasured(short, &[])];
    let wrong = wrong(&mut session, cases);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Strings of the statement must not be in anything that leaves.
#[track_caller]
fn check_no_literal(shown: &str, sql: &str) {
    for literal in sql.split('\'').skip(1).step_by(2).filter(|literal| literal.len() > 4) {
        assert!(!shown.contains(literal), "{literal} of {sql} is in {shown}");
    }
}

#[test]
fn a_plan_tells_what_was_executed_and_is_written_without_literals() {
    let database = Postgres::start().database_with(SCENE);
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    let rows = session
        .simple(
            "SET max_parallel_workers_per_gather = 0; SET work_mem = '64kB';
             EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON, VERBOSE)
             SELECT * FROM orders WHERE status = 'secret' OR total > 1234567 ORDER BY rank",
        )
        .unwrap();
    let json: String = rows.concat().into_iter().flatten().collect();
    let plan = Plan::parse(&json).unwrap();
    let scan = plan.nodes().find(|node| node.relation.is_some()).unwrap();
    let actual = scan.actual.as_ref().unwrap();
    assert_eq!((actual.rows, actual.removed_by_filter), (0.0, Some(40_000.0)));
    assert!(actual.buffers.is_some_and(|buffers| buffers.hit + buffers.read > 100.0));
    assert_eq!(scan.relation.as_ref().unwrap().schema, "public");
    let text = plan.text_without_literals();
    assert!(text.contains("Seq Scan on orders") && text.contains("status = ?"), "{text}");
    assert!(!text.contains("secret") && !text.contains("1234567"), "{text}");
}

#[test]
fn the_shape_of_a_plan_is_the_same_for_other_values_and_for_other_partitions() {
    let database = Postgres::start().database_with(&format!(
        "{SCENE}; CREATE TABLE months (id int, d date) PARTITION BY RANGE (d);
         CREATE TABLE months_2024_01 PARTITION OF months FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
         CREATE TABLE months_2024_02 PARTITION OF months FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
         CREATE TABLE months_2024_03 PARTITION OF months FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')"
    ));
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    let mut shape = |sql: &str| {
        let explainable = Guard::new(&mut session).check(sql).unwrap();
        explainable.explain(&mut session, Parameters::Unknown).unwrap().shape()
    };
    let by_key = shape("SELECT * FROM customers WHERE id = 7");
    assert_eq!(by_key, shape("SELECT * FROM customers WHERE id = 8"));
    assert_ne!(by_key, shape("SELECT * FROM customers WHERE city = 'x'"));
    assert_ne!(by_key, shape("SELECT * FROM customers WHERE code = 7"), "another index");
    let two = shape("SELECT * FROM months WHERE d < '2024-02-15'");
    assert_eq!(two, shape("SELECT * FROM months"));
}

#[test]
fn values_make_a_plan_for_them_and_none_make_the_plan_for_all() {
    let database = Postgres::start().database_with(SCENE);
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    let explainable = Guard::new(&mut session)
        .check("SELECT id FROM customers WHERE code > $1 AND created < now() - interval $2")
        .unwrap();
    assert_eq!(explainable.parameters(), 2);
    let all = explainable.explain(&mut session, Parameters::Unknown).unwrap();
    assert!(all.generic);
    let few = [Some("19990".to_owned()), Some("1 day".to_owned())];
    let few = explainable.explain(&mut session, Parameters::Values(&few)).unwrap();
    let many = [Some("1".to_owned()), Some("1 day".to_owned())];
    let many = explainable.explain(&mut session, Parameters::Values(&many)).unwrap();
    assert!(!few.generic && few.root.rows < 100.0 && many.root.rows > 10_000.0, "{few:?} {many:?}");
    let short = [Some("1".to_owned())];
    assert!(explainable.explain(&mut session, Parameters::Values(&short)).is_err());
    // A value that the server refuses ends the transaction, and not the session; the error has no literal.
    let wrong = [Some("secret".to_owned()), Some("1 day".to_owned())];
    let error = explainable.explain(&mut session, Parameters::Values(&wrong)).unwrap_err();
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert!(explainable.explain(&mut session, Parameters::Unknown).is_ok());
    // What fails while it is planned leaves nothing behind for the next.
    let failing = Guard::new(&mut session).check("SELECT 1 / 0 FROM customers WHERE code = $1").unwrap();
    for _again in 0..2 {
        let error = failing.explain(&mut session, Parameters::Unknown).unwrap_err();
        assert!(format!("{error:?}").contains("22012"), "{error:?}");
    }
    assert!(explainable.explain(&mut session, Parameters::Unknown).is_ok());
}
