//! `PostgreSQL`: what the server shows, plans, what-if, proofs on copies, and index changes with a way back.

pub mod actuator;
pub mod advice;
pub mod candidates;
pub mod doctor;
pub mod facts;
pub mod findings;
pub mod grants;
pub mod guard;
pub mod history;
pub mod migration;
pub mod plan;
pub mod rewrites;
pub mod scratch;
pub mod session;
pub mod target;
pub mod trial;
pub mod view;
pub mod watch;
pub mod what_if;
