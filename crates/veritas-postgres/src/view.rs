//! Readings of a server.
