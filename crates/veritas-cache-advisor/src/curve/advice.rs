//! Advice on a size.
