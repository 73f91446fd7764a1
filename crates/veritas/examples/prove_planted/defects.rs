//! Statements that are slow for a reason, one reason each.

use veritas::model::FindingKind::{
    self, HashSpill, ImplicitCast, Misestimate, MissingIndex, NPlusOne, NonSargable, NotIn, OffsetPagination,
    RedundantStatement, Rewrite, SequentialScan, SortSpill, UnboundedResult, WideSelect,
};

use crate::case::{Case, Statement, Truth, case, integer, long, one, text};

/// A scan of a whole table that an index would spare.
const fn index() -> Truth {
    Truth::Defect(&[MissingIndex], &[SequentialScan, Misestimate])
}

/// A predicate that no index on its column can serve.
const fn predicate() -> Truth {
    Truth::Defect(&[NonSargable, ImplicitCast], &[SequentialScan, Rewrite, Misestimate])
}

const fn of(kinds: &'static [FindingKind]) -> Truth {
    // What is read whole may also be had from an index that carries it.
    Truth::Defect(kinds, &[SequentialScan, Rewrite, MissingIndex])
}

/// The same statement for each key of a list.
fn each(name: &'static str, sql: &'static str, keys: impl Iterator<Item = u64>) -> Vec<Statement> {
    keys.map(|key| Statement { name, sql, arguments: vec![long(key)] }).collect()
}

pub(crate) const MISSING_INDEXES: &[Case] = &[
    case("orders_of_customer", index(), 40, |name, n| {
        one(name, "SELECT id, total FROM orders WHERE customer_id = $1", vec![long(n * 97)])
    }),
    case("order_by_reference", index(), 40, |name, n| {
        one(name, "SELECT id, state FROM orders WHERE reference = $1", vec![text(format!("R{}", n * 6151))])
    }),
    case("items_of_order", index(), 40, |name, n| {
        one(name, "SELECT product_id, quantity FROM order_items WHERE order_id = $1", vec![long(n * 17 + 1)])
    }),
    case("reviews_of_product", index(), 40, |name, n| {
        one(name, "SELECT stars, written_at FROM reviews WHERE product_id = $1", vec![integer(n * 11 + 1)])
    }),
    case("shipment_by_tracking", index(), 40, |name, n| {
        one(
            name,
            "SELECT id, carrier FROM shipments WHERE tracking = $1",
            vec![text(format!("T{}", n * 7001))],
        )
    }),
    case("payment_by_card", index(), 40, |name, n| {
        one(name, "SELECT id, amount FROM payments WHERE card_hash = md5($1)", vec![text(n.to_string())])
    }),
    case("inbox", index(), 40, |name, n| {
        let sql = "SELECT id, body FROM messages WHERE receiver_id = $1 ORDER BY sent_at DESC LIMIT 20";
        one(name, sql, vec![long(n * 29)])
    }),
    case("session_events", index(), 40, |name, n| {
        let sql = "SELECT kind, at FROM events WHERE session_id = $1 ORDER BY at";
        one(name, sql, vec![text(format!("s{}", n * 13))])
    }),
    case("coupon_by_code", index(), 60, |name, n| {
        one(name, "SELECT id, expires_on FROM coupons WHERE code = $1", vec![text(format!("C{n}"))])
    }),
    case("tickets_of_customer", index(), 40, |name, n| {
        one(name, "SELECT id, subject FROM tickets WHERE customer_id = $1", vec![long(n * 3)])
    }),
    case("due_invoices", index(), 40, |name, n| {
        let sql = "SELECT number, amount FROM invoices WHERE customer_id = $1 AND due_on > date '2023-01-01'";
        one(name, sql, vec![long(n * 19 + 1)])
    }),
    case("customer_by_phone", index(), 40, |name, n| {
        one(name, "SELECT id FROM customers WHERE phone = $1", vec![text(format!("+49{}", n * 7919))])
    }),
    case("newest_visits", index(), 40, |name, n| {
        one(name, "SELECT page FROM visits WHERE visitor = $1 ORDER BY at DESC LIMIT 5", vec![long(n * 37)])
    }),
    case("orders_by_email", index(), 40, |name, n| {
        let sql =
            "SELECT o.id, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.email = $1";
        one(name, sql, vec![text(format!("user{}@example.com", n * 31 + 1))])
    }),
    case("mark_sent", index(), 40, |name, n| {
        one(name, "UPDATE shipments SET sent_at = now() WHERE order_id = $1", vec![long(n * 5 + 1)])
    }),
];

