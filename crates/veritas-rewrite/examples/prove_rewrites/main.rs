//! Proves the rules on real engines, refutes wrong variants of them, and measures what each saves.
//!
//! Fails when one of 10,000 random databases tells a rewrite from its statement, when a
//! wrong variant is told from it by none, or when fewer than five kinds save nine tenths
//! of what their statement costs on the demo's tables.

#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

use veritas_rewrite::{
    Dialect, Rewrite,
    fuzz::{Database, Effort, Report, check},
    rewrites_for,
};

#[path = "../../tests/it/cases.rs"]
mod cases;
mod measure;
#[path = "../../tests/it/postgres.rs"]
mod postgres;
#[path = "../../tests/it/random.rs"]
mod random;
#[path = "../../tests/it/sqlite.rs"]
mod sqlite;
#[path = "../../tests/it/statements.rs"]
mod statements;

use cases::{CASES, Case, schema};
use postgres::Postgres;
use sqlite::Sqlite;

/// Random databases that both texts must agree on.
const DATABASES: u32 = 10_000;
/// Most databases until a wrong variant must be refuted.
const UNTIL_REFUTED: u32 = 2_000;
/// Random statements whose rewrites are compared, too.
const STATEMENTS: u32 = 500;
/// Kinds that must cost at most a tenth after their rewrite.
const KINDS_TENFOLD: usize = 5;

fn main() {
    let server = veritas_testkit::Postgres::start().database();
    let mut postgres = Postgres::with(&server.url(), &schema());
    let mut sqlite = Sqlite::with(&schema());
    let both = CASES.iter().filter(|case| case.sqlite).count();
    let runs = u32::try_from(CASES.len() + both).expect("few cases");
    // More than it takes: in some databases an old statement fails, and nothing is compared.
    let each = DATABASES.div_ceil(runs) + DATABASES.div_ceil(runs) / 10;

    println!(
        "{:24} {:10} {:>9} {:>11} {:>10} {:>8}",
        "rule", "engine", "databases", "comparisons", "rows", "refused"
    );
    let (mut databases, mut mismatches) = (0, 0);
    for case in CASES {
        let mut count = |engine, report: &Report| {
            println!(
                "{:24} {engine:10} {:>9} {:>11} {:>10} {:>8}",
                case.rule.as_str(),
                report.databases,
                report.comparisons,
                report.rows,
                report.refused
            );
            databases += report.databases;
            if !report.agrees() {
                mismatches += 1;
                println!("MISMATCH {}\n{report:#?}", case.sql);
            }
        };
        let rewrite = offered(case, Dialect::PostgreSql);
        count("postgresql", &fuzzed(case, &rewrite, Dialect::PostgreSql, each, &mut postgres));
        if case.sqlite {
            let rewrite = offered(case, Dialect::Sqlite);
            count("sqlite", &fuzzed(case, &rewrite, Dialect::Sqlite, each, &mut sqlite));
        }
    }
    println!("{databases} databases, {mismatches} mismatches");

    let (mut refuted, mut missed, mut most) = (0, 0, 0);
    for case in CASES {
        for (why, sql) in case.mutants {
            let mutant = Rewrite { sql: (*sql).to_owned(), ..offered(case, Dialect::PostgreSql) };
            let report = fuzzed(case, &mutant, Dialect::PostgreSql, UNTIL_REFUTED, &mut postgres);
            match report.mismatch {
                Some(mismatch) if mismatch.failure.is_none() => {
                    refuted += 1;
                    most = most.max(mismatch.database + 1);
                }
                _ => {
                    missed += 1;
                    println!("NOT REFUTED {}: {why}", case.rule.as_str());
                }
            }
        }
    }
    println!("{refuted} wrong variants refuted, the last after {most} databases; {missed} missed");

    let mut wrong = 0;
    let tried = random::random_statements(STATEMENTS, 5, 42, &mut postgres, |failed| {
        wrong += 1;
        println!("MISMATCH {failed}");
    });
    let rewrites: u32 = tried.values().sum();
    println!("{STATEMENTS} random statements: {rewrites} rewrites compared, {wrong} mismatches: {tried:?}");

    let tenfold = measure::all();
    println!("{tenfold} kinds cost at most a tenth");
    let holds =
        databases >= DATABASES && mismatches == 0 && missed == 0 && wrong == 0 && tenfold >= KINDS_TENFOLD;
    if !holds {
        println!("the proof does not hold");
        std::process::exit(1);
    }
}

fn offered(case: &Case, dialect: Dialect) -> Rewrite {
    let sql = Case::written(case.sql, dialect);
    let offered = rewrites_for(&sql, dialect, &schema(), &case.usage()).expect("the case parses");
    offered.into_iter().find(|rewrite| rewrite.rule == case.rule).expect("the rule applies to its case")
}

fn fuzzed(
    case: &Case,
    rewrite: &Rewrite,
    dialect: Dialect,
    databases: u32,
    database: &mut impl Database,
) -> Report {
    let sql = Case::written(case.sql, dialect);
    let effort = Effort { seed: 20_261_123, databases, parameter_sets: 3 };
    check(&sql, rewrite, dialect, &schema(), database, &effort).expect("the case can be compared")
}
