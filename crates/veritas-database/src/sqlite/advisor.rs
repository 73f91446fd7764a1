//! The advisor: from the most expensive statements to the indexes that would help.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rusqlite::{Connection, StatementStatus};
use veritas_model::{
    Cause, ChangeKind, Finding, FindingKind, Impact, Observation, Proposal, Provenance, Subject, Timestamp,
    Unit,
};

use super::{
    access::{Access, accesses},
    binding::bind,
    candidate::candidates,
    definition::{IndexDefinition, quote},
    executable::Executable,
    guard::{bounded, describe, rows_only},
    plan::{QueryPlan, Weakness},
    schema::{Schema, Table},
    statement::{Verb, parse},
    target::SqliteTarget,
    what_if::{Outlook, WhatIf},
};
use crate::{StatementSnapshot, StatementStatistics};

/// Bounds of one round of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisorOptions {
    /// How many statements are looked at, those with the largest total time first.
    pub statements: usize,
    /// How long one round may take; what is not reached waits for the next.
    pub longest_round: Duration,
    /// Tables with fewer rows need no index.
    pub fewest_rows: u64,
    /// Statements called less often are not looked at.
    pub fewest_calls: u64,
}

impl Default for AdvisorOptions {
    /// 20 statements, 2 s, 1000 rows, 2 calls.
    fn default() -> Self {
        Self { statements: 20, longest_round: Duration::from_secs(2), fewest_rows: 1_000, fewest_calls: 2 }
    }
}

/// What one round of advice brought.
#[derive(Debug, Clone, Default)]
pub struct Advice {
    /// Statements that an index would help.
    pub findings: Vec<Finding>,
    /// The indexes, one for each finding at most.
    pub proposals: Vec<Proposal>,
    /// Statements that were looked at and left alone, and why.
    pub skipped: Vec<Skipped>,
    /// Why the target could not be looked at at all.
    pub failure: Option<String>,
}

/// A statement that was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The statement's name.
    pub name: String,
    /// Why; holds no literals.
    pub reason: String,
}

/// Finds statements of one target that an index would help, and says which.
///
/// Reads only: see [`SqliteTarget`]. Blocks for as long as its options say;
/// run it on a thread of its own.
#[derive(Debug)]
pub struct IndexAdvisor {
    target: Arc<SqliteTarget>,
    options: AdvisorOptions,
}

/// One look at a target.
struct Round<'a> {
    target: &'a SqliteTarget,
    options: &'a AdvisorOptions,
    live: Connection,
    schema: Schema,
    what_if: WhatIf,
    runs_on_live: bool,
    rows: HashMap<String, Option<u64>>,
    now: Timestamp,
}

/// What a call reads and keeps.
struct Reading {
    rows_read: u64,
    rows_kept: u64,
    provenance: Provenance,
}

impl IndexAdvisor {
    /// Makes an advisor with the default bounds.
    pub fn new(target: Arc<SqliteTarget>) -> Self {
        Self::with_options(target, AdvisorOptions::default())
    }

    /// Makes an advisor with other bounds.
    pub const fn with_options(target: Arc<SqliteTarget>, options: AdvisorOptions) -> Self {
        Self { target, options }
    }

    /// Looks at the most expensive statements of `snapshot`.
    ///
    /// A statement is looked at when the parser proves it to be one SELECT,
    /// INSERT, UPDATE or DELETE. It yields a finding and a proposal when
    /// SQLite's plan reads a table of [`AdvisorOptions::fewest_rows`] rows from
    /// start to end, sorts, or builds an automatic index, *and* SQLite would use
    /// the proposed index. Views, expression and partial indexes are out of
    /// scope, and so is dropping indexes. The gain is not estimated: the proof
    /// measures it.
    pub fn advise(&self, snapshot: &StatementSnapshot, now: Timestamp) -> Advice {
        let mut advice = Advice::default();
        match Round::start(&self.target, &self.options, now) {
            Ok(mut round) => round.look(snapshot, &mut advice),
            Err(error) => advice.failure = Some(describe(&error)),
        }
        advice
    }
}

