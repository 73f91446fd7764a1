//! Fingerprints group statements as `pg_stat_statements` does; the long form is the
//! example `prove_fingerprints`.

mod comparison;
mod forms;
mod server;
mod spellings;
mod statements;

use comparison::Agreement;
use forms::FORMS;
use server::Counting;
use spellings::{Ours, SPELLINGS};
use statements::{Author, SCHEMA};
use veritas_database::fingerprint::{fingerprint, normalize};

#[tokio::test]
async fn statements_of_an_application_are_grouped_as_the_server_groups_them() {
    let server = Counting::start(SCHEMA).await;
    let seen = server.see(Author::new(7).statements(120, 5)).await;
    let agreement = Agreement::of(&seen);
    assert!(agreement.share() >= 0.999, "{agreement}");
    assert!(agreement.theirs > 120 && agreement.joined_lists > 0, "{agreement}");

    // What the server shows is found again among what was recorded.
    let texts = server.texts();
    for statement in &seen {
        let shown = texts.get(&statement.theirs).unwrap_or_else(|| panic!("counted: {}", statement.sql));
        assert!(shown.contains_key(&statement.ours), "{}", statement.sql);
    }
}

#[tokio::test]
async fn what_the_server_shows_is_the_application_s_statement() {
    let server = Counting::start(SCHEMA).await;
    let mut differing = Vec::new();
    for sql in FORMS {
        // The server shows the text that it saw first of one statement in two spellings.
        server.forget();
        let id = match server.query_id(sql).await {
            Ok(id) => id,
            Err(refusal) => panic!("{refusal}"),
        };
        let texts = server.texts();
        let shown = texts.get(&id).unwrap_or_else(|| panic!("counted: {sql}"));
        if !shown.contains_key(&fingerprint(sql).as_u64()) {
            let theirs: Vec<_> = shown.values().map(|text| normalize(text)).collect();
            differing.push((sql, normalize(sql), theirs));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

#[tokio::test]
async fn what_differs_by_design_is_what_is_written_down() {
    let server = Counting::start(SCHEMA).await;
    for (left, right, expected) in SPELLINGS {
        let theirs = server.query_id(left).await.unwrap() == server.query_id(right).await.unwrap();
        let ours = fingerprint(left) == fingerprint(right);
        let found = match (ours, theirs) {
            (true, false) => Ours::Joins,
            (false, true) => Ours::Splits,
            _ => Ours::Agrees,
        };
        assert_eq!(found, expected, "{left} | {right}: ours together {ours}, theirs {theirs}");
    }
}
