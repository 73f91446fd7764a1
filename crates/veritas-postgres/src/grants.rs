//! The least rights that a role needs: for `veritas db grants`.
//!
//! A right is granted for a purpose, which stands beside it, so that an administrator
//! can leave out what is not wanted: what then cannot be read says which right it lacks.
//!
//! There is no right to make indexes. `PostgreSQL` lets a table's owner do it, and whoever
//! is a member of the owner; such a member may also write and drop the table. So
//! [`Level::Apply`] is for whoever wants changes applied, and nobody else.

use std::fmt;

use crate::session::ident;

/// How much the role is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Look at what the server counts: statements, sessions, locks, tables, indexes, settings.
    Observe,
    /// And read tables: plans, statistics of columns, and copies on which proposals are run.
    Prove,
    /// And make and drop indexes.
    Apply,
}

impl Level {
    /// Every level, least first.
    pub const ALL: [Self; 3] = [Self::Observe, Self::Prove, Self::Apply];

    /// Returns the word used on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Prove => "prove",
            Self::Apply => "apply",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// One statement for an administrator, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The statement, without a semicolon at its end.
    pub sql: String,
    /// What it is for, and what is lost without it.
    pub why: String,
}

/// Returns what a superuser runs, connected to `database`, so that `role` can do the work of
/// `level` on tables of the schema `public`; see [`statements_in`]. `version` is the
/// server's as a number (150018). The role gets no password here: `\password` sets one
/// without writing it to a log.
pub fn statements(role: &str, database: &str, level: Level, version: u32) -> Vec<Grant> {
    statements_in(&["public"], role, database, level, version)
}

/// Returns what [`statements`] does, for tables of other schemas.
pub fn statements_in(schemas: &[&str], role: &str, database: &str, level: Level, version: u32) -> Vec<Grant> {
    let mut grants = observe(schemas, role, database);
    if level >= Level::Prove {
        grants.extend(prove(schemas, role));
    }
    if level >= Level::Apply {
        grants.push(apply(schemas, role, version));
    }
    grants
}

fn grant(sql: String, why: &str) -> Grant {
    Grant { sql, why: why.to_owned() }
}

fn observe(schemas: &[&str], role: &str, database: &str) -> Vec<Grant> {
    let (role, database) = (ident(role), ident(database));
    let mut grants = vec![
        grant(
            format!(
                "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 6"
            ),
            "A role of its own, that may do nothing yet, and cannot use up the server's connections.",
        ),
        grant(format!("GRANT CONNECT ON DATABASE {database} TO {role}"), "It may connect to the database."),
        grant(
            format!("GRANT pg_read_all_stats TO {role}"),
            "It sees the statements of all roles, without their literals, and what sessions wait for. Without it, \
             only its own.",
        ),
        grant(
            format!("GRANT pg_read_all_settings TO {role}"),
            "It sees the settings that are hidden from most. Without it, advice on them is left out.",
        ),
        grant(
            format!("ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on"),
            "Its transactions are read-only unless they say otherwise, as only an applied change does.",
        ),
        grant(
            format!("ALTER ROLE {role} IN DATABASE {database} SET statement_timeout = '5s'"),
            "No statement of it runs for long, whatever happens to the program that sent it.",
        ),
        grant(
            format!(
                "ALTER ROLE {role} IN DATABASE {database} SET idle_in_transaction_session_timeout = '30s'"
            ),
            "It holds no transaction open.",
        ),
        grant(
            "CREATE EXTENSION IF NOT EXISTS pg_stat_statements".to_owned(),
            "The server's own count of statements; needs shared_preload_libraries = 'pg_stat_statements' and a \
             restart. Without it, only what the application records is known.",
        ),
    ];
    for schema in schemas {
        grants.push(grant(
            format!("GRANT SELECT ON ALL SEQUENCES IN SCHEMA {} TO {role}", ident(schema)),
            "The doctor sees how many numbers sequences have left. Without it, it does not.",
        ));
    }
    grants
}

fn prove(schemas: &[&str], role: &str) -> Vec<Grant> {
    let role = ident(role);
    let mut grants = Vec::new();
    for schema in schemas {
        let schema = ident(schema);
        grants.push(grant(
            format!("GRANT USAGE ON SCHEMA {schema} TO {role}"),
            "It may name the tables of the schema.",
        ));
        grants.push(grant(
            format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"),
            "Plans of statements that read, statistics of columns, and copies of tables. The server shows plans of \
             writes only to who may write, so those are judged without a plan.",
        ));
        grants.push(grant(
            format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}"),
            "The same for tables to come, of the role that runs this: run it as the one that migrates too.",
        ));
    }
    grants.push(grant(
        "CREATE EXTENSION IF NOT EXISTS hypopg".to_owned(),
        "Indexes that are only asked about. Without it, a sample of the tables is indexed in a database of ours.",
    ));
    grants.push(grant(
        format!("ALTER ROLE {role} CREATEDB"),
        "Databases of its own, with copies, on which proposals are run. Leave it out when copies are made on another \
         server, or not at all.",
    ));
    grants
}

fn apply(schemas: &[&str], role: &str, version: u32) -> Grant {
    // From version 16 on a member can be kept from becoming the owner by SET ROLE.
    let with = if version >= 160_000 { " WITH INHERIT TRUE, SET FALSE" } else { "" };
    let schemas = schemas.iter().map(|schema| literal(schema)).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "DO $grants$ DECLARE owner name; BEGIN FOR owner IN SELECT DISTINCT t.tableowner FROM pg_catalog.pg_tables t \
         JOIN pg_catalog.pg_roles r ON r.rolname = t.tableowner \
         WHERE t.schemaname IN ({schemas}) AND NOT r.rolsuper AND t.tableowner <> {role} \
         LOOP EXECUTE pg_catalog.format('GRANT %I TO %I{with}', owner, {role}::text); END LOOP; END $grants$",
        role = literal(role),
    );
    grant(
        sql,
        "Only an owner of a table makes and drops its indexes, so it becomes a member of each owner: it may then also \
         write and drop those tables. Tables of superusers are left out; give them another owner, or run what is \
         proposed yourself.",
    )
}

/// Quotes a text as a literal that no setting reads otherwise.
fn literal(text: &str) -> String {
    let quoted = text.replace('\0', "").replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_holds_what_those_below_it_do() {
        let of = |level| statements("veritas", "shop", level, 150_018);
        assert_eq!(of(Level::Prove)[..of(Level::Observe).len()], of(Level::Observe));
        assert_eq!(of(Level::Apply)[..of(Level::Prove).len()], of(Level::Prove));
        for level in Level::ALL {
            assert_eq!(Level::parse(level.as_str()), Some(level));
            assert!(of(level).iter().all(|grant| !grant.why.is_empty() && !grant.sql.ends_with(';')));
        }
    }

    #[test]
    fn no_name_leaves_its_quotes() {
        let odd = "a'; DROP TABLE t; -- \" \\";
        for grant in statements_in(&[odd], odd, odd, Level::Apply, 150_000) {
            let rest = grant.sql.replace(&ident(odd), "").replace(&literal(odd), "");
            assert!(!rest.contains("DROP TABLE"), "{}", grant.sql);
        }
    }

    #[test]
    fn members_cannot_become_the_owner_where_the_server_can_tell() {
        let of = |version| statements("veritas", "shop", Level::Apply, version).pop().unwrap().sql;
        assert!(of(160_000).contains("SET FALSE") && !of(150_018).contains("SET FALSE"));
    }
}
