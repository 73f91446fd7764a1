//! Plans as `EXPLAIN (FORMAT JSON)` prints them, typed.