pub(crate) const PREDICATES: &[Case] = &[
    case("login", predicate(), 30, |name, n| {
        let sql = "SELECT id FROM customers WHERE lower(email) = $1";
        one(name, sql, vec![text(format!("user{n}@example.com"))])
    }),
    case("orders_of_day", predicate(), 30, |name, _| {
        one(
            name,
            "SELECT count(*) FROM orders WHERE date_trunc('day', placed_at) = timestamptz '2024-03-05'",
            vec![],
        )
    }),
    case("invoices_due_in_a_month", predicate(), 30, |name, _| {
        one(name, "SELECT count(*) FROM invoices WHERE issued_on + 30 = date '2022-05-01'", vec![])
    }),
    case("products_ending_in", predicate(), 30, |name, _| {
        one(name, "SELECT id FROM products WHERE name LIKE '%777'", vec![])
    }),
    case("orders_at_second", predicate(), 30, |name, _| {
        one(name, "SELECT id FROM orders WHERE extract(epoch FROM placed_at) = 1709600000", vec![])
    }),
    case("streets_of_zip", predicate(), 30, |name, n| {
        one(name, "SELECT street FROM addresses WHERE coalesce(zip, '') = $1", vec![text(format!("{n:05}"))])
    }),
    case("invoice_by_decimal", predicate(), 30, |name, n| {
        let sql = "SELECT amount FROM invoices WHERE number = ($1::text)::numeric";
        one(name, sql, vec![text(format!("{n}.0"))])
    }),
    case("product_by_text", predicate(), 30, |name, n| {
        one(name, "SELECT name FROM products WHERE id::text = $1", vec![text(n.to_string())])
    }),
    case("invoice_by_number_in_code", predicate(), 30, |name, n| {
        one(name, "SELECT amount FROM invoices WHERE code::int = $1", vec![integer(n)])
    }),
];

pub(crate) const RESULTS: &[Case] = &[
    case("orders_page", of(&[OffsetPagination]), 15, |name, n| {
        let sql = "SELECT id, total FROM orders ORDER BY placed_at LIMIT 20 OFFSET $1";
        one(name, sql, vec![long(60_000 + n * 20)])
    }),
    case("articles_page", of(&[OffsetPagination]), 15, |name, n| {
        one(
            name,
            "SELECT id, title FROM articles ORDER BY id LIMIT 20 OFFSET $1",
            vec![long(15_000 + n * 20)],
        )
    }),
    case("customers_page", of(&[OffsetPagination]), 15, |name, n| {
        one(
            name,
            "SELECT id, email FROM customers ORDER BY id LIMIT 50 OFFSET $1",
            vec![long(30_000 + n * 50)],
        )
    }),
    case("open_orders", of(&[UnboundedResult]), 6, |name, _| {
        one(name, "SELECT id, reference FROM orders WHERE state = 'open'", vec![])
    }),
    case("export_customers", of(&[UnboundedResult]), 6, |name, _| {
        one(name, "SELECT id, email FROM customers", vec![])
    }),
    case("whole_stock", of(&[UnboundedResult]), 6, |name, _| one(name, "SELECT * FROM stock", vec![])),
    case("best_reviews", of(&[UnboundedResult]), 6, |name, _| {
        one(name, "SELECT id, product_id FROM reviews WHERE stars = 5", vec![])
    }),
    case("products_in_full", of(&[WideSelect]), 30, |name, n| {
        let sql = "SELECT * FROM products WHERE id BETWEEN $1 AND $1 + 80";
        one(name, sql, vec![integer(n * 100)])
    }),
    case("newest_media", of(&[WideSelect]), 30, |name, _| {
        one(name, "SELECT * FROM media ORDER BY id DESC LIMIT 100", vec![])
    }),
    case("media_of_products", of(&[WideSelect]), 30, |name, n| {
        let sql = "SELECT * FROM media WHERE product_id BETWEEN $1 AND $1 + 90";
        one(name, sql, vec![integer(n * 100)])
    }),
    case("welcome_customers", of(&[NotIn]), 10, |name, n| {
        let sql = "SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM blocked_customers) \
                   AND id < $1 LIMIT 100";
        one(name, sql, vec![long(500 + n)])
    }),
    // Reads the list of visitors again for each coupon: it takes longer than it is from one reading
    // to the next.
    case("free_coupons", of(&[NotIn]), 1, |name, _| {
        let sql = "SELECT id FROM coupons WHERE customer_id NOT IN (SELECT visitor FROM visits) AND id > 6000 LIMIT 10";
        one(name, sql, vec![])
    }),
    case("late_coupons", of(&[NotIn]), 5, |name, n| {
        let sql = "SELECT id FROM coupons WHERE id > $1 AND customer_id NOT IN (SELECT visitor FROM visits) LIMIT 5";
        one(name, sql, vec![long(20_000 + n)])
    }),
    case("visits_ranked", of(&[SortSpill]), 8, |name, _| {
        let sql =
            "SELECT max(place) FROM (SELECT row_number() OVER (ORDER BY length) AS place FROM visits) ranked";
        one(name, sql, vec![])
    }),
    case("last_page_of_each", of(&[SortSpill]), 8, |name, _| {
        let sql = "SELECT count(*) FROM (SELECT DISTINCT ON (visitor) visitor, page FROM visits \
                   ORDER BY visitor, length DESC) last";
        one(name, sql, vec![])
    }),
    case("items_with_orders", Truth::Defect(&[HashSpill], &[SortSpill]), 8, |name, _| {
        let sql = "SELECT count(o.filler || i.filler) FROM orders o JOIN order_items i ON i.order_id = o.id";
        one(name, sql, vec![])
    }),
    case(
        "cars_of_model",
        Truth::Defect(&[Misestimate], &[SequentialScan, MissingIndex, UnboundedResult]),
        20,
        |name, n| {
            let sql = "SELECT id FROM cars WHERE make = 'make' || ($1 % 40) AND model = 'model' || ($1 % 40)";
            one(name, sql, vec![integer(n)])
        },
    ),
];

