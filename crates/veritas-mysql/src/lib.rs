//! `MariaDB` and `MySQL`: statement digests, indexes, and what is wrong with them.
