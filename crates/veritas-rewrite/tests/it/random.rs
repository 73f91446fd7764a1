//! Every rewrite that is offered for random statements, on random databases.

use std::collections::BTreeMap;

use veritas_rewrite::{
    Dialect, Rule,
    fuzz::{Database, Effort, Report, check},
    rewrites,
};
use veritas_statistics::Rng;

use crate::{cases::schema, statements::statement};

/// Tries `count` statements, and tells `fail` of each rewrite that is refuted. Returns how
/// many rewrites of each rule were compared.
pub(crate) fn random_statements(
    count: u32,
    databases: u32,
    seed: u64,
    database: &mut impl Database,
    mut fail: impl FnMut(String),
) -> BTreeMap<Rule, u32> {
    let mut rng = Rng::new(seed);
    let mut tried = BTreeMap::new();
    for number in 0..count {
        let sql = statement(&mut rng);
        let offered = match rewrites(&sql, Dialect::PostgreSql, &schema()) {
            Ok(offered) => offered,
            Err(error) => {
                fail(format!("{sql}\n{error}"));
                continue;
            }
        };
        for rewrite in offered {
            let effort = Effort { seed: seed ^ u64::from(number) << 40, databases, parameter_sets: 1 };
            match check(&sql, &rewrite, Dialect::PostgreSql, &schema(), database, &effort) {
                Ok(report) if report.mismatch.is_none() => {
                    *tried.entry(rewrite.rule).or_default() += 1;
                }
                // Which of two conditions is asked first, and so whether the other one
                // overflows, is for the plan to say.
                Ok(report) if overflows(&report) => {}
                Ok(report) => fail(format!("{:?}\n{sql}\n{}\n{report:?}", rewrite.rule, rewrite.sql)),
                Err(error) => fail(format!("{sql}\n{error}")),
            }
        }
    }
    tried
}

fn overflows(report: &Report) -> bool {
    let mismatch = report.mismatch.as_ref();
    mismatch.and_then(|mismatch| mismatch.failure.as_ref()).is_some_and(|why| why.ends_with("out of range"))
}
