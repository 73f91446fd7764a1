//! The macros on functions of every shape, and their messages where they refuse.

mod cached;
mod keys;
mod query;
mod refusals;
mod shapes;
