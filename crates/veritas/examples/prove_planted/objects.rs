//! What is planted in the schema, the tables and the sessions, and what only looks like it.

use veritas::model::FindingKind::{
    self, DuplicateIndex, IdleInTransaction, InvalidIndex, LockWait, LongTransaction, RedundantIndex,
    StaleStatistics, TableBloat, UnusedIndex,
};

/// Tables and indexes beyond those that the statements need.
pub(crate) const SQL: &str = "
CREATE INDEX orders_placed_at_again ON orders (placed_at);
CREATE INDEX customers_mail ON customers (email);
CREATE INDEX invoices_code_copy ON invoices (code);
CREATE INDEX articles_author_only ON articles (author_id);
CREATE INDEX wishes_customer ON wishes (customer_id);
CREATE INDEX addresses_zip_street ON addresses (zip, street);
CREATE INDEX stock_warehouse ON stock (warehouse);
CREATE INDEX stock_warehouse_amount ON stock (warehouse, amount);

CREATE TABLE log_lines (request bigint NOT NULL, line int NOT NULL);
CREATE INDEX log_lines_request ON log_lines (request);

CREATE TABLE cars (id bigint PRIMARY KEY, make text NOT NULL, model text NOT NULL, filler text NOT NULL);
INSERT INTO cars SELECT i, 'make' || i % 40, 'model' || i % 40, repeat('f', 30) FROM generate_series(1, 40000) i;
CREATE INDEX cars_make ON cars (make);

CREATE TABLE carts (id bigint PRIMARY KEY, customer_id bigint NOT NULL, filler text NOT NULL);
INSERT INTO carts SELECT i, i, repeat('f', 100) FROM generate_series(1, 40000) i;
CREATE TABLE drafts (id bigint PRIMARY KEY, body text NOT NULL);
INSERT INTO drafts SELECT i, repeat('d', 100) FROM generate_series(1, 30000) i;
CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);
INSERT INTO notes SELECT i, repeat('n', 100) FROM generate_series(1, 30000) i;

CREATE TABLE imports (id bigint PRIMARY KEY, payload text NOT NULL);
INSERT INTO imports SELECT i, repeat('i', 50) FROM generate_series(1, 50000) i;
CREATE TABLE prices (product_id bigint PRIMARY KEY, price numeric(10,2) NOT NULL);
INSERT INTO prices SELECT i, i FROM generate_series(1, 30000) i;
CREATE TABLE rates (id bigint PRIMARY KEY, rate numeric(10,4) NOT NULL);
INSERT INTO rates SELECT i, i FROM generate_series(1, 30000) i;

CREATE TABLE accounts (id bigint PRIMARY KEY, name text NOT NULL, region text NOT NULL, login text NOT NULL UNIQUE);
INSERT INTO accounts SELECT i, 'a' || i, 'r' || i % 5, 'l' || i FROM generate_series(1, 20000) i;
CREATE UNIQUE INDEX accounts_name ON accounts (name);
CREATE INDEX accounts_name_region ON accounts (name, region);
CREATE INDEX accounts_region_r1 ON accounts (region) WHERE name < 'a5';
CREATE INDEX accounts_region_r2 ON accounts (region) WHERE name >= 'a5';
CREATE INDEX accounts_login_pattern ON accounts (login text_pattern_ops);
CREATE INDEX accounts_region_desc ON accounts (region DESC NULLS LAST, name);
CREATE INDEX accounts_region_carrying ON accounts (region) INCLUDE (login);
CREATE INDEX accounts_name_lower ON accounts (lower(name));
CREATE INDEX accounts_name_hash ON accounts USING hash (name);

CREATE TABLE teams (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts (id));
INSERT INTO teams SELECT i, i FROM generate_series(1, 15000) i;
CREATE INDEX teams_account ON teams (account_id);
CREATE INDEX teams_account_again ON teams (account_id);

CREATE INDEX settings_key ON settings (key);
CREATE INDEX media_product_kind ON media (product_id, kind);
CREATE INDEX products_category ON products (category_id);
CREATE INDEX products_category_price ON products (category_id, price);
CREATE INDEX visits_page_at ON visits (page, at);
CREATE INDEX messages_sender ON messages (sender_id, sent_at);
CREATE INDEX events_kind_at ON events (kind, at);
CREATE INDEX payments_method ON payments (method, paid_at);
CREATE INDEX tickets_closed ON tickets (opened_at) WHERE state = 'closed';
CREATE UNIQUE INDEX shipments_tracking_order ON shipments (carrier, tracking, id);
";

/// Statistics of what must have some, and after that the changes that make dead rows or
/// old statistics.
pub(crate) const WEAR: &[&str] = &[
    // Else what was inserted is counted after the statistics were gathered, as changes since.
    "SELECT pg_stat_force_next_flush()",
    "VACUUM ANALYZE log_lines, cars, carts, drafts, notes, prices, rates, accounts, teams",
    "DELETE FROM carts WHERE id % 5 < 3",
    "UPDATE drafts SET body = body || 'x'",
    "UPDATE drafts SET body = body || 'y'",
    "UPDATE notes SET body = body || 'x' WHERE id < 300",
    "UPDATE prices SET price = price * 2",
    "UPDATE rates SET rate = rate * 2 WHERE id < 500",
];

