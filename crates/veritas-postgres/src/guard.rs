//! Which statements may be explained, and how that is done safely.
