//! Indexes that plans would profit from.