/// Fails, as it is meant to, and leaves an index that is not valid.
pub(crate) const INVALID: &str =
    "CREATE UNIQUE INDEX CONCURRENTLY coupons_customer_once ON coupons (expires_on)";

/// An index or a table, and the kinds of which one must be found of it (none for a decoy).
pub(crate) struct Object {
    pub(crate) name: &'static str,
    pub(crate) must: &'static [FindingKind],
    /// What may be found besides, being true as well.
    pub(crate) may: &'static [FindingKind],
}

const fn object(name: &'static str, must: &'static [FindingKind], may: &'static [FindingKind]) -> Object {
    Object { name, must, may }
}

pub(crate) const INDEXES: &[Object] = &[
    object("orders_placed_at_again", &[DuplicateIndex], &[UnusedIndex]),
    object("customers_mail", &[DuplicateIndex], &[UnusedIndex]),
    object("invoices_code_copy", &[DuplicateIndex], &[UnusedIndex]),
    object("articles_author_only", &[RedundantIndex], &[UnusedIndex]),
    object("wishes_customer", &[RedundantIndex], &[UnusedIndex]),
    object("addresses_zip", &[RedundantIndex], &[UnusedIndex]),
    object("stock_warehouse", &[RedundantIndex], &[UnusedIndex]),
    object("settings_key", &[DuplicateIndex], &[UnusedIndex]),
    object("teams_account_again", &[DuplicateIndex], &[UnusedIndex]),
    object("media_product", &[RedundantIndex], &[UnusedIndex]),
    object("products_category", &[RedundantIndex], &[UnusedIndex]),
    object("coupons_customer_once", &[InvalidIndex], &[]),
    // Nothing reads them, their tables are written, and they take room.
    object("visits_page_at", &[UnusedIndex], &[]),
    object("messages_sender", &[UnusedIndex], &[]),
    object("events_kind_at", &[UnusedIndex], &[]),
    object("payments_method", &[UnusedIndex], &[]),
    // Which of two that are the same is named is free: the judge takes either once.
    object("orders_placed_at", &[], &[DuplicateIndex, UnusedIndex]),
    object("customers_email", &[], &[DuplicateIndex, UnusedIndex]),
    object("invoices_code", &[], &[DuplicateIndex, UnusedIndex]),
    object("articles_author", &[], &[]),
    object("addresses_zip_street", &[], &[UnusedIndex]),
    object("stock_warehouse_amount", &[], &[UnusedIndex]),
    object("accounts_name", &[], &[]),
    object("accounts_name_region", &[], &[UnusedIndex]),
    object("accounts_login_key", &[], &[]),
    object("accounts_region_r1", &[], &[UnusedIndex]),
    object("accounts_region_r2", &[], &[UnusedIndex]),
    object("accounts_login_pattern", &[], &[UnusedIndex]),
    object("accounts_region_desc", &[], &[UnusedIndex]),
    object("accounts_region_carrying", &[], &[UnusedIndex]),
    object("accounts_name_lower", &[], &[UnusedIndex]),
    object("accounts_name_hash", &[], &[UnusedIndex]),
    object("teams_account", &[], &[]),
    object("customers_pkey", &[], &[]),
    object("settings_pkey", &[], &[]),
    object("media_product_kind", &[], &[UnusedIndex]),
    object("products_category_price", &[], &[UnusedIndex]),
    object("tickets_closed", &[], &[UnusedIndex]),
    // Never read, and it is what keeps a thing from being shipped twice.
    object("shipments_tracking_order", &[], &[]),
    object("shipments_pkey", &[], &[]),
    object("cars_make", &[], &[]),
    object("tickets_open", &[], &[]),
    object("products_name_pattern", &[], &[]),
    object("products_sku", &[], &[]),
];

pub(crate) const TABLES: &[Object] = &[
    object("carts", &[TableBloat], &[StaleStatistics]),
    object("drafts", &[TableBloat], &[StaleStatistics]),
    object("imports", &[StaleStatistics], &[]),
    object("prices", &[StaleStatistics], &[TableBloat]),
    object("notes", &[], &[]),
    object("log_lines", &[], &[StaleStatistics]),
    object("rates", &[], &[]),
    object("orders", &[], &[]),
    object("events", &[], &[]),
    object("settings", &[], &[]),
];

/// Sessions that stand in the way while the server is read, and by which part of the server
/// the finding must name each.
pub(crate) const SESSIONS: &[(FindingKind, &str)] =
    &[(IdleInTransaction, "session till of "), (LockWait, "lock "), (LongTransaction, "session report of ")];
