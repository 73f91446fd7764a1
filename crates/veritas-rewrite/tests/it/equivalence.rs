//! Every rule on random databases of real engines, and wrong variants that must be refuted.
//! The long form, with ten thousand databases, is the example `prove_rewrites`.

use veritas_rewrite::{
    Dialect, Rewrite, Rule,
    fuzz::{Database, Effort, Report, check},
    rewrites_for,
};

use crate::{
    cases::{CASES, Case, schema},
    postgres::Postgres,
    random::random_statements,
    sqlite::Sqlite,
};

fn offered(case: &Case, dialect: Dialect) -> Rewrite {
    let sql = Case::written(case.sql, dialect);
    let offered = rewrites_for(&sql, dialect, &schema(), &case.usage()).expect("the case parses");
    offered
        .into_iter()
        .find(|rewrite| rewrite.rule == case.rule)
        .unwrap_or_else(|| panic!("{:?} offers nothing for {sql}", case.rule))
}

fn fuzzed(
    case: &Case,
    rewrite: &Rewrite,
    dialect: Dialect,
    databases: u32,
    database: &mut impl Database,
) -> Report {
    let sql = Case::written(case.sql, dialect);
    let effort = Effort { seed: 7, databases, parameter_sets: 2 };
    check(&sql, rewrite, dialect, &schema(), database, &effort)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn every_rule_returns_the_same_on_postgresql() {
    let server = veritas_testkit::Postgres::start().database();
    let mut database = Postgres::with(&server.url(), &schema());
    for case in CASES {
        let rewrite = offered(case, Dialect::PostgreSql);
        let report = fuzzed(case, &rewrite, Dialect::PostgreSql, 25, &mut database);
        assert!(report.agrees(), "{}\n{}\n{report:#?}", case.sql, rewrite.sql);
    }
}

#[test]
fn every_rule_returns_the_same_on_sqlite() {
    let mut database = Sqlite::with(&schema());
    for case in CASES.iter().filter(|case| case.sqlite) {
        let rewrite = offered(case, Dialect::Sqlite);
        let report = fuzzed(case, &rewrite, Dialect::Sqlite, 200, &mut database);
        assert!(report.agrees(), "{}\n{}\n{report:#?}", case.sql, rewrite.sql);
    }
}

#[test]
fn every_wrong_variant_is_refuted() {
    let server = veritas_testkit::Postgres::start().database();
    let mut database = Postgres::with(&server.url(), &schema());
    for case in CASES {
        for (why, sql) in case.mutants {
            let mutant = Rewrite { sql: (*sql).to_owned(), ..offered(case, Dialect::PostgreSql) };
            let report = fuzzed(case, &mutant, Dialect::PostgreSql, 250, &mut database);
            let mismatch = report.mismatch.unwrap_or_else(|| panic!("not refuted: {why}\n{sql}"));
            // Refuted by its rows, not because it does not run.
            assert_eq!(mismatch.failure, None, "{why}\n{sql}");
        }
    }
}

#[test]
fn every_rule_has_a_case_and_a_wrong_variant() {
    for rule in Rule::ALL {
        let mut cases = CASES.iter().filter(|case| case.rule == rule);
        assert!(cases.any(|case| !case.mutants.is_empty()), "{rule:?}");
    }
}

#[test]
fn what_is_offered_for_random_statements_returns_the_same_on_postgresql() {
    let server = veritas_testkit::Postgres::start().database();
    let mut database = Postgres::with(&server.url(), &schema());
    let tried = random_statements(60, 4, 1, &mut database, |failed| panic!("{failed}"));
    assert!(tried.values().sum::<u32>() > 30, "{tried:?}");
}
