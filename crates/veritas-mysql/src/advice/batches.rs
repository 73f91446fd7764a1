//! Batches of statements that requests repeat with other keys, run on a copy.

use std::collections::BTreeSet;

use mysql::Value;
use veritas_database::{StatementSnapshot, StatementStatistics};
use veritas_model::{
    Cause, Finding, FindingKind, Fingerprint, Impact, Observation, Subject, Timestamp, Unit,
};

use super::{MySqlAdvisor, calls, in_words, schema_of};
use crate::{
    guard,
    session::Session,
    trial::{self, Batched},
    view::MySqlReading,
};

/// Keys that are asked for at most.
const MOST_KEYS: usize = 16;
/// What stands for the list of keys in a batch that is shown.
const LIST: &str = "?, …";

impl MySqlAdvisor {
    /// Says what the batches of `repeated` statements showed on a copy, as findings of kind
    /// [`FindingKind::NPlusOne`]. Those without a batch, or whose rows differ, are left out.
    /// Blocks for the copies of so many statements at most.
    pub fn batches(
        &mut self,
        repeated: &BTreeSet<Fingerprint>,
        whole: &MySqlReading,
        snapshot: &StatementSnapshot,
        trials: usize,
        now: Timestamp,
    ) -> Vec<Finding> {
        if !self.options.trial.allowed || whole.reading.is_replica {
            return Vec::new();
        }
        let schema = schema_of(&whole.reading);
        self.batched.retain(|fingerprint, (of, _)| *of == schema && repeated.contains(fingerprint));
        let mut left = trials;
        let mut findings = Vec::new();
        let known = |fingerprint: &&Fingerprint| {
            snapshot.statements.iter().find(|statement| statement.fingerprint == **fingerprint)
        };
        for statement in repeated.iter().filter_map(|fingerprint| known(&fingerprint)) {
            let fingerprint = statement.fingerprint;
            if !self.batched.contains_key(&fingerprint) {
                let Some(fewer) = left.checked_sub(1) else { continue };
                left = fewer;
                let tried = self.look_at_batch(statement);
                if let Err(why) = &tried {
                    tracing::debug!(target = self.target.name, why, "no batch was tried");
                }
                self.batched.insert(fingerprint, (schema, tried.ok()));
            }
            if let Some((_, Some(batched))) = self.batched.get(&fingerprint)
                && let Some(sql) = veritas_rewrite::batched(&statement.normalized, false)
            {
                findings.push(finding(statement, &sql, batched, now));
            }
        }
        findings
    }

    fn look_at_batch(&self, statement: &StatementStatistics) -> Result<Batched, String> {
        let (sql, vectors) = calls(statement).ok_or("no call was kept")?;
        let mut keys: Vec<Value> = Vec::new();
        for vector in &vectors {
            let [key] = &vector[..] else { return Err("it has more parameters than the key".to_owned()) };
            if *key != Value::NULL && !keys.contains(key) && keys.len() < MOST_KEYS {
                keys.push(key.clone());
            }
        }
        if keys.len() < 2 {
            return Err("fewer than two keys are known".to_owned());
        }
        let batch = veritas_rewrite::batched(&sql, false).ok_or("its form has no batch")?;
        let list = vec!["?"; keys.len()].join(", ");
        let batch = batch.replace(LIST, &list);
        let mut session = Session::connect(&self.target.options).map_err(|error| error.to_string())?;
        let mut checked = |sql: &str| guard::check(&mut session, sql).map_err(|refusal| refusal.to_string());
        let (single, batch) = (checked(&sql)?, checked(&batch)?);
        drop(session);
        let batched = trial::batch(&self.target.options, &single, &batch, &keys, &self.options.trial)
            .map_err(|error| in_words(&error))?;
        if !batched.is_equal() {
            return Err("its rows on a copy differ".to_owned());
        }
        Ok(batched)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
fn finding(statement: &StatementStatistics, sql: &str, batched: &Batched, now: Timestamp) -> Finding {
    let Batched { keys, before, after } = batched;
    let subject = Subject::Statement {
        name: statement.name.clone(),
        fingerprint: statement.fingerprint,
        normalized: statement.normalized.to_string(),
    };
    let measured = |name: &str, value: u64, unit| Observation::measured(name, value as f64, unit, now);
    Finding {
        id: Finding::identity(FindingKind::NPlusOne, &subject),
        kind: FindingKind::NPlusOne,
        subject,
        cause: Cause::Text { detail: "requests send it once for each key".to_owned() },
        recommendation: format!(
            "Fetch the rows of all keys at once: {sql}; measured on a copy, {keys} single statements against one: the \
             same {} rows, {} rows read instead of {}, one round trip instead of {keys}",
            after.rows, after.rows_read, before.rows_read,
        ),
        impact: Impact::Low,
        evidence: vec![
            measured("statements_batched", *keys, Unit::Count),
            measured("rows_compared", after.rows, Unit::Rows),
            measured("rows_read_before", before.rows_read, Unit::Rows),
            measured("rows_read_after", after.rows_read, Unit::Rows),
        ],
        callers: Vec::new(),
        found_at: now,
        seen_at: now,
    }
}
