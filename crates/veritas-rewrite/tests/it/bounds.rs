//! Whatever the text: an answer or an error, never a panic, always the same.

use proptest::prelude::*;
use veritas_rewrite::{Dialect, MAX_BYTES, RewriteError, Schema, Usage, index_hints, rewrites, rewrites_for};

use crate::cases::{CASES, schema};

const DIALECTS: [Dialect; 3] = [Dialect::PostgreSql, Dialect::Sqlite, Dialect::MySql];

/// Whatever is offered parses again, in the same dialect, and a rewrite of it is found or not.
fn survives(sql: &str) {
    let usage = Usage { repeated: true, columns: Some(vec!["id".into(), "status".into()]) };
    for dialect in DIALECTS {
        let first = rewrites_for(sql, dialect, &schema(), &usage);
        assert_eq!(first, rewrites_for(sql, dialect, &schema(), &usage));
        drop(index_hints(sql, dialect, &schema()));
        for rewrite in first.into_iter().flatten() {
            let again = rewrites(&rewrite.sql, dialect, &schema());
            assert!(again.is_ok(), "{sql}\n{}\n{again:?}", rewrite.sql);
        }
    }
}

/// Cuts, repeats and swaps pieces of the cases' statements.
fn mutated() -> impl Strategy<Value = String> {
    let piece = (0..CASES.len(), 0..=100_usize, 0..=100_usize);
    prop::collection::vec(piece, 1..4).prop_map(|pieces| {
        let words = |(case, from, to): (usize, usize, usize)| {
            let words: Vec<&str> = CASES[case].sql.split_inclusive([' ', '(', ')', ',']).collect();
            let at = |percent: usize| words.len() * percent / 100;
            let (from, to) = (at(from.min(to)), at(from.max(to)));
            // The whole, without a piece, or a piece only.
            if from % 2 == 0 { [&words[..from], &words[to..]].concat() } else { words[from..to].to_vec() }
        };
        pieces.into_iter().flat_map(words).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_survived(text in "\\PC{0,200}") {
        survives(&text);
    }

    #[test]
    fn arbitrary_words_of_sql_are_survived(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "SELECT", "DISTINCT", "*", "id", "o.id", "count(*)", ",", "FROM", "orders", "o", "customers c",
                "JOIN", "LEFT JOIN", "ON", "c.id = o.customer_id", "WHERE", "NOT", "IN", "(", ")", "OR", "AND",
                "EXISTS", "=", "<", "$1", "?", "'a'", "7", "NULL", "GROUP BY", "HAVING", "ORDER BY", "LIMIT",
                "OFFSET", "UNION", "ALL", "coalesce(age, 0)", "date(created_at)", "::text", "->>", "-", "AS x",
            ]),
            0..40,
        )
    ) {
        survives(&words.join(" "));
    }

    #[test]
    fn mutated_statements_are_survived(sql in mutated()) {
        survives(&sql);
    }
}

#[test]
fn chains_as_long_as_the_bound_do_not_exhaust_the_stack() {
    for (begin, link, most) in [
        ("SELECT id FROM orders WHERE 1", " + 1", 990),
        ("SELECT id FROM orders WHERE id = 1", " OR id = 2", 330),
        ("SELECT id FROM orders", " UNION SELECT id FROM orders", 240),
        ("SELECT id FROM orders WHERE id IS NULL", " IS NULL", 490),
        ("SELECT id::int", "::int", 490),
    ] {
        let sql = format!("{begin}{}", link.repeat(most));
        for dialect in DIALECTS {
            drop(rewrites(&sql, dialect, &schema()));
        }
        assert!(
            rewrites(&sql, Dialect::PostgreSql, &schema()).is_ok(),
            "{begin}: {:?}",
            rewrites(&sql, Dialect::PostgreSql, &schema()).err()
        );
        let beyond = format!("{begin}{}", link.repeat(1_100));
        assert_eq!(
            rewrites(&beyond, Dialect::PostgreSql, &Schema::default()).err(),
            Some(RewriteError::TooComplex),
            "{begin}"
        );
    }
    let nested = format!("SELECT {}1{}", "(".repeat(400), ")".repeat(400));
    assert_eq!(rewrites(&nested, Dialect::PostgreSql, &schema()), Err(RewriteError::NotParsed));
}

#[test]
fn what_is_no_single_query_within_the_bounds_is_refused() {
    let refused = |sql: &str| rewrites(sql, Dialect::PostgreSql, &schema()).err();
    assert_eq!(
        refused(&format!("SELECT '{}'", "x".repeat(MAX_BYTES))),
        Some(RewriteError::TooLong { bytes: MAX_BYTES + 9 })
    );
    assert_eq!(refused("SELECT 1; SELECT 2"), Some(RewriteError::NotAQuery));
    assert_eq!(refused("DELETE FROM orders"), Some(RewriteError::NotAQuery));
    assert_eq!(refused("SELEC 1"), Some(RewriteError::NotParsed));
    assert_eq!(refused(""), Some(RewriteError::NotAQuery));
}
