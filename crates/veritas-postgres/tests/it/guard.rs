//! The guard against a real server: nothing escapes, and what is harmless is explained.

use veritas_postgres::{
    guard::{ExplainError, Guard, Parameters},
    session::{ConnectOptions, Session},
};

use crate::proof::{HIDDEN_PATH, World};

#[test]
fn nothing_escapes_from_explain_and_what_is_harmless_is_explained() {
    let mut world = World::new();
    let catalogues = world.catalogues();
    let harmless = world.explain_harmless();
    assert!(harmless.wrongly_refused.is_empty(), "{:#?}", harmless.wrongly_refused);
    let escapes = world.escapes();
    let tally = world.attack(&escapes, "");
    assert!(tally.escaped.is_empty(), "{:#?}", tally.escaped);
    assert!(tally.statements >= 200 && tally.explained <= 5, "{tally:?}");
    let hidden = world.attack(&World::hidden(), HIDDEN_PATH);
    assert!(hidden.escaped.is_empty() && hidden.explained == 0, "{hidden:?}");
    assert_eq!(world.catalogues(), catalogues);
}

/// The texts that the server keeps, of the statements of applications.
const KEPT: &str = "SELECT s.query FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
    WHERE d.datname = current_database() AND s.query !~* '^(begin|rollback|create|select pg_stat)'";

#[test]
fn statements_are_explained_as_pg_stat_statements_keeps_them() {
    let database = World::counting();
    let options = ConnectOptions::new(database.url());
    let mut application = Session::connect_writing(&options).unwrap();
    let runs = World::harmless().into_iter().filter(|sql| !sql.contains("$1"));
    for sql in runs {
        // Some would break a constraint, and are counted by nobody then.
        let _rows = application.simple(&format!("BEGIN; {sql}\n"));
        application.batch("ROLLBACK").unwrap();
    }
    let kept = application.simple(KEPT).unwrap();
    let mut session = Session::connect(&options).unwrap();
    let mut wrong = Vec::new();
    let mut untyped = 0;
    for sql in kept.iter().flatten().flatten() {
        match Guard::new(&mut session).check(sql) {
            Err(refusal) => wrong.push(format!("{sql}: {refusal}")),
            Ok(explainable) => {
                match explainable.explain(&mut session, Parameters::Unknown) {
                    Ok(_) => {}
                    // `SELECT $1 + $2`: nobody can tell of what type they were.
                    Err(ExplainError::Types { .. }) => untyped += 1,
                    Err(error) => wrong.push(format!("{sql}: {error:?}")),
                }
            }
        }
    }
    assert!(
        kept.len() > 50 && wrong.is_empty() && untyped <= 3,
        "{untyped} and {} of {}: {wrong:#?}",
        wrong.len(),
        kept.len()
    );
}
