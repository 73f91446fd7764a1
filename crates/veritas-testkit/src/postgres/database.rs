//! A database of one test.

use std::process::Command;

use crate::{
    FaultProxy,
    server::{SETUP, output_of},
};

use super::{Postgres, USER};

/// A database of one test. It keeps its server running; it goes when the server goes.
#[derive(Debug, Clone)]
pub struct Database {
    pub(super) server: Postgres,
    pub(super) name: String,
}

impl Database {
    /// Returns the connection URL, in the form that libpq and tokio-postgres read.
    pub fn url(&self) -> String {
        self.url_as(USER)
    }

    /// Returns the connection URL for another role.
    pub fn url_as(&self, role: &str) -> String {
        let socket_dir = self.server.socket_dir().to_string_lossy().replace('/', "%2F");
        let port = self.server.address().map_or_else(String::new, |address| format!(":{}", address.port()));
        format!("postgresql://{role}@{socket_dir}{port}/{}", self.name)
    }

    /// Returns the connection URL that leads through a proxy in front of this server.
    pub fn url_through(&self, proxy: &FaultProxy) -> String {
        format!("postgresql://{USER}@{}/{}?sslmode=disable", proxy.address(), self.name)
    }

    /// Returns the database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the user to connect as; there is no password.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// Returns the server.
    pub const fn server(&self) -> &Postgres {
        &self.server
    }

    /// Returns the database of the same name on another server: on a replica of this one.
    #[must_use]
    pub fn on(&self, server: &Postgres) -> Self {
        Self { server: server.clone(), name: self.name.clone() }
    }

    /// Installs an extension (`hypopg`, `pg_stat_statements`) in this database.
    ///
    /// # Panics
    ///
    /// When its package is not there, naming the setup command.
    #[track_caller]
    pub fn extension(&self, name: &str) -> &Self {
        let available = self.psql(&format!("SELECT 1 FROM pg_available_extensions WHERE name = '{name}'"));
        assert!(!available.is_empty(), "PostgreSQL's extension {name} is not installed; {SETUP}");
        self.psql(&format!("CREATE EXTENSION IF NOT EXISTS {name}"));
        self
    }

    /// Creates a role of this test that may log in, runs `grants`, in which `{role}` stands for
    /// its name, and returns the connection URL for it. With no grants it may do what everybody may.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[track_caller]
    pub fn role(&self, name: &str, grants: &str) -> String {
        // Roles belong to the whole server; databases have their own names there.
        let role = format!("{}_{name}", self.name);
        self.psql(&format!("CREATE ROLE {role} LOGIN; {}", grants.replace("{role}", &role)));
        self.url_as(&role)
    }

    /// Runs SQL through `psql` and returns its rows: columns separated by `|`, a
    /// line each. For setting a scene; costs a process.
    ///
    /// # Panics
    ///
    /// When a statement fails; the panic shows what the server said.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }
}

impl Postgres {
    #[track_caller]
    pub(super) fn psql(&self, database: &str, sql: &str) -> String {
        output_of(
            Command::new(&self.running.programs.client)
                .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
                .args(["--set", "ON_ERROR_STOP=1", "--username", USER, "--dbname", database])
                .arg("--host")
                .arg(self.socket_dir())
                .arg("--port")
                .arg(self.port().to_string())
                .args(["--command", sql]),
        )
    }
}