impl<'a> Round<'a> {
    fn start(
        target: &'a SqliteTarget,
        options: &'a AdvisorOptions,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let live = target.reader()?;
        let schema = Schema::read(&live)?;
        let what_if = WhatIf::of(&live)?;
        let journal: String = live.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        // Without WAL a reader makes writers wait, so nothing long is run then.
        let runs_on_live = journal.eq_ignore_ascii_case("wal");
        Ok(Self { target, options, live, schema, what_if, runs_on_live, rows: HashMap::new(), now })
    }

    fn look(&mut self, snapshot: &StatementSnapshot, advice: &mut Advice) {
        let started = self.target.clock().monotonic();
        let mut ranked: Vec<&StatementStatistics> = snapshot
            .statements
            .iter()
            .filter(|statement| {
                !statement.normalized.is_empty() && statement.calls >= self.options.fewest_calls
            })
            .collect();
        ranked.sort_by(|left, right| right.total_seconds.total_cmp(&left.total_seconds));
        let mut proposed: Vec<(IndexDefinition, Finding)> = Vec::new();
        for statistics in ranked.into_iter().take(self.options.statements) {
            if self.target.clock().monotonic().since(started) > self.options.longest_round {
                advice.skipped.push(skipped(statistics, "the round's time was over; it waits for the next"));
                continue;
            }
            match self.statement(statistics, snapshot) {
                Ok((_, finding)) if proposed.iter().any(|(_, known)| known.id == finding.id) => {
                    advice.skipped.push(skipped(statistics, "it was found under another label already"));
                }
                Ok((definition, finding)) => proposed.push((definition, finding)),
                Err(reason) => advice.skipped.push(skipped(statistics, &reason)),
            }
        }
        for (definition, finding) in &proposed {
            if let Some((wider, _)) = proposed.iter().find(|(other, _)| serves_also(other, definition)) {
                let reason = format!("the proposed index {} serves it too", wider.name());
                advice.skipped.push(Skipped { name: finding.subject.name().to_owned(), reason });
            } else {
                let proposal = self.proposal(definition, finding);
                if !advice.proposals.iter().any(|known| known.id == proposal.id) {
                    advice.proposals.push(proposal);
                }
            }
        }
        advice.findings = proposed.into_iter().map(|(_, finding)| finding).collect();
    }

