//! Tables and indexes.

use veritas_database::server::{IndexReading, TableReading};
use veritas_postgres::view::{MOST_INDEXES, MOST_TABLES};
use veritas_testkit::{Postgres, wait_for};

use super::{PATIENCE, read};

fn tables(schema: &str) -> Vec<TableReading> {
    let database = Postgres::start().database_with(schema);
    read(&database.url()).tables.expect("everybody may see tables")
}

#[track_caller]
fn index(indexes: &[IndexReading], name: &str) -> IndexReading {
    indexes.iter().find(|index| index.name == name).cloned().unwrap_or_else(|| panic!("{indexes:#?}"))
}

#[test]
fn tables_come_with_sizes_rows_and_the_largest_first() {
    let tables = tables(
        "CREATE TABLE small (n int); CREATE TABLE large (n int PRIMARY KEY, filler text);
         INSERT INTO large SELECT n, repeat('x', 100) FROM generate_series(1, 5000) AS n; ANALYZE large",
    );
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["large", "small"]);
    assert_eq!((tables[0].rows, tables[1].rows), (Some(5_000), None));
    assert!(tables[0].size.get() > 500_000 && tables[0].index_size.get() > 50_000, "{:?}", tables[0]);
    assert_eq!(tables[1].index_size.get(), 0);
}

#[test]
fn what_was_done_with_a_table_is_counted() {
    let database = Postgres::start().database_with("CREATE TABLE busy (id int PRIMARY KEY, n int)");
    database.psql("INSERT INTO busy SELECT n, 0 FROM generate_series(1, 100) AS n");
    database.psql("ANALYZE busy");
    database.psql(
        "UPDATE busy SET n = 1 WHERE id <= 10; DELETE FROM busy WHERE id > 90; SELECT count(*) FROM busy",
    );
    // The counters reach the reader when the sessions that counted have ended.
    let busy = wait_for(PATIENCE, || {
        let mut tables = read(&database.url()).tables.expect("everybody may see tables");
        tables.pop().filter(|table| table.deleted == 10)
    });
    assert_eq!((busy.inserted, busy.updated, busy.deleted), (100, 10, 10));
    assert!(busy.sequential_scans >= 1 && busy.sequential_rows >= 90, "{busy:?}");
    assert_eq!(busy.changed_since_analyze, Some(20));
    assert!(busy.analyzed_at.is_some() && busy.vacuumed_at.is_none());
    assert!(busy.transaction_id_age.is_some());
}

#[test]
fn a_thousand_tables_are_bounded() {
    let tables = tables(
        "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE 'CREATE TABLE many_' || i || ' (id int)'; END LOOP; END $$;
         CREATE TABLE largest AS SELECT generate_series(1, 10000) AS n; ANALYZE largest",
    );
    assert_eq!(tables.len(), MOST_TABLES);
    assert_eq!(tables[0].name, "largest");
    const { assert!(MOST_INDEXES >= MOST_TABLES) };
}

