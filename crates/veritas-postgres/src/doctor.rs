//! Faults of a server, each with its fix.
