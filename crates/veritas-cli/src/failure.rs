//! Failures as the command line tells them: one line, a hint, an exit code.

use std::{fmt, process::ExitCode};

/// Why a command failed, for people.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code, as `veritas --help` lists them.
    pub(crate) code: u8,
    /// What failed; its causes follow after colons.
    pub(crate) error: anyhow::Error,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Anything that has no code of its own.
    pub(crate) const GENERAL: u8 = 1;
    /// The command line is wrong; what clap finds itself ends with it too.
    pub(crate) const USAGE: u8 = 2;
    /// The configuration is wrong.
    pub(crate) const CONFIGURATION: u8 = 3;
    /// The data directory cannot be used.
    pub(crate) const DATA_DIRECTORY: u8 = 4;
    /// The address cannot be bound.
    pub(crate) const ADDRESS: u8 = 5;

    /// Builds a failure with an exit code and a hint.
    pub(crate) fn new(code: u8, error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { code, error: error.into(), hint: Some(hint.into()) }
    }

    /// Prints it on stderr and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {:#}", self.error)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: Self::GENERAL, error: error.into(), hint: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_causes_and_ends_with_a_hint() {
        let error = anyhow::anyhow!("address in use").context("failed to bind 127.0.0.1:9900");
        let failure = Failure::new(Failure::ADDRESS, error, "choose another one with --listen");
        assert_eq!(
            failure.to_string(),
            "error: failed to bind 127.0.0.1:9900: address in use\nhint: choose another one with --listen"
        );
    }
}
