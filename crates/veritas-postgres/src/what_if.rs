//! What a statement would cost with other indexes.
