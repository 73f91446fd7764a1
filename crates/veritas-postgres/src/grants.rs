//! The least that a role needs.
