//! Statements that look like defects and are none.

use veritas::model::FindingKind::{MissingIndex, RedundantStatement, Rewrite, SequentialScan};

use crate::case::{Case, Statement, Truth, case, integer, long, one, text};

const FINE: Truth = Truth::Decoy(&[]);
/// It reads the whole table because it must: that may be said, and that an index would be read faster.
const WHOLE: Truth = Truth::Decoy(&[SequentialScan, Rewrite, MissingIndex]);

macro_rules! alone {
    ($($name:literal: $truth:ident, $requests:literal, $sql:literal, $n:ident => [$($argument:expr),*];)+) => {
        &[$(case($name, $truth, $requests, |name, $n| {
            let _ = $n;
            one(name, $sql, vec![$($argument),*])
        })),+]
    };
}

pub(crate) const STATEMENTS: &[Case] = alone! {
    "children_of_category": FINE, 30, "SELECT name FROM categories WHERE parent_id = $1", n => [integer(n % 10)];
    "setting_by_value": FINE, 30, "SELECT key FROM settings WHERE value = $1", n => [text(format!("v{n}"))];
    "customer": FINE, 30, "SELECT email FROM customers WHERE id = $1", n => [long(n + 1)];
    "customer_by_email": FINE, 30, "SELECT id FROM customers WHERE email = $1", n => [text(format!("user{n}@example.com"))];
    "turnover": WHOLE, 5, "SELECT sum(total) FROM orders", n => [];
    "orders_by_state": WHOLE, 5, "SELECT state, count(*) FROM orders GROUP BY state", n => [];
    "orders_not_open": WHOLE, 5, "SELECT count(*) FROM orders WHERE state <> 'open'", n => [];
    "orders_of_hour": FINE, 30, "SELECT id FROM orders WHERE placed_at >= timestamptz '2024-02-01' AND placed_at < timestamptz '2024-02-01 01:00'", n => [];
    "newest_orders": FINE, 30, "SELECT id, total FROM orders ORDER BY placed_at DESC LIMIT 20", n => [];
    "customers_of_city": FINE, 30, "SELECT id FROM customers WHERE lower(city) = $1 LIMIT 50", n => [text(format!("city{}", n % 400))];
    "products_named": FINE, 30, "SELECT id FROM products WHERE name LIKE 'product 77%' LIMIT 50", n => [];
    "open_tickets": FINE, 30, "SELECT id, subject FROM tickets WHERE state = 'open' ORDER BY opened_at LIMIT 10", n => [];
    "orders_after": FINE, 30, "SELECT id FROM orders WHERE placed_at > timestamptz '2024-03-01' ORDER BY placed_at LIMIT 20", n => [];
    "first_pages": FINE, 30, "SELECT id, email FROM customers ORDER BY id LIMIT 20 OFFSET $1", n => [long(n % 3 * 20)];
    "products_but_three": FINE, 30, "SELECT id FROM products WHERE id NOT IN (1, 2, 3) AND id < 100", n => [];
    "not_blocked": FINE, 30, "SELECT c.points FROM customers c WHERE c.id = $1 AND NOT EXISTS (SELECT 1 FROM categories k WHERE k.id = c.id)", n => [long(n + 1)];
    "stock_row": FINE, 30, "SELECT * FROM stock WHERE product_id = $1", n => [integer(n + 1)];
    "all_categories": FINE, 30, "SELECT * FROM categories", n => [];
    "all_settings": FINE, 30, "SELECT * FROM settings ORDER BY key", n => [];
    "warehouses": WHOLE, 5, "SELECT DISTINCT warehouse FROM stock", n => [];
    "three_products": FINE, 30, "SELECT name FROM products WHERE id IN ($1, $2, $3)", n => [integer(n + 1), integer(n + 7), integer(n + 9)];
    "products_of_list": FINE, 30, "SELECT name FROM products WHERE id = ANY (string_to_array($1, ',')::int[])", n => [text(format!("{},{},{}", n + 1, n + 2, n + 3))];
    "points_up": FINE, 30, "UPDATE customers SET points = points + 1 WHERE id = $1", n => [long(n + 1)];
    "log_trim": FINE, 30, "DELETE FROM log_lines WHERE request = $1 AND line = -1", n => [long(n)];
    "order_with_customer": FINE, 30, "SELECT o.total, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = $1", n => [long(n + 1)];
    "turnover_of_day": FINE, 30, "SELECT sum(total) FROM orders WHERE placed_at >= timestamptz '2024-04-01' AND placed_at < timestamptz '2024-04-02'", n => [];
    "streets_sorted": FINE, 30, "SELECT street FROM addresses WHERE customer_id = $1 ORDER BY street", n => [long(n + 1)];
    "two_customers": FINE, 30, "SELECT email FROM customers WHERE id = $1 UNION SELECT email FROM customers WHERE id = $2", n => [long(n + 1), long(n + 2)];
    "customer_in_with": FINE, 30, "WITH picked AS (SELECT * FROM customers WHERE id = $1) SELECT email, points FROM picked", n => [long(n + 1)];
    "has_address": FINE, 30, "SELECT EXISTS (SELECT 1 FROM addresses WHERE customer_id = $1)", n => [long(n + 1)];
    "articles_of_author": FINE, 30, "SELECT title FROM articles WHERE author_id = $1 ORDER BY published_at DESC LIMIT 5", n => [long(n)];
    "turnover_by_day": FINE, 30, "SELECT date_trunc('day', placed_at) AS day, count(*) FROM orders WHERE placed_at >= timestamptz '2024-05-01' AND placed_at < timestamptz '2024-05-05' GROUP BY 1", n => [];
    "identity_as_text": FINE, 30, "SELECT id::text FROM customers WHERE id = $1", n => [long(n + 1)];
    "customer_by_typed_text": FINE, 30, "SELECT points FROM customers WHERE id = ($1::text)::bigint", n => [text((n + 1).to_string())];
    "customer_by_lowered": FINE, 30, "SELECT id FROM customers WHERE email = lower($1)", n => [text(format!("USER{n}@example.com"))];
    "invoices_of_day": FINE, 30, "SELECT number FROM invoices WHERE issued_on = date '2022-03-01' + 30 LIMIT 100", n => [];
    "first_thousand": FINE, 6, "SELECT id FROM customers ORDER BY id LIMIT 900", n => [];
    "no_table": FINE, 30, "SELECT $1::bigint + 1", n => [long(n)];
    "ping": FINE, 30, "SELECT 1", n => [];
    "server_time": FINE, 30, "SELECT now()", n => [];
    "newest_order_time": FINE, 30, "SELECT max(placed_at) FROM orders", n => [];
    "either_email": FINE, 30, "SELECT id FROM customers WHERE email = $1 OR email = $2", n => [text(format!("user{n}@example.com")), text("nobody")];
    "id_or_email": FINE, 30, "SELECT points FROM customers WHERE id = $1 OR email = $2", n => [long(n + 1), text("nobody")];
    "any_event": FINE, 30, "SELECT id FROM events LIMIT 1", n => [];
    "description": FINE, 30, "SELECT description FROM products WHERE id = $1", n => [integer(n + 1)];
    "put_stock": FINE, 30, "INSERT INTO stock VALUES ($1, 1, 5) ON CONFLICT (product_id) DO UPDATE SET amount = excluded.amount", n => [integer(n + 1)];
    "colour": FINE, 30, "SELECT attributes ->> 'colour' FROM products WHERE id = $1", n => [integer(n + 1)];
    "addresses_numbered": FINE, 30, "SELECT row_number() OVER (ORDER BY street), street FROM addresses WHERE customer_id = $1", n => [long(n + 1)];
    "some_customers": FINE, 30, "SELECT id, email FROM customers WHERE id BETWEEN $1 AND $1 + 20", n => [long(n * 20)];
    "article_by_slug": FINE, 30, "SELECT title FROM articles WHERE slug = $1", n => [text(format!("slug-{n}"))];
    "products_of_page": FINE, 30, "SELECT p.name, c.name FROM products p JOIN categories c ON c.id = p.category_id WHERE p.id BETWEEN $1 AND $1 + 20", n => [integer(n * 20)];
    "mean_price": WHOLE, 5, "SELECT category_id, avg(price) FROM products GROUP BY category_id", n => [];
};

