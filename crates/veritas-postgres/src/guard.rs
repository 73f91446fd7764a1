//! Which statements may be explained, and how that is done safely.
//!
//! `EXPLAIN` without `ANALYZE` does not run a statement, but planning it may run code:
//! functions that are declared immutable or stable are computed when their arguments are
//! known, those written in SQL are opened and planned in place, conditions of checks,
//! indexes, policies and views are computed too. So [`Guard::check`] proves of a
//! statement, before the server plans it, that
//!
//! 1. it is exactly one SELECT, INSERT, UPDATE or DELETE, all the way down, that neither
//!    locks rows nor makes a table;
//! 2. each function and operator that any of its words may mean, in any schema that it
//!    may come from, is the server's own (or of an extension that is known), runs
//!    nothing, and changes nothing;
//! 3. so is whatever its tables bring along: views, policies, checks, defaults,
//!    expressions of indexes and partitions, types of columns.
//!
//! What is sent afterwards is not the text that came, but the words that were checked,
//! written anew: there is no comment and no spelling in it that the server could read
//! otherwise than we did.
//!
//! A second fence stands behind the first: the plan is asked for by the extended
//! protocol, which takes one statement only, inside of a read-only transaction that is
//! always rolled back, under limits of time.

mod catalogue;
mod explain;
mod meaning;
mod placeholders;
mod refusal;
mod statement;
mod words;

use crate::{plan::Relation, session::Session};

/// Longer statements are not looked at.
pub const LONGEST: usize = 256 * 1024;

pub use explain::{ExplainError, Parameters};
pub use refusal::Refusal;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// It reads.
    Select,
    /// It inserts.
    Insert,
    /// It updates.
    Update,
    /// It deletes.
    Delete,
}

/// A statement that may be explained. Only [`Guard::check`] makes one.
///
/// It holds for the catalogues as they were then: whoever keeps one for longer than a
/// round of advice asks for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explainable {
    text: String,
    verb: Verb,
    /// For each parameter that is sent, the number that it had.
    sent: Vec<usize>,
    /// The parameters of the statement as it came.
    parameters: usize,
    relations: Vec<Relation>,
    repeatable: bool,
    generic_only: bool,
}

impl Explainable {
    /// Returns the statement as it is sent: without comments, with its literals, not to be shown.
    pub fn sql(&self) -> &str {
        &self.text
    }

    /// Returns what it does.
    pub const fn verb(&self) -> Verb {
        self.verb
    }

    /// Returns whether it only reads: nothing else may ever be executed, and that on
    /// databases of our own only.
    pub const fn is_query(&self) -> bool {
        matches!(self.verb, Verb::Select)
    }

    /// Returns whether it yields the same each time, as far as its functions tell: no
    /// random numbers, no clock.
    pub const fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Returns the number of its parameters (`$1` …).
    pub const fn parameters(&self) -> usize {
        self.parameters
    }

    /// Returns the values that are sent, of the values of its parameters; `None` when they
    /// are not as many.
    pub(crate) fn sent_values(&self, values: &[Option<String>]) -> Option<Vec<Option<String>>> {
        let sent = || self.sent.iter().map(|number| values[number - 1].clone()).collect();
        (values.len() == self.parameters).then(sent)
    }

    /// Returns the tables and views that its words may mean, and those behind the views.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }
}

/// Decides which statements may be explained on one database.
#[derive(Debug)]
pub struct Guard<'a> {
    session: &'a mut Session,
}

impl<'a> Guard<'a> {
    /// Asks the catalogues through `session`.
    pub const fn new(session: &'a mut Session) -> Self {
        Self { session }
    }

    /// Decides whether `sql` may be explained. Costs some ten round trips and a
    /// few milliseconds of the server, and neither for what its text refuses already.
    ///
    /// # Errors
    ///
    /// Why it may not; [`Refusal::NotAsked`] when the catalogues could not be read.
    pub fn check(&mut self, sql: &str) -> Result<Explainable, Refusal> {
        let Read { text, verb, sent, parameters, meaning } = read(sql)?;
        let relations = catalogue::check(self.session, &meaning)?;
        Ok(Explainable {
            text,
            verb,
            sent,
            parameters,
            relations,
            repeatable: !meaning.changes,
            generic_only: meaning.parameter_sizes,
        })
    }
}

/// What can be told of a statement without asking the server.
struct Read {
    text: String,
    verb: Verb,
    sent: Vec<usize>,
    parameters: usize,
    meaning: meaning::Meaning,
}

fn read(sql: &str) -> Result<Read, Refusal> {
    let words = words::cut(sql)?;
    let numbers = words.iter().filter_map(|word| match word {
        words::Word::Parameter(number) => Some(*number),
        _ => None,
    });
    let parameters = numbers.max().unwrap_or(0);
    let mut words = placeholders::restore(words);
    let sent = placeholders::close_gaps(&mut words);
    let verb = statement::verb(&words)?;
    let meaning = meaning::of(&words)?;
    let text = words::write(&words);
    statement::prove(&text, verb)?;
    Ok(Read { text, verb, sent, parameters, meaning })
}