#[test]
fn indexes_are_described_as_their_definitions_say() {
    let database = Postgres::start().database_with(
        "CREATE TABLE orders (id int PRIMARY KEY, customer int, note text, placed date, \"Odd\" int);
         CREATE INDEX by_customer ON orders (customer, placed DESC, id DESC NULLS LAST) INCLUDE (note) WHERE customer > 5;
         CREATE INDEX by_word ON orders (lower(note) text_pattern_ops, note COLLATE \"POSIX\", \"Odd\" NULLS FIRST);
         CREATE INDEX by_page ON orders USING brin (placed)",
    );
    let indexes = read(&database.url()).indexes.expect("everybody may see indexes");
    let by_customer = index(&indexes, "by_customer");
    assert_eq!(by_customer.keys, ["customer", "placed DESC", "id DESC NULLS LAST"]);
    assert_eq!(by_customer.include, ["note"]);
    assert_eq!(by_customer.predicate.as_deref(), Some("customer > 5"));
    assert_eq!((by_customer.table.as_str(), by_customer.method.as_str()), ("orders", "btree"));
    assert!(by_customer.definition.starts_with("CREATE INDEX by_customer ON public.orders"));
    assert_eq!((by_customer.unique, by_customer.valid, by_customer.protected), (false, true, None));
    assert_eq!(by_customer.scans, Some(0));
    let by_word = index(&indexes, "by_word");
    assert_eq!(
        by_word.keys,
        ["lower(note) text_pattern_ops", "note COLLATE \"POSIX\"", "\"Odd\" NULLS FIRST"]
    );
    assert_eq!(index(&indexes, "by_page").method, "brin");
    let key = index(&indexes, "orders_pkey");
    assert_eq!((key.constraint.as_deref(), key.unique), (Some("orders_pkey"), true));
    assert_eq!(key.protected.as_deref(), Some("is the primary key"));
}

#[test]
fn an_index_that_may_not_be_dropped_says_why() {
    let database = Postgres::start().database_with(
        "CREATE TABLE customers (id int PRIMARY KEY, email text, period int4range);
         CREATE UNIQUE INDEX one_email ON customers (email);
         ALTER TABLE customers ADD CONSTRAINT apart EXCLUDE USING gist (period WITH &&);
         CREATE TABLE orders (id int, customer int, region int, placed date);
         ALTER TABLE orders ADD CONSTRAINT orders_customer_fk FOREIGN KEY (customer) REFERENCES customers;
         CREATE INDEX serves_key ON orders (customer, placed);
         CREATE INDEX serves_not ON orders (placed, customer);
         CREATE INDEX serves_part ON orders (customer) WHERE placed > '2020-01-01';
         CREATE INDEX clustered ON orders (region); ALTER TABLE orders CLUSTER ON clustered;
         CREATE TABLE logged (id int NOT NULL); CREATE UNIQUE INDEX identity ON logged (id);
         ALTER TABLE logged REPLICA IDENTITY USING INDEX identity;
         CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
         CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE INDEX parted_at ON parted (at)",
    );
    let indexes = read(&database.url()).indexes.expect("everybody may see indexes");
    let cases = [
        ("customers_pkey", Some("is the primary key")),
        ("one_email", Some("enforces that values are unique")),
        ("apart", Some("enforces an exclusion constraint")),
        ("serves_key", Some("supports the foreign key orders_customer_fk")),
        ("serves_not", None),
        ("serves_part", None),
        ("clustered", Some("is the index that the table is clustered by")),
        ("identity", Some("is the replica identity of the table")),
        ("parted_at", Some("is the parent of the indexes of partitions")),
        ("parted_one_at_idx", Some("belongs to the partitioned index public.parted_at")),
    ];
    for (name, reason) in cases {
        assert_eq!(index(&indexes, name).protected.as_deref(), reason, "{name}");
    }
}

#[test]
fn an_invalid_index_is_told() {
    let database =
        Postgres::start().database_with("CREATE TABLE twice (n int); INSERT INTO twice VALUES (1), (1)");
    let failed = std::process::Command::new("psql")
        .args([&database.url(), "-c", "CREATE UNIQUE INDEX CONCURRENTLY broken ON twice (n)"])
        .output();
    assert!(!failed.expect("psql runs").status.success());
    let indexes = read(&database.url()).indexes.expect("everybody may see indexes");
    assert!(!index(&indexes, "broken").valid);
}

#[test]
fn a_bloated_index_is_larger_than_expected_and_a_fresh_one_is_not() {
    let database = Postgres::start().database_with(
        "CREATE TABLE events (id int, kind int, filler text) WITH (fillfactor = 90);
         INSERT INTO events SELECT n, n % 1000, 'x' FROM generate_series(1, 60000) AS n;
         CREATE INDEX fresh ON events (id, kind); CREATE INDEX bloated ON events (id);
         CREATE INDEX partial ON events (id, kind, filler) WHERE kind >= 0",
    );
    let grow = "UPDATE events SET kind = kind + 1";
    for _ in 0..3 {
        database.psql(grow);
    }
    database.psql("VACUUM ANALYZE events; ");
    database.psql("REINDEX INDEX fresh");
    let indexes = read(&database.url()).indexes.expect("everybody may see indexes");
    let expected = |name: &str| {
        let index = index(&indexes, name);
        (index.size.get(), index.expected_size.map(veritas_model::Bytes::get))
    };
    let (fresh, should_be) = expected("fresh");
    let should_be = should_be.expect("the statistics are there");
    assert!(fresh <= should_be && should_be < 2 * fresh, "{fresh} {should_be}");
    let (bloated, should_be) = expected("bloated");
    assert!(bloated > should_be.expect("the statistics are there") * 3 / 2, "{bloated} {should_be:?}");
    assert_eq!(expected("partial").1, None);

    // Without the right to see the statistics nothing is guessed.
    let bare = read(&database.role("bare", "")).indexes.expect("everybody may see indexes");
    assert!(bare.iter().all(|index| index.expected_size.is_none()), "{bare:#?}");
}
