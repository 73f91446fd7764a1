//! Loading: layers in, one configuration or every problem out.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use veritas_model::{Bytes, ChangeKind, Mode};

use crate::{
    Config, Kind, LoadError, Origin, Problem, SETTINGS, Setting,
    config::{
        Database, History, Jwt, JwtMode, Limits, LogLevel, MySqlTarget, Optimize, PostgresTarget,
        RedisTarget, Sampling, ScratchPlace,
    },
    file,
    kind::Complaint,
    settings,
    suggest::nearest,
    value::Value,
};

/// A variable with our prefix that is no setting: a client's token, as the guides use it.
const OTHER_VARIABLE: &str = "VERITAS_TOKEN";

/// Takes the layers, weakest first in effect whatever the order of the calls.
#[derive(Debug, Clone, Default)]
pub struct Loader {
    file: Option<(String, String)>,
    environment: Vec<(String, String)>,
    flags: Vec<(&'static str, String, String)>,
}

/// A configuration that was accepted, with the origin of each value.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The values.
    pub config: Config,
    entries: Vec<Entry>,
}

/// One line of `veritas config show --origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: &'static str,
    /// The value, as TOML would write it; `None`: not set. Never a secret.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Configuration {
    /// Returns every setting with its value and origin, in the order of the reference page.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns where the value of `key` comes from; `None` for an unknown key.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.origin)
    }

    /// Prints a line for each setting, with its origin when `with_origin`.
    pub fn show(&self, with_origin: bool) -> String {
        let text = |entry: &Entry| {
            entry.value.as_ref().map_or_else(
                || format!("# {} is not set", entry.key),
                |value| format!("{} = {value}", entry.key),
            )
        };
        let width =
            self.entries.iter().map(|entry| text(entry).chars().count()).max().unwrap_or_default().min(60);
        let mut shown = String::new();
        for entry in &self.entries {
            let line = text(entry);
            if with_origin {
                writeln!(shown, "{line:width$}  # {}", entry.origin).ok();
            } else {
                writeln!(shown, "{line}").ok();
            }
        }
        shown
    }
}

impl Loader {
    /// Starts with the defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the text of a configuration file. `name` is shown in messages; relative
    /// paths in the file start from its folder.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), text.into()));
        self
    }

    /// Adds environment variables. Those without the prefix `VERITAS_` are ignored,
    /// and so are empty ones and those that Kubernetes sets for a service named
    /// `veritas` (`VERITAS_SERVICE_HOST`, `VERITAS_PORT_9900_TCP`, …).
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = variables.into_iter().filter(|(name, value)| {
            name.starts_with("VERITAS_")
                && !value.is_empty()
                && name != OTHER_VARIABLE
                && !is_service_link(name)
        });
        self.environment.extend(ours);
        self
    }

    /// Adds the value of a flag: the setting's key, the flag as the user typed it,
    /// and the text. A flag that is given again for a list is added to it with a comma by the caller.
    #[must_use]
    pub fn flag(mut self, key: &'static str, flag: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push((key, flag.into(), value.into()));
        self
    }

    /// Lays the layers over each other.
    ///
    /// # Errors
    ///
    /// [`LoadError::Syntax`] when the file is not TOML, else
    /// [`LoadError::Invalid`] with every problem of every layer.
    pub fn load(self) -> Result<Configuration, LoadError> {
        let mut problems = Vec::new();
        let mut resolved: Vec<Resolved> = SETTINGS.iter().map(Resolved::default_of).collect();
        if let Some((name, text)) = &self.file {
            let folder = Path::new(name).parent().map_or_else(PathBuf::new, Path::to_path_buf);
            let settled = file::read(name, text)?;
            problems.extend(settled.problems);
            for (setting, value, line) in settled.values {
                let origin = Origin::File { name: name.clone(), line };
                let written = text.get(value.span()).unwrap_or_default();
                put(
                    &mut resolved,
                    &mut problems,
                    setting,
                    origin,
                    written,
                    setting.kind.read_toml(&value, &folder),
                );
            }
            problems.sort_by(|left, right| left.origin.cmp(&right.origin));
        }
        for (variable, value) in &self.environment {
            let origin = Origin::Environment(variable.clone());
            match SETTINGS.iter().find(|setting| setting.variable().as_deref() == Some(variable)) {
                Some(setting) => {
                    let written = format!("{value:?}");
                    put(
                        &mut resolved,
                        &mut problems,
                        setting,
                        origin,
                        &written,
                        setting.kind.read_text(value),
                    );
                }
                None => problems.push(unknown_variable(variable)),
            }
        }
        for (key, flag, value) in &self.flags {
            let origin = Origin::Flag(flag.clone());
            match settings::find(key) {
                Some(setting) => {
                    let written = format!("{value:?}");
                    put(
                        &mut resolved,
                        &mut problems,
                        setting,
                        origin,
                        &written,
                        setting.kind.read_text(value),
                    );
                }
                None => problems.push(Problem {
                    origin,
                    what: format!("unknown key {key:?}"),
                    hint: "this is a bug in the program that calls veritas-config".to_owned(),
                }),
            }
        }
        let config = Values(&resolved).config();
        problems.extend(contradictions(&config, &resolved));
        if !problems.is_empty() {
            return Err(LoadError::Invalid(problems));
        }
        let entries = resolved.into_iter().map(Resolved::into_entry).collect();
        Ok(Configuration { config, entries })
    }
}

