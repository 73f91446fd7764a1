//! Rewrites of statements: checked on random databases, then measured on a copy.
//!
//! `veritas-rewrite` knows what may be written another way; here it is found out whether
//! it is so and whether it pays. Both texts run on a hundred random databases, made of
//! tables like the copied ones in their place for one transaction; then in pairs on the
//! copy itself, where their rows are compared again. What differs anywhere is not offered,
//! nor what saves too little. A rewrite is said, never applied: the text is the application's.
//!
//! A batch is compared with the single statements that it stands for, a group of keys at a
//! time. Not measured, so not offered: narrower select lists, of which the rows are not the
//! statement's own. [`round`] chooses the statements, a few a turn.

mod batch;
mod by_rule;
mod finding;
pub mod round;
pub mod schema;
mod stage;

use std::{ops::ControlFlow, sync::Arc};

use sqlparser::{
    dialect::PostgreSqlDialect,
    tokenizer::{Token, Tokenizer},
};
use veritas_model::{Clock, MeasuredGain};
use veritas_rewrite::{
    Dialect, Form, Rewrite, RewriteError, Rule, Schema, Usage,
    fuzz::{self, Value},
    rewrites_for,
};

pub use self::{
    by_rule::{ByRule, by_rule},
    finding::{finding, shown},
};
use crate::{
    guard::{Explainable, Guard, Refusal},
    rewrites::stage::{AsText, Stage},
    scratch::Scratch,
    session::SessionError,
    trial,
};

/// How much is tried, and what is worth to be said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Random databases for each rewrite (100).
    pub databases: u32,
    /// Pairs on the copy for each rewrite.
    pub effort: trial::Effort,
    /// Share of the pages that must be gone (0.1).
    pub smallest_gain: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            databases: 100,
            effort: trial::Effort::default(),
            smallest_gain: MeasuredGain::SMALLEST_WORTHWHILE,
        }
    }
}

/// A rewrite that returned the same everywhere, and pays.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The other text; it may hold literals of the statement.
    pub rewrite: Rewrite,
    /// Random databases in which both returned the same.
    pub databases: u32,
    /// Rows that the statement returned there, all of which were compared.
    pub rows: u64,
    /// What the pairs on the copy showed.
    pub gain: MeasuredGain,
}

/// Why a rewrite is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Its rows are not the statement's own, and there is no pair to run.
    #[error("it is not measured in this form")]
    Form,
    /// A random database told both texts apart: a fault of ours, or of the schema's promises.
    #[error("random databases tell it from the statement")]
    Refuted,
    /// No random database gave rows to compare.
    #[error("it could not be compared on random databases: {reason}")]
    NotCompared {
        /// Why, without values.
        reason: String,
    },
    /// The guard does not let the new text run.
    #[error("it may not be run")]
    NotRun,
    /// The pairs on the copy failed.
    #[error("it could not be measured: {reason}")]
    NotMeasured {
        /// Why, without values.
        reason: String,
    },
    /// The rows on the copy differ.
    #[error("its rows on the copy differ")]
    RowsDiffer,
    /// It saves less than is worth a change.
    #[error("it saves too little")]
    TooLittle,
}

/// What became of the rewrites of one statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Those that pay, the best first.
    pub offers: Vec<Offer>,
    /// The others, and why.
    pub declined: Vec<(Rule, Declined)>,
}

