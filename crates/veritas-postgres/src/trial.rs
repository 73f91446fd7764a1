//! Executions with and without a change, in pairs.
