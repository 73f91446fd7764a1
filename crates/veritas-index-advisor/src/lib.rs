//! Index advice: candidates, true sizes, and a search that keeps to its budget.