/// Why no rewrite of a statement was looked for.
#[derive(Debug, thiserror::Error)]
pub enum RewritesError {
    /// The guard does not let it run.
    #[error("the statement may not be run")]
    Refused(#[source] Refusal),
    /// It writes, or yields something else each time.
    #[error("the statement is no query that can be repeated")]
    NotRepeatable,
    /// It cannot be read.
    #[error("failed to read the statement")]
    Unread(#[source] RewriteError),
    /// The copy is lost.
    #[error("failed to run statements on the copy")]
    Session(#[source] SessionError),
}

/// Looks for other ways to write `sql` that return the same and cost less on a copy of its
/// tables.
///
/// `schema` is what [`schema::read`] read on the live database: the copy lacks its row
/// security. `vectors` are values of the statement's parameters. Blocks for seconds: some
/// thousand small statements for each rewrite, then its pairs.
///
/// # Errors
///
/// When nothing could be looked for; a single rewrite that fails is in [`Outcome::declined`].
pub fn look(
    scratch: &mut Scratch,
    sql: &str,
    schema: &Schema,
    usage: &Usage,
    vectors: &[Vec<Option<String>>],
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<Outcome, RewritesError> {
    let statement = Guard::new(scratch.session()).check(sql).map_err(RewritesError::Refused)?;
    if !statement.is_query() || !statement.is_repeatable() {
        return Err(RewritesError::NotRepeatable);
    }
    let rewrites = rewrites_for(sql, Dialect::PostgreSql, schema, usage).map_err(RewritesError::Unread)?;
    let mut outcome = Outcome::default();
    for rewrite in rewrites {
        let rule = rewrite.rule;
        let mut trial =
            Trial { scratch: &mut *scratch, sql, statement: &statement, schema, vectors, options, clock };
        match trial.of(rewrite) {
            Ok(offer) => outcome.offers.push(offer),
            Err(declined) => outcome.declined.push((rule, declined)),
        }
        if scratch.session().is_lost() {
            return Err(RewritesError::Session(SessionError::Lost));
        }
    }
    outcome.offers.sort_by(|one, other| other.gain.gain.total_cmp(&one.gain.gain));
    Ok(outcome)
}

/// One statement and what its rewrites are tried with.
struct Trial<'a> {
    scratch: &'a mut Scratch,
    sql: &'a str,
    statement: &'a Explainable,
    schema: &'a Schema,
    vectors: &'a [Vec<Option<String>>],
    options: &'a Options,
    clock: &'a Arc<dyn Clock>,
}

impl Trial<'_> {
    fn of(&mut self, rewrite: Rewrite) -> Result<Offer, Declined> {
        if matches!(rewrite.form, Form::Columns { .. }) {
            return Err(Declined::Form);
        }
        let (databases, rows) = self.fuzzed(&rewrite)?;
        let gain = if matches!(rewrite.form, Form::Batch { .. }) {
            batch::measured(self, &rewrite)?
        } else {
            self.measured(&rewrite)?
        };
        if !gain.results_equal {
            return Err(Declined::RowsDiffer);
        }
        if gain.gain < self.options.smallest_gain {
            return Err(Declined::TooLittle);
        }
        Ok(Offer { rewrite, databases, rows, gain })
    }

    fn fuzzed(&mut self, rewrite: &Rewrite) -> Result<(u32, u64), Declined> {
        let reason = |reason: String| Declined::NotCompared { reason };
        let mut stage =
            Stage::open(self.scratch.session(), self.schema).map_err(|error| reason(error.to_string()))?;
        let effort = fuzz::Effort {
            seed: veritas_model::stable_hash(self.sql.as_bytes()),
            databases: self.options.databases,
            parameter_sets: 2,
        };
        let report = fuzz::check(self.sql, rewrite, Dialect::PostgreSql, self.schema, &mut stage, &effort)
            .map_err(|error| reason(error.to_string()))?;
        if report.mismatch.is_some() {
            return Err(Declined::Refuted);
        }
        if report.agrees() {
            Ok((report.databases, report.rows))
        } else {
            Err(reason("no rows came back".to_owned()))
        }
    }

    fn measured(&mut self, rewrite: &Rewrite) -> Result<MeasuredGain, Declined> {
        let failed = |error: trial::TrialError| Declined::NotMeasured { reason: error.to_string() };
        if rewrite.parameters.is_identity() && matches!(rewrite.form, Form::SameRows { .. }) {
            let after = self.checked(&rewrite.sql)?;
            let none = [Vec::new()];
            let vectors = if self.statement.parameters() == 0 { &none } else { self.vectors };
            return trial::compare(
                self.scratch,
                self.statement,
                &after,
                vectors,
                self.options.effort,
                self.clock,
            )
            .map_err(failed);
        }
        // The parameters are others: both texts are run with values in their places.
        let (before, after) = self.bound(rewrite)?;
        let (before, after) = (self.checked(&before)?, self.checked(&after)?);
        trial::compare(self.scratch, &before, &after, &[Vec::new()], self.options.effort, self.clock)
            .map_err(failed)
    }

    fn checked(&mut self, sql: &str) -> Result<Explainable, Declined> {
        let checked = Guard::new(self.scratch.session()).check(sql).map_err(|_| Declined::NotRun)?;
        if checked.is_query() { Ok(checked) } else { Err(Declined::NotRun) }
    }

    /// Returns both texts with the values of one call: those of the first vector; of pages,
    /// the one with the largest offset.
    fn bound(&mut self, rewrite: &Rewrite) -> Result<(String, String), Declined> {
        let missing = || Declined::NotMeasured { reason: "there are no values to run it with".to_owned() };
        let none = Vec::new();
        let offset_of = |vector: &Vec<Option<String>>| match &rewrite.form {
            Form::Pages { offset: Some(number), .. } => {
                vector.get(number - 1).and_then(Option::as_ref).and_then(|text| text.parse::<u64>().ok())
            }
            _ => None,
        };
        let vector = self.vectors.iter().max_by_key(|vector| offset_of(vector));
        let vector = vector.or((self.statement.parameters() == 0).then_some(&none)).ok_or_else(missing)?;
        let value = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
        let old: Vec<Value> = vector.iter().map(value).collect();
        let last = match &rewrite.form {
            Form::Pages { offset, offset_literal, .. } => {
                let skipped = offset_of(vector).or(*offset_literal).unwrap_or(0);
                let previous = skipped.checked_sub(1).ok_or_else(missing)?;
                Some(self.row_at(&old, *offset, *offset_literal, previous).ok_or_else(missing)?)
            }
            _ => None,
        };
        let new = fuzz::mapped(&rewrite.parameters, &old, &[], last.as_ref()).ok_or_else(missing)?;
        let texts = with_values(self.sql, &old).zip(with_values(&rewrite.sql, &new));
        texts.ok_or_else(missing)
    }

    /// Returns the row at `place` of what the statement pages through, on the copy.
    fn row_at(
        &mut self,
        parameters: &[Value],
        offset: Option<usize>,
        literal: Option<u64>,
        place: u64,
    ) -> Option<fuzz::Row> {
        let mut parameters = parameters.to_vec();
        let sql = match (offset, literal) {
            (Some(number), _) => {
                *parameters.get_mut(number - 1)? = Value::Text(place.to_string());
                self.sql.to_owned()
            }
            (None, Some(literal)) => with_offset(self.sql, literal, place)?,
            (None, None) => return None,
        };
        // The guard has checked the statement; another number in its OFFSET changes nothing.
        let checked = self.checked(&sql).ok()?;
        let session = self.scratch.session();
        let client = session.client().ok()?;
        let columns = session.block_on(client.prepare(checked.sql())).ok()?.columns().len();
        let names: Vec<String> = (0..columns).map(|index| format!("c{index}")).collect();
        let texts: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
        let wrapped = format!(
            "SELECT {} FROM ({}) AS q({}) LIMIT 1",
            texts.join(", "),
            checked.sql(),
            names.join(", ")
        );
        let values: Vec<AsText<'_>> = parameters.iter().map(AsText).collect();
        let values: Vec<&(dyn postgres_types::ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn postgres_types::ToSql + Sync)).collect();
        let rows = session.query(&wrapped, &values).ok()?;
        let row = rows.first()?;
        let cell = |column| row.get::<_, Option<String>>(column).map_or(Value::Null, Value::Text);
        Some((0..columns).map(cell).collect())
    }
}

/// Puts values in the places of numbered parameters, as literals without a type. For the
/// copy only: the text is neither kept nor shown.
fn with_values(sql: &str, values: &[Value]) -> Option<String> {
    replaced(sql, |_, token| match token {
        Token::Placeholder(name) => {
            let number: usize = name.strip_prefix('$')?.parse().ok()?;
            Some(match values.get(number.checked_sub(1)?)? {
                Value::Null => "NULL".to_owned(),
                value => format!("'{}'", value.to_string().replace('\'', "''")),
            })
        }
        other => Some(other.to_string()),
    })
}

/// Writes another number after the only `OFFSET` with the number `from`.
fn with_offset(sql: &str, from: u64, to: u64) -> Option<String> {
    let from = from.to_string();
    let mut count = 0;
    let text = replaced(sql, |before, token| match token {
        Token::Number(digits, _) if *digits == from && before.is_some_and(is_offset) => {
            count += 1;
            Some(to.to_string())
        }
        other => Some(other.to_string()),
    });
    text.filter(|_| count == 1)
}

fn is_offset(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case("offset"))
}