/// A setting with the value in force.
#[derive(Debug)]
struct Resolved {
    setting: &'static Setting,
    value: Option<Value>,
    origin: Origin,
}

impl Resolved {
    fn default_of(setting: &'static Setting) -> Self {
        // A unit test reads every default, so that a bad one never ships.
        let value = setting.default.and_then(|text| setting.kind.read_text(text).ok());
        Self { setting, value, origin: Origin::Default }
    }

    fn into_entry(self) -> Entry {
        let value = self.value.map(|value| value.to_string());
        Entry { key: self.setting.key, value, origin: self.origin }
    }
}

fn put(
    resolved: &mut [Resolved],
    problems: &mut Vec<Problem>,
    setting: &'static Setting,
    origin: Origin,
    written: &str,
    value: Result<Value, Complaint>,
) {
    match value {
        Ok(value) => {
            if let Some(entry) = resolved.iter_mut().find(|entry| entry.setting.key == setting.key) {
                *entry = Resolved { setting, value: Some(value), origin };
            }
        }
        Err(Complaint { what, hint }) => {
            // What stands before the host may be a password.
            let written = match (setting.kind, written.rsplit_once('@')) {
                (Kind::Url { .. } | Kind::WordOrUrl { .. }, Some((_, host))) => &format!("…@{host}"),
                _ => written,
            };
            let mut shown: String = written.lines().next().unwrap_or_default().chars().take(80).collect();
            if shown.len() < written.len() {
                shown.push('…');
            }
            problems.push(Problem { origin, what: format!("{} = {shown} {what}", setting.key), hint });
        }
    }
}

/// What no single value can tell.
fn contradictions(config: &Config, resolved: &[Resolved]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.jwt.mode == JwtMode::Hs256 && config.jwt.secret_file.is_none() {
        let mode = resolved.iter().find(|entry| entry.setting.key == "jwt.mode");
        problems.push(Problem {
            origin: mode.map_or(Origin::Default, |entry| entry.origin.clone()),
            what: "jwt.mode = \"hs256\" needs a shared secret".to_owned(),
            hint: "set jwt.secret_file to the file that holds it".to_owned(),
        });
    }
    problems
}

fn unknown_variable(variable: &str) -> Problem {
    let variables: Vec<String> = SETTINGS.iter().filter_map(Setting::variable).collect();
    let hint = if variable.contains("SECRET") || variable.contains("PASSWORD") {
        "secrets are read from files: set VERITAS_JWT_SECRET_FILE, VERITAS_TARGETS_REDIS_PASSWORD_FILE, VERITAS_TARGETS_POSTGRES_PASSWORD_FILE or VERITAS_TARGETS_MYSQL_PASSWORD_FILE"
            .to_owned()
    } else {
        nearest(variable, variables.iter().map(String::as_str)).map_or_else(
            || "`veritas config show` lists every setting".to_owned(),
            |near| format!("did you mean {near}?"),
        )
    };
    let origin = Origin::Environment(variable.to_owned());
    Problem { origin, what: "unknown environment variable".to_owned(), hint }
}

/// Kubernetes tells every container of each service of its namespace; a service
/// named `veritas` gives variables with our prefix.
fn is_service_link(variable: &str) -> bool {
    variable.strip_prefix("VERITAS_").is_some_and(|rest| {
        rest == "PORT"
            || rest == "SERVICE_HOST"
            || rest.starts_with("SERVICE_PORT")
            || rest
                .strip_prefix("PORT_")
                .is_some_and(|port| port.starts_with(|first: char| first.is_ascii_digit()))
    })
}

