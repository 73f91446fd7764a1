//! Proves that fingerprints group statements as `pg_stat_statements` does: 15,000 statements
//! of 2,500 templates are run on a real server, and the two groupings compared pair by pair.
//!
//! Needs PostgreSQL. `cargo xtask prove fingerprints`; takes half a minute. An argument is
//! another seed.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

#[path = "../tests/it/grouping/comparison.rs"]
mod comparison;
#[path = "../tests/it/grouping/server.rs"]
mod server;
#[path = "../tests/it/grouping/statements.rs"]
mod statements;

use comparison::Agreement;
use server::Counting;
use statements::{Author, SCHEMA};

const TEMPLATES: usize = 2_500;
const TIMES: usize = 6;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(20_261_123);
    let server = Counting::start(SCHEMA).await;
    server.forget();
    let statements = server.see(Author::new(seed).statements(TEMPLATES, TIMES)).await;
    let agreement = Agreement::of(&statements);
    println!("seed {seed}\n{agreement}");

    let texts = server.texts();
    let counted = statements.iter().filter(|statement| texts.contains_key(&statement.theirs)).count();
    let found = statements
        .iter()
        .filter(|statement| {
            texts.get(&statement.theirs).is_some_and(|shown| shown.contains_key(&statement.ours))
        })
        .count();
    println!("query ids counted by pg_stat_statements: of {counted} of {} statements", statements.len());
    println!("its normalized text has our fingerprint: for {found} of {} statements", statements.len());
    assert!(agreement.share() >= 0.999, "groupings differ");
    assert_eq!(counted, statements.len(), "the server forgot statements");
    assert!(found * 1_000 >= statements.len() * 999, "what the server shows is another statement to us");
}