const REPEATED: Truth = Truth::Defect(&[NPlusOne], &[]);

pub(crate) const REQUESTS: &[Case] = &[
    case("author_of_article", REPEATED, 8, |name, n| {
        each(name, "SELECT name FROM authors WHERE id = $1", (0..12).map(|i| n * 12 + i))
    }),
    case("addresses_of_customer", REPEATED, 8, |name, n| {
        each(name, "SELECT street FROM addresses WHERE customer_id = $1", (1..13).map(|i| n * 12 + i))
    }),
    case("wishes_of_customer", REPEATED, 8, |name, n| {
        each(name, "SELECT product_id FROM wishes WHERE customer_id = $1", (0..10).map(|i| n * 10 + i))
    }),
    case("order_of_basket", REPEATED, 8, |name, n| {
        each(name, "SELECT total FROM orders WHERE id = $1", (1..16).map(|i| n * 15 + i))
    }),
    case("article_of_feed", REPEATED, 8, |name, n| {
        each(name, "SELECT title FROM articles WHERE id = $1", (1..9).map(|i| n * 8 + i))
    }),
    case("invoice_of_statement", REPEATED, 8, |name, n| {
        each(name, "SELECT amount FROM invoices WHERE number = $1", (1..11).map(|i| n * 10 + i))
    }),
    case("points_again", Truth::Defect(&[RedundantStatement], &[]), 8, |name, n| {
        each(name, "SELECT points FROM customers WHERE id = $1", std::iter::repeat_n(n + 1, 6))
    }),
    case("category_again", Truth::Defect(&[RedundantStatement], &[]), 8, |name, _| {
        let sql = "SELECT id, name FROM categories ORDER BY id";
        std::iter::repeat_n(Statement { name, sql, arguments: vec![] }, 6).collect()
    }),
    case("tax_again", Truth::Defect(&[RedundantStatement], &[]), 8, |name, _| {
        let sql = "SELECT value FROM settings WHERE key = $1";
        std::iter::repeat_n(Statement { name, sql, arguments: vec![text("k7")] }, 6).collect()
    }),
    case("log_lines", Truth::Defect(&[FindingKind::ChattyLoop], &[]), 6, |name, n| {
        let sql = "INSERT INTO log_lines (request, line) VALUES ($1, $2)";
        let of = |line| Statement { name, sql, arguments: vec![long(n), integer(line)] };
        (0..60).map(of).collect()
    }),
    case("stock_taking", Truth::Defect(&[FindingKind::ChattyLoop], &[]), 6, |name, n| {
        let sql = "UPDATE stock SET amount = amount + 1 WHERE product_id = $1";
        let of = |product| Statement { name, sql, arguments: vec![integer(n * 60 + product + 1)] };
        (0..60).map(of).collect()
    }),
];
