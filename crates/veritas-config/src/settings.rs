//! The one table of settings.

use crate::{Kind, config::JwtMode, config::LogLevel};

/// One setting. Its environment variable is [`Setting::variable`].
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its key in `veritas.toml`, tables joined by dots.
    pub key: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default, as one would write it in an environment variable; `None`: not set.
    pub default: Option<&'static str>,
    /// What it does, one or two sentences.
    pub help: &'static str,
}

impl Setting {
    /// Returns the environment variable (`VERITAS_SAMPLING_INTERVAL`), or `None`
    /// for what does not fit into one.
    pub fn variable(&self) -> Option<String> {
        (!matches!(self.kind, Kind::AlertRules))
            .then(|| format!("VERITAS_{}", self.key.replace('.', "_").to_uppercase()))
    }
}

/// The modes of [`veritas_model::Mode`].
const MODES: &[&str] = &["report_only", "approve", "automatic"];

/// Every setting, in the order of the reference page.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "listen",
        kind: Kind::Address,
        default: Some("127.0.0.1:9900"),
        help: "Where the API listens. Port 0 picks a free one; the bound address is printed and written to `DATA_DIR/address`.",
    },
    Setting {
        key: "data_dir",
        kind: Kind::Path,
        default: Some("veritas-data"),
        help: "The directory that holds keys, history and the ledger of changes. One server owns it at a time.",
    },
    Setting {
        key: "log.level",
        kind: Kind::Word(LogLevel::WORDS),
        default: Some("info"),
        help: "The least urgent log lines that are printed (to stderr).",
    },
    Setting {
        key: "sampling.interval",
        kind: Kind::Seconds { least: 0.1, most: 60.0 },
        default: Some("1s"),
        help: "The time between two readings of this machine. Alerts are looked at as often.",
    },
    Setting {
        key: "sampling.disk_path",
        kind: Kind::Path,
        default: Some("/"),
        help: "The path whose file system the `disk` figures tell of.",
    },
    Setting {
        key: "history.max_mib",
        kind: Kind::Integer { least: 8, most: 1_048_576 },
        default: Some("512"),
        help: "The most that the metric history takes on disk, in MiB. The oldest goes first.",
    },
    Setting {
        key: "history.head_points",
        kind: Kind::Integer { least: 100, most: 1_000_000 },
        default: Some("10000"),
        help: "The readings that are kept in memory, ready to be asked for.",
    },
    Setting {
        key: "history.sync_every",
        kind: Kind::Seconds { least: 0.1, most: 60.0 },
        default: Some("1s"),
        help: "The time between two writes of the history to disk: what a power cut may cost.",
    },
    Setting {
        key: "database.slow_query_seconds",
        kind: Kind::Seconds { least: 0.0, most: 3_600.0 },
        default: Some("1s"),
        help: "From here on a statement is called slow.",
    },
    Setting {
        key: "database.keep_parameters",
        kind: Kind::Flag,
        default: Some("true"),
        help: "Whether at most 16 parameter vectors per statement are held in memory for proofs. They are never stored or served.",
    },
    Setting {
        key: "limits.requests_per_second",
        kind: Kind::Integer { least: 1, most: 1_000_000 },
        default: Some("50"),
        help: "Requests per second that one subject may make; without a token, one address.",
    },
    Setting {
        key: "limits.burst",
        kind: Kind::Integer { least: 1, most: 1_000_000 },
        default: Some("200"),
        help: "Requests that one subject may make at once before the rate applies.",
    },
    Setting {
        key: "limits.failed_tokens_per_second",
        kind: Kind::Integer { least: 1, most: 1_000_000 },
        default: Some("1"),
        help: "Tokens per second that one address may send in vain; beyond that it is told to slow down.",
    },
    Setting {
        key: "limits.failed_tokens_burst",
        kind: Kind::Integer { least: 1, most: 1_000_000 },
        default: Some("20"),
        help: "Tokens that one address may send in vain at once.",
    },
    Setting {
        key: "limits.trusted_proxies",
        kind: Kind::AddressRanges,
        default: Some(""),
        help: "Proxies whose `X-Forwarded-For` is believed. Nobody's by default.",
    },
    Setting {
        key: "jwt.mode",
        kind: Kind::Word(JwtMode::WORDS),
        default: Some("own"),
        help: "Whose access tokens are accepted: `own` only those made by `veritas token create`; `hs256` also those that an existing application signs with a shared secret.",
    },
    Setting {
        key: "jwt.secret_file",
        kind: Kind::Path,
        default: None,
        help: "The file that holds the shared secret of mode `hs256`. There is no setting for the secret itself, so that it does not end up in a listing.",
    },
    Setting {
        key: "jwt.audience",
        kind: Kind::Text,
        default: None,
        help: "The `aud` that every token must carry. Not asked for by default.",
    },
    Setting {
        key: "jwt.issuer",
        kind: Kind::Text,
        default: None,
        help: "The `iss` that every token must carry. Not asked for by default.",
    },
    Setting {
        key: "jwt.role_claim",
        kind: Kind::Text,
        default: Some("role"),
        help: "The claim that names the role: `viewer`, `operator` or `admin`. A token without it is a viewer's.",
    },
    Setting {
        key: "jwt.leeway_seconds",
        kind: Kind::Seconds { least: 0.0, most: 60.0 },
        default: Some("30s"),
        help: "How far the clocks of those who make tokens may differ from ours.",
    },
    Setting {
        key: "optimize.index_create",
        kind: Kind::Word(MODES),
        default: Some("report_only"),
        help: "What may be done with a proven proposal to create an index: only say it, apply it once an operator approves, or apply it.",
    },
    Setting {
        key: "optimize.index_drop",
        kind: Kind::Word(MODES),
        default: Some("report_only"),
        help: "What may be done with a proven proposal to drop an index.",
    },
    Setting {
        key: "optimize.cache_capacity",
        kind: Kind::Word(MODES),
        default: Some("report_only"),
        help: "What may be done with a proven proposal to give a cache another capacity.",
    },
    Setting {
        key: "optimize.cache_ttl",
        kind: Kind::Word(MODES),
        default: Some("report_only"),
        help: "What may be done with a proven proposal to give what a cache stores another time to live.",
    },
    Setting {
        key: "optimize.cache_policy",
        kind: Kind::Word(MODES),
        default: Some("report_only"),
        help: "What may be done with a proven proposal to change when a cache refreshes.",
    },
    Setting {
        key: "optimize.cache_start",
        kind: Kind::Word(MODES),
        default: Some("report_only"),
        help: "What may be done with a proven proposal to let a dormant cache store and serve.",
    },
    Setting {
        key: "optimize.cache_stop",
        kind: Kind::Word(MODES),
        default: Some("report_only"),
        help: "What may be done with a proven proposal to stop a cache that costs more than it saves.",
    },
    Setting {
        key: "targets.redis",
        kind: Kind::Url { password_file: "targets.redis_password_file" },
        default: None,
        help: "A Redis server to look at: `redis://`, `rediss://`, `unix://`, `redis-sentinel://HOSTS/MASTER` or `redis-cluster://HOSTS`. Without a password: see `targets.redis_password_file`.",
    },
    Setting {
        key: "targets.redis_password_file",
        kind: Kind::Path,
        default: None,
        help: "The file that holds the password of the Redis user.",
    },
    Setting {
        key: "targets.postgres",
        kind: Kind::Url { password_file: "targets.postgres_password_file" },
        default: None,
        help: "A PostgreSQL database to look at and to advise on: `postgresql://USER@HOST:PORT/DATABASE`. Without a password: see `targets.postgres_password_file`. `veritas db grants` prints what the user needs.",
    },
    Setting {
        key: "targets.postgres_password_file",
        kind: Kind::Path,
        default: None,
        help: "The file that holds the password of the PostgreSQL user.",
    },
    Setting {
        key: "postgres.scratch",
        kind: Kind::WordOrUrl {
            words: &["off", "same_server"],
            password_file: "targets.postgres_password_file",
        },
        default: Some("off"),
        help: "Where proposals for PostgreSQL are proven: `off` (they stay estimates), `same_server` (a database `veritas_scratch_…` beside the one that is looked at, dropped after the proof), or the address of another server.",
    },
    Setting {
        key: "postgres.index_budget_mib",
        kind: Kind::Integer { least: 1, most: 1_048_576 },
        default: None,
        help: "The most that proposed indexes may take on disk together, in MiB. Without it: a fifth of the database.",
    },
    Setting {
        key: "targets.mysql",
        kind: Kind::Url { password_file: "targets.mysql_password_file" },
        default: None,
        help: "A MariaDB or MySQL database to look at: `mysql://USER@HOST:PORT/DATABASE` or `mariadb://…`. Without a password: see `targets.mysql_password_file`.",
    },
    Setting {
        key: "targets.mysql_password_file",
        kind: Kind::Path,
        default: None,
        help: "The file that holds the password of the MariaDB or MySQL user.",
    },
    Setting {
        key: "mysql.scratch",
        kind: Kind::Word(&["off", "same_server"]),
        default: Some("off"),
        help: "Where indexes for MariaDB and MySQL are tried: `off` (what is said stays a rule), or `same_server` (copies of tables up to 256 MiB in a database `veritas_scratch_…` beside the one that is looked at, dropped afterwards).",
    },
    Setting {
        key: "targets.sqlite",
        kind: Kind::SqliteTargets,
        default: Some(""),
        help: "SQLite databases to advise on: tables with `name` and `path`.",
    },
    Setting {
        key: "alerts.rules",
        kind: Kind::AlertRules,
        default: Some(""),
        help: "Alert rules beside the default ones (`high_cpu`, `high_memory`, `high_disk`), or instead of one of them when the name is the same.",
    },
];

/// Finds a setting by its key.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use veritas_model::{ChangeKind, Mode};

    use super::*;

    #[test]
    fn no_two_settings_share_a_key_or_a_variable() {
        let keys: HashSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        let variables: HashSet<_> = SETTINGS.iter().filter_map(Setting::variable).collect();
        assert_eq!(keys.len(), SETTINGS.len());
        assert_eq!(variables.len(), SETTINGS.len() - 1);
    }

    #[test]
    fn every_kind_of_change_has_its_mode() {
        for kind in ChangeKind::ALL {
            assert!(find(&format!("optimize.{}", kind.as_str())).is_some(), "{kind:?}");
        }
        assert!(MODES.iter().all(|word| Mode::parse(word).is_some()));
    }

    #[test]
    fn help_is_sentences() {
        for setting in SETTINGS {
            assert!(setting.help.ends_with('.'), "{}", setting.key);
        }
    }
}
