//! Plans of each statement over time.
