//! Parts of questions that several of them share.

/// Holds for a relation `c` of the namespace `n` that belongs to the application: not the
/// server's own, not a temporary one, and not part of an extension.
macro_rules! of_application {
    () => {
        "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' \
         AND e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid)"
    };
}

/// The bytes of the relation `c` by the catalogue, which locks nothing.
macro_rules! bytes {
    ($alias:literal) => {
        concat!("(", $alias, ".relpages::bigint * pg_catalog.current_setting('block_size')::bigint)")
    };
}

pub(super) use {bytes, of_application};
