//! A change as plain SQL and as a migration of common frameworks.
