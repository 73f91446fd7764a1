//! The shop's tables, as its migrations left them.

/// Makes every table and fills it. No statistics are gathered here: that is done
/// afterwards, table by table, since for some of them the lack is planted.
pub(crate) const SCHEMA: &str = "
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE EXTENSION IF NOT EXISTS hypopg;
SET synchronous_commit = off;

CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, city text NOT NULL, phone text,
    joined_on date NOT NULL, points int NOT NULL, notes text NOT NULL);
INSERT INTO customers SELECT i, 'user' || i || '@example.com', 'city' || i % 400, '+49' || (i * 7919) % 1000003,
    date '2015-01-01' + (i % 3650)::int, i % 5000, repeat('n', 60) FROM generate_series(1, 40000) i;
CREATE INDEX customers_email ON customers (email);
CREATE INDEX customers_lower_city ON customers (lower(city));

CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, state text NOT NULL,
    placed_at timestamptz NOT NULL, total numeric(12,2) NOT NULL, reference text NOT NULL, filler text NOT NULL);
INSERT INTO orders SELECT i, i * 31 % 40000 + 1, (ARRAY['paid','shipped','closed','open'])[1 + i % 4],
    timestamptz '2024-01-01' + i * interval '5 minutes', i % 900 + 0.5, 'R' || (i * 6151) % 1000003,
    repeat('f', 80) FROM generate_series(1, 80000) i;
CREATE INDEX orders_placed_at ON orders (placed_at);

CREATE TABLE order_items (id bigint PRIMARY KEY, order_id bigint NOT NULL, product_id int NOT NULL,
    quantity int NOT NULL, price numeric(10,2) NOT NULL, filler text NOT NULL);
INSERT INTO order_items SELECT i, i * 17 % 80000 + 1, i * 13 % 3000, 1 + i % 5, i % 100 + 0.99, repeat('f', 40)
    FROM generate_series(1, 120000) i;

CREATE TABLE products (id int PRIMARY KEY, sku text NOT NULL, name text NOT NULL, category_id int NOT NULL,
    price numeric(10,2) NOT NULL, description text NOT NULL, attributes jsonb NOT NULL);
INSERT INTO products SELECT i, 'SKU-' || i, 'product ' || i, i % 40, i % 500 + 0.49, repeat('long text ', 120),
    jsonb_build_object('colour', 'c' || i % 12) FROM generate_series(1, 20000) i;
CREATE UNIQUE INDEX products_sku ON products (sku);
CREATE INDEX products_name_pattern ON products (name text_pattern_ops);

CREATE TABLE categories (id int PRIMARY KEY, name text NOT NULL, parent_id int);
INSERT INTO categories SELECT i, 'category ' || i, i / 4 FROM generate_series(0, 39) i;

CREATE TABLE reviews (id bigint PRIMARY KEY, product_id int NOT NULL, stars int NOT NULL, body text NOT NULL,
    written_at timestamptz NOT NULL, approved boolean NOT NULL);
INSERT INTO reviews SELECT i, i * 11 % 20000 + 1, 1 + i % 5, repeat('b', 90),
    timestamptz '2023-01-01' + i * interval '11 minutes', i % 50 <> 0 FROM generate_series(1, 60000) i;

CREATE TABLE shipments (id bigint PRIMARY KEY, order_id bigint NOT NULL, carrier text NOT NULL, tracking text NOT NULL,
    sent_at timestamptz, filler text NOT NULL);
INSERT INTO shipments SELECT i, i, 'carrier' || i % 6, 'T' || (i * 7001) % 1000003,
    timestamptz '2024-01-01' + i * interval '7 minutes', repeat('f', 60) FROM generate_series(1, 50000) i;

CREATE TABLE payments (id bigint PRIMARY KEY, order_id bigint NOT NULL, method text NOT NULL, amount numeric(12,2) NOT NULL,
    paid_at timestamptz NOT NULL, card_hash text NOT NULL, filler text NOT NULL);
INSERT INTO payments SELECT i, i, (ARRAY['card','bank','voucher'])[1 + i % 3], i % 700 + 0.1,
    timestamptz '2024-01-01' + i * interval '6 minutes', md5(i::text), repeat('f', 40) FROM generate_series(1, 50000) i;

CREATE TABLE messages (id bigint PRIMARY KEY, sender_id bigint NOT NULL, receiver_id bigint NOT NULL,
    sent_at timestamptz NOT NULL, body text NOT NULL, seen boolean NOT NULL);
INSERT INTO messages SELECT i, i * 7 % 40000, i * 29 % 40000, timestamptz '2024-01-01' + i * interval '3 minutes',
    repeat('m', 80), i % 20 <> 0 FROM generate_series(1, 80000) i;

CREATE TABLE events (id bigint PRIMARY KEY, session_id text NOT NULL, kind text NOT NULL, at timestamptz NOT NULL,
    payload text NOT NULL);
INSERT INTO events SELECT i, 's' || (i * 13) % 9000, 'k' || i % 8, timestamptz '2024-06-01' + i * interval '20 seconds',
    repeat('p', 70) FROM generate_series(1, 100000) i;

