//! What is proposed, and what is left alone.

use veritas_database::{
    Value,
    sqlite::{AdvisorOptions, IndexAdvisor},
};
use veritas_model::Timestamp;

use crate::sqlite_shop::Shop;

#[track_caller]
fn check_proposed(sql: &str, vectors: &[Vec<Value>], expected: &[&str]) {
    let shop = Shop::small();
    shop.run(sql, vectors);
    shop.run(sql, vectors);
    let advice = shop.advise();
    let summaries: Vec<&str> = advice.proposals.iter().map(|proposal| proposal.summary.as_str()).collect();
    assert_eq!(summaries, expected, "{sql}\n{}\n{:#?}", shop.plan(sql), advice.skipped);
    assert_eq!(advice.findings.len(), expected.len());
    assert_eq!(advice.failure, None);
}

fn number(value: i64) -> Vec<Vec<Value>> {
    vec![vec![value.into()]]
}

#[test]
fn what_reads_whole_tables_gets_an_index() {
    check_proposed("SELECT * FROM orders WHERE user_id = ?", &number(7), &["index on orders(user_id)"]);
    check_proposed("SELECT count(*) FROM orders WHERE made > ?", &number(99_900), &["index on orders(made)"]);
    check_proposed(
        "SELECT * FROM orders WHERE state = 'open' AND user_id = ? AND made > 5",
        &number(7),
        &["index on orders(user_id, state, made)"],
    );
    check_proposed(
        "SELECT * FROM orders WHERE user_id = ? ORDER BY made DESC LIMIT 5",
        &number(7),
        &["index on orders(user_id, made)"],
    );
    check_proposed("SELECT * FROM orders ORDER BY made DESC LIMIT 5", &[vec![]], &["index on orders(made)"]);
    check_proposed("SELECT * FROM orders o WHERE o.year = ?", &number(7), &["index on orders(year)"]);
    check_proposed("SELECT price FROM prices WHERE price = ?", &number(7), &["index on prices(price)"]);
    check_proposed(
        "SELECT * FROM users JOIN orders ON orders.user_id = users.id WHERE users.id = ?",
        &number(7),
        &["index on orders(user_id)"],
    );
    check_proposed(
        "UPDATE orders SET total = 0 WHERE user_id = ?",
        &number(7),
        &["index on orders(user_id)"],
    );
    check_proposed("DELETE FROM orders WHERE user_id = ?", &number(-1), &["index on orders(user_id)"]);
}

#[test]
fn what_no_index_helps_is_left_alone() {
    check_proposed("SELECT * FROM orders WHERE id = ?", &number(7), &[]);
    check_proposed("SELECT * FROM orders", &[vec![]], &[]);
    check_proposed("SELECT * FROM tags WHERE name = ?", &[vec!["a".into()]], &[]);
    check_proposed("SELECT * FROM orders WHERE user_id + 1 = ?", &number(7), &[]);
    check_proposed("SELECT * FROM orders WHERE user_id <> ?", &number(7), &[]);
    check_proposed("SELECT * FROM orders ORDER BY made", &[vec![]], &[]);
    check_proposed("SELECT * FROM prices WHERE sku = ? AND region = 1", &[vec!["sku1".into()]], &[]);
    check_proposed("SELECT * FROM open_orders WHERE user_id = ?", &number(7), &[]);
    check_proposed("INSERT INTO tags(name) VALUES (?)", &[vec!["d".into()]], &[]);
    check_proposed("SELECT * FROM sqlite_schema WHERE name = ?", &[vec!["d".into()]], &[]);
    check_proposed("CREATE TABLE IF NOT EXISTS x(a)", &[vec![]], &[]);
    check_proposed("SELECT value FROM json_each('[1, 2]') WHERE value = ?", &number(1), &[]);
}

#[track_caller]
fn check_with_index(index: &str, sql: &str, expected: &[&str]) {
    let shop = Shop::small();
    shop.connection.execute_batch(index).expect("the index is right");
    shop.run(sql, &number(7));
    shop.run(sql, &number(8));
    let advice = shop.advise();
    let summaries: Vec<&str> = advice.proposals.iter().map(|proposal| proposal.summary.as_str()).collect();
    assert_eq!(summaries, expected, "{index}\n{sql}\n{}\n{:#?}", shop.plan(sql), advice.skipped);
}