/// Rebuilds a text token by token; `write` sees the token before, spaces aside.
fn replaced(sql: &str, mut write: impl FnMut(Option<&Token>, &Token) -> Option<String>) -> Option<String> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).with_unescape(false).tokenize().ok()?;
    let mut text = String::with_capacity(sql.len());
    let mut before = None;
    let done = tokens.iter().try_for_each(|token| {
        match write(before, token) {
            Some(written) => text.push_str(&written),
            None => return ControlFlow::Break(()),
        }
        if !matches!(token, Token::Whitespace(_)) {
            before = Some(token);
        }
        ControlFlow::Continue(())
    });
    done.is_continue().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_places_of_parameters_and_of_nothing_else() {
        let sql = "SELECT '$1', \"$1\", $2 FROM t WHERE a = $1 -- $1";
        let values = [Value::Text("it's".into()), Value::Null];
        assert_eq!(
            with_values(sql, &values).as_deref(),
            // A comment to the end of the line ends with it.
            Some("SELECT '$1', \"$1\", NULL FROM t WHERE a = 'it''s' -- $1\n")
        );
        assert_eq!(with_values(sql, &values[..1]), None);
    }

    #[test]
    fn only_the_offset_gets_another_number() {
        assert_eq!(
            with_offset("SELECT a FROM t WHERE b = 40 ORDER BY a LIMIT 40 OFFSET 40", 40, 39).as_deref(),
            Some("SELECT a FROM t WHERE b = 40 ORDER BY a LIMIT 40 OFFSET 39")
        );
        assert_eq!(with_offset("SELECT a FROM t OFFSET $1", 40, 39), None);
    }
}
