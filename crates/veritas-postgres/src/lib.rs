//! `PostgreSQL`: what the server shows, plans, what-if, proofs on copies, and index changes with a way back.