    fn statement(
        &mut self,
        statistics: &StatementStatistics,
        snapshot: &StatementSnapshot,
    ) -> Result<(IndexDefinition, Finding), String> {
        let executable = Executable::of(statistics);
        let parsed = parse(&executable.sql).map_err(|unsuitable| unsuitable.to_string())?;
        let sample = executable.vectors.first().map_or(&[][..], Vec::as_slice);
        let said = |error: rusqlite::Error| format!("SQLite does not plan it: {}", describe(&error));
        let plan = rows_only(&self.live, || QueryPlan::explain(&self.live, &executable.sql, sample))
            .map_err(said)?;
        let mut reason = "its plan reads no table from start to end".to_owned();
        for access in accesses(&parsed.tree, &self.schema) {
            let Some(weakness) = plan.weakness(&access) else { continue };
            if !self.has_rows(&access.table) {
                reason = format!("the table has fewer than {} rows", self.options.fewest_rows);
                continue;
            }
            match self.best_index(&access, weakness, &executable.sql, sample) {
                Ok(definition) => {
                    // A sort is not told by the rows that a scan steps over.
                    let reading = (weakness != Weakness::Sort)
                        .then(|| self.reading(&executable, parsed.verb, &access, statistics));
                    let finding =
                        self.finding(statistics, snapshot, &access, &definition, &plan, reading.as_ref());
                    return Ok((definition, finding));
                }
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    /// Finds the first candidate that SQLite would use.
    fn best_index(
        &self,
        access: &Access,
        weakness: Weakness,
        sql: &str,
        sample: &[crate::Value],
    ) -> Result<IndexDefinition, String> {
        let table = self.schema.table(&access.table).ok_or("the table is gone")?;
        let mut reason = "no plain column of it is compared or sorted by".to_owned();
        for definition in candidates(access, table, |column| self.distinct(table, column)) {
            let name = definition.name();
            match self.what_if.explain(&definition, sql, sample) {
                Ok(Outlook::Covered { by }) => reason = format!("the index {by:?} covers the candidate"),
                Ok(Outlook::Plan(plan)) if !plan.uses(&name) => {
                    "SQLite would not use the candidate index".clone_into(&mut reason);
                }
                Ok(Outlook::Plan(plan)) => {
                    let better = match weakness {
                        Weakness::Scan => plan.searches(&name) || (access.limited && !plan.sorts()),
                        Weakness::AutomaticIndex => plan.searches(&name),
                        Weakness::Sort => !plan.sorts(),
                    };
                    if better {
                        return Ok(definition);
                    }
                    "the candidate index would not change what is slow".clone_into(&mut reason);
                }
                Err(error) => reason = format!("SQLite does not plan it: {}", describe(&error)),
            }
        }
        Err(reason)
    }

    /// Returns whether a table has rows enough, without counting further.
    fn has_rows(&self, table: &str) -> bool {
        let sql = format!("SELECT 1 FROM {} LIMIT 1 OFFSET ?1", quote(table));
        let offset = self.options.fewest_rows.saturating_sub(1);
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.short(|live| live.query_row(&sql, [offset], |_| Ok(()))).is_ok()
    }

    /// Counts a table's rows, within the time limit; else takes SQLite's
    /// statistics. Without WAL the largest row number has to do: counting would
    /// make writers wait.
    fn count(&mut self, table: &str) -> Option<u64> {
        if let Some(known) = self.rows.get(table) {
            return *known;
        }
        let counted = if self.runs_on_live { "count(*)" } else { "max(rowid)" };
        let counting = format!("SELECT {counted} FROM {}", quote(table));
        let counted = self.short(|live| live.query_row(&counting, [], |row| row.get::<_, i64>(0)));
        let analyzed = || {
            let stat = "SELECT stat FROM sqlite_stat1 WHERE tbl = ?1 LIMIT 1";
            let line: String = self.live.query_row(stat, [table], |row| row.get(0)).ok()?;
            line.split(' ').next()?.parse().ok()
        };
        let rows = counted.ok().or_else(analyzed).and_then(|rows| u64::try_from(rows).ok());
        self.rows.insert(table.to_owned(), rows);
        rows
    }

    /// Counts the distinct values of a column among the first rows; 0 when unknown.
    fn distinct(&self, table: &Table, column: &str) -> u64 {
        let (table, column) = (quote(&table.name), quote(column));
        let sql = format!("SELECT count(DISTINCT {column}) FROM (SELECT {column} FROM {table} LIMIT 5000)");
        let counted = self.short(|live| live.query_row(&sql, [], |row| row.get::<_, i64>(0)));
        counted.ok().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }

    fn short<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let limit = self.target.options().longest_look;
        bounded(&self.live, self.target.clock(), limit, || work(&self.live))
    }

    /// Measures what one call reads, by running a SELECT once where that makes
    /// nobody wait; else says how many rows the table has.
    fn reading(
        &mut self,
        executable: &Executable,
        verb: Verb,
        access: &Access,
        statistics: &StatementStatistics,
    ) -> Reading {
        let run = || {
            let parameters = executable.vectors.first()?;
            self.short(|live| rows_only(live, || run_once(live, &executable.sql, parameters))).ok().flatten()
        };
        let measured = if verb == Verb::Select && self.runs_on_live { run() } else { None };
        measured.unwrap_or_else(|| Reading {
            rows_read: self.count(&access.table).unwrap_or(self.options.fewest_rows),
            rows_kept: (statistics.rows_returned + statistics.rows_affected) / statistics.calls.max(1),
            provenance: Provenance::Estimated,
        })
    }

    fn finding(
        &self,
        statistics: &StatementStatistics,
        snapshot: &StatementSnapshot,
        access: &Access,
        definition: &IndexDefinition,
        plan: &QueryPlan,
        reading: Option<&Reading>,
    ) -> Finding {
        let subject = Subject::Statement {
            name: statistics.name.clone(),
            fingerprint: statistics.fingerprint,
            normalized: statistics.normalized.to_string(),
        };
        let share = if snapshot.total_seconds > 0.0 {
            statistics.total_seconds / snapshot.total_seconds
        } else {
            0.0
        };
        #[expect(clippy::cast_precision_loss, reason = "counts of calls and rows stay below 2^53")]
        let evidence = {
            let calls = statistics.calls as f64;
            let measured =
                |name: &str, value: f64, unit: Unit| Observation::measured(name, value, unit, self.now);
            let mut evidence = vec![
                measured("calls", calls, Unit::Count),
                measured("mean_seconds", statistics.total_seconds / calls.max(1.0), Unit::Seconds),
                measured("share_of_database_time", share, Unit::Ratio),
            ];
            if let Some(reading) = reading {
                let rows =
                    [("rows_read_per_call", reading.rows_read), ("rows_kept_per_call", reading.rows_kept)];
                evidence.extend(rows.map(|(name, value)| Observation {
                    provenance: reading.provenance,
                    ..measured(name, value as f64, Unit::Rows)
                }));
            }
            if let Some(steps) = statistics.vm_steps.mean() {
                evidence.push(measured("vm_steps_per_call", steps, Unit::VmSteps));
            }
            evidence
        };
        Finding {
            id: Finding::identity(FindingKind::MissingIndex, &subject),
            kind: FindingKind::MissingIndex,
            subject,
            cause: match reading {
                Some(reading) => Cause::SequentialScan {
                    table: access.table.clone(),
                    rows_read: reading.rows_read,
                    rows_kept: reading.rows_kept,
                    plan: plan.text(),
                },
                None => Cause::Sort { table: access.table.clone(), plan: plan.text() },
            },
            recommendation: match reading {
                Some(reading) => format!(
                    "Create an index on {}: a call reads {} rows of {} to keep {}",
                    shown(definition),
                    reading.rows_read,
                    access.table,
                    reading.rows_kept
                ),
                None => format!(
                    "Create an index on {}: every call sorts the rows of {} that it finds",
                    shown(definition),
                    access.table
                ),
            },
            impact: Impact::of_time_share(share),
            evidence,
            callers: statistics.callers.iter().map(|caller| caller.caller.clone()).collect(),
            found_at: self.now,
            seen_at: self.now,
        }
    }

    fn proposal(&self, definition: &IndexDefinition, finding: &Finding) -> Proposal {
        let plan = definition.plan(self.target.name());
        Proposal {
            id: Proposal::identity(ChangeKind::IndexCreate, &plan),
            finding: Some(finding.id.clone()),
            kind: ChangeKind::IndexCreate,
            summary: format!("index on {}", shown(definition)),
            plan,
            estimate: None,
            proposed_at: self.now,
        }
    }
}

/// Runs a SELECT to its end and reads what it touched; `None` when it is no SELECT.
fn run_once(live: &Connection, sql: &str, parameters: &[crate::Value]) -> rusqlite::Result<Option<Reading>> {
    let mut statement = live.prepare(sql)?;
    if !statement.readonly() || statement.parameter_count() != parameters.len() {
        return Ok(None);
    }
    bind(&mut statement, parameters)?;
    let mut rows_kept = 0;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {
        rows_kept += 1;
    }
    drop(rows);
    let steps = statement.get_status(StatementStatus::FullscanStep);
    let rows_read = u64::try_from(steps).unwrap_or(0).max(rows_kept);
    Ok(Some(Reading { rows_read, rows_kept, provenance: Provenance::Measured }))
}

/// Returns whether `other` is a different index that begins with the whole of `definition`.
fn serves_also(other: &IndexDefinition, definition: &IndexDefinition) -> bool {
    other.table == definition.table
        && other.columns.len() > definition.columns.len()
        && other.columns.starts_with(&definition.columns)
}

fn shown(definition: &IndexDefinition) -> String {
    let columns: Vec<String> = definition
        .columns
        .iter()
        .map(|column| format!("{}{}", column.name, if column.descending { " DESC" } else { "" }))
        .collect();
    format!("{}({})", definition.table, columns.join(", "))
}

fn skipped(statistics: &StatementStatistics, reason: &str) -> Skipped {
    Skipped { name: statistics.name.clone(), reason: reason.to_owned() }
}
