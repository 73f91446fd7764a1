//! Why nobody let us in, and what to do about it.

use super::{Fault, Severity};
use crate::session::{ConnectOptions, SessionError, ident};

/// Says why connecting failed. Never holds a password.
pub(super) fn judge(error: &SessionError, options: &ConnectOptions) -> Fault {
    let address = options.address().unwrap_or_else(|_| "the address".to_owned());
    let (code, title, detail, fix) = reason(error, options, &address);
    let evidence = vec![format!("{address}: {error}")];
    Fault {
        code,
        severity: Severity::Critical,
        title: title.to_owned(),
        detail: detail.to_owned(),
        fix,
        evidence,
    }
}

type Reason = (&'static str, &'static str, &'static str, String);

fn reason(error: &SessionError, options: &ConnectOptions, address: &str) -> Reason {
    let user = options.user().ok().flatten().unwrap_or_else(|| "the role".to_owned());
    let database = address.rsplit('/').next().unwrap_or_default().to_owned();
    let said = error.to_string();
    match error {
        SessionError::Options { .. } => (
            "address_not_understood",
            "The address is not understood",
            "Nothing was sent anywhere.",
            "write for example postgresql://user@127.0.0.1:5432/database".to_owned(),
        ),
        SessionError::PasswordFile { path, .. } => (
            "password_file",
            "The password cannot be read",
            "Nothing was sent anywhere.",
            format!("let the account that runs this read {}", path.display()),
        ),
        SessionError::Denied { .. } => denied(&said, &user, &database),
        SessionError::Refused { code, .. } => match code.as_str() {
            "3D000" => (
                "no_database",
                "There is no such database",
                "The server let the role in, and knows no database of this name.",
                format!("psql --list shows those that there are; or: CREATE DATABASE {}", ident(&database)),
            ),
            "53300" => (
                "too_many_connections",
                "The server takes no more connections",
                "Every connection is in use; applications are being refused now.",
                "SELECT state, count(*) FROM pg_stat_activity GROUP BY state, as a superuser, shows who holds them; \
                 end idle ones by pg_terminate_backend(pid), put a pooler in front, or raise max_connections"
                    .to_owned(),
            ),
            _ => (
                "refused",
                "The server refuses the connection",
                "It answers, and does not let this connection in.",
                "the server's log says more".to_owned(),
            ),
        },
        SessionError::TimedOut => (
            "no_answer",
            "The server does not answer in time",
            "Something takes the connection and is silent, or packets are dropped on the way.",
            "look for a firewall, a wrong address, a server that hangs or swaps; its log and its machine say more"
                .to_owned(),
        ),
        SessionError::NotPostgres => (
            "not_postgresql",
            "What answers is not PostgreSQL",
            "Another program listens there, or a pooler that does not say a version.",
            "correct the address".to_owned(),
        ),
        SessionError::Unreachable { .. } => unreachable(&said),
        _ => (
            "connection_lost",
            "The connection was lost while it was made",
            "The server ended, or something between us and it did.",
            "the server's log says more".to_owned(),
        ),
    }
}

fn denied(said: &str, user: &str, database: &str) -> Reason {
    if said.contains("no pg_hba.conf entry") || said.contains("rejects connection") {
        return (
            "not_admitted",
            "The server's rules do not admit this connection",
            "pg_hba.conf has no line for this combination of user, database, address and encryption.",
            format!(
                "add to pg_hba.conf, and reload: hostssl {database} {user} ADDRESS/32 scram-sha-256 \
                 (or use sslmode=require, where only encrypted connections are admitted)"
            ),
        );
    }
    if said.contains("does not exist") {
        return (
            "no_role",
            "There is no such role",
            "The server does not know who is logging in.",
            format!("CREATE ROLE {} LOGIN, then what veritas db grants prints", ident(user)),
        );
    }
    if said.contains("not permitted to log in") {
        return (
            "role_may_not_log_in",
            "The role may not log in",
            "It is a group, or was shut out.",
            format!("ALTER ROLE {} LOGIN", ident(user)),
        );
    }
    if said.contains("permission denied for database") {
        return (
            "no_connect_right",
            "The role may not connect to the database",
            "The right to connect was taken from everybody, and not given to this role.",
            format!("GRANT CONNECT ON DATABASE {} TO {}", ident(database), ident(user)),
        );
    }
    (
        "wrong_password",
        "The log-in is refused",
        "The password is wrong or missing, has expired, or the role does not exist: servers that ask for passwords \
         say the same of all.",
        format!("correct the password, or set it as an administrator: \\password {user}"),
    )
}

fn unreachable(said: &str) -> Reason {
    if said.contains("TLS") || said.contains("tls") || said.contains("certificate") {
        return (
            "encryption",
            "No encrypted connection is made",
            "The server offers none, or its certificate is not trusted here.",
            "set ssl = on on the server, name its certificate's authority by sslrootcert, or allow sslmode=prefer"
                .to_owned(),
        );
    }
    if said.contains("lookup") || said.contains("resolve") || said.contains("Name or service") {
        return (
            "unknown_host",
            "The host's name is not known",
            "No address was found for it.",
            "correct the name, or give an address".to_owned(),
        );
    }
    if said.contains("starting up") || said.contains("shutting down") || said.contains("recovery") {
        return (
            "not_ready",
            "The server takes no connections at the moment",
            "It is starting, ending, or recovering from a crash.",
            "wait, and look at its log".to_owned(),
        );
    }
    (
        "unreachable",
        "The server is not reached",
        "Nobody listens at the address.",
        "start the server, correct host and port, and see that listen_addresses names the address that you use"
            .to_owned(),
    )
}

/// Says that the server let us in and answers nothing.
pub(super) fn silent(reason: &str) -> Fault {
    let detail = "It let us in, and did not answer the first question.";
    let fix = "it may be overloaded or stopped: look at its log and its machine";
    let fault = Fault::new(Severity::Critical, "The server does not answer", detail, fix);
    Fault { code: "silent", evidence: vec![reason.to_owned()], ..fault }
}