CREATE TABLE invoices (number bigint PRIMARY KEY, customer_id bigint NOT NULL, issued_on date NOT NULL, due_on date NOT NULL,
    amount numeric(12,2) NOT NULL, code text NOT NULL, filler text NOT NULL);
INSERT INTO invoices SELECT i, i * 19 % 40000 + 1, date '2022-01-01' + (i % 1000)::int, date '2022-02-01' + (i % 1000)::int,
    i % 1000 + 0.2, lpad(i::text, 8, '0'), repeat('f', 50) FROM generate_series(1, 50000) i;
CREATE INDEX invoices_issued_on ON invoices (issued_on);
CREATE INDEX invoices_code ON invoices (code);

CREATE TABLE coupons (id bigint PRIMARY KEY, code text NOT NULL, customer_id bigint, expires_on date NOT NULL);
INSERT INTO coupons SELECT i, 'C' || i, CASE WHEN i % 9 = 0 THEN NULL ELSE i * 3 % 40000 END,
    date '2026-01-01' + (i % 700)::int FROM generate_series(1, 30000) i;

CREATE TABLE blocked_customers (customer_id bigint, reason text NOT NULL);
INSERT INTO blocked_customers SELECT i * 5, 'r' FROM generate_series(1, 6000) i;
-- Nobody noticed: with it, NOT IN is never true.
INSERT INTO blocked_customers VALUES (NULL, 'unknown');

CREATE TABLE addresses (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers (id), street text NOT NULL,
    zip text NOT NULL, filler text NOT NULL);
INSERT INTO addresses SELECT i, i % 40000 + 1, 'street ' || i, lpad((i % 9000)::text, 5, '0'), repeat('f', 50)
    FROM generate_series(1, 60000) i;
CREATE INDEX addresses_customer ON addresses (customer_id);
CREATE INDEX addresses_zip ON addresses (zip);

CREATE TABLE media (id bigint PRIMARY KEY, product_id int NOT NULL, kind text NOT NULL, caption text NOT NULL, metadata text NOT NULL);
INSERT INTO media SELECT i, i % 20000 + 1, 'image', 'c' || i, repeat('metadata ', 150) FROM generate_series(1, 20000) i;
CREATE INDEX media_product ON media (product_id);

CREATE TABLE settings (key text PRIMARY KEY, value text NOT NULL);
INSERT INTO settings SELECT 'k' || i, 'v' || i FROM generate_series(1, 30) i;

CREATE TABLE stock (product_id int PRIMARY KEY, warehouse int NOT NULL, amount int NOT NULL);
INSERT INTO stock SELECT i, i % 9, i % 300 FROM generate_series(1, 20000) i;

CREATE TABLE visits (id bigint PRIMARY KEY, page text NOT NULL, visitor bigint NOT NULL, at timestamptz NOT NULL, length int NOT NULL);
INSERT INTO visits SELECT i, 'page' || i % 300, i * 37 % 20000, timestamptz '2025-01-01' + i * interval '30 seconds',
    i * 7919 % 1000003 FROM generate_series(1, 120000) i;

CREATE TABLE wishes (customer_id bigint NOT NULL, product_id int NOT NULL, added_at timestamptz NOT NULL, PRIMARY KEY (customer_id, product_id));
INSERT INTO wishes SELECT i % 20000, i / 20000, timestamptz '2025-01-01' + i * interval '1 minute' FROM generate_series(1, 80000) i;

CREATE TABLE tickets (id bigint PRIMARY KEY, customer_id bigint NOT NULL, state text NOT NULL, opened_at timestamptz NOT NULL, subject text NOT NULL);
INSERT INTO tickets SELECT i, i % 40000, CASE WHEN i % 200 = 0 THEN 'open' ELSE 'closed' END,
    timestamptz '2025-01-01' + i * interval '9 minutes', repeat('s', 70) FROM generate_series(1, 60000) i;
CREATE INDEX tickets_open ON tickets (opened_at) WHERE state = 'open';

CREATE TABLE articles (id bigint PRIMARY KEY, slug text NOT NULL, author_id bigint NOT NULL, published_at timestamptz NOT NULL,
    title text NOT NULL, body text NOT NULL);
INSERT INTO articles SELECT i, 'slug-' || i, i % 2000, timestamptz '2023-01-01' + i * interval '1 hour', 'title ' || i,
    repeat('body ', 60) FROM generate_series(1, 20000) i;
CREATE UNIQUE INDEX articles_slug ON articles (slug);
CREATE INDEX articles_author ON articles (author_id, published_at);

CREATE TABLE authors (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO authors SELECT i, 'author ' || i FROM generate_series(0, 2000) i;
";

/// Gathers statistics of everything but the tables whose lack of them is planted.
pub(crate) const ANALYZE: &str = "
VACUUM ANALYZE customers, orders, order_items, products, categories, reviews, shipments, payments, messages, events,
    invoices, coupons, blocked_customers, addresses, media, settings, stock, visits, wishes, tickets, articles, authors;
";
