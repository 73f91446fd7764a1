//! What the catalogues say of tables, columns and indexes.
