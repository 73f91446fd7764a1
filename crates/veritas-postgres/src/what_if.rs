//! What a statement would cost with indexes that do not exist, asked of the planner.
//!
//! With the extension `hypopg` the live planner is asked, which touches nothing: see
//! [`HypoPg`]. Without it, a sampled copy on a scratch database gets the indexes for real:
//! see [`Sampled`]. [`open`] takes what there is, and says which and why.

mod hypopg;
mod sampled;

use veritas_index_advisor::{Planned, Question, WhatIf, WhatIfError};

pub use self::{hypopg::HypoPg, sampled::Sampled};
use crate::{
    guard::{ExplainError, Explainable, Parameters},
    plan::Plan,
    session::{Session, SessionError},
};

/// A statement that a what-if is asked about.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The statement, as the guard let it through.
    pub statement: Explainable,
    /// Values of its parameters, as text; `None`: the plan for all values is taken.
    pub values: Option<Vec<Option<String>>>,
}

impl Asked {
    /// Asks for the plan.
    ///
    /// # Errors
    ///
    /// As [`Explainable::explain`].
    pub fn explain(&self, session: &mut Session) -> Result<Plan, ExplainError> {
        let parameters = self.values.as_deref().map_or(Parameters::Unknown, Parameters::Values);
        match self.statement.explain(session, parameters) {
            // Values may be refused where the plan for all values is not.
            Err(ExplainError::GenericOnly | ExplainError::Count { .. }) => {
                self.statement.explain(session, Parameters::Unknown)
            }
            planned => planned,
        }
    }
}

/// Which way of asking was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Hypothetical indexes on the live server.
    HypoPg,
    /// Real indexes on a sampled copy.
    Sampled,
}

impl Method {
    /// Returns the words that reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HypoPg => "hypothetical indexes (hypopg)",
            Self::Sampled => "real indexes on a sampled copy",
        }
    }
}

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfUnavailable {
    /// There is no `hypopg`, and no place for a copy.
    #[error("no hypopg ({hypopg}), and no sampled copy ({copy})")]
    Nothing {
        /// Why `hypopg` is of no use.
        hypopg: String,
        /// Why there is no copy.
        copy: String,
    },
    /// The session failed.
    #[error("failed to ask for extensions")]
    Session(#[source] SessionError),
}

/// Takes what there is: `hypopg` on `session`, else a sampled copy where `fallback` makes
/// one. Returns it with the method and the reason for it. `plans` are the statements' plans
/// as it is now, which are not asked for again.
///
/// # Errors
///
/// [`WhatIfUnavailable`] when there is neither.
pub fn open<'a>(
    session: &'a mut Session,
    statements: &'a [Asked],
    plans: &[Plan],
    fallback: impl FnOnce() -> Result<Sampled<'a>, String>,
) -> Result<Opened<'a>, WhatIfUnavailable> {
    let unusable = match hypopg::usable(session).map_err(WhatIfUnavailable::Session)? {
        Ok(()) => {
            let mut planner = HypoPg::open(session, statements).map_err(WhatIfUnavailable::Session)?;
            planner.know(plans);
            return Ok(Opened {
                planner: Box::new(planner),
                method: Method::HypoPg,
                why: "hypopg is installed".to_owned(),
            });
        }
        Err(reason) => reason,
    };
    match fallback() {
        Ok(sampled) => Ok(Opened { planner: Box::new(sampled), method: Method::Sampled, why: unusable }),
        Err(copy) => Err(WhatIfUnavailable::Nothing { hypopg: unusable, copy }),
    }
}

/// A what-if, and what it is.
pub struct Opened<'a> {
    /// Whom to ask.
    pub planner: Box<dyn WhatIf + 'a>,
    /// How it answers.
    pub method: Method,
    /// Why this way.
    pub why: String,
}

impl std::fmt::Debug for Opened<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { method, why, .. } = self;
        formatter.debug_struct("Opened").field("method", method).field("why", why).finish_non_exhaustive()
    }
}

impl WhatIf for Opened<'_> {
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
        self.planner.plan(question)
    }

    fn can_hide(&self) -> bool {
        self.planner.can_hide()
    }
}

/// Tells a statement that cannot be planned from a planner that is gone.
fn failed(statement: usize, error: &ExplainError, session: &Session) -> WhatIfError {
    let reason = match error {
        ExplainError::Session(cause) => cause.to_string(),
        other => other.to_string(),
    };
    if session.is_lost() {
        WhatIfError::Lost { reason }
    } else {
        WhatIfError::Statement { statement, reason }
    }
}
