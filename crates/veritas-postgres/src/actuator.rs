//! Creates and drops indexes on the live server, with a way back.
