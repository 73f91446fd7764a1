//! The account that servers run as: ours, or an unprivileged one when we are root.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::Command,
};

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// Returns the account of this process.
    pub(crate) fn own() -> Self {
        match fs::metadata("/proc/self") {
            Ok(process) => Self { uid: process.uid(), gid: process.gid() },
            Err(error) => panic!("failed to read /proc/self: {error}"),
        }
    }

    /// Returns our own account, or under root the first of `names` that exists
    /// (PostgreSQL refuses to run as root).
    pub(crate) fn unprivileged(names: &[&str]) -> Self {
        let own = Self::own();
        if own.uid != 0 {
            return own;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        names.iter().find_map(|name| find(&passwd, name)).unwrap_or(own)
    }

    /// Makes `command` run as this account. As an ordinary user it already does.
    pub(crate) fn run(self, command: &mut Command) -> &mut Command {
        if self == Self::own() { command } else { command.uid(self.uid).gid(self.gid) }
    }
}

/// Finds `name` in the text of a passwd(5) file.
fn find(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104:,,,:/:/x\n";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "post"), None);
        assert_eq!(find("postgres:x:one:two", "postgres"), None);
    }

    #[test]
    fn servers_never_run_as_root_where_there_is_nobody() {
        assert_ne!(Account::unprivileged(&["nobody"]).uid, 0);
    }
}