/// Typed access to the values. The kinds come from the same table as the keys, so
/// a mismatch is a bug here, which the test of the defaults would meet.
struct Values<'a>(&'a [Resolved]);

macro_rules! typed {
    ($name:ident, $variant:ident, $type:ty) => {
        fn $name(&self, key: &str) -> Option<$type> {
            match self.0.iter().find(|entry| entry.setting.key == key)?.value.as_ref()? {
                Value::$variant(value) => Some(value.clone()),
                other => unreachable!("{key} holds {other:?}"),
            }
        }
    };
}

impl Values<'_> {
    typed!(address, Address, SocketAddr);
    typed!(address_ranges, AddressRanges, Vec<crate::AddressRange>);
    typed!(alert_rules, AlertRules, Vec<veritas_model::AlertRule>);
    typed!(boolean, Flag, bool);
    typed!(integer, Integer, u64);
    typed!(path, Path, PathBuf);
    typed!(duration, Seconds, Duration);
    typed!(sqlite_targets, SqliteTargets, Vec<crate::SqliteTarget>);
    typed!(text, Text, String);
    typed!(word, Word, &'static str);

    fn config(&self) -> Config {
        let modes = ChangeKind::ALL.map(|kind| {
            let word = self.word(&format!("optimize.{}", kind.as_str()));
            (kind, word.and_then(Mode::parse).unwrap_or_default())
        });
        Config {
            listen: set(self.address("listen")),
            data_dir: set(self.path("data_dir")),
            log_level: set(self.word("log.level").and_then(LogLevel::parse)),
            sampling: Sampling {
                interval: set(self.duration("sampling.interval")),
                disk_path: set(self.path("sampling.disk_path")),
            },
            history: History {
                max_size: Bytes::new(set(self.integer("history.max_mib")) * 1024 * 1024),
                head_points: set(self.count("history.head_points")),
                sync_every: set(self.duration("history.sync_every")),
            },
            database: Database {
                slow_threshold: set(self.duration("database.slow_query_seconds")),
                keep_parameters: set(self.boolean("database.keep_parameters")),
            },
            limits: Limits {
                requests_per_second: set(self.rate("limits.requests_per_second")),
                burst: set(self.rate("limits.burst")),
                failed_tokens_per_second: set(self.rate("limits.failed_tokens_per_second")),
                failed_tokens_burst: set(self.rate("limits.failed_tokens_burst")),
                trusted_proxies: set(self.address_ranges("limits.trusted_proxies")),
            },
            jwt: Jwt {
                mode: set(self.word("jwt.mode").and_then(JwtMode::parse)),
                secret_file: self.path("jwt.secret_file"),
                audience: self.text("jwt.audience"),
                issuer: self.text("jwt.issuer"),
                role_claim: set(self.text("jwt.role_claim")),
                leeway: set(self.duration("jwt.leeway_seconds")),
            },
            optimize: Optimize { modes: modes.to_vec() },
            sqlite: set(self.sqlite_targets("targets.sqlite")),
            redis: self
                .text("targets.redis")
                .map(|url| RedisTarget { url, password_file: self.path("targets.redis_password_file") }),
            postgres: self.text("targets.postgres").map(|url| PostgresTarget {
                url,
                password_file: self.path("targets.postgres_password_file"),
                scratch: match set(self.text("postgres.scratch")).as_str() {
                    "off" => ScratchPlace::Off,
                    "same_server" => ScratchPlace::SameServer,
                    url => ScratchPlace::Url(url.to_owned()),
                },
                index_budget: self
                    .integer("postgres.index_budget_mib")
                    .map(|mib| Bytes::new(mib * 1024 * 1024)),
            }),
            mysql: self.text("targets.mysql").map(|url| MySqlTarget {
                url,
                password_file: self.path("targets.mysql_password_file"),
                copies: self.word("mysql.scratch") == Some("same_server"),
            }),
            alert_rules: set(self.alert_rules("alerts.rules")),
        }
    }

    fn count(&self, key: &str) -> Option<NonZeroUsize> {
        self.integer(key).and_then(|count| usize::try_from(count).ok()).and_then(NonZeroUsize::new)
    }

    fn rate(&self, key: &str) -> Option<NonZeroU32> {
        self.integer(key).and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new)
    }
}

/// Unwraps the value of a setting that has a default.
#[track_caller]
fn set<T>(value: Option<T>) -> T {
    match value {
        Some(value) => value,
        None => unreachable!("a setting with a default has a value"),
    }
}
