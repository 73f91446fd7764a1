//! Why nobody could be asked, and what to do about it.

use veritas_database::server::{Fault, Severity};

use crate::session::SessionError;

/// Says what is wrong when there is no session.
pub(super) fn judge(error: &SessionError) -> Fault {
    let (code, title, fix) = match error {
        SessionError::Options => (
            "bad_url",
            "The address is not understood",
            "write mysql://USER@HOST:3306/DATABASE, or mariadb://…; ?socket=PATH for a Unix socket",
        ),
        SessionError::PasswordFile { .. } => (
            "password_file",
            "The password cannot be read",
            "name a file that this user can read and nobody else",
        ),
        SessionError::Denied { .. } => (
            "login_refused",
            "The server refuses the log-in",
            "CREATE USER 'veritas'@'HOST' IDENTIFIED BY '…'; \
             GRANT SELECT ON the database.* and on performance_schema.*, GRANT PROCESS, SLAVE MONITOR ON *.*",
        ),
        SessionError::TimedOut => (
            "no_answer",
            "The server does not answer in time",
            "see whether it hangs: its error log, the load of its machine, a firewall that drops packets",
        ),
        _ => (
            "not_reached",
            "The server is not reached",
            "see that it runs, that it listens there (bind_address, port, socket), and that the way is open",
        ),
    };
    Fault {
        code,
        severity: Severity::Critical,
        title: title.to_owned(),
        detail: error.to_string(),
        fix: fix.to_owned(),
        evidence: Vec::new(),
    }
}