/// The same place asks several things, and none of it too often.
pub(crate) const REQUESTS: &[Case] = &[
    case("few_authors", FINE, 10, |name, n| {
        let sql = "SELECT upper(name) FROM authors WHERE id = $1";
        (0..3).map(|i| Statement { name, sql, arguments: vec![long(n * 3 + i)] }).collect()
    }),
    // Twice is redundant, if not much.
    case("asked_twice", Truth::Decoy(&[RedundantStatement]), 10, |name, n| {
        let sql = "SELECT city FROM customers WHERE id = $1";
        vec![Statement { name, sql, arguments: vec![long(n + 1)] }; 2]
    }),
    case("four_things", FINE, 10, |name, n| {
        let sqls = [
            "SELECT joined_on FROM customers WHERE id = $1",
            "SELECT count(*) FROM addresses WHERE customer_id = $1",
            "SELECT count(*) FROM wishes WHERE customer_id = $1",
            "SELECT state FROM orders WHERE id = $1",
        ];
        sqls.map(|sql| Statement { name, sql, arguments: vec![long(n + 1)] }).to_vec()
    }),
    case("three_lines", FINE, 10, |name, n| {
        let sql = "INSERT INTO log_lines (request, line) VALUES ($1, $2) RETURNING line";
        (0..3).map(|line| Statement { name, sql, arguments: vec![long(n), integer(line)] }).collect()
    }),
    case("lines_at_once", FINE, 10, |name, n| {
        one(name, "INSERT INTO log_lines (request, line) SELECT $1, generate_series(1, 50)", vec![long(n)])
    }),
];