#[test]
fn an_index_that_is_there_is_not_proposed_again() {
    let by_user = "SELECT * FROM orders WHERE user_id = ?";
    check_with_index("CREATE INDEX i ON orders(user_id)", by_user, &[]);
    check_with_index("CREATE INDEX i ON orders(user_id DESC, made)", by_user, &[]);
    check_with_index("CREATE UNIQUE INDEX i ON orders(user_id, id)", by_user, &[]);
    // These do not serve it.
    check_with_index("CREATE INDEX i ON orders(made, user_id)", by_user, &["index on orders(user_id)"]);
    check_with_index(
        "CREATE INDEX i ON orders(user_id) WHERE user_id = 5",
        by_user,
        &["index on orders(user_id)"],
    );
    check_with_index("CREATE INDEX i ON orders(user_id + 0)", by_user, &["index on orders(user_id)"]);
    check_with_index(
        "CREATE INDEX i ON users(email COLLATE NOCASE)",
        "SELECT * FROM users WHERE email = ?",
        &["index on users(email)"],
    );
}

#[test]
fn one_wide_index_serves_two_statements() {
    let shop = Shop::small();
    for _ in 0..2 {
        shop.run("SELECT * FROM orders WHERE user_id = ?", &number(7));
        shop.run("SELECT * FROM orders WHERE user_id = ? ORDER BY made LIMIT 3", &number(7));
    }
    let advice = shop.advise();
    assert_eq!(advice.findings.len(), 2);
    assert_eq!(advice.proposals.len(), 1);
    assert_eq!(advice.proposals[0].summary, "index on orders(user_id, made)");
}

#[test]
fn literals_stay_out_of_what_is_found() {
    let shop = Shop::small();
    for secret in ["4711-secret", "4712-secret"] {
        shop.run(&format!("SELECT * FROM users WHERE email = '{secret}'"), &[vec![]]);
        shop.run("SELECT * FROM orders WHERE state = ?", &[vec![secret.into()]]);
    }
    let advice = shop.advise();
    assert_eq!(advice.proposals.len(), 2, "{advice:#?}");
    assert!(!format!("{advice:?}").contains("secret"));
}

#[test]
fn attached_files_are_out_of_reach() {
    let shop = Shop::small();
    let other = shop.directory.path().join("other.sqlite");
    shop.connection.execute("ATTACH ?1 AS other", [other.to_str().unwrap()]).unwrap();
    shop.connection
        .execute_batch("CREATE TABLE other.far AS SELECT * FROM orders; CREATE TABLE other.orders AS SELECT * FROM orders")
        .unwrap();
    for _ in 0..2 {
        shop.run("SELECT * FROM far WHERE user_id = ?", &number(7));
        shop.run("SELECT * FROM other.orders WHERE user_id = ?", &number(7));
    }
    let advice = shop.advise();
    assert!(advice.proposals.is_empty() && advice.findings.is_empty(), "{advice:#?}");
    assert_eq!(advice.skipped.len(), 2);
}

#[test]
fn rare_statements_and_those_beyond_the_bound_wait() {
    let shop = Shop::small();
    shop.run("SELECT * FROM orders WHERE made = ?", &number(7));
    assert!(shop.advise().proposals.is_empty(), "one call is no load");
    shop.run("SELECT * FROM orders WHERE made = ?", &number(7));
    assert_eq!(shop.advise().proposals.len(), 1);
    let options = AdvisorOptions { statements: 0, ..AdvisorOptions::default() };
    let advisor = IndexAdvisor::with_options(shop.target.clone(), options);
    assert!(advisor.advise(&shop.recorder.snapshot(), Timestamp::default()).proposals.is_empty());
}

#[test]
fn a_file_that_is_gone_is_said_and_nothing_breaks() {
    let shop = Shop::small();
    shop.run("SELECT * FROM orders WHERE made = ?", &number(7));
    let target = shop.target.clone();
    let snapshot = shop.recorder.snapshot();
    drop(shop);
    let advice = IndexAdvisor::new(target).advise(&snapshot, Timestamp::default());
    assert!(advice.failure.is_some() && advice.proposals.is_empty());
}
